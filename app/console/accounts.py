"""The list of accounts, and one account: its people, its opportunities, and what happened in it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from app.console.api import Answer, Api
from app.console.people import names_of_users

ROWS: Final = 50
PARTS: Final = ("people", "opportunities", "timeline")  # each of which has pages, by a cursor of its name


async def accounts(api: Api, asked: Mapping[str, str]) -> dict[str, Any]:
    """A page of accounts, of a domain where one is named."""
    found, users = await asyncio.gather(api.get("/v1/accounts", limit=ROWS, **asked), names_of_users(api))
    following = found.document["next"] if found.ok else None
    return {
        "asked": asked,
        "found": found,
        "next": urlencode({**asked, "cursor": following}) if following else None,
        "users": users,
    }


async def account(api: Api, account_id: str, cursors: Mapping[str, str]) -> dict[str, Any]:
    """One account, with a page of each of its parts. Raises ApiProblem where there is none."""
    path = f"/v1/accounts/{account_id}"
    found = (await api.get(path)).needed()
    people, deals, timeline, users = await asyncio.gather(
        api.get(f"{path}/people", limit=ROWS, cursor=cursors.get("people")),
        api.get("/v1/opportunities", account_id=account_id, limit=ROWS, cursor=cursors.get("opportunities")),
        api.get(f"{path}/timeline", limit=ROWS, cursor=cursors.get("timeline")),
        names_of_users(api),
    )
    parts = {"people": people, "opportunities": deals, "timeline": timeline}
    return {
        "account": found,
        "names": {one["lead_id"]: one["full_name"] for one in people.rows if one["full_name"]}
        | {one["id"]: one["name"] for one in deals.rows},
        **parts,
        "next": {name: _next(name, answer, cursors) for name, answer in parts.items()},
        "cursors": cursors,
        "users": users,
    }


def _next(part: str, answer: Answer, cursors: Mapping[str, str]) -> str | None:
    """The query of the same page with the next rows of a part."""
    following = answer.document["next"] if answer.ok else None
    return urlencode({**cursors, part: following}) if following else None
