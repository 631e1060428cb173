"""Apply decided moves to a `Change`, in memory: transition, journey, owner, milestones, pinned policy and events."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from app import ids
from app.events.record import NewEvent
from app.journeys.clocks import end_clocks, move_clocks
from app.journeys.state import Change, Journey, Lead, Offer, Owner, Routing, Step
from app.lifecycle.answer import Emit, Move
from app.lifecycle.profile import profile
from app.policies.published import Published
from app.policy.document import Policy
from app.routing.choose import targets_after
from app.web.fields import rfc3339

CAME_BY: Final = ("source", "medium", "campaign", "channel")


def apply_move(change: Change, move: Move, owner: Owner | None = None) -> Step:
    """Adds the transition of the move and applies its effects to journey, owner, milestones and policy.

    `owner` is the user with the id `move.owner`, if that is an id.
    """
    journey = change.lead.journey
    if move.opens or journey is None:
        journey = open_journey(change, move)
    published = change.active if move.opens else change.published
    closed_at, before = journey.closed_at, change.lead.owner
    move = _with_profile(published.policy, change, with_attribution(published.policy, change.lead, move))
    journey.seq += 1
    change.lead.held_stage = journey.stage
    change.lead.last_occurred_at, change.lead.last_recorded_at = move.occurred_at, change.now
    journey.stage, journey.stage_entered_at, journey.stalled_at = move.to_stage, move.occurred_at, None
    step = Step(ids.new_id(), journey.seq, journey, move, published, change.score)
    change.steps.append(step)
    change.touch(journey)
    _close_or_reopen(journey, move)
    _pin(change, journey, move, published)
    _milestones(change, step)
    if move.actor.kind == "human" or move.unpins or move.closes:
        journey.offer = None  # a person has taken it up, or there is nothing to accept
    _assign(change, journey, move, owner)
    move_clocks(change, journey, published.policy, move, closed_at, before)
    _add_events(change, journey, move)
    _set_wake_at(change, journey, move.wake_at)
    journey.recycles += move.count_recycle
    journey.corrected_at = change.now if move.corrects else journey.corrected_at
    journey.baseline_at = move.set_baseline or journey.baseline_at
    change.lead.confirmations.extend(move.bant)
    change.new_bant.extend(move.bant)
    return step


def with_attribution(policy: Policy, lead: Lead, move: Move) -> Move:
    """The move; where it makes the lead an MQL, with the attribution of that moment in its evidence, for reports."""
    action = policy.threshold_action
    if action is None or move.action != action.name:
        return move
    attribution = {"first": _came_by(lead.first_touch or {}), "last": _came_by(lead.last_touch or {})}
    return replace(move, evidence={**move.evidence, "attribution": attribution})


def _with_profile(policy: Policy, change: Change, move: Move) -> Move:
    """The move; where it reaches the first milestone, with what the lead looked like in its evidence, for reports."""
    if policy.milestones[0].name not in (name for name, _ in move.milestones):
        return move
    entries = move.entries or (change.score.entries if change.score else ())
    seen = profile(policy, change.facts(), entries, move.occurred_at)
    return replace(move, evidence={**move.evidence, "profile": seen})


def _came_by(touch: Mapping[str, Any]) -> dict[str, Any]:
    return {name: touch[name] for name in CAME_BY if touch.get(name) is not None}


def open_journey(change: Change, move: Move) -> Journey:
    """Starts the next journey. Its baseline is the end of the one before, so that old interest is not counted again."""
    end_clocks(change, move.occurred_at)
    before = change.lead.journey
    journey = Journey(
        id=ids.new_id(),
        number=(before.last_number or before.number) + 1 if before else 1,
        opened_at=move.occurred_at,
        stage_entered_at=move.occurred_at,
        business="existing" if change.lead.opportunity_class == "won" else before.business if before else "new",
        baseline_at=before.closed_at if before else None,
        new=True,
    )
    change.lead.journey, change.pinned = journey, None
    change.lead.milestones, change.lead.clocks = set(), []
    return journey


def _close_or_reopen(journey: Journey, move: Move) -> None:
    if move.closes:
        journey.closed_at, journey.closing_reason = move.occurred_at, move.reason_code
    elif move.reopens:
        journey.closed_at = journey.closing_reason = None


def _pin(change: Change, journey: Journey, move: Move, published: Published) -> None:
    if move.pins and change.pinned is None:
        change.pinned = published
        journey.policy_id = published.id
    elif move.unpins:
        change.pinned = None
        journey.policy_id = None


def _milestones(change: Change, step: Step) -> None:
    for name in step.move.voids:
        change.voids.append((step.journey.id, name))
        change.lead.milestones.discard(name)
    change.voided_routes.extend((step.journey.id, route) for route in step.move.voids_routes)
    for name, skipped in step.move.milestones:
        proof = ids.show("transition", step.id)
        change.milestones.append((step.journey.id, name, proof, step.move.occurred_at, skipped))
        change.lead.milestones.add(name)


def _set_wake_at(change: Change, journey: Journey, at: datetime | None) -> None:
    if journey.wake_at != at:
        change.before.setdefault("wake_at", rfc3339(journey.wake_at))
        journey.wake_at = at


def _assign(change: Change, journey: Journey, move: Move, owner: Owner | None) -> None:
    journey.assigned_at = move.assigned_at(journey.assigned_at)
    if move.owner == "keep" and move.pool is None:
        return
    assign(change, journey, change.lead.owner if move.owner == "keep" else owner, move.pool)
    if move.route is not None:
        _take(change, move.route)


def _take(change: Change, name: str) -> None:
    """Lets the route choose who gets the lead from the pool, unless its pool is that of the whole role."""
    published = change.published
    if published.policy.routing[name].is_plain:
        change.lead.team = None
    else:
        change.routing = Routing(name, published, len(change.late_events) - 1)


def assign(change: Change, journey: Journey | None, owner: Owner | None, pool: str | None = None) -> None:
    """Assigns the lead to a user, or to the pool of a role (then it has no owner until a user accepts it)."""
    change.routing = None
    if journey is not None and journey.offer is not None:
        journey.offer = None
        change.touch(journey)
    if owner is not None and owner.team not in (None, change.lead.team):
        change.lead.team = None  # from now on it is that of the owner
    previous, change.lead.owner = change.lead.owner, owner
    changed = (previous.id if previous else None) != (owner.id if owner else None)
    if changed:
        change.before.setdefault("owner_id", ids.shown("user", previous.id if previous else None))
    if changed and previous is not None and journey is not None:
        _remember(change, journey, previous)
    if not changed and pool is None:
        return
    data = {
        "lead_id": ids.show("lead", change.lead.id),
        "owner_id": ids.shown("user", owner.id if owner else None),
        "previous_owner_id": ids.shown("user", previous.id if previous else None),
        "pool": pool,
    }
    change.late_events.append(NewEvent("lead.assigned", data, change.now))


def reassign(change: Change, owner: Owner | None, pool: str | None = None) -> None:
    """Assigns the lead without a transition; to nobody where owner and pool are None.

    Contact attempts count anew for the next user or pool.
    """
    journey = change.lead.journey
    if journey is not None:
        journey.assigned_at = change.now if owner or pool else None
        change.touch(journey)
    assign(change, journey, owner, pool)


def expire_offer(change: Change, at: datetime) -> None:
    """Takes the lead from a partner who has not accepted it in time; the route chooses who gets it next.

    Until then it is in the pool of the team that comes next, so that the partner cannot accept it any more.
    """
    journey = change.lead.journey
    if journey is None or (offer := journey.offer) is None or offer.accept_by > at:
        return
    route = change.published.policy.routing.get(offer.route)
    if route is None:
        _let_lie(change, expired=True)
        reassign(change, None, offer.role)
    else:
        reroute(change, offer.route, offer)
    left = targets_after(route, offer.rule, offer.target) if route else ()
    change.lead.team = next((one.team for one in left if one.team not in journey.lapsed.teams), None)


def reroute(change: Change, name: str, expired: Offer | None = None) -> None:
    """Takes the lead from an owner who has not done in time what was due; the route chooses somebody else."""
    owner = change.lead.owner
    _let_lie(change, expired=expired is not None)
    reassign(change, None, change.published.policy.routing[name].role)
    _take(change, name)
    if change.routing is not None:
        change.routing.expired, change.routing.without = expired, owner.id if owner else None


def _let_lie(change: Change, *, expired: bool) -> None:
    """Remembers who had the lead: its owner; the partner where it was not accepted, or waited in the partner's pool."""
    lead, journey = change.lead, change.lead.journey
    if journey is not None:
        of_partner = lead.team in change.published.policy.partners and (expired or lead.owner is None)
        journey.lapsed = journey.lapsed.adding(lead.owner.id if lead.owner else None, lead.team if of_partner else None)
        change.touch(journey)


def _remember(change: Change, journey: Journey, previous: Owner) -> None:
    """Keeps the owner to whom a returned lead goes: one of the role that leads are assigned to first."""
    if change.published.policy.first_role in (None, previous.role):
        journey.previous_owner_id = previous.id
        journey.previous_role = previous.role if previous.active else None


def apply_emit(change: Change, emit: Emit) -> None:
    """Applies a step without a transition: only events, such as `lead.recycle_due`."""
    journey = change.lead.journey
    assert journey is not None
    if emit.clears_wake:
        _set_wake_at(change, journey, None)
        change.touch(journey)
    _add_events(change, journey, emit)


def _add_events(change: Change, journey: Journey, step: Move | Emit) -> None:
    data = {"lead_id": ids.show("lead", change.lead.id), "journey_no": journey.number, "stage": journey.stage}
    for name in step.emits:
        change.late_events.append(NewEvent(name, {**data, "occurred_at": rfc3339(step.occurred_at)}, step.occurred_at))
