"""Cohorts: of journeys that entered a milestone in one week or month, how many came further in how many weeks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import pairwise
from typing import Any, Final
from uuid import UUID

from app.database.transaction import Record, Tx
from app.errors import RequestInvalid
from app.policy.document import Policy
from app.reports.cohorts_sql import COHORTS
from app.reports.funnel import milestones_of
from app.reports.heat_map import heat_map
from app.reports.parameters import CohortsParameters, Parameters, Per
from app.reports.report import Metric, Report, Settings

HOURS_OF_WEEK: Final = 168
MOST_CELLS: Final = 2_000


def metrics(policy: Policy, asked: Parameters) -> Sequence[Metric]:
    """A metric for each cell. Raises RequestInvalid for a milestone that none follows, and for too many cells."""
    assert isinstance(asked, CohortsParameters)
    following = dict(pairwise(milestones_of(policy)))
    start = milestones_of(policy)[0] if asked.milestone is None else asked.milestone
    if start not in following:
        known = ", ".join(following) or "none"
        detail = f"no milestone of this name is followed by another one; those that are: {known}"
        raise RequestInvalid.of("milestone", "milestone_unknown", detail)
    cohorts = list(cohorts_of(asked.from_, asked.to, asked.per))
    if len(cohorts) * asked.weeks > MOST_CELLS:
        detail = (
            f"{len(cohorts)} cohorts of {asked.weeks} weeks have {len(cohorts) * asked.weeks} cells, and at most"
            f" {MOST_CELLS} can be asked for at once: ask for fewer weeks, a shorter window or per=month"
        )
        raise RequestInvalid.of("weeks", "too_many_cells", detail)
    return [
        Metric(f"{name}.week_{week}", start, following[start], hours=week * HOURS_OF_WEEK, value=begins_on.isoformat())
        for name, begins_on in cohorts
        for week in range(1, asked.weeks + 1)
    ]


def cohorts_of(from_on: date, to_on: date, per: Per) -> Iterator[tuple[str, date]]:
    """The names and first days of the weeks or months that have a day of the window."""
    day = from_on - timedelta(days=from_on.weekday()) if per == "week" else from_on.replace(day=1)
    while day < to_on:
        year, week, _ = day.isocalendar()
        yield (f"{year}-W{week:02}" if per == "week" else f"{day:%Y-%m}"), day
        day = day + timedelta(weeks=1) if per == "week" else (day + timedelta(days=31)).replace(day=1)


async def zone_of(tx: Tx, tenant_id: UUID, settings: Settings) -> Mapping[str, Any]:
    """The time zone of the tenant, in which the window begins."""
    return {"zone": str(settings.start.tzinfo)}


def show(metric: Metric, row: Record | None, settings: Settings) -> Mapping[str, Any]:
    """The place of the cell. It has no band, which is one of the whole horizon."""
    cohort = metric.name.partition(".")[0]
    return {"band": None, "in_band": None, "cohort": cohort, "weeks": (metric.hours or 0) // HOURS_OF_WEEK}


REPORT: Final = Report(
    "cohorts",
    "Of the journeys that entered a milestone in each week or month, how many had reached the next one after how many"
    " weeks.",
    COHORTS,
    metrics,
    CohortsParameters,
    show=show,
    prepare=zone_of,
    columns=("cohort", "weeks"),
    picture=heat_map,
)
