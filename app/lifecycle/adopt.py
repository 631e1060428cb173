"""A journey leaves a stage that the active version of the policy lacks, by the mapping given at its activation."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import Final

from app.lifecycle.answer import Move
from app.lifecycle.milestones import reached
from app.policy.document import Policy
from app.policy.facts import POLICY

CHANGE_POLICY: Final = "change_policy"


def adopting(
    policy: Policy,
    stage: str | None,
    to_stage: str,
    milestones: Collection[str],
    wake_at: datetime | None,
    at: datetime,
    evidence: dict[str, object],
) -> Move:
    """The move into a stage of the new version, which the journey follows from then on. It has no other effects."""
    there = policy.stage_of[to_stage]
    return Move(
        stage,
        to_stage,
        CHANGE_POLICY,
        POLICY,
        at,
        evidence=evidence,
        wake_at=wake_at if there.kind == "parked" else None,
        milestones=reached(policy, stage, to_stage, milestones),
        pins=policy.past_threshold(to_stage),
    )
