"""Keeps the summaries that reports of long windows read: follows the log, makes them anew, compares with the base.

A batch of events makes the summaries of the journeys that it is about anew and moves the tenant's cursor in the same
transaction, which has locked it: so every event counts once, however many workers run and wherever one is killed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from app.database.transaction import Database, Record, Tx
from app.ids import show
from app.reports import across, cursors_sql

EVENTS: Final = 2_000
JOURNEYS: Final = 2_000
TENANTS: Final = 100
MOST_SHOWN: Final = 20  # differences that verify names for each tenant
FIRST: Final = UUID(int=0)
# What is younger is left to reports, which add it from the base: a report whose instant has passed while it waited for
# open transactions (a second at most) does not meet summaries of later.
AGE: Final = timedelta(seconds=2)


async def summarize_due(engine: Database, now: datetime) -> int:
    """One batch for each tenant that has events, or journeys of before, to summarize; how many tenants had."""
    async with engine.connect() as tx:
        tenants = await across.tenants_to_summarize(tx, now - AGE, TENANTS)
    done = 0
    for tenant_id in tenants:
        async with engine.begin() as tx:
            done += await summarize(tx, tenant_id, now)
    return done


async def summarize(tx: Tx, tenant_id: UUID, now: datetime) -> bool:
    """Summarizes the next batch of a tenant; False where there is none, or another process is at it."""
    await cursors_sql.begin(tx, tenant_id)
    cursor = await cursors_sql.lock(tx, tenant_id)
    if cursor is None:
        return False
    if (cursor.counts_position, cursor.counts_built_to) != (cursor.position, cursor.built_to):
        await _build(tx, tenant_id, cursor, FIRST, now)  # a release moved it that does not know all of the tables
        return True
    if cursor.built_to is not None:
        await _build(tx, tenant_id, cursor, cursor.built_to, now)
        return True
    as_of = _as_of(cursor, now)
    events = await cursors_sql.next_events(tx, tenant_id, cursor.position, EVENTS)
    young = next((place for place, event in enumerate(events) if event.recorded_at > as_of), len(events))
    if not young:
        return False
    until = events[young - 1].position
    journeys = await cursors_sql.journeys_of_events(tx, tenant_id, cursor.position, until)
    await cursors_sql.fold(tx, tenant_id, journeys, as_of)
    await cursors_sql.move(tx, tenant_id, until, as_of, None)
    return True


async def _build(tx: Tx, tenant_id: UUID, cursor: Record, after: UUID, now: datetime) -> int:
    """Makes the rows of the next journeys that there were before; what changed since is in later events."""
    as_of, position = _as_of(cursor, now), cursor.position
    if after == FIRST:
        position = await cursors_sql.head(tx, tenant_id, as_of)
        await cursors_sql.empty(tx, tenant_id, cursors_sql.COUNTS)
    journeys = await cursors_sql.next_journeys(tx, tenant_id, after, JOURNEYS)
    await cursors_sql.fold(tx, tenant_id, journeys, as_of, anew=True)
    built_to = journeys[-1] if len(journeys) == JOURNEYS else None
    await cursors_sql.move(tx, tenant_id, position, as_of, built_to)
    return len(journeys)


def _as_of(cursor: Record, now: datetime) -> datetime:
    """The instant of a batch; never before that of an earlier one, also where the clocks of two hosts differ."""
    return max(now - AGE, cursor.as_of)


async def rebuild(engine: Database, tenant_id: UUID, now: datetime) -> AsyncIterator[int]:
    """Removes the summaries of a tenant and makes them anew; how many journeys after each batch."""
    async with engine.begin() as tx:
        await cursors_sql.begin(tx, tenant_id)
        await cursors_sql.lock(tx, tenant_id, wait=True)
        await cursors_sql.empty(tx, tenant_id)
        await cursors_sql.move(tx, tenant_id, 0, now - AGE, FIRST)
    while True:
        async with engine.begin() as tx:
            cursor = await cursors_sql.lock(tx, tenant_id, wait=True)
            if cursor is None or cursor.built_to is None:
                return
            count = await _build(tx, tenant_id, cursor, cursor.built_to, now)
        yield count


async def differences(tx: Tx, tenant_id: UUID) -> list[str]:
    """What differs between summaries and the base, as messages; nothing while they are being made."""
    await across.take_time(tx)
    found = []
    for kind in cursors_sql.VERIFY:
        for row in await cursors_sql.wrong_rows(tx, tenant_id, kind, MOST_SHOWN):
            what = "missing" if row.is_missing else "not expected" if row.is_extra else "other than by the base"
            found.append(f"{kind} of {show('journey', row.journey_id)}: {what}")
    for row in await cursors_sql.wrong_counts(tx, tenant_id, MOST_SHOWN):
        place = ", ".join(f"{name} {value}" for name, value in sorted(row.of.items()) if value is not None)
        found.append(f"count of the {row.kind} {row.on}, {place}: stored {row.stored}, by the summaries {row.expected}")
    return found
