"""A run of retention: removes what a tenant has kept long enough, a few hundred rows in each transaction.

A run keeps on the row of its tenant where it is and what it has removed, in the transaction that removes it: where a
worker is killed another goes on, and two never do the same part.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final
from uuid import UUID

import structlog
from sqlalchemy import null

from app import ids, metrics
from app.database.faults import as_problem, error_fields
from app.database.transaction import Database, Record, Tx
from app.retention import across, sql
from app.retention.periods import effective, over_at
from app.retention.sql import KINDS, Kind
from app.retention.unqualified import WORKER, erase_next
from app.tenants import audit, audit_sql
from app.tenants.sql import update_retention
from app.web.fields import rfc3339

log = structlog.get_logger("baton.retention")

TOGETHER: Final = 500
EVERY: Final = timedelta(days=1)
AFTER_FAILURE: Final = timedelta(hours=1)


async def run_due(engine: Database, now: datetime, tenant_id: UUID | None = None) -> int:
    """One part of the run of the tenant that has waited longest, or now of the given one; 0 if no run is due.

    A part removes the next rows of one kind. Parts of other tenants come before the next one of this tenant, also where
    this one fails.
    """
    async with engine.begin() as tx:
        row = await across.next_due(tx, now, tenant_id)
        if row is None:
            return 0
        try:
            async with tx.savepoint():
                await _go_on(tx, row, now)
        except Exception as error:
            if as_problem(error) is not None:
                raise
            log.error("retention_failed", tenant_id=ids.show("tenant", row.id), **error_fields(error))
            await update_retention(tx, row.id, {"retention_due_at": now + AFTER_FAILURE})
        return 1


async def count_due(tx: Tx, tenant_id: UUID, periods: Mapping[str, int | None], now: datetime) -> dict[str, int | None]:
    """How many rows of each kind a run would remove at that instant; None for what is kept for good."""
    held = effective(periods)
    return {
        kind.name: None
        if (days := held[kind.period]) is None
        else await sql.count(tx, tenant_id, kind, over_at(days, now))
        for kind in KINDS
    }


async def _go_on(tx: Tx, row: Record, now: datetime) -> None:
    """What was over when the run began is removed."""
    run = row.retention_run or {"started_at": now.isoformat(), "kind": 0, "removed": {}}
    started_at, held, at = datetime.fromisoformat(run["started_at"]), effective(row.retention), run["kind"]
    removed = dict(run["removed"])
    after = run.get("after")
    for kind in KINDS[at:]:
        found, after = await _remove(tx, row.id, kind, held[kind.period], (started_at, now), after)
        if found:
            removed[kind.name] = removed.get(kind.name, 0) + found
        if found or after:
            run = {**run, "kind": KINDS.index(kind), "removed": removed, "after": after}
            await update_retention(tx, row.id, {"retention_run": run, "retention_due_at": now})
            return
    latest = {"started_at": rfc3339(started_at), "ended_at": rfc3339(now), "removed": removed}
    due_at = max(started_at + EVERY, now)
    values = {"retention_run": null(), "retention_latest": latest, "retention_due_at": due_at}
    await update_retention(tx, row.id, values)
    head = await audit_sql.head(tx, row.id)
    told = {**latest, "audit_begins_after": head.begins_after if head else 0}
    await audit.record_by(tx, WORKER, row.id, "retention.run", ids.show("tenant", row.id), now, told)


async def _remove(
    tx: Tx,
    tenant_id: UUID,
    kind: Kind,
    days: int | None,
    times: tuple[datetime, datetime],
    after: Sequence[str] | None,
) -> tuple[int, Sequence[str] | None]:
    """How many rows were removed, and where the search for leads goes on. `times`: when the run began, and now."""
    if days is None:
        return 0, None
    started_at, now = times
    if kind.removing is None:
        found, after = await erase_next(tx, tenant_id, over_at(days, started_at), now, after)
    else:
        found, after = await sql.remove(tx, tenant_id, kind, over_at(days, started_at), now, TOGETHER), None
    tx.after_commit.append(partial(metrics.REMOVED.labels(kind.name).inc, found))
    return found, after
