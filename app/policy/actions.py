"""Stages, milestones, actions and reasons of a policy document (schema.md, section 1)."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cached_property
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.policy.conditions import Condition
from app.policy.shape import SNAKE_CASE, Like
from app.policy.view import NAME, Part
from app.policy.words import Days, Name, OpportunityStageClass, Role

Identifier = Annotated[str, Like("demo_booked", f"{SNAKE_CASE}, at most 63", NAME)]
StageKind = Literal["open", "parked", "closed", "merged", "erased"]
Machine = Literal["service", "policy", "import"]
Input = Literal["source", "reason_code", "note", "bant", "wake_at", "owner_id", "conversion", "correction_of", "to"]

# Values of `to` that are not a stage but a rule for finding one.
TARGETS = frozenset({"same", "held", "any_open", "later"})

# Known action names: one that a policy lacks is refused as not allowed, not as unknown.
ACTION_WORDS = frozenset(
    {"capture", "engage", "qualify", "accept", "hand_over", "return", "confirm", "convert", "recycle", "wake"}
    | {"disqualify", "reopen", "correct", "revert_conversion", "merge_into", "erase"}
)


class Stage(Part):
    name: Identifier
    kind: StageKind
    order: Annotated[int, Field(ge=0, le=1_000_000)] | None = None
    skippable: bool = False
    stale_after_days: Days | None = None

    def stale_since(self, entered_at: datetime) -> datetime | None:
        """From when on a journey that entered the stage then is stalled; None if it never is."""
        return None if self.stale_after_days is None else entered_at + timedelta(days=self.stale_after_days)

    @property
    def of_conversion(self) -> bool:
        """Whether it is the stage that conversion enters: the one closed stage with an order."""
        return self.kind == "closed" and self.order is not None

    @property
    def ends(self) -> bool:
        """Whether a journey that enters it is over without a conversion."""
        return self.kind not in ("open", "parked") and self.order is None


class Milestone(Part):
    name: Identifier
    stage: Identifier | None = None
    of_class: OpportunityStageClass | None = Field(default=None, alias="class")


class By(Part):
    people: Annotated[tuple[Role, ...], Field(max_length=5)] = ()
    machines: Annotated[tuple[Machine, ...], Field(max_length=3)] = ()


class Override(Part):
    """Who may give `override_reason` instead of meeting the guard."""

    people: Annotated[tuple[Role, ...], Field(min_length=1, max_length=5)]


class ToIf(Part):
    stage: Identifier
    condition: Condition = Field(alias="if")


class Effect(Part):
    """One effect of an action; it applies when `if` holds."""

    exactly_one: ClassVar[tuple[str, ...]] = (
        "assign",
        "start_clock",
        "stop_clock",
        "set_baseline",
        "count",
        "wake_after_days",
        "void_milestones",
        "convert",
        "emit",
    )
    assign: Identifier | None = None
    start_clock: Identifier | None = None
    stop_clock: Identifier | None = None
    set_baseline: Literal["now"] | None = None
    count: Literal["recycles"] | None = None
    wake_after_days: Days | None = None
    void_milestones: Literal["after_target"] | None = None
    convert: bool | None = None
    emit: Name | None = None
    condition: Condition | None = Field(default=None, alias="if")


class Action(Part):
    name: Identifier
    sources: Literal["open"] | Annotated[tuple[Identifier | None, ...], Field(min_length=1, max_length=32)] = Field(
        alias="from"
    )
    to: Identifier
    to_if: Annotated[tuple[ToIf, ...], Field(max_length=8)] = ()
    by: By
    needs: Annotated[tuple[Input, ...], Field(max_length=10)] = ()
    accepts: Annotated[tuple[Input, ...], Field(max_length=10)] = ()
    reasons: Identifier | None = None
    guard: Condition | None = None
    override: Override | None = None
    effects: Annotated[tuple[Effect, ...], Field(max_length=20)] = ()

    @cached_property
    def inputs(self) -> frozenset[str]:
        """The inputs the action takes, needed or accepted."""
        return frozenset((*self.needs, *self.accepts))

    @property
    def converts(self) -> bool:
        """Whether the action is the conversion."""
        return "conversion" in self.needs

    @property
    def corrects(self) -> bool:
        """Whether the action is a correction: the request names the stage."""
        return self.to == "any_open"


class Automatic(Part):
    do: Identifier
    reason_code: Identifier | None = None
    condition: Condition | None = Field(default=None, alias="if")


class Reason(Part):
    code: Identifier
    title: Name | None = None
    permanent: bool = False
    active: bool = True
    note: Literal["required"] | None = None
    sort: int | None = None
