"""Steps that tests of merging share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from app.journeys.verify import verify
from tests.api import Api

Lead = dict[str, Any]


async def with_activities(api: Api, *activities: tuple[str, str], **fields: Any) -> Lead:
    """A lead with these activities, each a type and a key, and no other."""
    lead = await api.lead(**fields)
    for type_, key in activities:
        await api.add_activity(lead, type_, activity_key=key)
    return await api.reload(lead)


async def merged(api: Api, lead: Lead, into: Lead, actor: str | None = None, **options: Any) -> Lead:
    """Merges a lead into another one; the answer."""
    actor = actor or await api.user("manager")
    body = {"into": into["id"]}
    return dict(await api.post(f"/v1/leads/{lead['id']}/merge", body, status=200, actor=actor, **options))


async def unmerged(api: Api, lead: Lead, actor: str | None = None) -> Lead:
    """Undoes the merge of a lead; the answer."""
    actor = actor or await api.user("manager")
    return dict(await api.post(f"/v1/leads/{lead['id']}/unmerge", None, status=200, actor=actor))


async def activity_keys(api: Api, lead: Lead) -> Sequence[str]:
    """The keys of all activities of a lead, sorted."""
    return sorted(row["activity_key"] for row in (await api.get(f"/v1/leads/{lead['id']}/activities"))["data"])


async def journeys(api: Api, lead: Lead) -> list[tuple[int, str]]:
    """The journeys of a lead as (number, stage)."""
    rows = (await api.get(f"/v1/leads/{lead['id']}/journeys"))["data"]
    return [(row["journey_no"], row["stage"]) for row in rows]


async def faults(api: Api) -> list[tuple[str, ...]]:
    """What `baton verify` finds."""
    return [one.faults async for one in verify(api.app.state.engine) if one.faults]
