"""Replays one journey under a policy: when would the policy by itself have made it reach the first milestone?

At each instant only what had been recorded by then is seen. Of what people did to the journey only its opening, closing
and reopening are repeated: under another policy they would have been shown another lead, or none.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app.lifecycle.answer import Emit, Move
from app.lifecycle.automatic import automatic_steps
from app.policy.conditions import AllOf, AnyOf, AtLeast, Named, Not, When
from app.policy.document import Policy
from app.policy.facts import POLICY, Activity, Ask, Confirmation, Facts, IcpException
from app.policy.field_word import FieldIs
from app.policy.model import Model
from app.policy.person_words import ConsentIs, HasException, PersonaIs
from app.policy.policy_view import PolicyView
from app.policy.view import ConditionBase
from app.policy.words import Bant, Contactable, Engagement, Fit, HasActivity, Identities, Level
from app.scoring.ledger import capped, engagement_entries, fit_entries, next_decay, total
from app.scoring.score import scored

MAX_ACTIVITIES: Final = 500  # the latest, as in every evaluation (app/journeys/sql.py)
KNOWN: Final = ("fields", "custom", "consents", "exception", "identities")
OF_LEAD: Final = (*KNOWN, "contactable", "activities", "confirmations", "model")
OF_PERSON: Final = (ConsentIs, Contactable, HasException, Identities, PersonaIs)
OF_FIELDS: Final = (AllOf, AnyOf, AtLeast, Named, Not, When, *OF_PERSON)


@dataclass(frozen=True, slots=True)
class Known:
    """What was known of a lead from an instant on, until the next of these."""

    since: datetime
    fields: Mapping[str, Any]
    custom: Mapping[str, Any]
    consents: Mapping[str, str] = field(default_factory=dict)
    exception: IcpException | None = None
    identities: int = 1


@dataclass(frozen=True, slots=True)
class Past:
    """One journey as it was recorded. `open`: from when to when, None where it still is. `stage`: where it opened.

    `states`, `activities`, `confirmations` and `models` each begin with the instant since which they are known, and are
    in that order.
    """

    id: UUID
    stage: str
    opened_at: datetime
    open: tuple[tuple[datetime, datetime | None], ...]
    states: tuple[Known, ...]
    activities: tuple[tuple[datetime, Activity], ...] = ()
    confirmations: tuple[tuple[datetime, Confirmation], ...] = ()
    models: tuple[tuple[datetime, Model], ...] = ()
    baseline_at: datetime | None = None
    first_touch: Mapping[str, Any] | None = None

    def is_open(self, at: datetime) -> bool:
        return any(start <= at and (end is None or at < end) for start, end in self.open)

    def moments(self) -> list[datetime]:
        """When something became known while the journey was open, and when it opened or was reopened."""
        recorded = {*map(_since, self.activities), *map(_since, self.confirmations)}
        known = sorted(recorded.union(one.since for one in self.states))
        found: list[datetime] = []
        for start, end in self.open:
            before = len(known) if end is None else bisect_left(known, end)
            found += [start, *known[bisect_right(known, start) : before]]
        return found


@dataclass(frozen=True, slots=True)
class Outcome:
    """`reached_at`: when the milestone was reached; `decided_at`: when that could be known; None if it was not.

    `due_at`: when time alone may change that next.
    """

    reached_at: datetime | None = None
    decided_at: datetime | None = None
    due_at: datetime | None = None


class Replay:
    """Replays journeys under one policy.

    A complete evaluation at every instant would cost twenty times as much. So what the conditions of automatic steps
    need of the fields is looked at first, once for all instants with the same fields; of the instants at which time
    changes something only those are looked at that can make a condition true (`_rises`: more points never make one
    false); and no step is tried before its conditions hold.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self._first = policy.milestones[0].name
        fits = [rule.condition for rule in policy.scoring.fit]
        levels = [rule.condition for rule in policy.scoring.levels]
        self._fit_by_fields = all(map(_is_of_fields, policy.all_conditions(*fits)))
        self._steps = {
            stage: [
                (Ask(item.do, POLICY, reason_code=item.reason_code), _present(item.condition, action.guard))
                for item, action in steps
            ]
            for stage, steps in policy.automation_at.items()
        }
        roots = [root for steps in self._steps.values() for _, conditions in steps for root in conditions]
        self._reads_level = any(isinstance(one, Level) for one in policy.all_conditions(*_of_actions(policy)))
        scoring = [*fits, *levels] if self._reads_level else fits
        negated = list(policy.all_conditions(*_negated(policy, *scoring, *roots)))
        self._rises = not self._reads_level and not any(isinstance(one, Engagement) for one in negated)
        ends = () if any(one.timed for one in negated) or self._reads_level else (HasActivity, Bant)
        self._timed = {
            stage: [
                one
                for one in policy.all_conditions(*scoring, *(root for _, conditions in steps for root in conditions))
                if one.timed and not isinstance(one, ends)
            ]
            for stage, steps in self._steps.items()
        }
        self._needed = {
            stage: [_present(*map(self._needed_of, conditions)) for _, conditions in steps]
            for stage, steps in self._steps.items()
        }
        self._decaying = {
            name: points
            for name, rules in policy.rules_for.items()
            if (points := [rule.points for rule in rules if rule.points < 0 or not self._rises])
        }

    def of(self, past: Past, until: datetime) -> Outcome:
        """Whether and when the journey reaches the first milestone, by what was recorded up to `until`."""
        journey = self._opening(past)
        fit, possible = 0, False
        state: Known | None = None
        due: datetime | None = None
        moments = deque(at for at in past.moments() if at <= until)
        while moments or due is not None:
            by_time = due is not None and (not moments or due < moments[0])
            at = due if due is not None and by_time else moments.popleft()
            if not past.is_open(at):
                due = None
                continue
            if at > until:
                return Outcome(due_at=at)
            if not by_time:
                before, state = state, _latest(past.states, at)
                if state is not before:
                    fit, possible = self._by_fields(journey, state, at)
                if not possible:
                    due = None
                    continue
                facts = _facts_at(journey, past, state, at)
            fit = fit if self._fit_by_fields else self._fit(facts, at)
            for step, after in self._acts(facts, fit, at, by_time=by_time):
                facts, journey, state = after, _of_journey(after), None
                if isinstance(step, Move) and self._first in dict(step.milestones):
                    return Outcome(step.occurred_at, at)
            due = self._next_change(facts, fit, at)
        return Outcome()

    def _opening(self, past: Past) -> dict[str, Any]:
        """What the facts say of the journey when it opens."""
        return {
            "stage": past.stage if past.stage in self.policy.stage_of else self._first_stage(),
            "seq": 1,
            "opened_at": past.opened_at,
            "last_occurred_at": past.opened_at,
            "baseline_at": past.baseline_at,
            "first_touch": past.first_touch,
        }

    def _first_stage(self) -> str:
        """Where this policy opens journeys."""
        stages = self.policy.stage_of
        return next((one.to for one in self.policy.edges[None] if one.to in stages), self.policy.stages[0].name)

    def _fit(self, facts: Facts, at: datetime) -> int:
        bare = PolicyView(self.policy, facts, at, 0, 0, 0, facts.confirmations, None, facts.stage)
        return total(capped(self.policy, "fit", fit_entries(self.policy, bare)))

    def _by_fields(self, journey: Mapping[str, Any], state: Known, at: datetime) -> tuple[int, bool]:
        """The fit as far as the fields give it, and whether an automatic step is possible while they are the same."""
        facts = _facts_of(journey, state)
        fit = self._fit(facts, at) if self._fit_by_fields else 0
        view = PolicyView(self.policy, facts, at, fit, 0, 0, (), None, facts.stage)
        return fit, any(all(one.holds(view) for one in needed) for needed in self._needed.get(facts.stage, ()))

    def _acts(self, facts: Facts, fit: int, at: datetime, *, by_time: bool) -> Iterable[tuple[Move | Emit, Facts]]:
        """The automatic steps, each with the facts after it; looked for only where the conditions of one hold."""
        if self._reads_level:  # which costs more than to look for steps
            return automatic_steps(self.policy, scored(self.policy, facts, at), at, by_time=by_time)
        engagement = total(capped(self.policy, "engagement", engagement_entries(self.policy, facts, at)))
        if not self._any_holds(facts, fit, engagement, at):
            return ()
        facts = replace(facts, fit=fit, engagement=engagement)
        return automatic_steps(self.policy, facts, at, by_time=by_time)

    def _any_holds(self, facts: Facts, fit: int, engagement: int, at: datetime) -> bool:
        for ask, conditions in self._steps.get(facts.stage, ()):
            view = PolicyView(self.policy, facts, at, fit, engagement, 0, facts.confirmations, ask, facts.stage)
            if all(one.holds(view) for one in conditions):
                return True
        return False

    def _needed_of(self, condition: ConditionBase) -> ConditionBase | None:
        """The part of a condition that fields alone decide and without which it is false; None if there is none."""
        if isinstance(condition, Named):
            return self._needed_of(self.policy.conditions[condition.condition])
        if isinstance(condition, AllOf | AnyOf):
            parts = [self._needed_of(one) for one in condition.of]
            needed = tuple(_present(*parts))
            if isinstance(condition, AllOf):
                return AllOf.model_validate({"all": needed}) if needed else None
            return AnyOf.model_validate({"any": needed}) if len(needed) == len(parts) else None
        inside = self.policy.all_conditions(condition)
        of_fields = all(_is_of_fields(one) or (self._fit_by_fields and isinstance(one, Fit)) for one in inside)
        return condition if of_fields else None

    def _next_change(self, facts: Facts, fit: int, at: datetime) -> datetime | None:
        if not self._timed.get(facts.stage) and all(one.type not in self._decaying for one in facts.activities):
            return None
        view = PolicyView(self.policy, facts, at, fit, 0, 0, facts.confirmations, None, facts.stage)
        return min((one for one in self._changes(view) if one > at), default=None)

    def _changes(self, view: PolicyView) -> Iterator[datetime]:
        for one in view.facts.activities:
            for points in self._decaying.get(one.type, ()):
                if at := next_decay(self.policy, points, one.occurred_at, view.now):
                    yield at
        for condition in self._timed.get(view.facts.stage, ()):
            yield from condition.changes(view)


