"""What grows old: open journeys by stage and age, those that stagnate, and records with which nothing happens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from app.database.transaction import Record
from app.policy.document import Policy
from app.reports.parameters import AgeingParameters, Parameters
from app.reports.report import Metric, Report, Settings
from app.reports.stages_sql import AGEING

# The bands of age in days: above the first number, at most the second.
AGES: Final = {"0-7": "-7", "7-30": "7-30", "30-90": "30-90", "90+": "90-"}


def metrics(policy: Policy, asked: Parameters) -> Sequence[Metric]:
    assert isinstance(asked, AgeingParameters)
    hours = asked.idle_days * 24
    return [
        *_of_stages(policy),
        Metric("idle_accounts", hours=hours, row_is="account"),
        Metric("idle_contacts", hours=hours, row_is="contact"),
    ]


def _of_stages(policy: Policy) -> Iterator[Metric]:
    for stage in policy.stages:
        if stage.kind in ("open", "parked"):
            for age, days in AGES.items():
                yield Metric(f"{stage.name}:{age}", stage.name, value=days)
            if stage.stale_after_days is not None:
                yield Metric(f"{stage.name}:stagnant", stage.name, value=f"{stage.stale_after_days}-")


def show(metric: Metric, row: Record | None, settings: Settings) -> Mapping[str, Any]:
    """Since when is nothing that a row would have to wait for, so that every number is mature."""
    idle = {} if metric.hours is None else {"idle_days": metric.hours // 24}
    return {"horizon_days": None, "mature": True, **idle}


REPORT: Final = Report(
    "ageing",
    "Of the journeys that stand in a stage which they entered in the window, how many are how old, and which stagnate.",
    AGEING,
    metrics,
    AgeingParameters,
    show=show,
    columns=("idle_days",),
)
