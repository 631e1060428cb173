"""The versions of the policy; one of them in words, and beside another."""

from __future__ import annotations

from typing import Any, Final

from app.console.api import Api
from app.policy.read import read_document
from app.policy.summary import summary

MOST: Final = 50


async def policies(api: Api) -> dict[str, Any]:
    return {"policies": await api.get("/v1/policies", limit=MOST)}


async def policy(api: Api, policy_id: str, against: str | None) -> dict[str, Any]:
    """One version, and its differences from the version `against`. Raises ApiProblem where there is no such version."""
    path = f"/v1/policies/{policy_id}"
    found = (await api.get(path)).needed()
    read = read_document(found["document"])
    return {
        "policy": found,
        "sections": None if isinstance(read, list) else summary(read),
        "others": [one for one in (await api.get("/v1/policies", limit=MOST)).rows if one["id"] != found["id"]],
        "diff": (await api.get(f"{path}/diff", against=against)).needed() if against else None,
        "against": against,
    }
