"""The list of sources, and one source: what came, what waits in quarantine, and a dry run."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

from app.console.api import Answer, Api

DAYS: Final = 14
MOST: Final = 200
QUARANTINED: Final = 50
CONTENT_TYPES: Final = ("application/json", "application/x-www-form-urlencoded", "text/xml", "text/plain")


async def sources(api: Api) -> dict[str, Any]:
    """All sources, and how many submissions of each are in quarantine."""
    quarantine = await api.get("/v1/submissions", state="quarantined", limit=MOST)
    return {
        "sources": await api.get("/v1/sources", limit=MOST),
        "quarantined": Counter(one["source_id"] for one in quarantine.rows),
        "more": quarantine.ok and quarantine.document["next"] is not None,
    }


async def source(api: Api, source_id: str, submission_id: str | None = None) -> dict[str, Any]:
    """One source; the dry run is filled in with a submission where one is named. Raises ApiProblem."""
    found = (await api.get(f"/v1/sources/{source_id}")).needed()
    quarantine, volume = await asyncio.gather(
        api.get("/v1/submissions", source_id=source_id, state="quarantined", limit=QUARANTINED),
        api.get(f"/v1/sources/{source_id}/volume", days=DAYS),
    )
    days = volume.document["days"] if volume.ok else []
    totals: Counter[str] = Counter()
    for day in days:
        totals.update(day["verdicts"])
    return {
        "source": found,
        "volume": volume,
        "days": [{**day, "count": sum(day["verdicts"].values())} for day in reversed(days)],
        "totals": totals.most_common(),
        "most": max((sum(day["verdicts"].values()) for day in days), default=0) or 1,
        "quarantine": quarantine,
        "content_types": CONTENT_TYPES,
        "tried": await _raw(api, submission_id) if submission_id else {"body": "", "content_type": CONTENT_TYPES[0]},
        "result": None,
    }


async def dry_run(api: Api, source_id: str, form: Mapping[str, str]) -> dict[str, Any]:
    """The same page with what a request would become. Raises ApiProblem where there is no such source."""
    shown = await source(api, source_id)
    tried = {"body": form.get("body", ""), "content_type": form.get("content_type", CONTENT_TYPES[0])}
    result = await api.try_post(
        f"/v1/sources/{source_id}/dry-run",
        {"headers": {"content-type": tried["content_type"]}, "body": tried["body"]},
    )
    return {**shown, "tried": tried, "result": result}


async def _raw(api: Api, submission_id: str) -> dict[str, str]:
    """The body of a submission as text, and its content type; empty where it cannot be shown."""
    answer: Answer = await api.get(f"/v1/submissions/{submission_id}/raw")
    raw = answer.needed()
    content_type = {name.lower(): value for name, value in raw["headers"].items()}.get("content-type", "")
    return {"body": raw.get("body") or "", "content_type": content_type}
