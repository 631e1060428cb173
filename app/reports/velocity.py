"""How long journeys take from one milestone to the next, and stay in a stage, the open ones included (Kaplan–Meier)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from math import ceil
from typing import Any, Final

from app.database.transaction import Record
from app.policy.document import Policy
from app.reports.cases_sql import CLOSED, STAGES, VELOCITY
from app.reports.funnel import named, pairs_of
from app.reports.metric import rounded
from app.reports.parameters import MOST_STEPS, MOST_SUMMED, Parameters, SkippedParameters
from app.reports.report import BUSINESSES, Metric, Report, Settings, Summed
from app.reports.stages_sql import STAGE_TIMES
from app.reports.survival import survival
from app.reports.times_sql import TIMES

MICROSECONDS_OF_DAY: Final = 86_400_000_000
PERCENT: Final = tuple(range(90, 0, -10))
TOLERANCE: Final = Decimal("1e-40")  # far above what rounding adds up to, far below any difference of two shares


def quantiles(reached: Sequence[int], censored: Sequence[int]) -> list[int | None]:
    """The times after which only so many percent had not reached the milestone; None where there were always more.

    At a time that has both, those that reached it come first: who was lost sight of then had still not reached it.
    The share falls in a straight line from one time at which somebody was lost sight of to the next: by as much for
    each, so that the first time below a share follows without looking at all of them.
    """
    reached, censored = sorted(reached), sorted(censored)
    found: list[int | None] = []
    place = lost = 0
    with localcontext(prec=60):
        shares = [Decimal(percent) / 100 + TOLERANCE for percent in PERCENT]
        share = Decimal(1)
        while place < len(reached) and len(found) < len(shares):
            lost = bisect_left(censored, reached[place], lost)
            end = bisect_right(reached, censored[lost], place) if lost < len(censored) else len(reached)
            waiting = len(reached) - place + len(censored) - lost
            remaining = share * (waiting - (end - place)) / waiting
            while len(found) < len(shares) and remaining <= shares[len(found)]:
                count = ceil(waiting - shares[len(found)] * waiting / share)
                found.append(reached[place + max(count, 1) - 1])
            share, place = remaining, end
    return found + [None] * (len(PERCENT) - len(found))


def metrics(policy: Policy, asked: Parameters) -> Sequence[Metric]:
    pairs = [
        Metric(named(f"{start}_to_{to}", business), start, to, business)
        for start, to in pairs_of(policy)
        for business in BUSINESSES
    ]
    stages = [one.name for one in policy.stages if one.kind in ("open", "parked")]
    return [*pairs, *(Metric(f"in_{stage}", value=stage) for stage in stages)]


def show(metric: Metric, row: Record | None, settings: Settings) -> Mapping[str, Any]:
    return show_times(row)


def show_times(row: Record | None) -> Mapping[str, Any]:
    """The curve, its median and its p90 in days. The value is the median: no share, so it has no band."""
    times = quantiles(row.reached or (), row.censored or ()) if row else [None] * len(PERCENT)
    days = [None if one is None else rounded(Fraction(one, MICROSECONDS_OF_DAY)) for one in times]
    remaining = dict(zip(map(str, PERCENT), days, strict=True))
    return {
        "value": remaining["50"],
        "band": None,
        "in_band": None,
        "mature": row is None or row.n_open == 0,
        "median_days": remaining["50"],
        "p90_days": remaining["10"],
        "remaining": remaining,
        "n": row.denominator if row else 0,
        "n_open": row.n_open if row else 0,
    }


MICROSECONDS: Final = "(seconds * 1000000)::bigint"
MEASURES: Final[Mapping[str, str]] = {
    "reached": f"array_agg({MICROSECONDS}) FILTER (WHERE counted AND seconds IS NOT NULL)",
    "censored": f"array_agg({MICROSECONDS}) FILTER (WHERE NOT counted AND seconds IS NOT NULL)",
    "n_open": "count(*) FILTER (WHERE is_open)",
}
# As `show_times` has them.
COLUMNS: Final = ("median_days", "p90_days", *(f"remaining_{percent}" for percent in PERCENT), "n", "n_open")
REPORT: Final = Report(
    "velocity",
    "How many days journeys take from one milestone to the next, and are in each stage: median and p90, those still on"
    " the way included.",
    f"WITH {CLOSED} {VELOCITY} UNION ALL {STAGE_TIMES}",
    metrics,
    SkippedParameters,
    MEASURES,
    show,
    columns=COLUMNS,
    picture=survival,
    summed={None: Summed(TIMES, MOST_SUMMED)},
    most=MOST_STEPS // 2,
    of_metric=lambda one: STAGE_TIMES if one.start is None else VELOCITY.replace("FROM closed s", f"FROM ({STAGES}) s"),
)
