"""What a report is: one statement, the metrics that it answers, and how one metric is shown."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final, Literal
from uuid import UUID

from app.database.transaction import Record, Tx
from app.policy.document import Policy
from app.reports.chart import svg
from app.reports.formats import Document, Formats, formats_of
from app.reports.parameters import MOST_STEPS, Parameters

Business = Literal["new", "existing"]
Origin = Literal["lead", "none"]
BUSINESSES: Final[tuple[Business | None, ...]] = (None, "new", "existing")


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a report: of what begins at `start` (a milestone, a stage), how much came to `to`.

    `hours`: the time it had for that; None for no limit. `value`: what else its statement needs to know. `is_rate`: it
    is the rate from one to the other, which the bands of tenants are about. `origin`: of opportunities that came from a
    lead, or from none. `is_open`: it stands for one metric of each value that its cases have, named `NAME:VALUE`.
    `row_is`: the kind of record that its rows are, where they are neither journeys nor opportunities.
    """

    name: str
    start: str | None = None
    to: str | None = None
    business: Business | None = None
    hours: int | None = None
    value: str | None = None
    is_rate: bool = True
    origin: Origin | None = None
    is_open: bool = False
    row_is: Literal["account", "contact"] | None = None

    def named(self, name: str) -> Metric | None:
        """The metric of that name: this one, or the one of a value that it stands for; None if it is neither."""
        if not self.is_open:
            return self if name == self.name else None
        start, of_value = f"{self.name}:", name.removeprefix(f"{self.name}:")
        if not name.startswith(start) or not of_value:
            return None
        return replace(self, name=name, value=f"{self.value}:{of_value}", is_open=False)

    def bound(self) -> dict[str, Any]:
        """As the statement reads it (`METRICS` in sql.py)."""
        names = ("name", "start", "to", "business", "hours", "value", "origin")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Settings:
    """What held as of the instant of a report: the policy and its versions in the window, and the tenant's bands.

    `start` and `end` are the first instant of the window and the first one after it.
    """

    policy: Policy
    policy_id: UUID
    versions: Sequence[int]
    start: datetime
    end: datetime
    as_of: datetime
    bands: Mapping[tuple[str, str, str | None], tuple[float, float]]


Shown = dict[str, Any]
Groups = list[Shown]
Complete = Callable[[Tx, UUID, Parameters, Settings, Mapping[str, Any], Groups], Awaitable[Groups]]


def as_they_are(metrics: list[Shown]) -> list[Shown]:
    return metrics


def nothing_more(metric: Metric, row: Record | None, settings: Settings) -> dict[str, Any]:
    return {}


async def nothing_prepared(tx: Tx, tenant_id: UUID, settings: Settings) -> dict[str, Any]:
    return {}


@dataclass(frozen=True, slots=True)
class Summed:
    """SQL of the numbers of now by the summaries. `most`: as that of a report; None where it reads counts only."""

    sql: str
    most: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """A report. `cases` is the SQL of the rows that it counts, which its evidence pages through (docs/reports.md).

    `measures`: further aggregates of these rows by name, as SQL. `show`: the members of a metric that are made of them.
    `arrange`: compares the shown metrics of a group with each other, and puts them in order. `groups`: as `GROUPS` in
    sql.py, of groups that are not those of the lead. `prepare` reads what else the statement needs.
    `complete`: adds what does not come from the cases to the groups. `columns`: those of its CSV besides `COLUMNS` of
    formats.py. `picture`: the report as SVG. `numbers`: SQL that counts the cases by another way, where a row for each
    metric is too slow; it answers as `COUNTED` in sql.py does. `summed`: the same of the present by the summaries,
    by the group that it has.
    `of_metric`: the cases of one metric alone, where `cases` has several kinds, so that evidence reads these in order.
    `history`: the table of which it reads the window, and `most`: how many rows of it the window may have, about.
    """

    name: str
    about: str
    cases: str
    metrics: Callable[[Policy, Parameters], Sequence[Metric]]
    parameters: type[Parameters] = Parameters
    measures: Mapping[str, str] = field(default_factory=dict)
    show: Callable[[Metric, Record | None, Settings], Mapping[str, Any]] = nothing_more
    arrange: Callable[[list[Shown]], list[Shown]] = as_they_are
    groups: Mapping[str | None, tuple[str, str]] = field(default_factory=dict)
    prepare: Callable[[Tx, UUID, Settings], Awaitable[Mapping[str, Any]]] = nothing_prepared
    complete: Complete | None = None
    columns: Sequence[str] = ()
    picture: Callable[[Document], str] = svg
    numbers: str | None = None
    summed: Mapping[str | None, Summed] = field(default_factory=dict)
    of_metric: Callable[[Metric], str] | None = None
    history: Literal["transitions", "opportunity_transitions"] = "transitions"
    most: int = MOST_STEPS

    @property
    def formats(self) -> Formats:
        """How it is written, by media type."""
        return formats_of(self.columns, self.picture)
