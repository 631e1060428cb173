"""The input of a condition, and the base class of all condition words."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import ClassVar, Protocol, Self

from pydantic import BaseModel, ConfigDict, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from app.policy.facts import Ask, Confirmation, Facts

Unmet = dict[str, object]
NAME = r"^[a-z][a-z0-9_]{0,62}$"


class Part(BaseModel):
    """A part of a policy document: unknown members are rejected, types are not coerced, instances are frozen."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    # A document must give exactly one of these members.
    exactly_one: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        made = handler(schema)
        if cls.exactly_one:
            names = [cls.model_fields[name].alias or name for name in cls.exactly_one]
            given = [{"required": [name], "properties": {name: {"not": {"type": "null"}}}} for name in names]
            handler.resolve_ref_schema(made)["oneOf"] = given
        return made

    @model_validator(mode="after")
    def _check_exactly_one(self) -> Self:
        if self.exactly_one and sum(getattr(self, name) is not None for name in self.exactly_one) != 1:
            names = (type(self).model_fields[name].alias or name for name in self.exactly_one)
            raise ValueError(f"give exactly one of {', '.join(names)}")
        return self


class PolicyTerms(Protocol):
    """The members of a policy that conditions read; a Protocol, because Policy itself contains conditions."""

    @property
    def conditions(self) -> Mapping[str, ConditionBase]: ...
    @property
    def persona_conditions(self) -> Mapping[str, ConditionBase]: ...
    @property
    def list_keys(self) -> Mapping[str, frozenset[tuple[str, object]]]: ...
    @property
    def permanent_reasons(self) -> frozenset[str]: ...
    @property
    def role_of_route(self) -> Mapping[str, str]: ...


@dataclass(frozen=True, slots=True)
class View:
    """What a condition is evaluated on. `target`: the stage being entered; `confirmations`: also those of the ask."""

    policy: PolicyTerms
    facts: Facts
    now: datetime
    fit: int
    engagement: int
    level: int
    confirmations: tuple[Confirmation, ...]
    ask: Ask | None = None
    target: str | None = None


class ConditionBase(Part, ABC):
    """Base class of conditions. `unmet` returns what is missing, an empty list when the condition holds."""

    @property
    def keyword(self) -> str:
        """Its keyword in a document."""
        return self.word()

    @classmethod
    def word(cls) -> str:
        """The keyword of this condition in a document: the name of its first member."""
        name, member = next(iter(cls.model_fields.items()))
        return member.alias or name

    @abstractmethod
    def unmet(self, view: View) -> list[Unmet]:
        """What is missing, as JSON objects {criterion, have, need, …}."""

    def holds(self, view: View) -> bool:
        """Whether the condition is true."""
        return not self.unmet(view)

    def members(self) -> list[tuple[str, ConditionBase]]:
        """The conditions directly inside, each with its JSON pointer relative to this one."""
        return []

    @property
    def timed(self) -> bool:
        """Whether time alone can change the result."""
        return False

    def changes(self, view: View) -> Iterator[datetime]:
        """Instants after now at which time alone may change the result."""
        return iter(())


def leaf(criterion: str, have: object, need: object, **more: object) -> list[Unmet]:
    """A list of one unmet leaf, as `ConditionBase.unmet` returns it."""
    return [{"criterion": criterion, "have": have, "need": need, **more}]


def at_least(criterion: str, have: int, need: int) -> list[Unmet]:
    """An empty list if `have` reaches `need`, else the leaf."""
    return [] if have >= need else leaf(criterion, have, need)


def days_after(instant: datetime, days: int) -> datetime:
    """The first instant at which more than `days` times 24 h have passed since `instant`."""
    return instant + timedelta(days=days, microseconds=1)


def midnight(day: date, days: int) -> datetime | None:
    """00:00 UTC, `days` days before `day`; None outside the range of datetime."""
    try:
        return datetime.combine(day - timedelta(days=days), time.min, UTC)
    except OverflowError:
        return None
