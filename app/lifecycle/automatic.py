"""Automatic actions: the automation of the policy, in order, until none applies."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from app.lifecycle.answer import Emit, Move
from app.lifecycle.decide import decide
from app.lifecycle.effects import applicable_effects, facts_after
from app.lifecycle.guard import MAX_AHEAD
from app.policy.document import Action, Automatic, Policy
from app.policy.facts import POLICY, Ask, Facts
from app.policy.policy_view import view_of
from app.scoring.score import Score, rescored, score, scored, with_score


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The facts after all steps, their score, the steps, and whether the threshold is no longer met."""

    facts: Facts
    score: Score
    steps: tuple[Move | Emit, ...]
    below_threshold: bool


def evaluate(policy: Policy, facts: Facts, now: datetime) -> Evaluation:
    """Score the facts, take the automatic steps, score again. Called after a change and at `evaluate_at`.

    No stage is entered twice, and no event emitted twice, in one run; so it ends.
    """
    known = score(policy, facts, now)
    facts = with_score(facts, known)
    steps: list[Move | Emit] = []
    entered, emitted = {facts.stage}, set[str]()
    while (step := _next(policy, facts, now, entered, emitted)) is not None:
        steps.append(step)
        facts = facts_after(facts, step)
        if isinstance(step, Emit):
            emitted.add(step.action)
            continue
        entered.add(step.to_stage)
        if step.set_baseline is not None:
            facts = scored(policy, facts, now)
    if steps:
        known = rescored(policy, facts, known, now)
        facts = with_score(facts, known)
    return Evaluation(facts, known, tuple(steps), below_threshold(policy, facts, now))


def below_threshold(policy: Policy, facts: Facts, now: datetime) -> bool:
    """Whether a journey at or after the first milestone's stage no longer meets the rule that leads there."""
    action = policy.threshold_action
    if action is None or action.guard is None or not policy.past_threshold(facts.stage):
        return False
    return not action.guard.holds(view_of(policy, facts, now))


def _next(
    policy: Policy, facts: Facts, now: datetime, entered: Collection[str | None], emitted: Collection[str]
) -> Move | Emit | None:
    for item, action in policy.automation_at.get(facts.stage, ()):
        step = None if item.do in emitted else _step(policy, facts, item, action, now)
        if isinstance(step, Emit) or (step is not None and step.to_stage not in entered):
            return step
    return None


def _step(policy: Policy, facts: Facts, item: Automatic, action: Action, now: datetime) -> Move | Emit | None:
    ask = Ask(item.do, POLICY, occurred_at=_occurred_at(facts, now), reason_code=item.reason_code)
    view = view_of(policy, facts, now, ask)
    if not all(one is None or one.holds(view) for one in (item.condition, action.guard)):
        return None
    if action.to != "same":
        decision = decide(policy, facts, ask, now)
        return decision if isinstance(decision, Move) else None
    emits = tuple(one.emit for one in applicable_effects(action.effects, view) if one.emit)
    due = facts.wake_at is not None and facts.wake_at <= now
    return Emit(action.name, emits, now, clears_wake=due)


def _occurred_at(facts: Facts, now: datetime) -> datetime:
    """The newest activity or the previous transition, whichever is later; now if there is neither."""
    instants = [one.occurred_at for one in facts.activities if one.occurred_at <= now + MAX_AHEAD]
    if facts.last_occurred_at is not None:
        instants.append(facts.last_occurred_at)
    return max(instants, default=now)
