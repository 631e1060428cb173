"""How good each rule and persona of the policy is: of the MQLs in which it counted, and of the others, how many became
SQLs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from app.policy.document import Policy
from app.reports.funnel import days_of, milestones_of
from app.reports.intervals import COLUMNS, bounds, compared
from app.reports.parameters import FunnelParameters, Parameters
from app.reports.report import Metric, Report, Shown
from app.reports.rules_sql import RULES

SQL, WITHOUT = "sql", ":without"


def metrics(policy: Policy, asked: Parameters) -> Sequence[Metric]:
    known = milestones_of(policy)
    first, to = known[0], SQL if SQL in known else known[-1]
    days = asked.horizon_days or sum(days_of(policy, *pair) for pair in pairwise(known[: known.index(to) + 1]))
    return [
        Metric(f"{name}{side}", first, to, hours=days * 24, value=name)
        for name in _names(policy)
        for side in ("", WITHOUT)
    ]


def _names(policy: Policy) -> Iterator[str]:
    yield from (f"rule:{name}" for name in dict.fromkeys(policy.rule_ids))
    yield from (f"persona:{name}" for name in policy.persona_conditions)


def arrange(metrics: list[Shown]) -> list[Shown]:
    """Each rule followed by the journeys without it, the one with the greatest lift first; without a lift last."""
    by_name = {one["name"]: one for one in metrics}
    pairs = [(one, by_name[f"{name}{WITHOUT}"]) for name, one in by_name.items() if not name.endswith(WITHOUT)]
    shown = [({**one, **compared(one, other)}, {**other, "interval": bounds(other)}) for one, other in pairs]
    shown.sort(key=lambda pair: (pair[0]["lift"] is None, -(pair[0]["lift"] or 0), pair[0]["name"]))
    return [metric for one, other in shown for metric in ({**one, "lets_bad_leads_through": _harms(one)}, other)]


def _harms(metric: Shown) -> bool | None:
    """Whether leads with the rule surely become SQLs less often; None where both cannot be compared."""
    if metric["lift"] is None:
        return None
    high = metric["lift_interval"]["high"]
    return metric["lift"] < 1 and high is not None and high < 1


REPORT: Final = Report(
    "rules",
    "Of the journeys that reached the first milestone in the window, with each rule or persona and without it, how"
    " many became an SQL; the lift between both.",
    RULES,
    metrics,
    FunnelParameters,
    arrange=arrange,
    columns=(*COLUMNS, "lets_bad_leads_through"),
)
