"""The policy document (schema.md, section 1) as types, with cached lookups derived from it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field

from app.policy.actions import Action, Automatic, Identifier, Milestone, Reason, Stage
from app.policy.clocks import Clock
from app.policy.conditions import Condition, Named, walk
from app.policy.field_word import comparison_key
from app.policy.likelihood import Likelihood
from app.policy.opportunity import Benchmark, Conversion, FastTrack, Opportunity, Reinquiry
from app.policy.person_words import PersonaIs
from app.policy.routes import Route, Team
from app.policy.scoring import Cap, EngagementRule, FitRule, Persona, Scoring
from app.policy.shape import One
from app.policy.view import ConditionBase, Part
from app.policy.words import Engagement, Fit, Level, Name, Role


class Policy(Part):
    """A whole policy document. The lookups below expect one in which `check.faults` finds nothing."""

    schema_number: One = Field(alias="schema")
    name: Identifier
    title: Annotated[str, Field(min_length=1, max_length=200)]
    review: Literal["monthly", "quarterly", "none"]
    approvals: Annotated[tuple[Literal["marketing", "sales"], ...], Field(max_length=2)]
    stages: Annotated[tuple[Stage, ...], Field(min_length=1, max_length=32)]
    milestones: Annotated[tuple[Milestone, ...], Field(min_length=1, max_length=64)]
    conditions: dict[Identifier, Condition]
    personas: Annotated[tuple[Persona, ...], Field(max_length=50)] = ()
    actions: Annotated[tuple[Action, ...], Field(min_length=1, max_length=64)]
    automation: Annotated[tuple[Automatic, ...], Field(max_length=64)]
    reasons: dict[Identifier, tuple[Reason, ...]]
    scoring: Scoring
    lists: dict[Identifier, Annotated[tuple[Name, ...], Field(max_length=10_000)]]
    routing: dict[Identifier, Route]
    teams: Annotated[dict[Name, Team], Field(max_length=100)] = Field(default_factory=dict)
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
    def persona_conditions(self) -> dict[str, ConditionBase]:
        """The conditions of the personas by name."""
        return {persona.name: persona.condition for persona in self.personas}

    @cached_property
    def partners(self) -> frozenset[str | None]:
        """The names of the teams that are partners."""
        return frozenset(name for name, team in self.teams.items() if team.kind == "partner")

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
    def rule_ids(self) -> tuple[str, ...]:
        """The ids of all rules of the score, in the order of the document."""
        return (*(rule.id for rule in self.scoring.fit), *(rule.id for rule in self.scoring.engagement))

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
        return self._guarded_by(Fit, Engagement, Level)

    @cached_property
    def likelihood_guarded(self) -> frozenset[str]:
        """The actions whose guard reads the likelihood: their moves record it as evidence."""
        return self._guarded_by(Likelihood)

    def _guarded_by(self, *words: type[ConditionBase]) -> frozenset[str]:
        guarded = (
            one for one in self.actions if any(isinstance(part, words) for part in self.all_conditions(one.guard))
        )
        return frozenset(one.name for one in guarded)

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
        """Every condition inside these, and inside the named conditions and personas that they use."""
        waiting = [root for root in roots if root is not None]
        named: set[int] = set()  # each is followed once, also where they refer to each other in a circle
        while waiting:
            for _, node, _ in walk(waiting.pop()):
                inner = [one for one in self._named_by(node) if id(one) not in named]
                named.update(map(id, inner))
                waiting.extend(inner)
                yield node

    def _named_by(self, node: ConditionBase) -> list[ConditionBase]:
        known = self.conditions if isinstance(node, Named) else self.persona_conditions
        names = (node.condition,) if isinstance(node, Named) else node.persona if isinstance(node, PersonaIs) else ()
        return [known[name] for name in names if name in known]

    def _timed(self, *roots: ConditionBase | None) -> tuple[ConditionBase, ...]:
        found = {one.model_dump_json(by_alias=True): one for one in self.all_conditions(*roots) if one.timed}
        return tuple(found.values())
