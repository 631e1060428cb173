"""Compare leads once more that were written at the same time: the transactions that wrote them did not see each other.

Of any two such leads, the one whose transaction has the higher id is compared after the other transaction has ended
(docs/decisions/0087).
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from functools import partial
from itertools import groupby
from typing import Final
from uuid import UUID

import structlog

from app import ids
from app.clock import ReadClock
from app.database.faults import as_problem, error_fields
from app.database.transaction import ChangedMeanwhile, Database, Record, Tx
from app.database.turn import Turn
from app.journeys.evaluate import evaluate
from app.journeys.give_way import give_way
from app.journeys.load import begin_changes
from app.journeys.record import record_or_refresh
from app.leads import across, duplicates_sql
from app.leads.duplicates import Alike, Pairs, flag_duplicates, pair_of, strongest, subject_of
from app.matching.identity import Conflict
from app.policy.facts import POLICY

BATCH: Final = 5  # rows, each of at most a hundred leads: more would keep requests to the same process waiting

log = structlog.get_logger("baton.compare")


async def compare_due(engine: Database, clock: ReadClock, turn: Turn | None = None) -> int:
    """Compares the leads of one batch of rows with those that are like them; the number of rows.

    If the batch fails, its rows are done one by one. One that fails waits until all others of its tenant are done.
    """
    turn = turn or Turn()
    try:
        return len(await _batch(engine, turn, clock, BATCH, []))
    except Exception as error:
        if as_problem(error) is not None:
            raise
    return sum([await _one(engine, turn, clock) for _ in range(BATCH)])


async def _batch(engine: Database, turn: Turn, clock: ReadClock, limit: int, claimed: list[Record]) -> list[Record]:
    """The rows that are done; `claimed` holds them also when that fails."""
    async with engine.begin() as tx:
        now = clock()  # not before the transaction began (docs/decisions/0083)
        claimed[:] = sorted(await across.claim_checks(tx, turn, limit), key=lambda row: row.tenant_id)
        for tenant_id, rows in groupby(claimed, key=lambda row: row.tenant_id):
            await _compare(tx, tenant_id, {lead_id for row in rows for lead_id in row.lead_ids}, now)
    return claimed


async def _one(engine: Database, turn: Turn, clock: ReadClock) -> int:
    claimed: list[Record] = []
    try:
        return len(await _batch(engine, turn, clock, 1, claimed))
    except Exception as error:
        if as_problem(error) is not None or not claimed:
            raise
        log.error("comparison_failed", tenant_id=ids.show("tenant", claimed[0].tenant_id), **error_fields(error))
    async with engine.begin() as tx:
        await duplicates_sql.postpone(tx, claimed[0].tenant_id, claimed[0])
    return 0


async def _compare(tx: Tx, tenant_id: UUID, lead_ids: Collection[UUID], now: datetime) -> None:
    """Flags those of the leads that are like another lead of which they do not know, and the other."""
    subjects = {row.lead_id: subject_of(row) for row in await duplicates_sql.subjects(tx, tenant_id, lead_ids)}
    alike = Alike(await duplicates_sql.alike(tx, tenant_id, subjects.values()))
    found: dict[UUID, list[Conflict]] = {}
    for lead_id, subject in sorted(subjects.items()):
        found[lead_id] = alike.conflicts(subject, lead_id)
        await give_way()
    wanted = {pair_of(lead_id, one.lead_id) for lead_id, conflicts in found.items() for one in conflicts}
    pairs = Pairs(await duplicates_sql.pairs(tx, tenant_id, wanted))
    sifted = {
        lead_id: pairs.sift(lead_id, strongest(conflicts, partial(pairs.knows, lead_id)))
        for lead_id, conflicts in found.items()
    }
    told = {lead_id: conflicts for lead_id, conflicts in sifted.items() if conflicts}
    unflagged = {one.lead_id for conflicts in told.values() for one in conflicts if not alike.suspected[one.lead_id]}
    changes = await begin_changes(tx, tenant_id, sorted(told.keys() | unflagged), now, POLICY)
    if changes.keys() < told.keys() | unflagged:
        raise ChangedMeanwhile("a lead was merged or erased before it was locked")
    for lead_id, conflicts in told.items():
        flag_duplicates(changes[lead_id], conflicts, changes)
    for change in changes.values():
        evaluate(change)
    await record_or_refresh(tx, tenant_id, list(changes.values()))
    await duplicates_sql.keep_pairs(tx, tenant_id, pairs.rows(), now)
