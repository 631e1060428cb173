"""What a condition sees when it is asked, and the class of all condition words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import ClassVar, Protocol, Self

from pydantic import BaseModel, ConfigDict, model_validator

from app.policy.facts import Ask, Confirmation, Facts

Unmet = dict[str, object]
NAME = r"^[a-z][a-z0-9_]{0,62}$"


class Part(BaseModel):
    """A part of a policy document: unknown members refused, types not bent, frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    # Of these members a document gives exactly one.
    exactly_one: ClassVar[tuple[str, ...]] = ()

    @model_validator(mode="after")
    def _gives_one(self) -> Self:
        if self.exactly_one and sum(getattr(self, name) is not None for name in self.exactly_one) != 1:
            names = (type(self).model_fields[name].alias or name for name in self.exactly_one)
            raise ValueError(f"give exactly one of {', '.join(names)}")
        return self


class Terms(Protocol):
    """What conditions read of the policy that they stand in."""

    @property
    def conditions(self) -> Mapping[str, Word]: ...
    @property
    def list_keys(self) -> Mapping[str, frozenset[tuple[str, object]]]: ...
    @property
    def permanent_reasons(self) -> frozenset[str]: ...
    @property
    def role_of_route(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class View:
    """Facts, what is asked, and now. `target`: the stage being entered; `said`: the BANT rows with those of the ask."""

    policy: Terms
    facts: Facts
    now: datetime
    fit: int
    engagement: int
    level: int
    said: tuple[Confirmation, ...]
    ask: Ask | None = None
    target: str | None = None


class Word(Part, ABC):
    """One condition. `unmet` answers the missing leaves, an empty list when the condition is true."""

    @property
    def word(self) -> str:
        """Its name in a document: that of its first member."""
        name, member = next(iter(type(self).model_fields.items()))
        return member.alias or name

    @abstractmethod
    def unmet(self, view: View) -> list[Unmet]:
        """What is missing, as JSON leaves {criterion, have, need, …}."""

    def holds(self, view: View) -> bool:
        """Whether nothing is missing."""
        return not self.unmet(view)

    def members(self) -> list[tuple[str, Word]]:
        """The conditions inside, each with its place relative to this one."""
        return []

    @property
    def timed(self) -> bool:
        """Whether time alone can change the answer."""
        return False

    def changes(self, view: View) -> Iterator[datetime]:
        """Instants after now at which time alone may change the answer."""
        return iter(())


def leaf(criterion: str, have: object, need: object, **more: object) -> list[Unmet]:
    """One unmet leaf."""
    return [{"criterion": criterion, "have": have, "need": need, **more}]


def at_least(criterion: str, have: int, need: int) -> list[Unmet]:
    """Nothing when there is enough, else the leaf."""
    return [] if have >= need else leaf(criterion, have, need)


def days_after(instant: datetime, days: int) -> datetime:
    """The first instant at which `instant` lies more than so many times 24 h back."""
    return instant + timedelta(days=days, microseconds=1)


def midnight(day: date, days: int) -> datetime | None:
    """00:00 UTC so many days before `day`; None beyond the calendar."""
    try:
        return datetime.combine(day - timedelta(days=days), time.min, UTC)
    except OverflowError:
        return None
