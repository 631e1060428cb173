"""Request a transition: lock the lead, decide, apply, evaluate, record. A refused request writes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, assert_never
from uuid import UUID

from app import ids
from app.conversion.convert import convert_change
from app.conversion.order import ConversionOrder
from app.database.transaction import Tx
from app.errors import IdempotencyKeyRequired, Problem, RequestInvalid
from app.journeys.apply import apply_move
from app.journeys.evaluate import evaluate
from app.journeys.load import begin_change
from app.journeys.owner import active_owner, owner_invalid
from app.journeys.record import record, transition_document
from app.journeys.refusals import problem
from app.journeys.state import Change, Owner
from app.leads.bant import confirmations_of
from app.lifecycle.answer import CriteriaUnmet, Move, Refusal, Refused, Stay
from app.lifecycle.decide import decide
from app.policy.facts import Actor, Ask
from app.scoring.score import score, with_score
from app.transitions import sql
from app.web.auth import Caller


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


async def ask_transition(
    tx: Tx,
    caller: Caller,
    lead_id: UUID,
    request: TransitionRequest,
    expected: frozenset[str] | None,
    now: datetime,
    *,
    has_key: bool,
) -> Moved:
    """Takes a transition of the policy, or raises the problem of the refusal (lifecycle.md, section 3).

    A move that converts needs an Idempotency-Key (`has_key`) and the scope leads:convert.
    """
    tenant_id = caller.tenant_id
    change = await begin_change(
        tx, tenant_id, lead_id, now, actor=caller.actor, on_behalf_of=caller.on_behalf_of, expected=expected
    )
    owner = await active_owner(tx, tenant_id, request.owner_id)
    policy = change.published.policy
    change.score = score(policy, change.facts(), now)
    facts = with_score(change.facts(), change.score)
    match decide(policy, facts, _ask(caller.actor, request, owner, now), now):
        case Refused(why):
            raise _refusal(why, owner)
        case Stay():
            raise RequestInvalid.of(
                "action", "machine_only", "this action makes no transition; the policy runs it automatically"
            )
        case Move() as move:
            await _check_correction(tx, tenant_id, change, request.correction_of if move.correction_of else None)
            step = apply_move(change, move, await _new_owner(tx, tenant_id, caller.actor, move, owner))
        case unexpected:
            assert_never(unexpected)
    if move.convert:
        _check_may_convert(caller, has_key)
    conversion = await _convert(tx, caller, change, move, request, now)
    evaluate(change)
    await record(tx, tenant_id, [change])
    return Moved(change, transition_document(change, step), conversion)


def _refusal(why: Refusal, named: Owner | None) -> Problem:
    """The problem; OwnerInvalid where the lead is not assigned because the named user can own none."""
    by_owner = isinstance(why, CriteriaUnmet) and any(one["criterion"] == "assignable" for one in why.unmet)
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
    """RequestInvalid unless the corrected transition belongs to the current journey."""
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


def _check_may_convert(caller: Caller, has_key: bool) -> None:
    caller.require(frozenset({"leads:convert"}))
    if not has_key:
        raise IdempotencyKeyRequired()


async def _convert(
    tx: Tx, caller: Caller, change: Change, move: Move, request: TransitionRequest, now: datetime
) -> Mapping[str, Any] | None:
    """Converts the lead if the move requires it, as a second transition in the same database transaction."""
    if not move.convert:
        return None
    order = request.conversion if isinstance(request.conversion, ConversionOrder) else None
    may_read = caller.may("leads:read")
    return await convert_change(tx, caller.tenant_id, change, order, caller.actor, now, may_read=may_read)
