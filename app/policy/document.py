"""The policy document (schema.md, section 1) as types, with cached lookups derived from it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from app.policy.conditions import Condition, Named, walk
from app.policy.facts import Ledger
from app.policy.field_word import comparison_key
from app.policy.shape import SNAKE_CASE, Like
from app.policy.view import NAME, ConditionBase, Part
from app.policy.words import Days, Engagement, Fit, Level, Name, OpportunityStageClass, Points, Role

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

    @property
    def of_conversion(self) -> bool:
        """Whether it is the stage that conversion enters: the one closed stage with an order."""
        return self.kind == "closed" and self.order is not None


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


class Route(Part):
    role: Role
    method: Literal["pool"]
    team: Name | None = None


class OnBreach(Part):
    exactly_one: ClassVar[tuple[str, ...]] = ("emit", "do")
    emit: Name | None = None
    do: Identifier | None = None
    reason_code: Identifier | None = None
    condition: Condition | None = Field(default=None, alias="if")


class Clock(Part):
    minutes: Annotated[int, Field(ge=1, le=1_000_000)]
    met_by: Name
    on_breach: Annotated[tuple[OnBreach, ...], Field(max_length=10)] = ()


class FastTrack(Part):
    sources: Annotated[tuple[Identifier, ...], Field(min_length=1, max_length=32)] = Field(alias="from")
    condition: Condition = Field(alias="if")
    of_class: Literal["unqualified", "qualified"] = Field(default="unqualified", alias="class")


class Conversion(Part):
    classes: dict[Identifier, Literal["unqualified", "qualified"]] = Field(alias="class")
    fast_track: FastTrack | None = None
    revert_days: Annotated[int, Field(ge=0, le=3650)]
    overwrite: Annotated[tuple[Name, ...], Field(max_length=100)] = ()


class OpportunityStage(Part):
    name: Identifier
    of_class: OpportunityStageClass = Field(alias="class")
    probability: Annotated[int, Field(ge=0, le=100)]


class Opportunity(Part):
    stages: Annotated[tuple[OpportunityStage, ...], Field(min_length=1, max_length=32)]
    actions: Annotated[tuple[Action, ...], Field(max_length=64)]
    reasons: dict[Identifier, tuple[Reason, ...]] = Field(default_factory=dict)

    @cached_property
    def stage_of(self) -> dict[str, OpportunityStage]:
        """Stages by name."""
        return {stage.name: stage for stage in self.stages}

    @cached_property
    def place_of(self) -> dict[str, int]:
        """The index of each stage in the list; a higher one is forward."""
        return {stage.name: place for place, stage in enumerate(self.stages)}


class Reinquiry(Part):
    disqualified_permanent: Literal["block", "new_journey"]
    disqualified: Literal["new_journey", "block"]
    converted_open: Literal["activity", "new_journey"]
    converted_closed_or_older_than_days: Days


class Benchmark(Part):
    sources: Identifier = Field(alias="from")
    to: Identifier
    days: Days
    business: Literal["new", "existing"] | None = None
    green: tuple[Annotated[int, Field(ge=0, le=100)], Annotated[int, Field(ge=0, le=100)]]


class Policy(Part):
    """A whole policy document. The lookups below expect one in which `check.faults` finds nothing."""

    schema_number: Literal[1] = Field(alias="schema")
    name: Identifier
    title: Annotated[str, Field(min_length=1, max_length=200)]
    review: Literal["monthly", "quarterly", "none"]
    approvals: Annotated[tuple[Literal["marketing", "sales"], ...], Field(max_length=2)]
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=32)]
    milestones: Annotated[tuple[Milestone, ...], Field(min_length=1, max_length=64)]
    conditions: dict[Identifier, Condition]
    actions: Annotated[tuple[Action, ...], Field(min_length=1, max_length=64)]
    automation: Annotated[tuple[Automatic, ...], Field(max_length=64)]
    reasons: dict[Identifier, tuple[Reason, ...]]
    scoring: Scoring
    lists: dict[Identifier, Annotated[tuple[Name, ...], Field(max_length=10_000)]]
    routing: dict[Identifier, Route]
    clocks: dict[Identifier, Clock]
    conversion: Conversion
    opportunity: Opportunity
    reinquiry: Reinquiry
    benchmarks: Annotated[tuple[Benchmark, ...], Field(max_length=64)] = ()

    @cached_property
    def stage_of(self) -> dict[str | None, Stage]:
        """Stages by name."""
        return {stage.name: stage for stage in self.stages}

    @cached_property
    def action_of(self) -> dict[str, Action]:
        """Actions by name."""
        return {action.name: action for action in self.actions}

    @cached_property
    def edges(self) -> dict[str | None, tuple[Action, ...]]:
        """For each stage (None: no journey yet) the actions with an edge from it, in the order of the document."""
        every = (None, *self.stage_of)
        return {stage: tuple(action for action in self.actions if self.leaves(action, stage)) for stage in every}

    @cached_property
    def automation_at(self) -> dict[str | None, tuple[tuple[Automatic, Action], ...]]:
        """For each stage the automatic actions with an edge from it, in the order of the document."""
        pairs = [(item, self.action_of[item.do]) for item in self.automation]
        return {stage: tuple(pair for pair in pairs if self.leaves(pair[1], stage)) for stage in self.edges}

    def leaves(self, action: Action, stage: str | None) -> bool:
        """Whether the action has an edge from this stage."""
        if action.sources == "open":
            return stage in self.stage_of and self.stage_of[stage].kind == "open"
        return stage in action.sources or self.fast_track(action, stage) is not None

    def fast_track(self, action: Action, stage: str | None) -> FastTrack | None:
        """The fast track, if the action is the conversion and the fast track starts from this stage."""
        fast = self.conversion.fast_track
        return fast if fast is not None and action.converts and stage in fast.sources else None

    def between(self, source: str | None, to: str) -> list[Stage]:
        """The open stages that a move from one open stage to another passes over."""
        start, end = self.stage_of.get(source), self.stage_of.get(to)
        if start is None or end is None or not start.kind == end.kind == "open":
            return []
        low, high = start.order or 0, end.order or 0
        return [one for one in self.stages if one.kind == "open" and low < (one.order or 0) < high]

    @cached_property
    def permanent_reasons(self) -> frozenset[str]:
        """The codes of disqualification reasons that are permanent."""
        return frozenset(reason.code for listed in self.reasons.values() for reason in listed if reason.permanent)

    @cached_property
    def role_of_route(self) -> dict[str, Role]:
        """The role of each route."""
        return {name: route.role for name, route in self.routing.items()}

    @cached_property
    def list_keys(self) -> dict[str, frozenset[tuple[str, object]]]:
        """The lists as comparison keys."""
        return {name: frozenset(comparison_key(value) for value in values) for name, values in self.lists.items()}

    @cached_property
    def rules_for(self) -> dict[str, tuple[EngagementRule, ...]]:
        """Engagement rules by the type of activity they count."""
        rules = self.scoring.engagement
        return {rule.type: tuple(one for one in rules if one.type == rule.type) for rule in rules}

    @cached_property
    def threshold_action(self) -> Action | None:
        """The automatic action that enters the first milestone's stage; its guard is the threshold."""
        automatic = {item.do for item in self.automation}
        into = self.milestones[0].stage
        return next((action for action in self.actions if action.to == into and action.name in automatic), None)

    @cached_property
    def merged_stage(self) -> str:
        """The stage of a journey that was closed because its lead has another one that goes on."""
        return next((stage.name for stage in self.stages if stage.kind == "merged"), "merged")

    @cached_property
    def first_role(self) -> Role | None:
        """The role that the threshold action assigns leads to, and that gets a returned lead; None without a route."""
        effects = self.threshold_action.effects if self.threshold_action else ()
        return next((self.role_of_route[one.assign] for one in effects if one.assign in self.role_of_route), None)

    @cached_property
    def decay_steps(self) -> tuple[tuple[timedelta, int], ...]:
        """The decay as (greatest age, inclusive; percent), in order."""
        return tuple((timedelta(days=step.to_day), step.percent) for step in self.scoring.decay)

    @cached_property
    def capped_rules(self) -> tuple[tuple[Cap, frozenset[str]], ...]:
        """The caps in the order rule, group, ledger, each with the ids of the rules it covers (none for a ledger)."""
        rules: list[FitRule | EngagementRule] = [*self.scoring.fit, *self.scoring.engagement]
        caps = sorted(self.scoring.caps, key=lambda cap: (cap.ledger is not None, cap.group is not None))
        return tuple((cap, frozenset(rule.id for rule in rules if cap.covers(rule.id, rule.group))) for cap in caps)

    @cached_property
    def timed_conditions(self) -> dict[str | None, tuple[ConditionBase, ...]]:
        """For each stage the conditions by which time alone can change the score or the automatic actions there."""
        scoring = self.scoring
        always = [rule.condition for rule in scoring.fit] + [rule.condition for rule in scoring.levels]
        always += [scoring.temperature.hot, scoring.temperature.warm]
        return {stage: self._timed(*always, *self._automatic_conditions(stage)) for stage in self.edges}

    @cached_property
    def score_guarded(self) -> frozenset[str]:
        """The actions whose guard reads the score: their moves record the score and its entries as evidence."""
        return frozenset(
            action.name
            for action in self.actions
            if any(isinstance(one, Fit | Engagement | Level) for one in self.all_conditions(action.guard))
        )

    def _automatic_conditions(self, stage: str | None) -> list[ConditionBase | None]:
        conditions: list[ConditionBase | None] = [
            one for item, action in self.automation_at[stage] for one in (item.condition, action.guard)
        ]
        if self.threshold_action is not None and self.past_threshold(stage):
            conditions.append(self.threshold_action.guard)
        return conditions

    def past_threshold(self, stage: str | None) -> bool:
        """Whether the stage is open and at or after the first milestone's; there a journey is pinned to its policy."""
        here, first = self.stage_of.get(stage), self.stage_of[self.milestones[0].stage]
        return here is not None and here.kind == "open" and (here.order or 0) >= (first.order or 0)

    def all_conditions(self, *roots: ConditionBase | None) -> Iterator[ConditionBase]:
        """Every condition inside these, the named conditions they use included."""
        waiting = [root for root in roots if root is not None]
        while waiting:
            for _, node, _ in walk(waiting.pop()):
                if isinstance(node, Named):
                    waiting.append(self.conditions[node.condition])
                yield node

    def _timed(self, *roots: ConditionBase | None) -> tuple[ConditionBase, ...]:
        found = {one.model_dump_json(by_alias=True): one for one in self.all_conditions(*roots) if one.timed}
        return tuple(found.values())
