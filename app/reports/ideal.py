"""How the best customers looked as leads: what is more frequent among won journeys than among lost ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from app.policy.document import Policy
from app.reports.ideal_sql import IDEAL, LEAST_CASES
from app.reports.intervals import COLUMNS, bounds, compared
from app.reports.parameters import Parameters, SkippedParameters
from app.reports.report import Metric, Report, Shown

KINDS: Final = ("persona", "seniority", "industry", "size", "country", "source", "activity")
WON, LOST = "won", "lost"


def metrics(policy: Policy, asked: Parameters) -> Sequence[Metric]:
    first = policy.milestones[0].name
    ends = {one.of_class: one.name for one in reversed(policy.milestones)}
    sides = [(side, ends[side]) for side in (WON, LOST) if side in ends]
    return [Metric(f"{side}:{kind}", first, to, value=kind, is_open=True) for kind in KINDS for side, to in sides]


def arrange(metrics: list[Shown]) -> list[Shown]:
    """Each value among won journeys, followed by the same among lost ones; of each kind the greatest lift first."""
    by_name = {one["name"]: one for one in metrics}
    pairs: list[tuple[Shown, Shown]] = []
    for one in metrics:
        side, _, value = one["name"].partition(":")
        lost = by_name.get(f"{LOST}:{value}")
        if side == WON and lost is not None and one["numerator"] + lost["numerator"] >= LEAST_CASES:
            pairs.append(({**one, **compared(one, lost)}, {**lost, "interval": bounds(lost)}))
    pairs.sort(key=lambda pair: _place(pair[0]))
    return [metric for pair in pairs for metric in pair]


def _place(won: Shown) -> tuple[int, bool, float, str]:
    kind = won["name"].split(":")[1]
    return KINDS.index(kind), won["lift"] is None, -(won["lift"] or 0), won["name"]


REPORT: Final = Report(
    "ideal",
    "Of the journeys whose deals were won in the window, and of those that were lost, how many had looked how as leads;"
    " the lift between both.",
    IDEAL,
    metrics,
    SkippedParameters,
    arrange=arrange,
    columns=COLUMNS,
)
