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
from app.reports import across, summaries_sql

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
    await summaries_sql.begin(tx, tenant_id)
    cursor = await summaries_sql.lock(tx, tenant_id)
    if cursor is None:
        return False
    if cursor.built_to is not None:
        await _build(tx, tenant_id, cursor, now)
        return True
    as_of = _as_of(cursor, now)
    events = await summaries_sql.next_events(tx, tenant_id, cursor.position, EVENTS)
    young = next((place for place, event in enumerate(events) if event.recorded_at > as_of), len(events))
    if not young:
        return False
    until = events[young - 1].position
    journeys = await summaries_sql.journeys_of_events(tx, tenant_id, cursor.position, until)
    await summaries_sql.fold(tx, tenant_id, journeys, as_of)
    await summaries_sql.move(tx, tenant_id, until, as_of, None)
    return True


async def _build(tx: Tx, tenant_id: UUID, cursor: Record, now: datetime) -> int:
    """Makes the summaries of the next journeys that there were before; what changed since is in later events."""
    as_of, position = _as_of(cursor, now), cursor.position
    if cursor.built_to == FIRST:
        position = await summaries_sql.head(tx, tenant_id, as_of)
    journeys = await summaries_sql.next_journeys(tx, tenant_id, cursor.built_to, JOURNEYS)
    await summaries_sql.fold(tx, tenant_id, journeys, as_of)
    built_to = journeys[-1] if len(journeys) == JOURNEYS else None
    await summaries_sql.move(tx, tenant_id, position, as_of, built_to)
    return len(journeys)


def _as_of(cursor: Record, now: datetime) -> datetime:
    """The instant of a batch; never before that of an earlier one, also where the clocks of two hosts differ."""
    return max(now - AGE, cursor.as_of)


async def rebuild(engine: Database, tenant_id: UUID, now: datetime) -> AsyncIterator[int]:
    """Removes the summaries of a tenant and makes them anew; how many journeys after each batch."""
    async with engine.begin() as tx:
        await summaries_sql.begin(tx, tenant_id)
        await summaries_sql.lock(tx, tenant_id, wait=True)
        await summaries_sql.empty(tx, tenant_id)
        await summaries_sql.move(tx, tenant_id, 0, now - AGE, FIRST)
    while True:
        async with engine.begin() as tx:
            cursor = await summaries_sql.lock(tx, tenant_id, wait=True)
            if cursor is None or cursor.built_to is None:
                return
            count = await _build(tx, tenant_id, cursor, now)
        yield count


async def differences(tx: Tx, tenant_id: UUID) -> list[str]:
    """What differs between summaries, milestones and counts, as messages; while they are being made, in counts only."""
    found = []
    for row in await summaries_sql.wrong_summaries(tx, tenant_id, MOST_SHOWN):
        what = "is missing" if row.is_missing else "should not be there" if row.is_extra else "differs from milestones"
        found.append(f"summary of {show('journey', row.journey_id)}: it {what}")
    for row in await summaries_sql.wrong_counts(tx, tenant_id, MOST_SHOWN):
        place = f"{row.reached_on} {row.name} to {row.to}, {row.business}, {row.days} days"
        found.append(f"count of {place}: stored {row.stored}, by the summaries {row.expected}")
    return found
