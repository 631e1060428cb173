"""Today: what waits for whom."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Final

from app.console.api import Answer, Api
from app.console.people import names_of_users

MOST: Final = 200  # rows of one page of a list
SHOWN: Final = 50
RECYCLED: Final = 25  # leads looked up for what waits to be taken up again
RECYCLED_WITHIN: Final = timedelta(days=30)


async def today(api: Api, now: datetime) -> dict[str, Any]:
    """Leads whose clocks run, recycled leads that are due, slipped deals, the quarantine, subscriptions in trouble."""
    clocks = await asyncio.gather(*(api.get("/v1/leads", sla=state, limit=MOST) for state in ("breached", "due")))
    waiting = sorted((lead for answer in clocks for lead in answer.rows), key=lambda lead: lead["sla"]["due_at"])
    quarantine, sources, subscriptions, slipped, (due, recycled), users = await asyncio.gather(
        api.get("/v1/submissions", state="quarantined", limit=MOST),
        api.get("/v1/sources", limit=MOST),
        api.get("/v1/subscriptions", limit=MOST),
        api.get("/v1/opportunities", slipped="true", limit=SHOWN),
        _recycled(api, now),
        names_of_users(api),
    )
    return {
        "clocks": clocks[0],
        "waiting": waiting[:SHOWN],
        "waiting_in_all": len(waiting),
        "more_waiting": any(answer.ok and answer.document["next"] for answer in clocks),
        "by_owner": _by_owner(waiting),
        "due": due,
        "recycled": recycled,
        "quarantine": quarantine,
        "by_source": Counter(one["source_id"] for one in quarantine.rows).most_common(),
        "names_of_sources": {one["id"]: one["name"] for one in sources.rows},
        "subscriptions": subscriptions,
        "failing": [one for one in subscriptions.rows if one["state"] != "active" or one["breaker"] != "closed"],
        "slipped": slipped,
        "users": users,
    }


def _by_owner(leads: Iterable[dict[str, Any]]) -> list[tuple[str | None, int, int]]:
    """Owner, leads whose clock is breached, and leads whose clock is due; most breaches first."""
    counts: dict[str | None, Counter[str]] = {}
    for lead in leads:
        counts.setdefault(lead["owner_id"], Counter())[lead["sla"]["state"]] += 1
    return sorted(
        ((owner, count["breached"], count["due"]) for owner, count in counts.items()),
        key=lambda one: (-one[1], -one[2]),
    )


async def _recycled(api: Api, now: datetime) -> tuple[Answer, list[tuple[str, dict[str, Any]]]]:
    """When it became due, and the lead: those that stand in the same stage as then, the latest first.

    The feed tells when a recycled lead is due: the lead itself no longer has the date after that.
    """
    after = (now - RECYCLED_WITHIN).isoformat()
    events = await api.get("/v1/events", types="lead.recycle_due", after=after, limit=MOST)
    latest = {event["data"]["lead_id"]: event["timestamp"] for event in events.rows}
    chosen = sorted(latest.items(), key=lambda one: one[1], reverse=True)[:RECYCLED]
    leads = await asyncio.gather(*(api.get(f"/v1/leads/{lead_id}") for lead_id, _ in chosen))
    found = [
        (at, answer.document)
        for (_, at), answer in zip(chosen, leads, strict=True)
        if answer.ok and answer.document["stage_entered_at"] and answer.document["stage_entered_at"] <= at
    ]
    return events, found
