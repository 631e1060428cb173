"""Automatic actions: the automation of the policy, in order, until none applies."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import datetime

from app.lifecycle.answer import Emit, Move
from app.lifecycle.decide import decide
from app.lifecycle.effects import applicable_effects, facts_after
from app.lifecycle.guard import MAX_AHEAD
from app.policy.actions import Action, Automatic
from app.policy.document import Policy
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


def evaluate(policy: Policy, facts: Facts, now: datetime, *, by_time: bool = False) -> Evaluation:
    """Score the facts, take the automatic steps, score again. Called after a change, and by time at `evaluate_at`.

    A move that a change made true occurs at the newest activity, one that time made true occurs now; neither before the
    previous transition. No stage is entered twice, and no event emitted twice, in one run; so it ends.
    """
    known = score(policy, facts, now)
    facts = with_score(facts, known)
    steps: list[Move | Emit] = []
    for step, after in automatic_steps(policy, facts, now, by_time=by_time):
        steps.append(step)
        facts = after
    if steps:
        known = rescored(policy, facts, known, now)
        facts = with_score(facts, known)
    below = below_threshold(policy, facts, now)
    if not facts.threshold_met and policy.past_threshold(facts.stage):
        facts = replace(facts, threshold_met=meets_threshold(policy, facts, now))
    return Evaluation(facts, known, tuple(steps), below)


def automatic_steps(
    policy: Policy, facts: Facts, now: datetime, *, by_time: bool = False
) -> Iterator[tuple[Move | Emit, Facts]]:
    """The automatic steps of scored facts, in order, each with the facts after it; what `evaluate` takes."""
    entered, emitted = {facts.stage}, set[str]()
    at = now if by_time else _newest_activity(facts, now)
    while (step := _next(policy, facts, now, at, entered, emitted)) is not None:
        facts = facts_after(facts, step)
        if isinstance(step, Emit):
            emitted.add(step.action)
        else:
            entered.add(step.to_stage)
            if step.set_baseline is not None:
                facts = scored(policy, facts, now)
        yield step, facts


def below_threshold(policy: Policy, facts: Facts, now: datetime) -> bool:
    """Whether a journey no longer meets the rule of the first milestone, which it met since it reached that."""
    return facts.threshold_met and policy.past_threshold(facts.stage) and not meets_threshold(policy, facts, now)


def meets_threshold(policy: Policy, facts: Facts, now: datetime) -> bool:
    """Whether the rule that leads to the first milestone's stage holds; True if there is no such rule."""
    action = policy.threshold_action
    return action is None or action.guard is None or action.guard.holds(view_of(policy, facts, now))


def _next(
    policy: Policy,
    facts: Facts,
    now: datetime,
    at: datetime,
    entered: Collection[str | None],
    emitted: Collection[str],
) -> Move | Emit | None:
    for item, action in policy.automation_at.get(facts.stage, ()):
        step = None if item.do in emitted else _step(policy, facts, item, action, now, at)
        if isinstance(step, Emit) or (step is not None and step.to_stage not in entered):
            return step
    return None


def _step(
    policy: Policy, facts: Facts, item: Automatic, action: Action, now: datetime, at: datetime
) -> Move | Emit | None:
    if facts.corrected and action.to != "same":
        return None
    ask = Ask(item.do, POLICY, occurred_at=max(at, facts.last_occurred_at or at), reason_code=item.reason_code)
    view = view_of(policy, facts, now, ask)
    if not all(one is None or one.holds(view) for one in (item.condition, action.guard)):
        return None
    if action.to != "same":
        decision = decide(policy, facts, ask, now)
        return decision if isinstance(decision, Move) else None
    emits = tuple(one.emit for one in applicable_effects(action.effects, view) if one.emit)
    due = facts.wake_at is not None and facts.wake_at <= now
    return Emit(action.name, emits, now, clears_wake=due)


def _newest_activity(facts: Facts, now: datetime) -> datetime:
    """The instant of the newest activity; now if there is none, unless the journey has a previous transition."""
    instants = [one.occurred_at for one in facts.activities if one.occurred_at <= now + MAX_AHEAD]
    return max(instants, default=facts.last_occurred_at or now)
