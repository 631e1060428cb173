"""Sets and shows the rates of exchange by which reports convert amounts. Each list counts from when it was set on."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Any

from app.database.transaction import Record, Tx
from app.forecast import sql
from app.forecast.money import Rates
from app.forecast.schemas import RatesPut
from app.journeys.record import actor_document
from app.web.auth import Caller
from app.web.fields import rfc3339


async def set_rates(tx: Tx, caller: Caller, body: RatesPut, now: datetime) -> dict[str, Any]:
    """Sets all rates anew."""
    values = {"currency": body.currency, "rates": body.rates, "actor": actor_document(caller.actor), "recorded_at": now}
    await sql.insert_rates(tx, caller.tenant_id, values)
    return _shown(body.currency, body.rates, now)


def rates_of(row: Record | None) -> Rates | None:
    """The rates of a row; None where none were set."""
    if row is None:
        return None
    return Rates(row.currency, {code: Decimal(rate) for code, rate in row.rates.items()})


def show_rates(row: Record | None) -> dict[str, Any] | None:
    return None if row is None else _shown(row.currency, row.rates, row.recorded_at)


def _shown(currency: str, rates: dict[str, str], at: datetime) -> dict[str, Any]:
    return {"currency": currency, "rates": dict(sorted(rates.items())), "recorded_at": rfc3339(at)}