def _of_journey(facts: Facts) -> dict[str, Any]:
    """What the facts say beside what is known of the lead."""
    return {one.name: getattr(facts, one.name) for one in fields(Facts) if one.name not in OF_LEAD}


def _facts_at(journey: Mapping[str, Any], past: Past, state: Known, at: datetime) -> Facts:
    """The facts of the replayed journey with what was known of the lead at that instant."""
    activities = [one for _, one in past.activities[: bisect_right(past.activities, at, key=_since)]]
    if len(activities) > MAX_ACTIVITIES:
        activities = sorted(activities, key=lambda one: one.occurred_at)[-MAX_ACTIVITIES:]
    models = past.models[: bisect_right(past.models, at, key=_since)]
    return _facts_of(
        journey,
        state,
        activities=tuple(activities),
        confirmations=tuple(one for known_at, one in past.confirmations if known_at <= at),
        model=models[-1][1] if models else None,
    )


def _facts_of(journey: Mapping[str, Any], state: Known, **recorded: Any) -> Facts:
    """The facts of the replayed journey with these fields, and what else had been recorded."""
    return Facts(  # not `replace`, which takes three times as long
        **journey,
        fields=state.fields,
        custom=state.custom,
        consents=state.consents,
        exception=state.exception,
        identities=state.identities,
        contactable=bool(state.fields.get("email") or state.fields.get("phone")),
        **recorded,
    )


