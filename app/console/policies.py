"""The versions of the policy; one of them in words, and beside another."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final

from app.console.api import Answer, Api
from app.console.reports import path_of, rows_of, window
from app.policy.read import read_document
from app.policy.summary import summary

MOST: Final = 50


async def policies(api: Api) -> dict[str, Any]:
    return {"policies": await api.get("/v1/policies", limit=MOST)}


async def policy(api: Api, policy_id: str, against: str | None, today: date) -> dict[str, Any]:
    """One version, how well its rules did in the last thirteen weeks, and its differences from the version `against`.

    Raises ApiProblem where there is no such version.
    """
    path = f"/v1/policies/{policy_id}"
    found = (await api.get(path)).needed()
    read, asked = read_document(found["document"]), window({}, today)
    rules = await api.get(path_of("rules"), **asked)
    return {
        "policy": found,
        "sections": None if isinstance(read, list) else summary(read),
        "rules": rules,
        "lifts": _lifts(rules, asked),
        "others": [one for one in (await api.get("/v1/policies", limit=MOST)).rows if one["id"] != found["id"]],
        "diff": (await api.get(f"{path}/diff", against=against)).needed() if against else None,
        "against": against,
    }


def _lifts(rules: Answer, asked: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Of each scoring rule by id how leads with it did, and the query of the page of their rows."""
    metrics = rules.document["groups"][0]["metrics"] if rules.ok else []
    return {
        one["name"].removeprefix("rule:"): {**one, "rows": rows_of(rules, asked, None, one)}
        for one in metrics
        if one["name"].startswith("rule:") and "lift" in one and one["denominator"]
    }
