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
from app.reports.origins_sql import SUMMED, shares_of_now
from app.reports.parameters import Parameters, SourcesParameters
from app.reports.report import Groups, Metric, Report, Settings
from app.reports.sources_sql import LAST, NUMBERS, SOURCES, costs_at, shares_of
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
        rounded = Decimal(round(amount / unit_of(currency))).scaleb(-DECIMALS.get(currency, 2))
        shown += [one for one in [money(rounded, currency)] if one is not None]
    return shown


def unit_of(currency: str) -> Fraction:
    """The smallest amount of the currency, such as a cent."""
    return Fraction(1, 10 ** DECIMALS.get(currency, 2))


async def add_costs(
    tx: Tx, tenant_id: UUID, asked: Parameters, settings: Settings, bound: Mapping[str, Any], groups: Groups
) -> Groups:
    """Adds the cost of each group, and by campaign also the campaigns that cost something and brought nobody.

    A group has of the cost of a campaign as much as it has of the campaign's journeys. What the campaigns cost that
    brought nobody is of the group without a key, so that the groups add up to all costs, to the cent.
    """
    assert isinstance(asked, SourcesParameters)
    rows = await costs_at(tx, tenant_id, asked.from_, asked.to, settings.as_of)
    of_campaign: dict[str, dict[str, Fraction]] = {}
    for row in rows:
        _add(of_campaign.setdefault(row.campaign, {}), {row.currency: part_of(row, asked.from_, asked.to)})
    if not of_campaign:
        return groups
    if asked.by == "campaign":
        costs: dict[str | None, dict[str, Fraction]] = dict(of_campaign.items())
    else:
        read_shares = shares_of_now if "after" in bound else shares_of
        shares = await read_shares(tx, tenant_id, asked.group, asked.of_touch("campaign"), list(of_campaign), bound)
        costs = shared(of_campaign, [(row.key, row.campaign, row.journeys) for row in shares])
        for campaign in of_campaign.keys() - {row.campaign for row in shares}:
            _add(costs.setdefault(None, {}), of_campaign[campaign])
    known = {group["key"] for group in groups}
    empty = [_empty(key, settings, asked) for key in costs if key not in known]
    shown = in_units({key: costs[key] for key in sorted(costs, key=_order)})
    return [
        _with_cost(group, costs.get(group["key"]), shown.get(group["key"]))
        for group in sorted([*groups, *empty], key=lambda one: _order(one["key"]))
    ]


def part_of(cost: Record, from_on: date, to_on: date) -> Fraction:
    """How much of a cost falls on the days of the window, to the cent: windows side by side add up to the cost."""
    return _until(cost, to_on) - _until(cost, from_on)


def _until(cost: Record, day: date) -> Fraction:
    """How much of a cost falls on the days before this one."""
    unit, days = unit_of(cost.currency), (cost.to_on - cost.from_on).days
    before = min(max((day - cost.from_on).days, 0), days)
    return round(Fraction(cost.amount) * before / days / unit) * unit


def shared(
    costs: Mapping[str, Sums], journeys: Sequence[tuple[str | None, str, int]]
) -> dict[str | None, dict[str, Fraction]]:
    """The costs by key, where `journeys` says how many of a campaign's journeys each key has."""
    totals = defaultdict[str, int](int)
    for _, campaign, count in journeys:
        totals[campaign] += count
    found: dict[str | None, dict[str, Fraction]] = {}
    for key, campaign, count in journeys:
        share = Fraction(count, totals[campaign])
        _add(found.setdefault(key, {}), {currency: amount * share for currency, amount in costs[campaign].items()})
    return found


def in_units(costs: Mapping[str | None, Sums]) -> dict[str | None, dict[str, Fraction]]:
    """The costs by key, to the cent."""
    found: dict[str | None, dict[str, Fraction]] = {key: {} for key in costs}
    for currency in {one for sums in costs.values() for one in sums}:
        keys = [key for key, sums in costs.items() if currency in sums]
        shares = rounded_shares([costs[key][currency] for key in keys], unit_of(currency))
        for key, share in zip(keys, shares, strict=True):
            found[key][currency] = share
    return found


def rounded_shares(shares: Sequence[Fraction], unit: Fraction) -> list[Fraction]:
    """Shares in whole units, which add up to their sum: the units that are left go to those that lost most."""
    rounded = [one // unit * unit for one in shares]
    left = round((sum(shares) - sum(rounded)) / unit)
    by_loss = sorted(range(len(shares)), key=lambda place: (rounded[place] - shares[place], place))
    for place in by_loss[:left]:
        rounded[place] += unit
    return rounded


def _add(sums: dict[str, Fraction], more: Sums) -> None:
    for currency, amount in more.items():
        sums[currency] = sums.get(currency, Fraction()) + amount


def _order(key: str | None) -> tuple[bool, str]:
    return key is not None, key or ""


def _empty(key: str | None, settings: Settings, asked: Parameters) -> dict[str, Any]:
    listed = metrics(settings.policy, asked)
    return {
        "key": key,
        "metrics": [{**show_metric(one, None, settings), **show(one, None, settings)} for one in listed],
    }


def _with_cost(group: dict[str, Any], costs: Sums | None, shown: Sums | None) -> dict[str, Any]:
    """The group with its cost, as it is shown, and that of each SQL where there is one."""
    for metric in group["metrics"]:
        if metric["name"] == "sql" and costs and shown:
            count = metric["numerator"]
            each = {currency: amount / count for currency, amount in costs.items()} if count else None
            metric |= {"cost": show_sums(shown), "cost_per_sql": show_sums(each) if each else None}
    return group


REPORT: Final = Report(
    "sources",
    "Where leads come from: of the journeys that began in the window, how many became MQL, accepted, SQL, converted and"
    " won, with the amounts won and what an SQL cost.",
    SOURCES,
    metrics,
    SourcesParameters,
    show=show,
    groups=LAST,
    complete=add_costs,
    numbers=NUMBERS,
    summed=SUMMED,
    columns=("amount_won", "cost", "cost_per_sql"),
)
