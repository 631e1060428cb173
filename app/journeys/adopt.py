"""Moves journeys out of stages that the active policy lacks, by the mapping of its activation (docs/decisions/0046)."""

from __future__ import annotations

from app.journeys.apply import apply_move
from app.journeys.state import Change
from app.lifecycle.adopt import adopting


def adopt(change: Change) -> None:
    """Moves a journey that stood in such a stage when the policy became active; from then on it follows that version.

    A pinned journey that enters the stage later, by a version that has it, stays there.
    """
    lead, journey, active = change.lead, change.lead.journey, change.active
    if journey is None or journey.closed_at is not None or journey.stage in active.policy.stage_of:
        return
    to_stage, recorded_at = active.mapping.get(journey.stage or ""), lead.last_recorded_at
    later = journey.policy_id is not None and recorded_at is not None and recorded_at > active.activated_at
    if to_stage is None or later:
        return
    evidence: dict[str, object] = {"policy_version_before": change.published.number, "mapping": dict(active.mapping)}
    at = max(active.activated_at, lead.last_occurred_at or active.activated_at)
    move = adopting(active.policy, journey.stage, to_stage, lead.milestones, journey.wake_at, at, evidence)
    change.pinned = change.former = journey.policy_id = None
    lead.threshold_met = False  # the rule of this version was not met yet
    apply_move(change, move)
