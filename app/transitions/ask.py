"""Request transitions: lock the leads, decide, apply, evaluate, record. A refused request writes nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never
from uuid import UUID

from app import ids
from app.conversion.convert import Converting, convert_changes
from app.conversion.order import ConversionOrder
from app.database.transaction import Tx
from app.errors import IdempotencyKeyRequired, RequestInvalid
from app.journeys.apply import apply_move
from app.journeys.distribute import distribute
from app.journeys.evaluate import evaluate
from app.journeys.load import OfLead, begin_each
from app.journeys.owner import active_owner, active_owners, owner_invalid
from app.journeys.record import prepare, transition_document
from app.journeys.refusals import problem
from app.journeys.state import Change, Owner, Step
from app.journeys.write import Recording
from app.leads.bant import confirmations_of
from app.lifecycle.answer import CriteriaUnmet, Move, Refused, Stay
from app.lifecycle.decide import decide
from app.policy.facts import Actor, Ask
from app.problem import Problem
from app.scoring.score import score, with_score
from app.transitions import sql
from app.transitions.late import with_reason
from app.web.gather import Member


@dataclass(frozen=True, slots=True)
class TransitionRequest:
    """A transition request (api.md, section 4). `conversion`: None follows the policy, False does not convert."""

    action: str | None = None
    to: str | None = None
    reason_code: str | None = None
    note: str | None = None
    bant: Mapping[str, Any] | None = None
    wake_at: datetime | None = None
    occurred_at: datetime | None = None
    owner_id: UUID | None = None
    override_reason: str | None = None
    correction_of: UUID | None = None
    conversion: ConversionOrder | bool | None = None


@dataclass(frozen=True, slots=True)
class Moved:
    """The lead after the move, the transition, and the conversion if the move converts."""

    change: Change
    transition: Mapping[str, Any]
    conversion: Mapping[str, Any] | None


Asked = Member[OfLead[TransitionRequest], Moved]


async def ask_transitions(tx: Tx, tenant_id: UUID, members: Sequence[Asked], now: datetime) -> Recording | None:
    """Takes a transition of the policy for each request, or sets the problem of its refusal (lifecycle.md, section 3).

    A move that converts needs an Idempotency-Key (`has_key`) and the scope leads:convert.
    """
    begun = await begin_each(tx, tenant_id, members, now)
    owners = await active_owners(tx, tenant_id, {one.wanted.body.owner_id for one, _ in begun})
    moved: list[tuple[Asked, Change, Step]] = []
    converting: list[Converting] = []
    for one, change in begun:
        with one.attempt():
            step = await _move(tx, tenant_id, one, change, owners.get(one.wanted.body.owner_id), now)
            if step.move.convert:
                converting.append(_conversion_of(one, change))
            moved.append((one, change, step))
    if converting:  # the owner of a lead becomes that of the opportunity
        await distribute(tx, tenant_id, [change for _, change, _ in moved])
    rows = await convert_changes(tx, tenant_id, converting)
    converted = {id(one.change): one for one in converting}
    for one, change, _ in moved:
        if (conversion := converted.get(id(change))) is not None:
            one.problem, one.later = conversion.problem, conversion.later
    done = [(one, change, step) for one, change, step in moved if one.going]
    for _, change, _ in done:
        evaluate(change)
    recording = await prepare(tx, tenant_id, [change for _, change, _ in done], rows)
    for one, change, step in done:
        conversion = converted.get(id(change))
        one.result = Moved(change, transition_document(change, step), conversion.document if conversion else None)
    return recording


async def _move(tx: Tx, tenant_id: UUID, asked: Asked, change: Change, owner: Owner | None, now: datetime) -> Step:
    """Decides and applies the move of one request."""
    request, actor = asked.wanted.body, asked.caller.actor
    policy = change.published.policy
    facts = change.facts()
    change.score = score(policy, facts, now)
    facts = with_score(facts, change.score)
    match decide(policy, facts, _ask(actor, request, owner, now), now):
        case Refused(CriteriaUnmet(unmet)):
            raise _refusal(CriteriaUnmet(await with_reason(tx, tenant_id, change, actor, unmet)), owner)
        case Refused(why):
            raise problem(why)
        case Stay():
            raise RequestInvalid.of(
                "action", "machine_only", "this action makes no transition; the policy runs it automatically"
            )
        case Move() as move:
            await _check_correction(tx, tenant_id, change, request.correction_of if move.correction_of else None)
            return apply_move(change, move, await _new_owner(tx, tenant_id, actor, move, owner))
        case unexpected:
            assert_never(unexpected)


def _refusal(why: CriteriaUnmet, named: Owner | None) -> Problem:
    """The problem: OwnerInvalid where the lead is not assigned because the named user can own none."""
    by_owner = any(one["criterion"] == "assignable" for one in why.unmet)
    return owner_invalid("owner_id") if by_owner and named is not None and not named.may_own else problem(why)


def _ask(actor: Actor, request: TransitionRequest, owner: Owner | None, now: datetime) -> Ask:
    return Ask(
        action=request.action,
        actor=actor,
        to=request.to,
        occurred_at=request.occurred_at,
        reason_code=request.reason_code,
        note=request.note,
        wake_at=request.wake_at,
        owner_id=request.owner_id,
        owner_role=owner.role if owner else None,
        override_reason=request.override_reason,
        bant=confirmations_of(request.bant or {}, actor, now),
        convert=True if isinstance(request.conversion, ConversionOrder) else request.conversion,
        correction_of=ids.shown("transition", request.correction_of),
    )


async def _check_correction(tx: Tx, tenant_id: UUID, change: Change, transition_id: UUID | None) -> None:
    """Raises RequestInvalid unless the corrected transition belongs to the current journey."""
    journey = change.lead.journey
    if transition_id is None or journey is None:
        return
    if not await sql.has_transition(tx, tenant_id, journey.id, transition_id):
        raise RequestInvalid.of("correction_of", "unknown", "is not the id of a transition of the current journey")


async def _new_owner(tx: Tx, tenant_id: UUID, actor: Actor, move: Move, named: Owner | None) -> Owner | None:
    if not isinstance(move.owner, UUID):
        return None
    if named is not None and named.id == move.owner:
        return named
    if actor.user_id == move.owner:
        return Owner(move.owner, actor.role, actor.team)
    return await active_owner(tx, tenant_id, move.owner)  # a previous owner; None (the pool) if no longer active


def _conversion_of(asked: Asked, change: Change) -> Converting:
    """The conversion that the move requires: a second transition in the same database transaction, at the same time."""
    caller, request = asked.caller, asked.wanted.body
    caller.require(frozenset({"leads:convert"}))
    if not asked.wanted.has_key:
        raise IdempotencyKeyRequired()
    order = request.conversion if isinstance(request.conversion, ConversionOrder) else ConversionOrder()
    order = order.model_copy(update={"occurred_at": order.occurred_at or request.occurred_at})
    return Converting(change, order, caller.actor, may_read=caller.may("leads:read"))
