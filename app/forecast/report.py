"""The forecast of a period: what each person has, and all who report to him, beside quota and judgement."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass
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
from app.forecast.roll_up import (
    METRICS,
    NOTHING,
    ManagerOf,
    Part,
    Person,
    Sum,
    Sums,
    below,
    counts,
    own_sums,
    people,
    quotas_of,
    rolled_up,
)
from app.reports.in_time import in_time
from app.reports.parameters import MOST_GROUPS
from app.reports.report import Origin
from app.reports.sql import names
from app.web.fields import rfc3339
from app.web.money import money
from app.web.pages import malformed_cursor, read_cursor, write_cursor

NOBODY: Final = "nobody"
WITHOUT_EVIDENCE: Final = ("quota", "gap")


@dataclass(frozen=True, slots=True)
class Asked:
    """The parameters of the report. Without a period it is the present quarter."""

    period: str | None
    owner: UUID | None
    level: int | None
    origin: Origin | None
    as_of: datetime | None

    def shown(self, period: Period, as_of: datetime) -> dict[str, str]:
        """As the address of the evidence has them."""
        owner = {"owner": ids.show("user", self.owner)} if self.owner else {}
        origin = {"origin": self.origin} if self.origin else {}
        return {"period": period.name, **owner, **origin, "as_of": str(rfc3339(as_of))}


@dataclass(frozen=True, slots=True)
class Facts:
    """Of when a report is, and who reported to whom then."""

    period: Period
    as_of: datetime
    manager_of: ManagerOf


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums and quotas of each person, alone and with all below."""

    own: Mapping[UUID | None, Sums]
    all: Mapping[UUID | None, Sums]
    own_quotas: Mapping[UUID, Amounts]
    quotas: Mapping[UUID, Amounts]


async def read_facts(tx: Tx, tenant_id: UUID, asked: Asked, now: datetime) -> Facts:
    """Raises RequestInvalid for an unknown period or owner, or an instant in the future."""
    as_of = await instant_of(tx, asked.as_of, now)
    calendar = await calendar_of(tx, tenant_id, as_of)
    named = calendar.period_at("quarter", as_of).name if asked.period is None else asked.period
    period = named_period(calendar, named)
    await check_user(tx, tenant_id, asked.owner, "owner")
    return Facts(period, as_of, await sql.managers_at(tx, tenant_id, as_of))


def amounts_of(amount: Decimal | None, currency: str | None) -> dict[str, Decimal]:
    return {} if amount is None or currency is None else {currency: amount}


@in_time("period", "period")
async def read_forecast(tx: Tx, tenant_id: UUID, asked: Asked, now: datetime) -> dict[str, Any]:
    """The report. Raises as `read_facts`, and for more people than an answer has."""
    facts = await read_facts(tx, tenant_id, asked, now)
    period, as_of, manager_of = facts.period, facts.as_of, facts.manager_of
    rows = await sql.sums_of(tx, tenant_id, period, as_of, asked.origin)
    quota_rows = await sql.quotas_at(tx, tenant_id, period.name, as_of)
    quotas = {row.user_id: amounts_of(row.amount, row.currency) for row in quota_rows if row.amount is not None}
    judged = {row.user_id: show_judgement(row) for row in await sql.judgements_at(tx, tenant_id, period.name, as_of)}
    rates = await sql.rates_at(tx, tenant_id, as_of)
    own = own_sums(_part(row) for row in rows)
    totals = Totals(own, rolled_up(own, manager_of), quotas, quotas_of(quotas, manager_of))
    concerned = {*quotas, *judged, *(owner_id for owner_id in own if owner_id is not None)}
    shown: list[Person | None] = [*people(concerned, manager_of, asked.owner, asked.level)]
    if asked.owner is None and None in own:
        shown.append(None)
    _check_size(len(shown))
    return {
        "report": "forecast",
        "period": show_period(period),
        "as_of": rfc3339(as_of),
        "policy_versions": sorted({version for row in rows for version in row.policy_versions}),
        "rates": show_rates(rates),
        "groups": [_group(asked, person, totals, rates_of(rates), judged) for person in shown],
        "evidence_url": f"/v1/reports/forecast/evidence?{urlencode(asked.shown(period, as_of))}",
    }


def _part(row: Record) -> Part:
    amounts = amounts_of(row.amount, row.currency)
    return Part(row.owner_id, row.forecast_category, row.probability, row.count, amounts)


def _check_size(size: int) -> None:
    if size > MOST_GROUPS:
        detail = (
            f"the forecast has {size} people, and {MOST_GROUPS} is the limit: ask for fewer levels by `level`,"
            " or for one person and all below by `owner`"
        )
        raise RequestInvalid.of("level", "too_many_groups", detail)


def show_period(period: Period) -> dict[str, str]:
    return {"name": period.name, "from": period.first_on.isoformat(), "to": period.end_on.isoformat()}


