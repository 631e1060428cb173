"""The forecast of a period: what each person has, and all who report to him, beside quota and judgement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode
from uuid import UUID

from app import ids
from app.database.transaction import Record, Tx
from app.errors import RequestInvalid
from app.forecast import sql
from app.forecast.asked import calendar_of, check_user, instant_of, named_period
from app.forecast.judge import show_judgement
from app.forecast.money import Amounts, Rates, added, show_amounts, show_sums
from app.forecast.periods import Period
from app.forecast.rates import rates_of, show_rates
from app.forecast.roll_up import Deal, ManagerOf, Person, Sum, below, counted, people, quota_of, summed
from app.web.fields import rfc3339
from app.web.money import money

METRICS: Final = ("closed", "commit", "upside", "pipeline", "weighted", "omitted")
NOBODY: Final = "nobody"


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters of the report. Without a period it is the present quarter."""

    period: str | None
    owner: UUID | None
    level: int | None
    as_of: datetime | None

    def shown(self, period: Period, as_of: datetime) -> dict[str, str]:
        """As the address of the evidence has them."""
        owner = {"owner": ids.show("user", self.owner)} if self.owner else {}
        return {"period": period.name, **owner, "as_of": str(rfc3339(as_of))}


@dataclass(frozen=True, slots=True)
class Facts:
    """What was recorded for a period until an instant."""

    period: Period
    as_of: datetime
    deals: Sequence[Deal]
    versions: Sequence[int]
    manager_of: ManagerOf


async def read_facts(tx: Tx, tenant_id: UUID, asked: Asked, now: datetime) -> Facts:
    """Raises RequestInvalid for an unknown period or owner, or an instant in the future."""
    as_of = instant_of(asked.as_of, now)
    calendar = await calendar_of(tx, tenant_id, as_of)
    named = asked.period or calendar.period_at("quarter", as_of).name
    period = named_period(calendar, named)
    await check_user(tx, tenant_id, asked.owner, "owner")
    rows = await sql.deals_of(tx, tenant_id, period, as_of)
    versions = sorted({row.policy_version for row in rows})
    return Facts(period, as_of, [deal_of(row) for row in rows], versions, await sql.managers_at(tx, tenant_id, as_of))


def deal_of(row: Record) -> Deal:
    return Deal(
        row.opportunity_id,
        row.owner_id,
        row.forecast_category,
        row.probability,
        amounts_of(row.amount, row.currency),
        row.stage,
        row.business,
        row.close_date,
        row.stage_entered_at,
        row.origin_lead_id,
        row.journey_no,
    )


def amounts_of(amount: Decimal | None, currency: str | None) -> dict[str, Decimal]:
    return {} if amount is None or currency is None else {currency: amount}


async def read_forecast(tx: Tx, tenant_id: UUID, asked: Asked, now: datetime) -> dict[str, Any]:
    """The report. Raises as `read_facts`."""
    facts = await read_facts(tx, tenant_id, asked, now)
    period, as_of, manager_of = facts.period, facts.as_of, facts.manager_of
    quota_rows = await sql.quotas_at(tx, tenant_id, period.name, as_of)
    quotas = {row.user_id: amounts_of(row.amount, row.currency) for row in quota_rows if row.amount is not None}
    judged = {row.user_id: show_judgement(row) for row in await sql.judgements_at(tx, tenant_id, period.name, as_of)}
    rates = await sql.rates_at(tx, tenant_id, as_of)
    concerned = {*quotas, *judged, *(deal.owner_id for deal in facts.deals if deal.owner_id is not None)}
    groups = [
        _group(facts, person, quota_of(person.user_id, quotas, manager_of), rates_of(rates), judged.get(person.user_id))
        for person in people(concerned, manager_of, asked.owner, asked.level)
    ]
    if asked.owner is None and any(deal.owner_id is None for deal in facts.deals):
        groups.append(_group(facts, None, {}, rates_of(rates), None))
    return {
        "report": "forecast",
        "period": show_period(period),
        "as_of": rfc3339(as_of),
        "policy_versions": list(facts.versions),
        "rates": show_rates(rates),
        "groups": groups,
        "evidence_url": f"/v1/reports/forecast/evidence?{urlencode(asked.shown(period, as_of))}",
    }


