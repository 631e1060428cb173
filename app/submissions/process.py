"""Processes stored submissions in batches: map, store the items (once per submission key), capture leads.

A batch is one transaction. When it fails, its submissions are processed one by one, each in its own transaction and
each item within a savepoint; an item that fails again by its own fault is quarantined. When the database is at fault
(full, read-only, restarting, unreachable) everything waits as it is. When a process dies, its transaction is rolled
back and its submissions are free for others to claim.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Any, Final, TypeVar
from uuid import UUID

import structlog

from app import ids, metrics
from app.clock import ReadClock
from app.database.faults import as_problem, is_away, is_contended, is_of_data, run_with_retries
from app.database.transaction import Database, Record, Records, Tx
from app.database.turn import Turn
from app.events.record import NewEvent, record_events
from app.events.wake import first_of, within
from app.leads.capture import capture
from app.leads.references import unknown_references
from app.sources import sql as sources_sql
from app.sources.ready import ReadySource, ready_source
from app.submissions import across, sql
from app.submissions.entries import (
    ARRIVING,
    Entry,
    Place,
    entries_of,
    failure_reason,
    quarantined_submission,
    redacted_body,
)
from app.submissions.erased import erase_bodies
from app.submissions.repeats import with_own_keys, with_recent_keys

log = structlog.get_logger("baton.process")

POLL_SECONDS: Final = 1.0
MAX_TRIES: Final = 5

Claim = Callable[[Tx], Awaitable[Records]]
Settle = Callable[[Tx, UUID, Sequence[Entry], datetime], Awaitable[list[Entry]]]
Verdicts = Counter[str]
Outcome = tuple[Records, Verdicts]
T = TypeVar("T")


async def process_forever(state: Any, stop: asyncio.Event) -> None:
    """Processes waiting submissions until `stop` is set: on every wake-up, and at least once a second."""
    await _process_forever(state, stop, across.claim)


async def process_lists_forever(state: Any, stop: asyncio.Event) -> None:
    """The same for rows of imported lists, beside it: neither queue waits for the other."""
    await _process_forever(state, stop, across.claim_listed)


async def _process_forever(state: Any, stop: asyncio.Event, claim: Callable[..., Awaitable[Records]]) -> None:
    turn = Turn()
    while not stop.is_set():
        seen, now = state.wake.generation("submissions"), state.clock.now()
        try:
            processed = await process_batch(state.engine, state.clock.now, partial(claim, turn=turn, rested_at=now))
        except Exception as error:  # neither an unavailable database nor a bug may end the loop
            log.warning("processing_failed", error=type(error).__name__, unavailable=as_problem(error) is not None)
            await within(POLL_SECONDS, stop.wait())
            continue
        if processed:
            state.wake.set("events")
        else:
            await first_of(state.wake.wait("submissions", seen, POLL_SECONDS), stop.wait())


async def process_batch(engine: Database, clock: ReadClock, claim: Claim = across.claim) -> int:
    """Processes up to a hundred waiting submissions, of all tenants in turn; how many. Raises DatabaseUnavailable."""
    return await _process_claimed(engine, claim, clock)


async def process_one(engine: Database, tenant_id: UUID, submission_id: UUID, clock: ReadClock) -> bool:
    """Processes one submission, unless it is processed already or claimed by another; returns whether it did."""
    return bool(await _process_claimed(engine, lambda tx: across.claim_one(tx, tenant_id, submission_id), clock))


async def _process_claimed(engine: Database, claim: Claim, clock: ReadClock) -> int:
    claimed: list[Record] = []

    async def process_batched(tx: Tx, now: datetime) -> Verdicts:
        claimed[:] = await claim(tx)
        return await _process(tx, claimed, now, settle)

    try:
        _count(await in_transaction(engine, clock, process_batched), claimed, clock())
    except Exception as error:
        if not claimed or is_away(error):
            raise
        log.warning("batch_failed", submissions=len(claimed), error=type(error).__name__)
        return sum([await _process_alone(engine, row.tenant_id, row.id, clock) for row in claimed])
    return len(claimed)


async def _process_alone(engine: Database, tenant_id: UUID, submission_id: UUID, clock: ReadClock) -> bool:
    """One submission in its own transaction; whether it is processed or quarantined now, by this call.

    Quarantined by its own fault, or after MAX_TRIES that other transactions or time-outs ended. A submission that fails
    for another reason, such as a missing right, waits longer after each try.
    """

    async def process_alone(tx: Tx, now: datetime) -> Outcome:
        rows = await across.claim_one(tx, tenant_id, submission_id)
        return rows, await _process(tx, rows, now, settle_each)

    async def quarantine(tx: Tx, now: datetime) -> Outcome:
        rows = await across.claim_one(tx, tenant_id, submission_id)
        return rows, await _quarantine(tx, rows, reason, now)

    try:
        done, verdicts = await in_transaction(engine, clock, process_alone)
    except Exception as error:
        if is_away(error):
            raise
        if not is_of_data(error):
            tries = await in_transaction(
                engine, clock, lambda tx, now: sql.count_failed_try(tx, tenant_id, submission_id, now)
            )
            if tries < MAX_TRIES or not is_contended(error):
                return False
        reason = failure_reason(error)
        log.warning("submission_quarantined", submission_id=ids.show("submission", submission_id), reason=reason)
        done, verdicts = await in_transaction(engine, clock, quarantine)
    _count(verdicts, done, clock())
    return bool(done)


async def in_transaction(engine: Database, clock: ReadClock, work: Callable[[Tx, datetime], Awaitable[T]]) -> T:
    """The result of `work` in a transaction of its own, which is repeated when another one ended it.

    `work` is given when each began: reports of now do not wait for what is dated before (docs/decisions/0083).
    """

    async def once() -> T:
        async with engine.begin() as tx:
            return await work(tx, clock())

    return await run_with_retries(once)


async def _process(tx: Tx, rows: Records, now: datetime, settle_entries: Settle) -> Verdicts:
    """Processes claimed rows by ascending tenant id, so that two processes take their locks in the same order."""
    verdicts: Verdicts = Counter()
    for tenant_id, group in groupby(rows, key=lambda row: row.tenant_id):
        submissions = list(group)
        sources = await _sources(tx, tenant_id, submissions)
        earlier = await _delete_earlier_items(tx, tenant_id, submissions)
        entries = await entries_of(submissions, sources, earlier)
        settled = await settle_entries(tx, tenant_id, entries, now)
        verdicts += await finish(tx, tenant_id, submissions, sources, settled, now)
    return verdicts


async def _quarantine(tx: Tx, rows: Records, reason: str, now: datetime) -> Verdicts:
    """Stores the submission as one quarantined item, without its content."""
    verdicts: Verdicts = Counter()
    for row in rows:
        sources = await _sources(tx, row.tenant_id, [row])
        await _delete_earlier_items(tx, row.tenant_id, [row])
        entry = quarantined_submission(row, sources[row.source_id], reason)
        settled = await settle(tx, row.tenant_id, [entry], now)
        verdicts += await finish(tx, row.tenant_id, [row], sources, settled, now)
    return verdicts


async def _sources(tx: Tx, tenant_id: UUID, rows: Sequence[Record]) -> dict[UUID, ReadySource]:
    found = await sources_sql.sources_by_id(tx, tenant_id, list({row.source_id for row in rows}))
    return {row.id: ready_source(row) for row in found}


async def _delete_earlier_items(tx: Tx, tenant_id: UUID, rows: Sequence[Record]) -> Mapping[UUID, list[Record]]:
    """Deletes the items of submissions that are replayed, and returns them by submission."""
    replayed = [row.id for row in rows if row.processed_at is not None]
    found: dict[UUID, list[Record]] = {}
    if replayed:
        for item in await sql.drop_items(tx, tenant_id, replayed):
            found.setdefault(item.submission_id, []).append(item)
    return found


async def settle(tx: Tx, tenant_id: UUID, entries: Sequence[Entry], now: datetime) -> list[Entry]:
    """Captures the leads of the entries with new keys, stores these, and returns all; the others are duplicates.

    An entry whose key is taken gets another one where it is a revision or somebody else's, and is tried again.
    """
    waiting = await with_recent_keys(tx, tenant_id, entries)
    settled: list[Entry] = []
    duplicates: list[Entry] = []
    while waiting:
        kept, taken = await _keep(tx, tenant_id, waiting, now)
        settled += kept
        waiting, doubled = await with_own_keys(tx, tenant_id, taken)
        duplicates += doubled
    return settled + duplicates


async def _keep(tx: Tx, tenant_id: UUID, entries: Sequence[Entry], now: datetime) -> tuple[list[Entry], list[Entry]]:
    """Captures the leads of the entries with new keys and stores these; they, and the entries whose keys are taken."""
    fresh, taken = await _divided(tx, tenant_id, entries)
    arriving = [entry for entry in fresh if _arrives(entry)]
    unknown = await unknown_references(tx, tenant_id, [entry.item.attribution for entry in arriving])
    arrivals = [entry.arrival(unknown) for entry in arriving]
    captured = await capture(tx, tenant_id, arrivals, now) if arriving else []
    arrived = {entry.place: replace(entry, captured=found) for entry, found in zip(arriving, captured, strict=True)}
    kept = [arrived.get(entry.place, entry) for entry in fresh]
    await sql.keep_items(tx, tenant_id, [{**entry.row(), "mapped": entry.mapped()} for entry in kept])
    return kept, taken


async def _divided(tx: Tx, tenant_id: UUID, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """The entries whose keys are new, of several with one key the first, and the others. Quarantined ones hold none.

    Who is named by one of the others is not captured before it: what is said of a person counts in its order.
    """
    keyed = [entry for entry in entries if entry.verdict != "quarantined"]
    taken = await sql.taken_keys(tx, tenant_id, {entry.key for entry in keyed})
    others: set[Place] = set()
    named: set[tuple[str, str, str]] = set()
    for entry in keyed:
        person = {one.key for one in entry.item.person.identities} if entry.item.person else set()
        if entry.key in taken or person & named:
            others.add(entry.place)
            named |= person
        taken.add(entry.key)
    return [one for one in entries if one.place not in others], [one for one in entries if one.place in others]


def _arrives(entry: Entry) -> bool:
    return entry.verdict != "quarantined" and entry.item.verdict in ARRIVING


async def settle_each(tx: Tx, tenant_id: UUID, entries: Sequence[Entry], now: datetime) -> list[Entry]:
    """As settle, but with a savepoint for each item: one that fails is quarantined, the others are kept."""
    settled: list[Entry] = []
    for entry in entries:
        try:
            async with tx.savepoint():
                settled += await settle(tx, tenant_id, [entry], now)
        except Exception as error:
            if not is_of_data(error):
                raise
            settled += await settle(tx, tenant_id, [replace(entry, failed=failure_reason(error))], now)
    return settled


async def finish(
    tx: Tx,
    tenant_id: UUID,
    rows: Sequence[Record],
    sources: Mapping[UUID, ReadySource],
    found: Sequence[Entry],
    now: datetime,
    *,
    held: bool = False,
) -> Verdicts:
    """Writes the outcome of settled entries: their leads, the duplicates, the state of their submissions, the events.

    `held`: the submissions have other items, and one of these is quarantined.
    """
    settled = [entry for entry in found if not entry.duplicate]
    duplicates = [entry for entry in found if entry.duplicate]
    quarantined = {entry.submission_id for entry in settled if entry.verdict == "quarantined"}
    await sql.finish(
        tx,
        tenant_id,
        now,
        duplicates=[entry.row() for entry in duplicates],
        finished=[
            {
                "id": row.id,
                "state": "quarantined" if held or row.id in quarantined else "processed",
                "body": redacted_body(row, sources[row.source_id]),
                "verdicts": None if row.listed is None else _verdicts(found, row.id),
            }
            for row in rows
        ],
    )
    suppressed: dict[UUID, list[int]] = {}
    for entry in settled:
        if entry.suppressed:
            suppressed.setdefault(entry.submission_id, []).append(entry.item.index)
    await erase_bodies(tx, tenant_id, [(row, suppressed[row.id]) for row in rows if row.id in suppressed])
    await record_events(
        tx, tenant_id, [_quarantine_event(row, settled, now) for row in rows if row.id in quarantined], now
    )
    return _verdicts(found)


def _verdicts(entries: Sequence[Entry], submission_id: UUID | None = None) -> Verdicts:
    """How many entries have each verdict, of all submissions or of one."""
    return Counter(
        "duplicate" if entry.duplicate else entry.verdict
        for entry in entries
        if submission_id in (None, entry.submission_id)
    )


def _quarantine_event(row: Record, settled: Sequence[Entry], now: datetime) -> NewEvent:
    items = [
        {"index": entry.item.index, "reason": entry.reason}
        for entry in settled
        if entry.submission_id == row.id and entry.verdict == "quarantined"
    ]
    submission_id, source_id = ids.show("submission", row.id), ids.show("source", row.source_id)
    data = {"submission_id": submission_id, "source_id": source_id, "items": items}
    return NewEvent("submission.quarantined", data, now, order_key=row.id)


def count_verdicts(verdicts: Verdicts) -> None:
    for verdict, number in verdicts.items():
        metrics.SUBMISSIONS.labels(verdict).inc(number)


def _count(verdicts: Verdicts, rows: Records, now: datetime) -> None:
    count_verdicts(verdicts)
    for row in rows:
        if row.processed_at is None and row.listed is None:  # of a replay or a list received_at may be long ago
            metrics.QUEUED.observe((now - row.received_at).total_seconds())