def _group(
    asked: Asked, person: Person | None, totals: Totals, rates: Rates | None, judged: Mapping[UUID, Any]
) -> dict[str, Any]:
    """The line of a person, or that of opportunities without an owner."""
    user_id = person.user_id if person else None
    own, together = totals.own.get(user_id, {}), totals.all.get(user_id, {})
    metrics = [_metric(name, together.get(name, NOTHING), own.get(name, NOTHING), rates) for name in METRICS]
    if asked.origin is None:  # quotas are set for both origins together
        quota, own_quota = (of.get(user_id, {}) if user_id else {} for of in (totals.quotas, totals.own_quotas))
        gap, own_gap = _gap(quota, together), _gap(own_quota, own)
        metrics = [
            _set_metric("quota", quota, own_quota, rates),
            *metrics,
            _set_metric("gap", gap, own_gap, rates),
        ]
    return {
        "key": ids.shown("user", user_id),
        "manager_id": ids.shown("user", person.manager_id) if person else None,
        "level": person.level if person else 0,
        "metrics": metrics,
        "judgement": judged.get(user_id) if user_id else None,
    }


def _gap(quota: Amounts, sums: Sums) -> Amounts:
    closed = sums.get("closed", NOTHING).amounts
    return added([quota, {code: -amount for code, amount in closed.items()}]) if quota else {}


def _metric(name: str, total: Sum, own: Sum, rates: Rates | None) -> dict[str, Any]:
    return {
        "name": name,
        "opportunities": total.count,
        **show_sums(total.amounts, rates),
        "own": {"opportunities": own.count, "amounts": show_amounts(own.amounts)},
    }


def _set_metric(name: str, total: Amounts, own: Amounts, rates: Rates | None) -> dict[str, Any]:
    """A metric that counts no opportunities."""
    alone = {"opportunities": None, "amounts": show_amounts(own)}
    return {"name": name, "opportunities": None, **show_sums(total, rates), "own": alone}


@in_time("period", "period")
async def read_evidence(
    tx: Tx,
    tenant_id: UUID,
    asked: Asked,
    metric: str,
    key: str | None,
    now: datetime,
    limit: int,
    cursor: str | None,
) -> dict[str, Any]:
    """A page of the opportunities of a group, `counted` those of the metric.

    Raises as `read_facts`, and RequestInvalid for a metric or a key that the report does not have.
    """
    if metric in WITHOUT_EVIDENCE:
        detail = f"`{metric}` is no sum of opportunities, so it has no evidence; write one of: {', '.join(METRICS)}"
        raise RequestInvalid.of("metric", "no_evidence", detail)
    if metric not in METRICS:
        raise RequestInvalid.of("metric", "metric_unknown", f"write one of: {', '.join(METRICS)}")
    facts = await read_facts(tx, tenant_id, asked, now)
    owners = await _owners(tx, tenant_id, key, asked, facts.manager_of)
    filters = {**asdict(asked), "metric": metric, "key": key}
    after = _after(cursor, filters)
    found = await sql.evidence_of(tx, tenant_id, facts.period, facts.as_of, asked.origin, owners, after, limit + 1)
    page = found[:limit]
    more = len(found) > limit
    following = write_cursor(filters, ids.show("opportunity", page[-1].opportunity_id)) if more else None
    owners_of_page = list({row.owner_id for row in page if row.owner_id is not None})
    named = await names(tx, tenant_id, "user", owners_of_page, facts.as_of)
    name_of = {row.id: row.name for row in named}
    data = [_evidence(row, name_of.get(row.owner_id), counts(row.forecast_category, metric)) for row in page]
    return {"data": data, "next": following}


def _after(cursor: str | None, filters: Mapping[str, Any]) -> UUID | None:
    if cursor is None:
        return None
    (after,) = read_cursor(cursor, filters, 1)
    try:
        return ids.read("opportunity", after if isinstance(after, str) else "")
    except ValueError:
        raise malformed_cursor() from None


async def _owners(
    tx: Tx, tenant_id: UUID, key: str | None, asked: Asked, manager_of: ManagerOf
) -> Collection[UUID | None] | None:
    """Whose opportunities a group has; None for all of them. Raises RequestInvalid for a key that is of no group."""
    known = None if asked.owner is None else below(asked.owner, manager_of)
    if key is None:
        return known
    if key == NOBODY and known is None:
        return (None,)
    detail = f"write the key of a group, which is the id of a user, or `{NOBODY}`"
    if known is not None:
        detail = "the groups are those of `owner` and all below: write the id of one of these users"
    try:
        user_id = ids.read("user", key)
    except ValueError:
        raise RequestInvalid.of("key", "key_unknown", detail) from None
    await check_user(tx, tenant_id, user_id, "key")
    if known is not None and user_id not in known:
        raise RequestInvalid.of("key", "key_unknown", detail)
    return below(user_id, manager_of)


def _evidence(row: Record, owner_name: str | None, counted: bool) -> dict[str, Any]:
    return {
        "opportunity_id": ids.show("opportunity", row.opportunity_id),
        "lead_id": ids.shown("lead", row.origin_lead_id),
        "journey_no": row.journey_no,
        "owner_id": ids.shown("user", row.owner_id),
        "owner_name": owner_name,
        "stage": row.stage,
        "forecast_category": row.forecast_category,
        "probability": row.probability,
        "amount": money(row.amount, row.currency),
        "close_date": row.close_date.isoformat() if row.close_date else None,
        "counted": counted,
        "at": rfc3339(row.stage_entered_at),
    }
