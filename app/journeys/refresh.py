"""Evaluate leads that are due because time has passed: to lock them for a change does it (`load.begin_changes`)."""

from __future__ import annotations

from collections import defaultdict
from datetime import timedelta
from typing import Final
from uuid import UUID

import structlog

from app import ids
from app.clock import ReadClock
from app.database.faults import as_problem, error_fields
from app.database.transaction import Database, Record
from app.database.turn import Turn
from app.journeys import across
from app.journeys.load import begin_changes
from app.journeys.record import record_or_refresh
from app.policy.facts import POLICY

BATCH: Final = 10  # more would keep requests to the same process waiting while the rows are read
RETRY_DELAY: Final = timedelta(hours=1)

log = structlog.get_logger("baton.refresh")


async def refresh_due(engine: Database, clock: ReadClock, turn: Turn | None = None) -> int:
    """Evaluates one batch of due leads; their number. A lead without an automatic step gets no new version or event.

    `turn` says with the leads of which tenant the batch begins.

    If the batch fails, its leads are evaluated one by one, so that a lead that fails does not stop the others. That
    lead is retried in an hour.
    """
    turn = turn or Turn()
    try:
        return len(await _batch(engine, turn, clock, BATCH, []))
    except Exception as error:
        if as_problem(error) is not None:
            raise
    return sum([await _refresh_one(engine, turn, clock) for _ in range(BATCH)])


async def _batch(engine: Database, turn: Turn, clock: ReadClock, limit: int, claimed: list[Record]) -> list[Record]:
    """The leads that were evaluated; `claimed` holds them also when the evaluation fails."""
    async with engine.begin() as tx:
        now = clock()  # not before the transaction began (docs/decisions/0083)
        claimed[:] = await across.claim_due(tx, turn, now, limit)
        by_tenant: dict[UUID, list[UUID]] = defaultdict(list)
        for row in claimed:
            by_tenant[row.tenant_id].append(row.id)
        for tenant_id, lead_ids in by_tenant.items():
            changes = await begin_changes(tx, tenant_id, lead_ids, now, POLICY)
            await record_or_refresh(tx, tenant_id, list(changes.values()))
    return claimed


async def _refresh_one(engine: Database, turn: Turn, clock: ReadClock) -> int:
    claimed: list[Record] = []
    try:
        return len(await _batch(engine, turn, clock, 1, claimed))
    except Exception as error:
        if as_problem(error) is not None or not claimed:
            raise
        log.error("evaluation_failed", lead_id=ids.show("lead", claimed[0].id), **error_fields(error))
    async with engine.begin() as tx:
        await across.postpone(tx, claimed[0], now := clock(), now + RETRY_DELAY)
    return 1
