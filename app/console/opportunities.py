"""One opportunity: what it is worth, whose it is, and how it has changed."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from app.console.api import Answer, Api
from app.console.people import names_of_users

LINES: Final = 80  # of the history


async def opportunity(api: Api, opportunity_id: str) -> dict[str, Any]:
    """One opportunity. Raises ApiProblem where there is none."""
    path = f"/v1/opportunities/{opportunity_id}"
    found = (await api.get(path)).needed()
    history, account, users = await asyncio.gather(
        api.get(f"{path}/history"), _account(api, found["account_id"]), names_of_users(api)
    )
    lines = history.rows
    return {
        "opportunity": found,
        "account": account,
        "history": history,
        "lines": lines[-LINES:][::-1],
        "earlier": max(0, len(lines) - LINES),
        "users": users,
    }


async def _account(api: Api, account_id: str | None) -> dict[str, Any] | None:
    """The account of an opportunity; None where it has none."""
    if account_id is None:
        return None
    answer: Answer = await api.get(f"/v1/accounts/{account_id}")
    return dict(answer.needed())
