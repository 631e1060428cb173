"""Where leads come from, how far they came, and what that cost: by source, medium or campaign of a touch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final
from uuid import UUID

from app.database.transaction import Record, Tx
from app.policy.document import Policy
from app.reports.funnel import milestones_of
from app.reports.metric import show_metric
from app.reports.parameters import Parameters, SourcesParameters
from app.reports.report import Groups, Metric, Report, Settings
from app.reports.sources_sql import LAST, SOURCES, costs_at, shares_of
from app.web.money import DECIMALS, money

Sums = Mapping[str, Fraction]


def metrics(policy: Policy, asked: Parameters) -> Sequence[Metric]:
    first, *others = milestones_of(policy)
    qualified, won = (
        next((one.name for one in policy.milestones if one.of_class == of_class), None)
        for of_class in ("qualified", "won")
    )
    found = [
        Metric("leads", value="journey"),
        Metric("mql", to=first, value="milestone"),
        Metric("accepted", to=next(iter(others), None), value="milestone"),
        Metric("sql", to=qualified, value="milestone"),
        Metric("converted", value="conversion"),
        Metric("won", to=won, value="deal"),
    ]
    return [one for one in found if one.to or one.name in ("leads", "converted")]


def show(metric: Metric, row: Record | None, settings: Settings) -> Mapping[str, Any]:
    """Of won journeys the amounts; `complete` adds the costs to those that became an SQL."""
    if metric.name == "sql":
        return {"cost": None, "cost_per_sql": None}
    if metric.name != "won":
        return {}
    won = defaultdict[str, Fraction](Fraction)
    for amount, currency in zip(row.amounts or (), row.currencies or (), strict=True) if row else ():
        if amount is not None and currency is not None:
            won[currency] += Fraction(amount)
    return {"amount_won": show_sums(won)}


def show_sums(sums: Sums) -> list[dict[str, str]]:
    """One amount for each currency, rounded half to even to its decimals."""
    shown = []
    for currency, amount in sorted(sums.items()):
        decimals = DECIMALS.get(currency, 2)
        rounded = Decimal(round(amount * 10**decimals)).scaleb(-decimals)
        shown += [one for one in [money(rounded, currency)] if one is not None]
    return shown


async def add_costs(
    tx: Tx, tenant_id: UUID, asked: Parameters, settings: Settings, bound: Mapping[str, Any], groups: Groups
) -> Groups:
    """Adds the cost of each group, and by campaign also the campaigns that cost something and brought nobody.

    A group has of the cost of a campaign as much as it has of the campaign's journeys.
    """
    assert isinstance(asked, SourcesParameters)
    rows = await costs_at(tx, tenant_id, asked.from_, asked.to, settings.as_of)
    of_campaign: dict[str, dict[str, Fraction]] = {}
    for row in rows:
        sums = of_campaign.setdefault(row.campaign, {})
        sums[row.currency] = sums.get(row.currency, Fraction()) + part_of(row, asked.from_, asked.to)
    if not of_campaign:
        return groups
    if asked.by == "campaign":
        costs: dict[str | None, dict[str, Fraction]] = dict(of_campaign.items())
    else:
        shares = await shares_of(tx, tenant_id, asked.group, asked.of_touch("campaign"), list(of_campaign), bound)
        costs = shared(of_campaign, [(row.key, row.campaign, row.journeys) for row in shares])
    known = {group["key"] for group in groups}
    empty = [_empty(key, settings, asked) for key in costs if key not in known]
    return [_with_cost(group, costs.get(group["key"])) for group in sorted([*groups, *empty], key=_order)]


def part_of(cost: Record, from_on: date, to_on: date) -> Fraction:
    """How much of a cost falls on the days of the window."""
    days = (min(cost.to_on, to_on) - max(cost.from_on, from_on)).days
    return Fraction(cost.amount) * Fraction(days, (cost.to_on - cost.from_on).days)


def shared(
    costs: Mapping[str, Sums], journeys: Sequence[tuple[str | None, str, int]]
) -> dict[str | None, dict[str, Fraction]]:
    """The costs by key, where `journeys` says how many of a campaign's journeys each key has."""
    totals = defaultdict[str, int](int)
    for _, campaign, count in journeys:
        totals[campaign] += count
    found: dict[str | None, dict[str, Fraction]] = {}
    for key, campaign, count in journeys:
        sums = found.setdefault(key, {})
        for currency, amount in costs[campaign].items():
            sums[currency] = sums.get(currency, Fraction()) + amount * Fraction(count, totals[campaign])
    return found


def _order(group: Mapping[str, Any]) -> tuple[bool, str]:
    return group["key"] is not None, group["key"] or ""


def _empty(key: str | None, settings: Settings, asked: Parameters) -> dict[str, Any]:
    listed = metrics(settings.policy, asked)
    return {
        "key": key,
        "metrics": [{**show_metric(one, None, settings), **show(one, None, settings)} for one in listed],
    }


def _with_cost(group: dict[str, Any], costs: Sums | None) -> dict[str, Any]:
    """The group with its cost, and that of each SQL where there is one."""
    for metric in group["metrics"]:
        if metric["name"] == "sql" and costs:
            count = metric["numerator"]
            each = {currency: amount / count for currency, amount in costs.items()} if count else None
            metric |= {"cost": show_sums(costs), "cost_per_sql": show_sums(each) if each else None}
    return group


REPORT: Final = Report(
    "sources",
    "Where leads come from: of the journeys that began in the window, how many became MQL, accepted, SQL, converted and"
    " won, with the amounts won and what an SQL cost.",
    SOURCES,
    metrics,
    SourcesParameters,
    {
        "amounts": "array_agg(amount) FILTER (WHERE counted)",
        "currencies": "array_agg(currency) FILTER (WHERE counted)",
    },
    show,
    groups=LAST,
    complete=add_costs,
)