def show_period(period: Period) -> dict[str, str]:
    return {"name": period.name, "from": period.first_on.isoformat(), "to": period.end_on.isoformat()}


def _group(
    facts: Facts, person: Person | None, quota: Amounts, rates: Rates | None, judgement: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The line of a person, or that of opportunities without an owner."""
    user_id = person.user_id if person else None
    owners: Iterable[UUID | None] = person.below if person else (None,)
    all_deals = [deal for deal in facts.deals if deal.owner_id in owners]
    own = [deal for deal in facts.deals if deal.owner_id == user_id]
    sums = {name: (summed(all_deals, name), summed(own, name)) for name in METRICS}
    gap = added([quota, {code: -amount for code, amount in sums["closed"][0].amounts.items()}]) if quota else {}
    return {
        "key": ids.shown("user", user_id),
        "manager_id": ids.shown("user", person.manager_id) if person else None,
        "level": person.level if person else 0,
        "metrics": [
            _metric("quota", Sum(amounts=quota), None, rates),
            *(_metric(name, total, alone, rates) for name, (total, alone) in sums.items()),
            _metric("gap", Sum(amounts=gap), None, rates),
        ],
        "judgement": judgement,
    }


def _metric(name: str, total: Sum, own: Sum | None, rates: Rates | None) -> dict[str, Any]:
    """A sum; quotas and gaps count no opportunities, and belong to the person alone."""
    alone = own or Sum(amounts=total.amounts)
    return {
        "name": name,
        "opportunities": total.count if own else None,
        **show_sums(total.amounts, rates),
        "own": {"opportunities": own.count if own else None, "amounts": show_amounts(alone.amounts)},
    }


async def read_evidence(
    tx: Tx, tenant_id: UUID, asked: Asked, metric: str, key: str | None, now: datetime
) -> list[dict[str, Any]]:
    """The opportunities of a group, `counted` those of the metric. Raises as `read_facts`, and for another metric."""
    if metric not in METRICS:
        raise RequestInvalid.of("metric", "metric_unknown", f"write one of: {', '.join(METRICS)}")
    facts = await read_facts(tx, tenant_id, asked, now)
    owners = await _owners(tx, tenant_id, key, asked, facts.manager_of)
    deals = [deal for deal in facts.deals if owners is None or deal.owner_id in owners]
    counting = {deal.id for deal in counted(deals, metric)}
    return [_evidence(deal, deal.id in counting) for deal in deals]


async def _owners(
    tx: Tx, tenant_id: UUID, key: str | None, asked: Asked, manager_of: ManagerOf
) -> frozenset[UUID | None] | None:
    """Whose opportunities a group has; None for all of them."""
    if key is None:
        return None if asked.owner is None else below(asked.owner, manager_of)
    if key == NOBODY:
        return frozenset([None])
    try:
        user_id = ids.read("user", key)
    except ValueError:
        detail = f"write the key of a group, which is the id of a user, or `{NOBODY}`"
        raise RequestInvalid.of("key", "key_unknown", detail) from None
    await check_user(tx, tenant_id, user_id, "key")
    return below(user_id, manager_of)


def _evidence(deal: Deal, counts: bool) -> dict[str, Any]:
    amount = next((money(amount, code) for code, amount in deal.amounts.items()), None)
    return {
        "opportunity_id": ids.show("opportunity", deal.id),
        "lead_id": ids.shown("lead", deal.lead_id),
        "journey_no": deal.journey_no,
        "owner_id": ids.shown("user", deal.owner_id),
        "stage": deal.stage,
        "forecast_category": deal.category,
        "probability": deal.probability,
        "amount": amount,
        "close_date": deal.close_date.isoformat() if deal.close_date else None,
        "counted": counts,
        "at": rfc3339(deal.at),
    }
