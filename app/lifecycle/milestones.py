"""Milestones: which ones a move reaches or voids, and the fold of a log, which `baton verify` compares with."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from app.policy.document import Policy


def reached(
    policy: Policy, from_stage: str | None, to_stage: str, known: Collection[str], opportunity_class: str | None = None
) -> tuple[tuple[str, bool], ...]:
    """The new milestones (name, skipped) of a move: those of `to_stage`, of skipped stages, and of the class."""
    skipped = {stage.name for stage in policy.between(from_stage, to_stage)}
    found = []
    for milestone in policy.milestones:
        if milestone.name in known:
            continue
        if milestone.stage == to_stage or (opportunity_class and milestone.of_class == opportunity_class):
            found.append((milestone.name, False))
        elif milestone.stage in skipped:
            found.append((milestone.name, True))
    return tuple(found)


def after_target(policy: Policy, to_stage: str, known: Collection[str]) -> tuple[str, ...]:
    """The milestones to void: those of stages with a higher order than the target; none when it has no order."""
    order = policy.stage_of[to_stage].order
    if order is None:
        return ()
    later = {stage.name for stage in policy.stages if stage.order is not None and stage.order > order}
    return tuple(one.name for one in policy.milestones if one.name in known and one.stage in later)


@dataclass(frozen=True, slots=True)
class Step:
    """One row of the log with the policy that decided it. `opportunity_class` is set on the row of a conversion."""

    policy: Policy
    seq: int
    from_stage: str | None
    to_stage: str
    action: str
    opportunity_class: str | None = None


@dataclass(frozen=True, slots=True)
class Folded:
    """The state that a log results in. `milestones`: name → skipped, without voided ones. `faults`: inconsistencies."""

    stage: str | None
    seq: int
    milestones: dict[str, bool]
    faults: tuple[str, ...]


def fold_log(log: Iterable[Step]) -> Folded:
    """Fold a journey's rows in the order of seq. Milestones set later by an opportunity are not in this log."""
    stage: str | None = None
    seq = 0
    milestones: dict[str, bool] = {}
    faults = []
    for step in log:
        if step.seq != seq + 1:
            faults.append(f"seq {step.seq} follows {seq}")
        if step.from_stage != stage:
            faults.append(f"seq {step.seq} leaves {step.from_stage}, but the journey was in {stage}")
        stage, seq = step.to_stage, step.seq
        if stage not in step.policy.stage_of:
            if stage == step.policy.merged_stage:
                continue  # entered by merging leads, also under a policy that does not name it
            faults.append(f"seq {seq} enters {stage}, which is not a stage of its policy")
            continue
        action = step.policy.action_of.get(step.action)
        if action and any(effect.void_milestones for effect in action.effects):
            for name in after_target(step.policy, stage, milestones):
                del milestones[name]
        milestones |= reached(step.policy, step.from_stage, stage, milestones, step.opportunity_class)
    return Folded(stage, seq, milestones, tuple(faults))
