"""Sets and shows the calendar of a tenant: working hours, time zone and holidays, by which clocks count."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app import ids
from app.database.transaction import Record, Tx
from app.tenants import audit, sql
from app.web import versions
from app.web.auth import Caller

UNSET: Final[Mapping[str, Any]] = {"time_zone": "UTC", "working_hours": {}, "holidays": []}


async def read_calendar(tx: Tx, tenant_id: UUID, *, lock: bool = False) -> Record:
    """The tenant of a caller, whose column `calendar` has it."""
    row = await sql.tenant(tx, tenant_id, lock=lock)
    assert row is not None, "a tenant is never deleted"
    return row


async def set_calendar(
    tx: Tx, caller: Caller, calendar: Mapping[str, Any], expected: frozenset[str] | None, now: datetime
) -> Record:
    """The tenant with this calendar; clocks that run keep theirs. Raises VersionConflict."""
    row = await read_calendar(tx, caller.tenant_id, lock=True)
    versions.check(expected, row.version)
    if not versions.moved({"calendar": show_calendar(row)}, {"calendar": calendar}):
        return row
    changed = await sql.update_tenant(tx, caller.tenant_id, {"calendar": calendar})
    subject = ids.show("tenant", caller.tenant_id)
    await audit.record(tx, caller, caller.tenant_id, "tenant.calendar_set", subject, now, calendar)
    return changed


def show_calendar(row: Record) -> dict[str, Any]:
    return {**UNSET, **row.calendar}
