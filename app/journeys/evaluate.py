"""Automatic steps of the policy. The same function runs after every change and when a lead is due (refresh.py)."""

from __future__ import annotations

from app import ids
from app.events.record import NewEvent
from app.journeys.apply import apply_emit, apply_move
from app.journeys.state import Change
from app.lifecycle.answer import Move
from app.lifecycle.automatic import evaluate as decide_steps
from app.scoring.score import score
from app.web.fields import rfc3339


def evaluate(change: Change) -> bool:
    """Scores the lead, applies every automatic step and sets `evaluate_at`. True if there is a transition or event."""
    facts = change.facts()
    if facts.stage is None:
        change.score = score(change.published.policy, facts, change.now)
        return False
    evaluation = decide_steps(change.published.policy, facts, change.now)
    change.score, change.evaluate_at = evaluation.score, evaluation.score.evaluate_at
    for step in evaluation.steps:
        if isinstance(step, Move):
            apply_move(change, step)
        else:
            apply_emit(change, step)
    return _update_below_threshold(change, evaluation.below_threshold) or bool(evaluation.steps)


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
