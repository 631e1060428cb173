"""How long journeys take from one milestone to the next, and stay in a stage, the open ones included (Kaplan–Meier)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal, localcontext
from typing import Any, Final

from app.database.transaction import Record
from app.policy.document import Policy
from app.reports.cases_sql import VELOCITY
from app.reports.funnel import named, pairs_of
from app.reports.metric import rounded
from app.reports.parameters import Parameters, SkippedParameters
from app.reports.report import BUSINESSES, Metric, Report, Settings
from app.reports.stages_sql import STAGE_TIMES

SECONDS_OF_DAY: Final = 86_400
HALF, TENTH = Decimal("0.5"), Decimal("0.1")
TOLERANCE: Final = Decimal("1e-40")  # far above what rounding adds up to, far below any difference of two shares


def quantiles(reached: Sequence[Decimal], censored: Sequence[Decimal]) -> tuple[Decimal | None, Decimal | None]:
    """The times after which half, and a tenth, had not reached the milestone; None where that was never so.

    At a time that has both, those that reached it come first: who was lost sight of then had still not reached it.
    """
    ends = sorted([(at, 0) for at in reached] + [(at, 1) for at in censored])
    median: Decimal | None = None
    with localcontext(prec=60):
        share, waiting = Decimal(1), len(ends)
        for at, is_censored in ends:
            if not is_censored:
                share = share * (waiting - 1) / waiting
            waiting -= 1
            if median is None and share <= HALF + TOLERANCE:
                median = at
            if share <= TENTH + TOLERANCE:
                return median, at
    return median, None


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
    """Median and p90 in days, of the measures below. The value is the median: no share, so without a band."""
    median, p90 = quantiles(row.reached or (), row.censored or ()) if row else (None, None)
    median_days, p90_days = (None if one is None else rounded(one / SECONDS_OF_DAY) for one in (median, p90))
    return {
        "value": median_days,
        "band": None,
        "in_band": None,
        "mature": row is None or row.n_open == 0,
        "median_days": median_days,
        "p90_days": p90_days,
        "n": row.denominator if row else 0,
        "n_open": row.n_open if row else 0,
    }


MEASURES: Final[Mapping[str, str]] = {
    "reached": "array_agg(seconds) FILTER (WHERE counted AND seconds IS NOT NULL)",
    "censored": "array_agg(seconds) FILTER (WHERE NOT counted AND seconds IS NOT NULL)",
    "n_open": "count(*) FILTER (WHERE is_open)",
}
REPORT: Final = Report(
    "velocity",
    "How many days journeys take from one milestone to the next, and are in each stage: median and p90, those still on"
    " the way included.",
    f"{VELOCITY} UNION ALL {STAGE_TIMES}",
    metrics,
    SkippedParameters,
    MEASURES,
    show,
)
