"""One metric as answers show it: an exact fraction, its rounded value, whether it is mature, and its band. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from fractions import Fraction
from typing import Any, Final

from app.database.transaction import Record
from app.policy.document import Policy
from app.reports.report import Metric, Settings

PLACES: Final = Decimal("0.0001")
Bands = Mapping[tuple[str, str, str | None], tuple[float, float]]

# What the teams agreed on, where neither the tenant nor its policy says otherwise.
DEFAULT_BANDS: Final[Bands] = {
    ("mql", "srl", None): (0.2, 0.4),
    ("srl", "sql", None): (0.8, 0.9),
    ("sql", "won", "new"): (0.3, 1.0),
    ("sql", "won", "existing"): (0.75, 1.0),
}


def rounded(value: Fraction | Decimal | None) -> float | None:
    """A number to four places, half to even."""
    if value is None:
        return None
    exact = value if isinstance(value, Decimal) else Decimal(value.numerator) / Decimal(value.denominator)
    return float(exact.quantize(PLACES, ROUND_HALF_EVEN))


def bands_of(policy: Policy, own: Bands) -> Bands:
    """The bands by (from, to, business): the tenant's own, else those of the policy, else the agreed ones."""
    low_and_high = ((one, tuple(bound / 100 for bound in one.green)) for one in policy.benchmarks)
    of_policy: Bands = {(one.sources, one.to, one.business): (low, high) for one, (low, high) in low_and_high}
    return {**DEFAULT_BANDS, **of_policy, **own}


def show_metric(metric: Metric, row: Record | None, settings: Settings) -> dict[str, Any]:
    """The metric of one group; `row` is None where it has no cases."""
    numerator, denominator = (row.numerator, row.denominator) if row else (0, 0)
    value = Fraction(numerator, denominator) if denominator else None
    band = settings.bands.get((metric.start or "", metric.to or "", metric.business)) if metric.is_rate else None
    return {
        "name": metric.name,
        "from": metric.start,
        "to": metric.to,
        "business": metric.business,
        "numerator": numerator,
        "denominator": denominator,
        "value": rounded(value),
        "horizon_days": None if metric.hours is None else metric.hours // 24,
        "mature": _is_mature(metric, row.latest_at if row else None, settings.as_of),
        "band": None if band is None else {"low": band[0], "high": band[1]},
        "in_band": None if band is None or value is None else _within(value, band),
    }


def _is_mature(metric: Metric, latest_at: datetime | None, as_of: datetime) -> bool:
    """Whether every journey of the denominator has had the whole horizon."""
    return latest_at is None or metric.hours is None or latest_at + timedelta(hours=metric.hours) <= as_of


def _within(value: Fraction, band: tuple[float, float]) -> bool:
    low, high = (Fraction(str(bound)) for bound in band)
    return low <= value <= high
