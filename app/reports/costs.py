"""Sets and lists what a campaign cost. Each cost counts from when it was set on."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from app.database.transaction import Record, Tx
from app.errors import RequestInvalid
from app.journeys.record import actor_document
from app.matching.attribution import attribution_value
from app.reports import sources_sql as sql
from app.reports.schemas import CostPut
from app.reports.settled import settle
from app.web.auth import Caller
from app.web.fields import EARLIEST, LATEST, rfc3339
from app.web.money import money

MOST_COSTS: Final = 1_000
LONGEST_DAYS: Final = 3_660


async def set_cost(tx: Tx, caller: Caller, campaign: str, body: CostPut, now: datetime) -> dict[str, Any]:
    """Sets or takes back the cost of a period. Raises RequestInvalid for one that overlaps another of the campaign."""
    check_name(campaign)
    from_on, to_on = period_of(body)
    await sql.lock_costs(tx, caller.tenant_id)
    # Also what another request has set that began after this one and got the lock before it.
    for other in await sql.costs_at(tx, caller.tenant_id, from_on, to_on, LATEST, campaign):
        if (other.from_on, other.to_on) != (from_on, to_on):
            raise period_overlaps("month" if body.month else "from", other)
    amount, currency = (body.amount.amount, body.amount.currency) if body.amount else (None, None)
    actor = actor_document(caller.actor)
    values = {"campaign": campaign, "from_on": from_on, "to_on": to_on, "amount": amount, "currency": currency}
    await sql.insert_cost(tx, caller.tenant_id, {**values, "actor": actor, "recorded_at": now})
    return {"campaign": campaign, **show_cost({**values, "actor": actor, "recorded_at": now})}


def period_overlaps(field: str, other: Record) -> RequestInvalid:
    detail = f"the campaign has a cost from {other.from_on} to {other.to_on}: take it back first, with `amount` null"
    return RequestInvalid.of(field, "period_overlaps", detail)


async def list_costs(
    tx: Tx, tenant_id: UUID, campaign: str, as_of: datetime | None, now: datetime
) -> list[dict[str, Any]]:
    """The costs of a campaign that held at the instant, of the latest periods first."""
    check_name(campaign)
    if as_of is not None and as_of > now:
        raise RequestInvalid.of(
            "as_of", "in_the_future", "this instant is in the future: leave it out to ask as of the present"
        )
    ever, instant = (EARLIEST.date(), LATEST.date()), as_of or now
    await settle(tx, instant, now)
    rows = await sql.costs_at(tx, tenant_id, *ever, instant, campaign, MOST_COSTS)
    return [show_cost(row) for row in rows]


def show_cost(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "from": row["from_on"].isoformat(),
        "to": row["to_on"].isoformat(),
        "amount": money(row["amount"], row["currency"]),
        "actor": row["actor"],
        "recorded_at": rfc3339(row["recorded_at"]),
    }


def check_name(campaign: str) -> None:
    """Raises RequestInvalid for a name that no touch has, since touches keep names without blanks at their ends."""
    if not campaign or attribution_value(campaign) != campaign:
        detail = "no lead can have a campaign of this name: write it as leads show it in `attribution`"
        raise RequestInvalid.of("name", "campaign_unusable", detail)


def period_of(body: CostPut) -> tuple[date, date]:
    """The first day, and the day after the last one. Raises RequestInvalid for a period that is none."""
    if body.from_ is None or body.to is None:
        first = date.fromisoformat(f"{body.month}-01")
        return first, (first + timedelta(days=31)).replace(day=1)
    if body.from_ >= body.to:
        raise RequestInvalid.of("to", "period_empty", "`to` is the day after the last one: it must be after `from`")
    if (body.to - body.from_).days > LONGEST_DAYS:
        detail = f"the period has {(body.to - body.from_).days} days; at most {LONGEST_DAYS} can have one cost"
        raise RequestInvalid.of("to", "period_too_long", detail)
    return body.from_, body.to
