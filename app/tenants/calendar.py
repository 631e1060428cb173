"""Sets and shows the calendar of a tenant: working hours, time zone and holidays, by which clocks count."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from app import ids
from app.database.transaction import Record, Tx
from app.tenants import audit, sql
from app.web import versions
from app.web.auth import Caller

FISCAL: Final[Mapping[str, Any]] = {"first_month": 1, "layout": "months", "first_weekday": "mon"}
UNSET: Final[Mapping[str, Any]] = {"time_zone": "UTC", "working_hours": {}, "holidays": [], "fiscal": FISCAL}


async def read_calendar(tx: Tx, tenant_id: UUID, *, lock: bool = False) -> Record:
    """The tenant of a caller, whose column `calendar` has it."""
    row = await sql.tenant(tx, tenant_id, lock=lock)
    assert row is not None, "a tenant is never deleted"
    return row


async def set_calendar(
    tx: Tx, caller: Caller, calendar: Mapping[str, Any], expected: frozenset[str] | None, now: datetime
) -> Record:
    """The tenant with this calendar; clocks that run keep theirs. Raises VersionConflict.

    Without `fiscal` the fiscal calendar stays as it is: clients that know nothing of it do not reset it.
    """
    row = await read_calendar(tx, caller.tenant_id, lock=True)
    versions.check(expected, row.version)
    calendar = {**calendar, "fiscal": calendar.get("fiscal") or show_calendar(row)["fiscal"]}
    if not versions.moved({"calendar": show_calendar(row)}, {"calendar": calendar}):
        return row
    changed = await sql.update_tenant(tx, caller.tenant_id, {"calendar": calendar, "snapshot_due_at": None})
    await sql.insert_calendar(tx, caller.tenant_id, calendar, now)
    subject = ids.show("tenant", caller.tenant_id)
    await audit.record(tx, caller, caller.tenant_id, "tenant.calendar_set", subject, now, calendar)
    return changed


def show_calendar(row: Record) -> dict[str, Any]:
    return {**UNSET, **row.calendar}


async def calendar_at(tx: Tx, tenant_id: UUID, at: datetime) -> dict[str, Any]:
    """The calendar as it was set at that instant."""
    return {**UNSET, **await sql.calendar_at(tx, tenant_id, at)}


async def today(tx: Tx, tenant_id: UUID, now: datetime) -> date:
    """The date in the time zone of the tenant."""
    return now.astimezone(ZoneInfo(show_calendar(await read_calendar(tx, tenant_id))["time_zone"])).date()
