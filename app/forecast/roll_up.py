"""Adds up opportunities over people: what each one has, and what all who report to them have. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from typing import Final
from uuid import UUID

from app.forecast.money import Amounts, added, times

CATEGORIES: Final = ("closed", "commit", "upside", "pipeline", "omitted")
WEIGHTED: Final = ("closed", "commit", "upside", "pipeline")
ManagerOf = Mapping[UUID, UUID | None]


@dataclass(frozen=True, slots=True)
class Deal:
    """An opportunity that counts in a period. `at` is when it entered its stage."""

    id: UUID
    owner_id: UUID | None
    category: str
    probability: int
    amounts: Amounts
    stage: str
    business: str
    close_date: date | None
    at: datetime
    lead_id: UUID | None = None
    journey_no: int | None = None


@dataclass(frozen=True, slots=True)
class Sum:
    """How many opportunities, and their amounts by currency."""

    count: int = 0
    amounts: Amounts = field(default_factory=dict)


def counted(deals: Iterable[Deal], metric: str) -> Iterator[Deal]:
    """The opportunities that a metric counts: those of a category, or for `weighted` all that are not omitted."""
    wanted = WEIGHTED if metric == "weighted" else (metric,)
    return (deal for deal in deals if deal.category in wanted)


def summed(deals: Iterable[Deal], metric: str) -> Sum:
    """The sum of a metric. `weighted` takes each amount times its probability, exactly."""
    found = list(counted(deals, metric))
    weights = (Decimal(deal.probability) / 100 if metric == "weighted" else Decimal(1) for deal in found)
    return Sum(len(found), added(times(deal.amounts, weight) for deal, weight in zip(found, weights, strict=True)))


@dataclass(frozen=True, slots=True)
class Person:
    """One line of the forecast: a person at a level below those asked for, with all who report to them."""

    user_id: UUID
    manager_id: UUID | None
    level: int
    below: frozenset[UUID]


def below(user_id: UUID, manager_of: ManagerOf) -> frozenset[UUID]:
    """The person, and all who report to them, directly or over others."""
    reports = _reports(manager_of)
    found, waiting = {user_id}, [user_id]
    while waiting:
        new = [one for one in reports.get(waiting.pop(), ()) if one not in found]
        found.update(new)
        waiting += new
    return frozenset(found)


def people(
    concerned: Iterable[UUID], manager_of: ManagerOf, root: UUID | None = None, deepest: int | None = None
) -> list[Person]:
    """Who is shown: those who are concerned and everybody above them, managers before their people.

    With a `root` only that person and those below; `deepest` is the last level that is shown.
    """
    shown = {root} if root is not None else set[UUID]()
    for one in concerned:
        step: UUID | None = one
        while step is not None and step not in shown:
            shown.add(step)
            step = manager_of.get(step)
    reports = _reports({user_id: manager_of.get(user_id) for user_id in shown})
    tops = [root] if root is not None else sorted(one for one in shown if manager_of.get(one) is None)
    return list(_descend(tops, reports, manager_of, deepest))


def _descend(
    tops: Sequence[UUID], reports: Mapping[UUID, Sequence[UUID]], manager_of: ManagerOf, deepest: int | None
) -> Iterator[Person]:
    waiting = [(user_id, 0) for user_id in reversed(tops)]  # not by recursion: a hierarchy may have any depth
    while waiting:
        user_id, level = waiting.pop()
        yield Person(user_id, manager_of.get(user_id), level, below(user_id, manager_of))
        if deepest is None or level < deepest:
            waiting += [(one, level + 1) for one in reversed(reports.get(user_id, ()))]


def _reports(manager_of: ManagerOf) -> dict[UUID, list[UUID]]:
    """Who reports to whom directly, each list in the order of ids."""
    found: dict[UUID, list[UUID]] = {}
    for user_id, manager_id in sorted(manager_of.items()):
        if manager_id is not None:
            found.setdefault(manager_id, []).append(user_id)
    return found


def quota_of(person: UUID, quotas: Mapping[UUID, Amounts], manager_of: ManagerOf) -> dict[str, Decimal]:
    """The quota set for a person; where none is set, the sum of those of the people directly below."""
    reports, found, waiting = _reports(manager_of), list[Amounts](), [person]
    while waiting:
        one = waiting.pop()
        if one in quotas:
            found.append(quotas[one])
        else:
            waiting += reports.get(one, ())
    return added(found)
