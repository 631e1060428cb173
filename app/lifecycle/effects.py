"""The effects of an allowed action: the Move with its effects resolved, and the facts after it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from app.lifecycle import correction
from app.lifecycle.answer import Emit, Move
from app.lifecycle.guard import may_override
from app.lifecycle.milestones import after_target, reached
from app.policy.actions import Action, Effect
from app.policy.document import Policy
from app.policy.facts import Ask, Facts
from app.policy.likelihood import probability
from app.policy.policy_view import PolicyView
from app.routing.route import Assignment, OwnerChange, assign


def move(view: PolicyView, action: Action, ask: Ask, to: str, occurred_at: datetime) -> Move:
    """The move along `action` into `to`, its effects resolved."""
    policy, facts = view.policy, view.facts
    effects = applicable_effects(action.effects, view)
    here, there = policy.stage_of.get(facts.stage), policy.stage_of[to]
    takes_back = any(one.void_milestones for one in effects)
    voids = after_target(policy, to, facts.milestones) if takes_back else ()
    voids_clocks = correction.ended_clocks(policy, to) if takes_back else ()
    assigning = next((one.assign for one in reversed(effects) if one.assign), None)
    if takes_back and assigning is None:
        assigning = correction.assigning(policy, facts, to)
    assignment = assign(policy, assigning, facts, ask) if assigning else Assignment("keep")
    entered = conversion_class(policy, facts.stage) if action.converts else None
    return Move(
        from_stage=facts.stage,
        to_stage=to,
        action=action.name,
        actor=ask.actor,
        occurred_at=occurred_at,
        reason_code=ask.reason_code,
        note=ask.note,
        correction_of=ask.correction_of,
        evidence=_evidence(view, action, ask),
        entries=facts.entries if action.name in policy.score_guarded else None,
        owner=assignment.owner,
        pool=assignment.pool,
        route=assignment.route,
        assigned=_assigned(facts, assigning, assignment),
        set_baseline=occurred_at if any(one.set_baseline for one in effects) else None,
        count_recycle=any(one.count == "recycles" for one in effects),
        wake_at=_wake_at(effects, ask, occurred_at, None if there.kind == "open" else facts.wake_at),
        milestones=reached(policy, facts.stage, to, facts.milestones - set(voids), entered),
        voids=voids,
        voids_clocks=voids_clocks,
        voids_routes=correction.ended_routes(policy, to) if takes_back else (),
        opens=facts.stage is None,
        closes=there.kind == "closed",
        reopens=here is not None and here.kind == "closed" and there.kind != "closed",
        corrects=action.corrects,
        pins=policy.past_threshold(to),
        unpins=there.kind == "parked" or (there.kind == "open" and not policy.past_threshold(to)),
        convert=action.converts or _converts(effects, ask),
        bant=ask.bant,
        emits=tuple(one.emit for one in effects if one.emit),
        starts_clocks=tuple(one.start_clock for one in effects if one.start_clock),
        stops_clocks=(*(one.stop_clock for one in effects if one.stop_clock), *voids_clocks),
        resumes_clocks=tuple(_started(view, to)) if takes_back else (),
    )


def _started(view: PolicyView, to: str) -> Iterator[str]:
    """The clocks that the actions leading into the stage would start now."""
    for action in correction.actions_into(view.policy, to):
        yield from (one.start_clock for one in applicable_effects(action.effects, view) if one.start_clock)


def applicable_effects(effects: Iterable[Effect], view: PolicyView) -> list[Effect]:
    """The effects whose condition holds or that have none."""
    return [one for one in effects if one.condition is None or one.condition.holds(view)]


def conversion_class(policy: Policy, stage: str | None) -> str | None:
    """The class of the opportunity that a conversion from this stage creates; None if it cannot convert."""
    fast = policy.conversion.fast_track
    early = fast.of_class if fast is not None and stage in fast.sources else None
    return policy.conversion.classes.get(stage or "", early)


def facts_after(facts: Facts, step: Move | Emit) -> Facts:
    """The facts after the step. The score stays the old one: `evaluate` computes it anew where it can change."""
    if isinstance(step, Emit):
        return replace(facts, wake_at=None) if step.clears_wake else facts
    at, owner = step.occurred_at, _owner_after(facts.owner_id, step.owner)
    who = step.actor if owner is not None and owner == step.actor.user_id else None
    closing = {"closed_at": at, "closing_reason": step.reason_code, "held_stage": step.from_stage}
    return replace(
        facts,
        stage=step.to_stage,
        seq=facts.seq + 1,
        baseline_at=step.set_baseline or facts.baseline_at,
        opened_at=at if step.opens else facts.opened_at,
        last_occurred_at=at,
        milestones=(facts.milestones - set(step.voids)) | {name for name, _ in step.milestones},
        corrected=step.corrects or (facts.corrected and not step.opens),
        assigned_at=step.assigned_at(facts.assigned_at),
        previous_owner_id=facts.owner_id if facts.owner_id not in (None, owner) else facts.previous_owner_id,
        confirmations=facts.confirmations + step.bant,
        owner_id=owner,
        owner_public_id=facts.owner_public_id if owner == facts.owner_id else who.id if who else None,
        owner_role=facts.owner_role if owner == facts.owner_id else who.role if who else None,
        owner_team=facts.owner_team if owner == facts.owner_id else who.team if who else None,
        wake_at=step.wake_at,
        **(closing if step.closes else {"closed_at": None, "closing_reason": None} if step.reopens else {}),
    )


def _owner_after(before: UUID | None, change: OwnerChange) -> UUID | None:
    if isinstance(change, UUID):
        return change
    return before if change == "keep" else None


def _evidence(view: PolicyView, action: Action, ask: Ask) -> dict[str, object]:
    evidence: dict[str, object] = {}
    if action.name in view.policy.score_guarded:
        evidence |= {"fit": view.fit, "engagement": view.engagement, "level": view.level}
    if action.name in view.policy.likelihood_guarded:
        model = view.facts.model
        evidence["likelihood"] = {"probability": probability(view), "model": None if model is None else model.version}
    if may_override(action, ask):
        evidence["override_reason"] = ask.override_reason
        evidence["unmet"] = action.guard.unmet(view) if action.guard else []
    return evidence


def _assigned(facts: Facts, assigning: str | None, assignment: Assignment) -> bool:
    if not isinstance(assignment.owner, UUID):
        return assignment.pool is not None
    claimed = assigning == "actor" and facts.owner_id is None and facts.assigned_at is not None
    return assignment.owner != facts.owner_id and not claimed


def _wake_at(effects: list[Effect], ask: Ask, at: datetime, default: datetime | None) -> datetime | None:
    days = next((one.wake_after_days for one in effects if one.wake_after_days), None)
    if days is None:
        return default
    return ask.wake_at or at + timedelta(days=days)


def _converts(effects: list[Effect], ask: Ask) -> bool:
    converting = [one.convert for one in effects if one.convert is not None]
    return bool(converting) and (converting[-1] if ask.convert is None else ask.convert)
