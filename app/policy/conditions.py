"""Conditions as structured data: the words that contain other conditions, and the union of all condition words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Discriminator, Field, Tag

from app.policy.field_word import FieldIs
from app.policy.likelihood import Likelihood
from app.policy.person_words import ConsentIs, HasException, PersonaIs
from app.policy.view import ConditionBase, Part, Unmet, View, leaf
from app.policy.words import (
    ActorIs,
    Assignable,
    Attempts,
    Bant,
    ClosedFor,
    ClosingReason,
    Contactable,
    Engagement,
    EntryIs,
    Fit,
    FromStage,
    HasActivity,
    HasSequence,
    Identities,
    IntoStage,
    Level,
    Name,
    NewestJourney,
    OpportunityClass,
    Owner,
    ReasonIs,
    WakeAt,
)


class AllOf(ConditionBase):
    of: tuple[Condition, ...] = Field(alias="all", min_length=1)

    def unmet(self, view: View) -> list[Unmet]:
        return [missing for member in self.of for missing in member.unmet(view)]

    def holds(self, view: View) -> bool:
        return all(member.holds(view) for member in self.of)

    def members(self) -> list[tuple[str, ConditionBase]]:
        return [(f"/all/{index}", member) for index, member in enumerate(self.of)]


class AnyOf(ConditionBase):
    """When no member holds, reports the member with the fewest unmet leaves, the first on a tie."""

    of: tuple[Condition, ...] = Field(alias="any", min_length=1)

    def unmet(self, view: View) -> list[Unmet]:
        return min((member.unmet(view) for member in self.of), key=len)

    def holds(self, view: View) -> bool:
        return any(member.holds(view) for member in self.of)

    def members(self) -> list[tuple[str, ConditionBase]]:
        return [(f"/any/{index}", member) for index, member in enumerate(self.of)]


class Not(ConditionBase):
    negated: Condition = Field(alias="not")

    def unmet(self, view: View) -> list[Unmet]:
        return leaf(f"not {self.negated.keyword}", have=True, need=False) if self.negated.holds(view) else []

    def members(self) -> list[tuple[str, ConditionBase]]:
        return [("/not", self.negated)]


class Quorum(Part):
    count: Annotated[int, Field(ge=1, le=200)]
    of: tuple[Condition, ...] = Field(min_length=1)


class AtLeast(ConditionBase):
    at_least: Quorum

    def unmet(self, view: View) -> list[Unmet]:
        answers = [member.unmet(view) for member in self.at_least.of]
        have, need = sum(not missing for missing in answers), self.at_least.count
        if have >= need:
            return []
        missing = [one for answer in answers for one in answer]
        return leaf("at_least", have, need, missing=missing)

    def members(self) -> list[tuple[str, ConditionBase]]:
        return [(f"/at_least/of/{index}", member) for index, member in enumerate(self.at_least.of)]


class When(ConditionBase):
    """True when `when` is false; otherwise `then` decides, and only `then` is reported."""

    when: Condition
    then: Condition

    def unmet(self, view: View) -> list[Unmet]:
        return self.then.unmet(view) if self.when.holds(view) else []

    def members(self) -> list[tuple[str, ConditionBase]]:
        return [("/when", self.when), ("/then", self.then)]


class Named(ConditionBase):
    """A condition of the document by its name; `check` rejects unknown names and cycles beforehand."""

    condition: Name

    def unmet(self, view: View) -> list[Unmet]:
        return view.policy.conditions[self.condition].unmet(view)

    def holds(self, view: View) -> bool:
        return view.policy.conditions[self.condition].holds(view)


def _tag(value: object) -> str | None:
    """The tag of the class that parses this: its only key, or `field` or `when`, which come with other keys."""
    if isinstance(value, ConditionBase):
        return f"<{value.keyword}>"
    if not isinstance(value, dict):
        return None
    for word in ("field", "when"):
        if word in value:
            return f"<{word}>"
    return f"<{next(iter(value))}>" if len(value) == 1 else None


Condition = Annotated[
    Annotated[AllOf, Tag("<all>")]
    | Annotated[AnyOf, Tag("<any>")]
    | Annotated[Not, Tag("<not>")]
    | Annotated[AtLeast, Tag("<at_least>")]
    | Annotated[When, Tag("<when>")]
    | Annotated[Named, Tag("<condition>")]
    | Annotated[FieldIs, Tag("<field>")]
    | Annotated[Fit, Tag("<fit>")]
    | Annotated[Engagement, Tag("<engagement>")]
    | Annotated[Level, Tag("<level>")]
    | Annotated[Likelihood, Tag("<likelihood>")]
    | Annotated[HasActivity, Tag("<activity>")]
    | Annotated[HasSequence, Tag("<sequence>")]
    | Annotated[Bant, Tag("<bant>")]
    | Annotated[Attempts, Tag("<attempts>")]
    | Annotated[Identities, Tag("<identities>")]
    | Annotated[Owner, Tag("<owner>")]
    | Annotated[ActorIs, Tag("<actor>")]
    | Annotated[Assignable, Tag("<assignable>")]
    | Annotated[FromStage, Tag("<from>")]
    | Annotated[IntoStage, Tag("<stage>")]
    | Annotated[ReasonIs, Tag("<reason>")]
    | Annotated[EntryIs, Tag("<entry>")]
    | Annotated[ClosedFor, Tag("<closed_for>")]
    | Annotated[NewestJourney, Tag("<newest_journey>")]
    | Annotated[ClosingReason, Tag("<closing_reason>")]
    | Annotated[OpportunityClass, Tag("<opportunity_class>")]
    | Annotated[WakeAt, Tag("<wake_at>")]
    | Annotated[Contactable, Tag("<contactable>")]
    | Annotated[ConsentIs, Tag("<consent>")]
    | Annotated[PersonaIs, Tag("<persona>")]
    | Annotated[HasException, Tag("<exception>")],
    Discriminator(_tag),
]


def walk(root: ConditionBase, place: str = "") -> Iterator[tuple[str, ConditionBase, int]]:
    """The condition and all inside it as (place, condition, depth from 1); named conditions are not followed."""
    waiting: list[tuple[str, ConditionBase, int]] = [(place, root, 1)]
    while waiting:
        where, node, depth = waiting.pop()
        yield where, node, depth
        waiting.extend((where + inner, member, depth + 1) for inner, member in reversed(node.members()))
