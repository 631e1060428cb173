"""Process: what was accepted becomes leads, in batches that are mapped, kept once by their keys, and captured together.

A batch is one transaction. When something in it fails, its submissions are run one by one, each in a transaction of
its own and each item behind a savepoint, and the item that fails again is quarantined. Nothing that was claimed by a
process that died is lost: its transaction never was.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from itertools import groupby
from typing import Any, Final, TypeVar
from uuid import UUID

import structlog

from app import ids, metrics
from app.database.faults import as_problem, run_with_retries
from app.database.transaction import Database, Record, Records, Tx
from app.errors import DatabaseUnavailable
from app.events.record import NewEvent, record_events
from app.events.wake import first_of
from app.leads.capture import capture
from app.policy.facts import Actor
from app.sources import sql as sources_sql
from app.sources.ready import ReadySource, ready
from app.submissions import across, sql
from app.submissions.entries import ARRIVING, Entry, entries_of, kept_body, refused, whole

log = structlog.get_logger("baton.process")

PROCESSOR: Final = Actor(id=None, kind="service", role="service")
LOOK_SECONDS: Final = 1.0
MOST_TRIES: Final = 5

Claim = Callable[[Tx], Awaitable[Records]]
Settle = Callable[[Tx, UUID, Sequence[Entry], datetime], Awaitable[list[Entry]]]
Verdicts = Counter[str]
T = TypeVar("T")


async def process_forever(state: Any, stop: asyncio.Event) -> None:
    """Processes whatever waits until `stop` is set: at once when told, every second regardless."""
    while not stop.is_set():
        seen = state.wake.seen("submissions")
        try:
            processed = await process_batch(state.engine, state.clock.now())
        except Exception as error:  # a database that is away is waited for; a fault of ours must not end the work
            log.warning("processing_waits", error=type(error).__name__, known=as_problem(error) is not None)
            processed = 0
        if processed:
            state.wake.set("events")
        else:
            await first_of(state.wake.wait("submissions", seen, LOOK_SECONDS), stop.wait())


async def process_batch(engine: Database, now: datetime) -> int:
    """Processes up to a hundred of the oldest submissions that wait; how many. DatabaseUnavailable."""
    return await _process_claimed(engine, across.claim, now)


async def process_one(engine: Database, tenant_id: UUID, submission_id: UUID, now: datetime) -> bool:
    """Processes one submission now, unless it is processed or somebody else is at it; whether it did."""
    return bool(await _process_claimed(engine, lambda tx: across.claim_one(tx, tenant_id, submission_id), now))


async def _process_claimed(engine: Database, claim: Claim, now: datetime) -> int:
    claimed: list[tuple[UUID, UUID]] = []

    async def together(tx: Tx) -> Verdicts:
        rows = await claim(tx)
        claimed[:] = [(row.tenant_id, row.id) for row in rows]
        return await _process(tx, rows, now, settle)

    try:
        _count(await _in_transaction(engine, together))
    except Exception as error:
        if not claimed:
            raise
        log.warning("batch_failed", submissions=len(claimed), error=type(error).__name__)
        for tenant_id, submission_id in claimed:
            await _process_alone(engine, tenant_id, submission_id, now)
    return len(claimed)


async def _process_alone(engine: Database, tenant_id: UUID, submission_id: UUID, now: datetime) -> None:
    """One submission in its own transaction; quarantined when it fails, or when the database broke it off often."""

    async def alone(tx: Tx) -> Verdicts:
        return await _process(tx, await across.claim_one(tx, tenant_id, submission_id), now, settle_each)

    async def give_up(tx: Tx) -> Verdicts:
        return await _quarantine(tx, await across.claim_one(tx, tenant_id, submission_id), reason, now)

    try:
        _count(await _in_transaction(engine, alone))
        return
    except DatabaseUnavailable as problem:
        if await _in_transaction(engine, lambda tx: sql.note_try(tx, tenant_id, submission_id)) < MOST_TRIES:
            return
        reason = refused(problem)
    except Exception as error:
        reason = refused(error)
    log.warning("submission_quarantined", submission_id=ids.show("submission", submission_id), reason=reason)
    _count(await _in_transaction(engine, give_up))


async def _in_transaction(engine: Database, work: Callable[[Tx], Awaitable[T]]) -> T:
    async def once() -> T:
        async with engine.begin() as tx:
            return await work(tx)

    return await run_with_retries(once)


async def _process(tx: Tx, rows: Records, now: datetime, way: Settle) -> Verdicts:
    """Tenant by tenant in ascending id, so that two processes take their locks in one order."""
    verdicts: Verdicts = Counter()
    for tenant_id, group in groupby(rows, key=lambda row: row.tenant_id):
        submissions = list(group)
        sources = await _sources(tx, tenant_id, submissions)
        earlier = await _earlier(tx, tenant_id, submissions)
        entries = await entries_of(submissions, sources, earlier)
        settled = await way(tx, tenant_id, entries, now)
        verdicts += await _finish(tx, tenant_id, submissions, sources, entries, settled, now)
    return verdicts


async def _quarantine(tx: Tx, rows: Records, reason: str, now: datetime) -> Verdicts:
    """The submission as one quarantined item, without anything of what it holds."""
    verdicts: Verdicts = Counter()
    for row in rows:
        sources = await _sources(tx, row.tenant_id, [row])
        await _earlier(tx, row.tenant_id, [row])
        entry = whole(row, sources[row.source_id], reason)
        settled = await settle(tx, row.tenant_id, [entry], now)
        verdicts += await _finish(tx, row.tenant_id, [row], sources, [entry], settled, now)
    return verdicts


async def _sources(tx: Tx, tenant_id: UUID, rows: Sequence[Record]) -> dict[UUID, ReadySource]:
    found = await sources_sql.sources_by_id(tx, tenant_id, list({row.source_id for row in rows}))
    return {row.id: ready(row) for row in found}


async def _earlier(tx: Tx, tenant_id: UUID, rows: Sequence[Record]) -> Mapping[UUID, list[Record]]:
    """What was made before of submissions that are processed again, taken away to be made anew."""
    again_ids = [row.id for row in rows if row.processed_at is not None]
    found: dict[UUID, list[Record]] = {}
    if again_ids:
        for item in await sql.drop_items(tx, tenant_id, again_ids):
            found.setdefault(item.submission_id, []).append(item)
    return found


async def settle(tx: Tx, tenant_id: UUID, entries: Sequence[Entry], now: datetime) -> list[Entry]:
    """Keeps the entries whose keys are new and captures their people; the rest are duplicates and not in the answer."""
    if not entries:
        return []
    kept = await sql.keep_items(
        tx, tenant_id, [{**entry.row(), "n": n, "mapped": entry.mapped()} for n, entry in enumerate(entries)]
    )
    fresh = [entry for entry in entries if entry.place in kept]
    arriving = [entry for entry in fresh if entry.verdict in ARRIVING]
    captured = await capture(tx, tenant_id, [entry.arrival() for entry in arriving], now, PROCESSOR) if arriving else []
    by_place = {entry.place: found for entry, found in zip(arriving, captured, strict=True)}
    return [replace(entry, captured=by_place.get(entry.place)) for entry in fresh]


async def settle_each(tx: Tx, tenant_id: UUID, entries: Sequence[Entry], now: datetime) -> list[Entry]:
    """The same item by item: one that fails is quarantined, and its neighbours are kept."""
    settled: list[Entry] = []
    for entry in entries:
        try:
            async with tx.savepoint():
                settled += await settle(tx, tenant_id, [entry], now)
        except Exception as error:
            if as_problem(error) is not None:
                raise
            settled += await settle(tx, tenant_id, [replace(entry, failed=refused(error))], now)
    return settled


async def _finish(
    tx: Tx,
    tenant_id: UUID,
    rows: Sequence[Record],
    sources: Mapping[UUID, ReadySource],
    entries: Sequence[Entry],
    settled: Sequence[Entry],
    now: datetime,
) -> Verdicts:
    places = {entry.place for entry in settled}
    leads = {entry.key: entry.lead_id for entry in settled}
    duplicates = [entry for entry in entries if entry.place not in places]
    quarantined = {entry.submission_id for entry in settled if entry.verdict == "quarantined"}
    await sql.finish(
        tx,
        tenant_id,
        now,
        captured=[entry.row() for entry in settled if entry.captured],
        duplicates=[{**entry.row(), "lead_id": leads.get(entry.key)} for entry in duplicates],
        finished=[
            {
                "id": row.id,
                "state": "quarantined" if row.id in quarantined else "processed",
                "body": kept_body(row, sources[row.source_id]),
            }
            for row in rows
        ],
    )
    await record_events(tx, tenant_id, [_told(row, settled, now) for row in rows if row.id in quarantined], now)
    return Counter(["duplicate"] * len(duplicates) + [entry.verdict for entry in settled])


def _told(row: Record, settled: Sequence[Entry], now: datetime) -> NewEvent:
    items = [
        {"index": entry.item.index, "reason": entry.reason}
        for entry in settled
        if entry.submission_id == row.id and entry.verdict == "quarantined"
    ]
    submission_id, source_id = ids.show("submission", row.id), ids.show("source", row.source_id)
    data = {"submission_id": submission_id, "source_id": source_id, "items": items}
    return NewEvent("submission.quarantined", data, now, order_key=row.id)


def _count(verdicts: Verdicts) -> None:
    for verdict, number in verdicts.items():
        metrics.SUBMISSIONS.labels(verdict).inc(number)
