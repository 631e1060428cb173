"""The scoring of a policy document (schema.md, section 1)."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from app.policy.actions import Identifier
from app.policy.conditions import Condition
from app.policy.facts import Ledger
from app.policy.view import Part
from app.policy.words import Days, Name, Points


class Persona(Part):
    """A profile of an ideal customer. A lead may match several."""

    name: Identifier
    title: Annotated[str, Field(min_length=1, max_length=200)]
    condition: Condition = Field(alias="if")


class DecayStep(Part):
    to_day: Days
    percent: Annotated[int, Field(ge=0, le=100)]


class FitRule(Part):
    id: Identifier
    points: Points
    group: Identifier | None = None
    condition: Condition = Field(alias="if")


class EngagementRule(Part):
    id: Identifier
    points: Points
    type: Name
    group: Identifier | None = None


class Cap(Part):
    """The most that a ledger, a rule or a group of rules may add up to."""

    exactly_one: ClassVar[tuple[str, ...]] = ("ledger", "rule", "group")
    ledger: Ledger | None = None
    rule: Identifier | None = None
    group: Identifier | None = None
    points: Annotated[int, Field(ge=0, le=1_000_000)]

    def covers(self, rule: str, group: str | None) -> bool:
        """Whether the cap applies to the rule, by its id or by its group."""
        return self.rule == rule or (self.group is not None and self.group == group)


class LevelRule(Part):
    level: Annotated[int, Field(ge=1, le=20)]
    condition: Condition = Field(alias="if")


class TemperatureRules(Part):
    hot: Condition
    warm: Condition


class Scoring(Part):
    decay: Annotated[tuple[DecayStep, ...], Field(min_length=1, max_length=20)]
    fit: Annotated[tuple[FitRule, ...], Field(max_length=100)]
    engagement: Annotated[tuple[EngagementRule, ...], Field(max_length=100)]
    caps: Annotated[tuple[Cap, ...], Field(max_length=50)] = ()
    levels: Annotated[tuple[LevelRule, ...], Field(max_length=20)]
    temperature: TemperatureRules
