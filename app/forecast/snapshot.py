"""Keeps the open opportunities of each tenant as they were when its week began, once however many workers run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import structlog

from app import ids
from app.database.faults import as_problem, error_fields
from app.database.transaction import Database
from app.forecast import across, sql
from app.forecast.periods import FiscalCalendar
from app.tenants.calendar import show_calendar
from app.tenants.sql import tenant, update_snapshot_due

log = structlog.get_logger("baton.forecast")

# After the week has begun, until every transaction has ended that was stamped before it.
SETTLE: Final = timedelta(minutes=2)


async def take_snapshots(engine: Database, now: datetime) -> int:
    """Takes the snapshots that are due; how many. One that fails does not stop those of other tenants."""
    async with engine.connect() as tx:
        due = await across.snapshots_due(tx, now)
    return sum([await _of_tenant(engine, row.tenant_id, now) for row in due])


async def _of_tenant(engine: Database, tenant_id: UUID, now: datetime) -> int:
    try:
        return await _take(engine, tenant_id, now)
    except Exception as error:
        if as_problem(error) is not None:
            raise
        log.error("snapshot_not_taken", tenant_id=ids.show("tenant", tenant_id), **error_fields(error))
        return 0


async def _take(engine: Database, tenant_id: UUID, now: datetime) -> int:
    """The weeks that began while no worker ran are kept too, exactly: what was recorded until then is known."""
    taken, settled = 0, now - SETTLE
    async with engine.begin() as tx:
        row = await tenant(tx, tenant_id, lock=True)
        if row is None or (row.snapshot_due_at is not None and row.snapshot_due_at > now):
            return 0
        calendar = FiscalCalendar.of(show_calendar(row))
        since = settled if row.snapshot_due_at is None else row.snapshot_due_at - SETTLE
        week = calendar.period_at("week", since)
        while week.starts_at <= settled:
            taken += await sql.keep_snapshot(tx, tenant_id, week.starts_at, week.name, now)
            week = calendar.after(week)
        await update_snapshot_due(tx, tenant_id, week.starts_at + SETTLE)
    return taken
