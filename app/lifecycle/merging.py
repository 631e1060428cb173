"""Merging two leads: who may, which lead remains, and which journey goes on (lifecycle.md, section 6)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from app.lifecycle.answer import HumanRequired, Move, Refused, RoleNotAllowed
from app.policy.document import Policy
from app.policy.facts import Actor
from app.policy.words import may

MERGE: Final = "merge_into"
UNMERGE: Final = "unmerge"
REASON: Final = "merged"
MERGERS: Final = ("marketing", "manager")


@dataclass(frozen=True, slots=True)
class Standing:
    """How far a lead is: its present journey under the journey's policy, and since when the lead is known.

    `held_stage`: the stage before the present one.
    """

    policy: Policy
    stage: str | None
    held_stage: str | None
    closed_at: datetime | None
    known_since: datetime

    @property
    def is_open(self) -> bool:
        """Whether the journey is open or parked."""
        return self.stage is not None and self.closed_at is None

    @property
    def order(self) -> float:
        """The order of the stage; one without an order comes just before the stage that was left for it."""
        stages = [self.policy.stage_of.get(name) for name in (self.stage, self.held_stage)]
        here, before = [stage.order if stage else None for stage in stages]
        if here is not None:
            return here
        return -1 if before is None else before - 0.5


def refused_merger(actor: Actor, action: str = MERGE) -> Refused | None:
    """The refusal if the actor may not merge leads or undo it: only people of marketing and managers may."""
    if actor.kind != "human":
        return Refused(HumanRequired(action))
    return None if may(actor.role, MERGERS) else Refused(RoleNotAllowed(action, actor.role, MERGERS))


def remaining(one: Standing, other: Standing) -> Standing:
    """The lead that remains where nobody named one: with an open journey, then further advanced, then older."""
    return min(one, other, key=lambda it: (not it.is_open, -it.order, it.known_since))


def going_on(one: Standing, other: Standing) -> Standing:
    """The lead whose journey is the present one of both: the open one, of two open ones the further advanced, of two
    closed ones the one that ended last."""
    return min(one, other, key=_presence)


def _presence(of: Standing) -> tuple[int, float, float]:
    known = of.known_since.timestamp()
    if of.stage is None:
        return 2, 0, known
    return (0, -of.order, known) if of.closed_at is None else (1, -of.closed_at.timestamp(), known)


def closing(of: Standing, actor: Actor, at: datetime, evidence: dict[str, object]) -> Move:
    """The move that closes a journey because another one of the same person goes on."""
    return Move(of.stage, of.policy.merged_stage, MERGE, actor, at, reason_code=REASON, evidence=evidence, closes=True)


def reopening(of: Standing, actor: Actor, at: datetime, wake_at: datetime | None) -> Move | None:
    """The move that gives back the stage that merging closed; None if the journey has moved since."""
    if of.stage != of.policy.merged_stage or of.held_stage is None:
        return None
    return Move(of.stage, of.held_stage, UNMERGE, actor, at, wake_at=wake_at, reopens=True)
