"""The win rate: of the deals that ever were qualified and were closed in the window, how many were won."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final

from app.database.transaction import Record
from app.policy.document import Policy
from app.reports.cases_sql import WINS
from app.reports.funnel import named
from app.reports.metric import rounded
from app.reports.parameters import Parameters
from app.reports.report import BUSINESSES, Metric, Report, Settings
from app.web.money import money


def metrics(policy: Policy, asked: Parameters) -> Sequence[Metric]:
    return [Metric(named("win_rate", business), "sql", "won", business) for business in BUSINESSES]


def show(metric: Metric, row: Record | None, settings: Settings) -> Mapping[str, Any]:
    """The same by value, for each currency; deals without an amount are in the count only."""
    won, closed = defaultdict[str, Decimal](Decimal), defaultdict[str, Decimal](Decimal)
    for amount, currency, counted in zip(row.amounts, row.currencies, row.outcomes, strict=True) if row else ():
        if amount is not None and currency is not None:
            closed[currency] += amount
            won[currency] += amount if counted else 0
    return {
        "by_value": [
            {
                "won": money(won[currency], currency),
                "closed": money(total, currency),
                "value": _share(won[currency], total),
            }
            for currency, total in sorted(closed.items())
        ]
    }


def _share(won: Decimal, closed: Decimal) -> float | None:
    return rounded(Fraction(won) / Fraction(closed)) if closed else None


REPORT: Final = Report(
    "wins",
    "Of the deals that ever were qualified and were closed in the window, how many were won, by count and by value.",
    WINS,
    metrics,
    measures={
        "amounts": "array_agg(amount)",
        "currencies": "array_agg(currency)",
        "outcomes": "array_agg(counted)",
    },
    show=show,
    columns=("by_value",),
)
