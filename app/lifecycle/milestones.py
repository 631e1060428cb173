"""Milestones: which ones a move reaches or voids, and the fold of a log by which `baton verify` checks."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from app.policy.document import Policy, Stage


def skipped_stages(policy: Policy, from_stage: str | None, to_stage: str) -> tuple[Stage, ...]:
    """The open stages strictly between two open ones, by order; none when one of the two is not open."""
    start, end = policy.stage_of.get(from_stage or ""), policy.stage_of[to_stage]
    if start is None or start.kind != "open" or end.kind != "open" or start.order is None or end.order is None:
        return ()
    between = [one for one in policy.stages if one.kind == "open" and start.order < (one.order or 0) < end.order]
    return tuple(sorted(between, key=lambda stage: stage.order or 0))


def reached(
    policy: Policy, from_stage: str | None, to_stage: str, known: Collection[str], opportunity_class: str | None = None
) -> tuple[tuple[str, bool], ...]:
    """The milestones (name, skipped) that entering `to_stage` sets: the stage's own, those skipped, the class's."""
    skipped = {stage.name for stage in skipped_stages(policy, from_stage, to_stage)}
    found = []
    for milestone in policy.milestones:
        if milestone.name in known:
            continue
        if milestone.stage == to_stage or (opportunity_class and milestone.of_class == opportunity_class):
            found.append((milestone.name, False))
        elif milestone.stage in skipped:
            found.append((milestone.name, True))
    return tuple(found)


def of_class(policy: Policy, opportunity_class: str, known: Collection[str]) -> tuple[tuple[str, bool], ...]:
    """The milestones that an opportunity's first entry into the class sets."""
    names = (one.name for one in policy.milestones if one.of_class == opportunity_class and one.name not in known)
    return tuple((name, False) for name in names)


def after_target(policy: Policy, to_stage: str, known: Collection[str]) -> tuple[str, ...]:
    """The milestones to void: those of stages with a higher order than the target; none when it has no order."""
    order = policy.stage_of[to_stage].order
    if order is None:
        return ()
    return tuple(one.name for one in policy.milestones if one.name in known and _order(policy, one.stage) > order)


def _order(policy: Policy, stage: str | None) -> int:
    found = policy.stage_of.get(stage or "")
    return -1 if found is None or found.order is None else found.order


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the log, with the policy it was decided by. `opportunity_class` on the row of a conversion."""

    policy: Policy
    seq: int
    from_stage: str | None
    to_stage: str
    action: str
    opportunity_class: str | None = None


@dataclass(frozen=True, slots=True)
class Folded:
    """What a log amounts to. `milestones`: name → skipped, of those not voided. `faults`: where the log has a gap."""

    stage: str | None = None
    seq: int = 0
    milestones: dict[str, bool] = field(default_factory=dict)
    voided: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


def fold(transitions: Iterable[Step]) -> Folded:
    """Fold a journey's rows in the order of seq. Milestones an opportunity set later are not in this log."""
    folded = Folded()
    for step in transitions:
        folded = _folded(folded, step)
    return folded


def _folded(before: Folded, step: Step) -> Folded:
    faults = list(before.faults)
    if step.seq != before.seq + 1:
        faults.append(f"seq {step.seq} follows {before.seq}")
    if step.from_stage != before.stage:
        faults.append(f"seq {step.seq} leaves {step.from_stage}, the journey stood in {before.stage}")
    if step.to_stage not in step.policy.stage_of:
        faults.append(f"seq {step.seq} enters {step.to_stage}, which its policy lacks")
        return Folded(step.to_stage, step.seq, before.milestones, before.voided, tuple(faults))
    action = step.policy.action_of.get(step.action)
    voids = any(effect.void_milestones for effect in action.effects) if action else False
    voided = after_target(step.policy, step.to_stage, before.milestones) if voids else ()
    kept = {name: skipped for name, skipped in before.milestones.items() if name not in voided}
    new = reached(step.policy, step.from_stage, step.to_stage, kept, step.opportunity_class)
    return Folded(step.to_stage, step.seq, kept | dict(new), (*before.voided, *voided), tuple(faults))
