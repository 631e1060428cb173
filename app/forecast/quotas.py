"""Sets and lists quotas: how much a person is to close in a period. Each counts from when it was set on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from app import ids
from app.database.transaction import Record, Tx
from app.errors import RequestInvalid
from app.forecast import sql
from app.forecast.asked import calendar_of, check_user, named_period
from app.forecast.schemas import QuotaPut
from app.journeys.record import actor_document
from app.web.auth import Caller
from app.web.fields import rfc3339
from app.web.money import money


async def set_quotas(tx: Tx, caller: Caller, quotas: Sequence[QuotaPut], now: datetime) -> list[dict[str, Any]]:
    """Sets quotas, all or none.

    Raises RequestInvalid for an unknown period or user, and for a second quota of one, naming its place.
    """
    calendar, actor = await calendar_of(tx, caller.tenant_id, now), actor_document(caller.actor)
    shown, seen = [], set[tuple[str, UUID]]()
    for place, quota in enumerate(quotas):
        named_period(calendar, quota.period, f"quotas.{place}.period")
        await check_user(tx, caller.tenant_id, quota.user_id, f"quotas.{place}.user_id")
        if (quota.period, quota.user_id) in seen:
            detail = "the list has a quota of this person for this period already: give one"
            raise RequestInvalid.of(f"quotas.{place}", "quota_repeated", detail)
        seen.add((quota.period, quota.user_id))
        amount, currency = (quota.amount.amount, quota.amount.currency) if quota.amount else (None, None)
        row = {"period": quota.period, "user_id": quota.user_id, "amount": amount, "currency": currency}
        await sql.insert_quota(tx, caller.tenant_id, {**row, "actor": actor, "recorded_at": now})
        shown.append(_shown(quota.period, quota.user_id, money(amount, currency), now))
    return shown


async def list_quotas(tx: Tx, caller: Caller, period: str, now: datetime) -> list[dict[str, Any]]:
    """The quotas of a period that hold now."""
    named_period(await calendar_of(tx, caller.tenant_id, now), period)
    rows = await sql.quotas_at(tx, caller.tenant_id, period, now)
    return [show_quota(row) for row in rows if row.amount is not None]


def show_quota(row: Record) -> dict[str, Any]:
    return _shown(row.period, row.user_id, money(row.amount, row.currency), row.recorded_at)


def _shown(period: str, user_id: Any, amount: dict[str, str] | None, at: datetime) -> dict[str, Any]:
    return {"period": period, "user_id": ids.show("user", user_id), "amount": amount, "recorded_at": rfc3339(at)}
