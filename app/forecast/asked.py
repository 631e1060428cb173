"""What a request asks for: its instant, its period, and the person it is about."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from app.database.transaction import Tx
from app.errors import RequestInvalid
from app.forecast.periods import FiscalCalendar, Period
from app.reports.settled import settle
from app.tenants import sql as tenants
from app.tenants.calendar import calendar_at

MAX_AHEAD: Final = "nothing is recorded yet for an instant in the future"


async def calendar_of(tx: Tx, tenant_id: UUID, as_of: datetime) -> FiscalCalendar:
    """The fiscal calendar as it was set at that instant."""
    return FiscalCalendar.of(await calendar_at(tx, tenant_id, as_of))


def named_period(calendar: FiscalCalendar, name: str, field: str = "period") -> Period:
    """Raises RequestInvalid for a name that no period has, naming the field."""
    try:
        return calendar.period(name)
    except ValueError as error:
        raise RequestInvalid.of(field, "period_unknown", str(error)) from None


async def instant_of(tx: Tx, as_of: datetime | None, now: datetime) -> datetime:
    """The instant of a report, once all that is recorded until then is seen. Raises RequestInvalid for a future one."""
    if as_of is not None and as_of > now:
        raise RequestInvalid.of("as_of", "in_future", MAX_AHEAD)
    instant = as_of or now
    await settle(tx, instant, now)
    return instant


async def check_user(tx: Tx, tenant_id: UUID, user_id: UUID | None, field: str) -> None:
    """Raises RequestInvalid for a user that the tenant does not have."""
    if user_id is not None and await tenants.user(tx, tenant_id, user_id) is None:
        raise RequestInvalid.of(field, "user_unknown", "no user of this tenant has this id")
