"""Adds up opportunities over people: what each one has, and what all who report to them have. Pure.

Sums go from the bottom up, each once to that of the manager, so that the work grows with the number of people.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final
from uuid import UUID

from app.forecast.money import Amounts, added, times

WEIGHTED: Final = ("closed", "commit", "upside", "pipeline")
METRICS: Final = ("closed", "commit", "upside", "pipeline", "weighted", "omitted")
ManagerOf = Mapping[UUID, UUID | None]


@dataclass(frozen=True, slots=True)
class Part:
    """The opportunities of one owner that have category, probability and currency in common."""

    owner_id: UUID | None
    category: str
    probability: int
    count: int
    amounts: Amounts


@dataclass(frozen=True, slots=True)
class Sum:
    """How many opportunities, and their amounts by currency."""

    count: int = 0
    amounts: Amounts = field(default_factory=dict)

    def plus(self, other: Sum) -> Sum:
        return Sum(self.count + other.count, added((self.amounts, other.amounts)))


Sums = Mapping[str, Sum]  # by metric
NOTHING: Final = Sum()


def counts(category: str, metric: str) -> bool:
    """Whether a metric counts the opportunities of a category; `weighted` counts all that are not omitted."""
    return category in WEIGHTED if metric == "weighted" else category == metric


def own_sums(parts: Iterable[Part]) -> dict[UUID | None, Sums]:
    """What each owner has alone. `weighted` takes each amount times its probability, exactly."""
    found: dict[UUID | None, Sums] = {}
    for part in parts:
        sums = {part.category: Sum(part.count, part.amounts)}
        if counts(part.category, "weighted"):
            sums["weighted"] = Sum(part.count, times(part.amounts, Decimal(part.probability) / 100))
        found[part.owner_id] = _plus(found.get(part.owner_id, {}), sums)
    return found


def rolled_up(own: Mapping[UUID | None, Sums], manager_of: ManagerOf) -> dict[UUID | None, Sums]:
    """What each person has together with all below."""
    total = dict(own)
    for user_id in _upwards(manager_of):
        manager_id = manager_of[user_id]
        if manager_id is not None and user_id in total:
            total[manager_id] = _plus(total.get(manager_id, {}), total[user_id])
    return total


def quotas_of(quotas: Mapping[UUID, Amounts], manager_of: ManagerOf) -> dict[UUID, Amounts]:
    """The quota set for each person; where none is set, the sum of those of the people directly below."""
    found = dict(quotas)
    for user_id in _upwards(manager_of):
        manager_id = manager_of[user_id]
        if manager_id is not None and manager_id not in quotas and user_id in found:
            found[manager_id] = added((found.get(manager_id, {}), found[user_id]))
    return found


def _plus(one: Sums, other: Sums) -> Sums:
    return {name: one.get(name, NOTHING).plus(other.get(name, NOTHING)) for name in {**one, **other}}


def _upwards(manager_of: ManagerOf) -> Iterable[UUID]:
    """All who have ever been told to report to somebody or nobody, each before the manager."""
    tops = sorted(one for one, manager_id in manager_of.items() if manager_id is None or manager_id not in manager_of)
    return (person.user_id for person in reversed(list(_descend(tops, _reports(manager_of), manager_of, None))))


@dataclass(frozen=True, slots=True)
class Person:
    """One line of the forecast: a person at a level below those asked for."""

    user_id: UUID
    manager_id: UUID | None
    level: int


def below(user_id: UUID, manager_of: ManagerOf) -> frozenset[UUID]:
    """The person, and all who report to them, directly or over others."""
    return frozenset(one.user_id for one in _descend([user_id], _reports(manager_of), manager_of, None))


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
        yield Person(user_id, manager_of.get(user_id), level)
        if deepest is None or level < deepest:
            waiting += [(one, level + 1) for one in reversed(reports.get(user_id, ()))]


def _reports(manager_of: ManagerOf) -> dict[UUID, list[UUID]]:
    """Who reports to whom directly, each list in the order of ids."""
    found: dict[UUID, list[UUID]] = {}
    for user_id, manager_id in sorted(manager_of.items()):
        if manager_id is not None:
            found.setdefault(manager_id, []).append(user_id)
    return found
