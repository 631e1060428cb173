"""Automatic steps of the policy. The same function runs after every change and when a lead is due (refresh.py)."""

from __future__ import annotations

from datetime import datetime

from app import ids
from app.events.record import NewEvent
from app.journeys.adopt import adopt
from app.journeys.apply import apply_emit, apply_move, expire_offer
from app.journeys.clocks import meet_by_attempts
from app.journeys.overdue import breach, next_stall, stall
from app.journeys.state import Change, earliest
from app.lifecycle.answer import Move
from app.lifecycle.automatic import below_threshold
from app.lifecycle.automatic import evaluate as decide_steps
from app.lifecycle.clocks import next_breach
from app.scoring.score import score, with_score
from app.web.fields import rfc3339


def catch_up(change: Change) -> None:
    """Evaluates at each past instant at which time alone made a difference, before anything else changes the lead."""
    while change.evaluate_at is not None and change.evaluate_at <= change.now:
        expire_offer(change, change.evaluate_at)
        _evaluate(change, change.evaluate_at, by_time=True)


def evaluate(change: Change) -> bool:
    """Scores the lead, applies every automatic step and sets `evaluate_at`. True if there is a transition or event."""
    adopt(change)
    _end_correction(change)
    return _evaluate(change, change.now, by_time=False)


def score_at(change: Change, at: datetime) -> None:
    """Scores the lead at `at` for an answer; time alone may also have brought it above the threshold again."""
    policy, facts = change.published.policy, change.facts()
    change.score = score(policy, facts, at)
    if change.lead.below_threshold_since is not None and not below_threshold(
        policy, with_score(facts, change.score), at
    ):
        change.lead.below_threshold_since = None


def _end_correction(change: Change) -> None:
    """Lets the policy move a corrected journey again, once interest or a changed field is recorded."""
    journey = change.lead.journey
    interest = any(new.activity.kind == "interest" for new in change.new_activities)
    if journey is not None and journey.corrected_at and (interest or change.before.keys() & {"fields", "custom"}):
        journey.corrected_at = None
        change.touch(journey)


def _evaluate(change: Change, at: datetime, *, by_time: bool) -> bool:
    if change.lead.journey is None:
        change.score, change.evaluate_at = score(change.published.policy, change.facts(), at), None
        return False
    meet_by_attempts(change)
    breach(change, at)
    evaluation = decide_steps(change.published.policy, change.facts(), at, by_time=by_time)
    change.score = evaluation.score
    change.lead.threshold_met = evaluation.facts.threshold_met
    for step in evaluation.steps:
        if isinstance(step, Move):
            apply_move(change, step)
        else:
            apply_emit(change, step)
    stall(change, at)
    change.evaluate_at = earliest(change.score.evaluate_at, next_breach(change.lead.clocks), next_stall(change))
    wake_for_offer(change)
    return _update_below_threshold(change, evaluation.below_threshold) or bool(evaluation.steps)


def wake_for_offer(change: Change) -> None:
    """The lead is due when its offer to a partner ends, if not earlier."""
    journey = change.lead.journey
    if journey is not None and journey.offer is not None:
        change.evaluate_at = min(change.evaluate_at or journey.offer.accept_by, journey.offer.accept_by)


def _update_below_threshold(change: Change, below: bool) -> bool:
    """A falling score only sets `below_threshold_since`, with one event (lifecycle.md, section 3, rule 2)."""
    lead = change.lead
    since, lead.below_threshold_since = lead.below_threshold_since, None
    if not below:
        return False
    lead.below_threshold_since = since or change.now
    if since is not None or change.score is None:
        return False
    data = {
        "lead_id": ids.show("lead", lead.id),
        "fit": change.score.fit,
        "engagement": change.score.engagement,
        "since": rfc3339(change.now),
    }
    change.late_events.append(NewEvent("lead.below_threshold", data, change.now))
    return True
