"""How soon and how often people respond: clocks of the policy in business minutes, and contact attempts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any, Final

from app.database.transaction import Record
from app.policy.clocks import ATTEMPT
from app.policy.document import Policy
from app.reports.metric import rounded
from app.reports.parameters import Parameters
from app.reports.report import Metric, Report, Settings
from app.reports.response_sql import RESPONSE

MANY: Final = 6  # attempts: more are shown together
COUNTS: Final = (*map(str, range(MANY)), f"{MANY}+")


def metrics(policy: Policy, asked: Parameters) -> Sequence[Metric]:
    attempted = [name for name, clock in policy.clocks.items() if clock.met_by == ATTEMPT]
    return [
        *(Metric(f"met_{clock}", value=clock) for clock in policy.clocks),
        *(Metric(f"attempted_{clock}", ATTEMPT, value=clock) for clock in attempted),
    ]


def show(metric: Metric, row: Record | None, settings: Settings) -> Mapping[str, Any]:
    of = row.denominator if row else 0
    n_open = row.n_open if row else 0
    members = {"from": None, "mature": n_open == 0, "n_open": n_open}
    return members | (_minutes(row, of) if metric.start is None else _attempts(row, of))


def _minutes(row: Record | None, of: int) -> dict[str, Any]:
    """The business minutes within which half, and nine tenths, of all runs were met; null where fewer were."""
    met = sorted((row.minutes or ()) if row else ())
    n_met = len(met)
    median, p90 = (met[place] if 0 <= (place := -(-of * tenths // 10) - 1) < n_met else None for tenths in (5, 9))
    return {"n_met": n_met, "median_minutes": median, "p90_minutes": p90}


def _attempts(row: Record | None, of: int) -> dict[str, Any]:
    """How many attempts a journey had: on average, and how many journeys had each number of them."""
    found: list[int] = (row.attempts or []) if row else []
    counted = Counter(min(one, MANY) for one in found)
    return {
        "mean_attempts": rounded(Fraction(sum(found), of)) if of else None,
        "attempts": {name: counted[n] for n, name in enumerate(COUNTS)},
    }


REPORT: Final = Report(
    "response",
    "How many clocks were met in time and within how many business minutes, and how often leads were contacted.",
    RESPONSE,
    metrics,
    measures={
        "minutes": "array_agg(minutes) FILTER (WHERE minutes IS NOT NULL)",
        "attempts": "array_agg(attempts) FILTER (WHERE attempts IS NOT NULL)",
        "n_open": "count(*) FILTER (WHERE is_open)",
    },
    show=show,
    columns=(
        *("n_open", "n_met", "median_minutes", "p90_minutes", "mean_attempts"),
        *(f"attempts_{one}" for one in COUNTS),
    ),
    groups={"owner": (":users ->> f.owner_id::text", ""), "team": ("f.team", "")},
)
