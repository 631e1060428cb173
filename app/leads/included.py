"""`include=lead`: adds to events the lead as of each event, for a whole batch in two statements.

The lead is rebuilt from its row by putting back what later versions replaced, so that an event has the same body
whenever it is read. Where nothing was replaced since, that is the row itself.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import orjson

from app.database.transaction import Record, Tx
from app.errors import Erased
from app.events.envelope import Sequenced
from app.journeys import sql as journeys
from app.journeys.load import lead_of
from app.journeys.shown import Document, recorded_members, restored_members, show_lead
from app.leads import past_sql
from app.leads.past import read_as_of
from app.web.fields import rfc3339

ERASED: Final[Document] = {"lead": None, "erased": True}
UPDATED: Final = "lead.updated"


async def include_leads(tx: Tx, tenant_id: UUID, events: Sequence[Sequenced]) -> list[Sequenced]:
    """The events in their order; those that a version of a lead caused have that version in `included`."""
    oldest: dict[UUID, int] = {}
    for event in events:
        if event.lead_id is not None and event.lead_version is not None:
            oldest[event.lead_id] = min(event.lead_version, oldest.get(event.lead_id, event.lead_version))
    if not oldest:
        return list(events)
    rows = {row.id: row for row in await journeys.load_without_activities(tx, tenant_id, list(oldest))}
    # The last event of each version has it, which need not be among these.
    computed = {(event.lead_id, event.lead_version): event.lead_computed for event in events if event.lead_computed}
    unknown = {(event.lead_id, event.lead_version) for event in events if event.lead_version} - computed.keys()
    # Read after the rows, so that no version up to that of a row is missing; later ones are not used.
    replaced: dict[UUID, dict[int, Document]] = defaultdict(dict)
    for row in await past_sql.versions_since(tx, tenant_id, oldest, unknown):
        if row.computed is not None:
            computed[row.lead_id, row.version] = row.computed
        else:
            replaced[row.lead_id][row.version] = row.before
    versions = {
        lead_id: _versions(row, oldest[lead_id], replaced[lead_id])
        for lead_id, row in rows.items()
        if row.erased_at is None
    }
    whole = [event._replace(lead_computed=computed.get((event.lead_id, event.lead_version))) for event in events]
    return [await _include(tx, tenant_id, event, versions) if event.lead_id in rows else event for event in whole]


def _versions(row: Record, oldest: int, replaced: Mapping[int, Document]) -> dict[int, Document]:
    """The lead at each version from that of the row down to the one before the oldest."""
    versions = {row.version: recorded_members(lead_of(row))}
    for version in range(row.version, oldest - 1, -1):
        versions[version - 1] = restored_members(versions[version], replaced.get(version, {}))
    return versions


async def _include(
    tx: Tx, tenant_id: UUID, event: Sequenced, versions: Mapping[UUID, Mapping[int, Document]]
) -> Sequenced:
    lead_id, version = event.lead_id, event.lead_version
    if lead_id is None or version is None:
        return event
    if lead_id not in versions:
        return _with(event, ERASED)
    own = {"version": version, "updated_at": rfc3339(event.recorded_at)}
    if event.lead_computed is None:
        return _with(event, await _as_of(tx, tenant_id, lead_id, event.recorded_at, own))
    lead = {**versions[lead_id][version], **own, **event.lead_computed}
    if event.type != UPDATED:
        return _with(event, {"lead": lead})
    before = versions[lead_id][version - 1] if version > 1 else None
    names = orjson.loads(event.data)["changed"]
    return _with(event, {"lead": lead, "changes": [_change(name, before, lead) for name in names]})


async def _as_of(tx: Tx, tenant_id: UUID, lead_id: UUID, at: datetime, own: Document) -> Document:
    """The lead of an event that the first release recorded, which did not keep all that a version replaces."""
    try:
        return {"lead": {**show_lead(await read_as_of(tx, tenant_id, lead_id, at)), **own}}
    except Erased:
        return ERASED


def _change(name: str, before: Document | None, after: Document) -> Document:
    """What a field of `lead.updated` was and is; it was null in a lead that is new."""
    return {"field": name, "from": None if before is None else _value(before, name), "to": _value(after, name)}


def _value(lead: Document, name: str) -> Any:
    """The value of a name in `changed`: `company`, `custom.seats`, `bant.need`, `phone_status`."""
    group, _, member = name.partition(".")
    if member:
        return lead[group].get(member)
    return lead["fields"][name] if name in lead["fields"] else lead.get(name)


def _with(event: Sequenced, members: Document) -> Sequenced:
    # Sorted, since PostgreSQL does not keep the order of the members that it stores.
    return event._replace(included=orjson.dumps(members, option=orjson.OPT_SORT_KEYS)[1:-1].decode())
