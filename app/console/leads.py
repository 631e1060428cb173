"""The list of leads, and one lead."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlencode

from app.console.api import Api
from app.console.people import names_of_users

TEMPERATURES: Final = ("hot", "warm", "cold")
LINES: Final = 80  # of the timeline
EVENTS: Final = 50
SUBSCRIPTIONS: Final = 10  # whose deliveries are looked for
ATTEMPTS: Final = 200


async def leads(api: Api, filters: Mapping[str, str | None], cursor: str | None) -> dict[str, Any]:
    """A page of leads, and what the form offers: stages and users, as far as the key may read them."""
    found, policy, users = await asyncio.gather(
        api.get("/v1/leads", limit=50, cursor=cursor, **filters),
        api.get("/v1/policies/active"),
        names_of_users(api),
    )
    following = found.document["next"] if found.ok else None
    chosen = {name: value for name, value in filters.items() if value}
    return {
        "found": found,
        "filters": {name: value or "" for name, value in filters.items()},
        "next": urlencode({**chosen, "cursor": following}) if following else None,
        "goes_on": cursor is not None,
        "first": urlencode(chosen),
        "stages": [stage["name"] for stage in policy.document["document"]["stages"]] if policy.ok else [],
        "temperatures": TEMPERATURES,
        "users": users,
    }


async def lead(api: Api, lead_id: str) -> dict[str, Any]:
    """All about one lead. Raises ApiProblem where there is none."""
    path = f"/v1/leads/{lead_id}"
    found = (await api.get(path)).needed()
    score, timeline, eligibility, events, subscriptions, users = await asyncio.gather(
        api.get(f"{path}/score"),
        api.get(f"{path}/timeline"),
        api.get(f"{path}/eligibility"),
        api.get(f"{path}/events", limit=EVENTS),
        api.get("/v1/subscriptions", limit=SUBSCRIPTIONS),
        names_of_users(api),
    )
    entries = score.document["entries"] if score.ok else []
    lines = timeline.rows
    return {
        "lead": found,
        "score": score,
        "widest": max((abs(entry["decayed_points"]) for entry in entries), default=0) or 1,
        "timeline": timeline,
        "lines": lines[-LINES:][::-1],
        "earlier": max(0, len(lines) - LINES),
        "eligibility": eligibility,
        "events": events,
        "subscriptions": subscriptions,
        "deliveries": await asyncio.gather(*(_deliveries(api, one, lead_id) for one in subscriptions.rows)),
        "users": users,
    }


async def _deliveries(api: Api, subscription: Mapping[str, Any], lead_id: str) -> dict[str, Any]:
    """What a subscription still owes of this lead, and its latest attempts that are about it."""
    path = f"/v1/subscriptions/{subscription['id']}"
    owed, attempts = await asyncio.gather(
        api.get(f"{path}/deliveries", lead_id=lead_id, limit=EVENTS),
        api.get(f"{path}/attempts", limit=ATTEMPTS),
    )
    made = [one for one in attempts.rows if one["lead_id"] == lead_id]
    return {"subscription": subscription, "owed": owed.rows, "attempts": made[:EVENTS]}