def _since(known: tuple[datetime, object]) -> datetime:
    return known[0]


def _latest(states: Sequence[Known], at: datetime) -> Known:
    return states[max(bisect_right(states, at, key=lambda one: one.since) - 1, 0)]


def _of_actions(policy: Policy) -> Iterator[ConditionBase | None]:
    """All conditions that decide on automatic actions and what they do."""
    fast = policy.conversion.fast_track
    yield fast.condition if fast else None
    for item in policy.automation:
        action = policy.action_of[item.do]
        yield from (item.condition, action.guard)
        yield from (one.condition for one in action.to_if)
        yield from (one.condition for one in action.effects)


def _present(*conditions: ConditionBase | None) -> list[ConditionBase]:
    return [one for one in conditions if one is not None]


def _is_of_fields(condition: ConditionBase) -> bool:
    """Whether the condition depends on what is known of the lead, and on neither time nor activities."""
    if isinstance(condition, FieldIs):
        return not condition.timed and not condition.field.startswith("bant.")
    return isinstance(condition, OF_FIELDS)


def _negated(policy: Policy, *roots: ConditionBase) -> Iterator[ConditionBase]:
    """The conditions by which another becomes false when they become true."""
    for one in policy.all_conditions(*roots):
        if isinstance(one, Not):
            yield one.negated
        elif isinstance(one, When):
            yield one.when
