"""The pipeline: how many opportunities are open, what they are worth, how fast they move on, and how many do."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from app.database.plain_json import write_json
from app.database.transaction import Record
from app.policy.document import Policy
from app.reports.parameters import MOST_OF_DEALS, Parameters, PipelineParameters
from app.reports.pipeline_sql import (
    AMOUNT,
    COUNT,
    ENTERED_CASES,
    NUMBERS,
    SHARE,
    STANDING_CASES,
    TIME,
)
from app.reports.report import Business, Metric, Origin, Report, Settings
from app.reports.sql import team_of
from app.reports.velocity import COLUMNS, show_times
from app.web.money import money

CLASSES: Final = ("qualified", "unqualified")
# Of new and of existing customers; of opportunities that came from a lead (hunters) and of others (farmers).
SPLITS: Final[tuple[tuple[Business | None, Origin | None], ...]] = (
    (None, None),
    ("new", None),
    ("existing", None),
    (None, "lead"),
    (None, "none"),
)


def metrics(policy: Policy, asked: Parameters) -> Sequence[Metric]:
    return [*_standing(), *_moving(policy)]


def _standing() -> Iterator[Metric]:
    """Volume and value of each class at the instant."""
    for of_class in CLASSES:
        for name, to in (("volume", COUNT), ("value", AMOUNT)):
            yield from _split(f"{name}_{of_class}", of_class, to, None)


def _moving(policy: Policy) -> Iterator[Metric]:
    """Velocity and conversion of each stage: how long until it was left for a later one, and how many left it so."""
    stages = [one.name for one in policy.opportunity.stages if not one.is_closed]
    for place, stage in enumerate(stages):
        later = write_json(stages[place + 1 :]).decode()
        yield from _split(f"velocity_{stage}", stage, TIME, later)
        yield from _split(f"conversion_{stage}", stage, SHARE, later)


def _split(name: str, start: str, to: str, value: str | None) -> Iterator[Metric]:
    for business, origin in SPLITS:
        full = ":".join([name, *filter(None, (business, origin))])
        yield Metric(full, start, to, business, None, value, is_rate=False, origin=origin)


def show(metric: Metric, row: Record | None, settings: Settings) -> Mapping[str, Any]:
    """`from` is the class or the stage; what is beside the number depends on which of the four it is."""
    kind, count = metric.name.partition("_")[0], row.denominator if row else 0
    shown: dict[str, Any] = {"to": None, "origin": metric.origin}
    match kind:
        case "volume":
            return {**shown, "value": count or None}
        case "value":
            return {**shown, "value": None, "amounts": _amounts(row)}
        case "velocity":
            return {**shown, **show_times(row)}
        case _:
            return {**shown, "mature": row is None or row.n_open == 0}


def _amounts(row: Record | None) -> list[dict[str, str] | None]:
    """The sum for each currency; opportunities without an amount are in the denominator only."""
    total = defaultdict[str, Decimal](Decimal)
    for amount, currency in zip(row.amounts or (), row.currencies or (), strict=True) if row else ():
        total[currency] += amount
    return [money(amount, currency) for currency, amount in sorted(total.items())]


REPORT: Final = Report(
    "pipeline",
    "Open opportunities at the instant by count and amount, and how fast and how many leave each stage for a later.",
    f"{STANDING_CASES} UNION ALL {ENTERED_CASES}",
    metrics,
    PipelineParameters,
    show=show,
    groups={
        "owner": (":users ->> f.owner_id::text", ""),
        "team": team_of("f.owner_id"),
        "origin": ("f.origin", ""),
        "stage": ("f.stage", ""),
    },
    columns=("origin", "amounts", *COLUMNS),
    numbers=NUMBERS,
    of_metric=lambda one: STANDING_CASES if one.to in (COUNT, AMOUNT) else ENTERED_CASES,
    history="opportunity_transitions",
    most=MOST_OF_DEALS,
)
