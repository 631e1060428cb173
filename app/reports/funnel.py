"""The funnel: of the journeys that reached a milestone, how many reached the next one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from app.policy.document import Policy
from app.reports import origins_sql
from app.reports.cases_sql import FUNNEL, FUNNEL_NUMBERS
from app.reports.parameters import FunnelParameters, Parameters
from app.reports.report import BUSINESSES, Business, Metric, Report
from app.reports.summaries_sql import SUMMED

ALWAYS: Final = (("mql", "srl"), ("srl", "sql"), ("sql", "won"))
DEFAULT_DAYS: Final = 30
DAYS_TO_WIN: Final = 180


def milestones_of(policy: Policy) -> list[str]:
    """The milestones on the way to a won deal, in the order of the policy."""
    return [one.name for one in policy.milestones if one.of_class != "lost"]


def pairs_of(policy: Policy) -> list[tuple[str, str]]:
    """The consecutive milestones of the policy, and those that the teams agreed to watch whatever is between."""
    known = milestones_of(policy)
    more = [pair for pair in ALWAYS if set(pair) <= set(known)]
    return list(dict.fromkeys([*pairwise(known), *more]))


def named(name: str, business: Business | None) -> str:
    """The name of a metric: unique in its report."""
    return name if business is None else f"{name}:{business}"


def days_of(policy: Policy, start: str, to: str, business: Business | None = None) -> int:
    """The horizon of a pair: as the policy's benchmark says, else 30 days, and 180 to win."""
    found = [
        one.days
        for one in policy.benchmarks
        if (one.sources, one.to) == (start, to) and business in (None, one.business or business)
    ]
    return found[0] if found else DAYS_TO_WIN if to == "won" else DEFAULT_DAYS


def metrics(policy: Policy, asked: Parameters) -> Sequence[Metric]:
    return [*_rates(policy, asked.horizon_days), *_volumes(policy)]


def _rates(policy: Policy, horizon: int | None) -> Iterator[Metric]:
    for start, to in pairs_of(policy):
        for business in BUSINESSES:
            days = horizon or days_of(policy, start, to, business)
            yield Metric(named(f"{start}_to_{to}", business), start, to, business, days * 24)


def _volumes(policy: Policy) -> Iterator[Metric]:
    """The thinning: of the journeys that reached the first milestone in the window, how many reached each."""
    first, *_ = known = milestones_of(policy)
    for name in known:
        for business in BUSINESSES:
            yield Metric(named(f"volume_{name}", business), first, name, business, is_rate=False)


REPORT: Final = Report(
    "funnel",
    "Of the journeys that reached a milestone in the window, how many reached the next one within the horizon.",
    FUNNEL,
    metrics,
    FunnelParameters,
    numbers=FUNNEL_NUMBERS,
    summed={**SUMMED, **origins_sql.FUNNEL},
)
