"""Advances an opportunity by an action of its policy, and records the milestones reached on the journey it came from.

The lead is locked before the opportunity, as everywhere, so that two requests do not deadlock.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from app import ids
from app.database.transaction import Record, Tx
from app.errors import Erased
from app.events.record import record_events
from app.journeys.clocks import opportunity_clocks
from app.journeys.evaluate import evaluate
from app.journeys.load import begin_change_of_survivor
from app.journeys.record import record
from app.journeys.refusals import problem
from app.journeys.state import Change
from app.leads.bant import confirmations_of
from app.lifecycle.answer import OpportunityMove, Refused
from app.lifecycle.opportunity import decide_opportunity
from app.pipeline import sql
from app.pipeline.create import unavailable
from app.pipeline.kinds import OPPORTUNITY, missing
from app.pipeline.steps import OpportunityStep, stage_columns
from app.policies.published import Published, published_policy
from app.policy.facts import OWNERS, Ask, Facts
from app.scoring.score import scored
from app.web import versions
from app.web.auth import Caller
from app.web.money import money


@dataclass(frozen=True, slots=True)
class TransitionRequest:
    """The transition that a request asks for."""

    action: str | None
    to: str | None = None
    reason_code: str | None = None
    note: str | None = None
    bant: Mapping[str, Any] | None = None
    occurred_at: datetime | None = None


async def advance(
    tx: Tx,
    caller: Caller,
    opportunity_id: UUID,
    request: TransitionRequest,
    expected: frozenset[str] | None,
    now: datetime,
) -> tuple[OpportunityStep, Record]:
    """The step and the opportunity after it.

    Raises OpportunityNotFound where there is none, VersionConflict for another version, or the problem of a refused
    step.
    """
    tenant_id = caller.tenant_id
    unlocked = await sql.record_of(tx, tenant_id, OPPORTUNITY, opportunity_id)
    if unlocked is None:
        raise missing(OPPORTUNITY, opportunity_id)
    change = await _lock_origin_lead(tx, caller, unlocked.origin_lead_id, now)
    row = await sql.record_of(tx, tenant_id, OPPORTUNITY, opportunity_id, lock=True)
    assert row is not None, "an opportunity is never deleted"
    versions.check(expected, row.version)
    if row.archived_at is not None:
        raise unavailable(OPPORTUNITY, opportunity_id)
    policy = await published_policy(tx, tenant_id, row.policy_id)
    is_closed = row._mapping["class"] in ("won", "lost")
    held = await sql.held_stage(tx, tenant_id, opportunity_id) if is_closed else None
    known = await _milestones(tx, tenant_id, row, change)
    move = _decide(policy, row, change, known, caller, request, held, now)
    taken_back = await sql.is_taken_back(tx, tenant_id, opportunity_id, row.journey_id)
    if taken_back:  # the journey goes on without it
        move = replace(move, milestones=(), voids=())
    step = _step(policy, row, change, caller, move, now)
    columns = _columns(policy, row, move, step, caller, now)
    after = await sql.update_record(tx, tenant_id, OPPORTUNITY, opportunity_id, columns)
    await sql.insert_step(tx, tenant_id, step.row())
    if change is None:
        told = replace(step.event(after._mapping), lead_id=None, order_key=row.id)  # an erased lead has no new events
        await record_events(tx, tenant_id, [told], now)
    else:
        _update_lead(change, after, move, step)
        if not taken_back:
            opportunity_clocks(change, after.journey_id, move)
        evaluate(change)
        await record(tx, tenant_id, [change])
    return step, after


async def _lock_origin_lead(tx: Tx, caller: Caller, lead_id: UUID | None, now: datetime) -> Change | None:
    """The lead the opportunity came from, or that it was merged into, locked; None where there is none or it was
    erased."""
    if lead_id is None:
        return None
    try:
        return await begin_change_of_survivor(
            tx, caller.tenant_id, lead_id, now, actor=caller.actor, on_behalf_of=caller.on_behalf_of
        )
    except Erased:
        return None


async def _milestones(tx: Tx, tenant_id: UUID, row: Record, change: Change | None) -> Collection[str]:
    """The milestones of the journey that the opportunity came from, which need not be the present one of the lead."""
    if change is not None and change.lead.journey is not None and change.lead.journey.id == row.journey_id:
        return change.lead.milestones
    return await sql.milestones_of(tx, tenant_id, row.journey_id)


def _decide(
    policy: Published,
    row: Record,
    change: Change | None,
    known: Collection[str],
    caller: Caller,
    request: TransitionRequest,
    held: str | None,
    now: datetime,
) -> OpportunityMove:
    facts = Facts()
    if change is not None:
        facts = scored(policy.policy, change.facts(), now)
    facts = replace(facts, milestones=frozenset(known))
    ask = Ask(
        request.action,
        caller.actor,
        to=request.to,
        occurred_at=request.occurred_at,
        reason_code=request.reason_code,
        note=request.note,
        bant=confirmations_of(request.bant or {}, caller.actor, now),
    )
    decided = decide_opportunity(policy.policy, facts, row.stage, ask, now, row.stage_entered_at, held)
    if isinstance(decided, Refused):
        raise problem(decided.why, "opportunity")
    return decided


def _step(
    policy: Published, row: Record, change: Change | None, caller: Caller, move: OpportunityMove, now: datetime
) -> OpportunityStep:
    evidence: dict[str, Any] = {}
    if change is None and move.bant:  # with a lead, BANT is stored on the lead
        evidence["bant"] = {one.criterion: {"status": one.status, "value": one.value} for one in move.bant}
    if move.closes:  # reports count the deal as it was closed, whatever is edited later
        evidence |= {"business": row.business, "amount": money(row.amount, row.currency)}
    return OpportunityStep(
        ids.new_id(),
        row.id,
        change.lead.id if change else row.origin_lead_id,
        row.seq + 1,
        move.from_stage,
        move.to_stage,
        move.to_class,
        move.action,
        move.actor,
        move.occurred_at,
        now,
        policy,
        caller.on_behalf_of,
        move.reason_code,
        move.note,
        evidence,
        move.milestones if change else (),
        move.voids if change else (),
    )


def _columns(
    policy: Published, row: Record, move: OpportunityMove, step: OpportunityStep, caller: Caller, now: datetime
) -> dict[str, Any]:
    columns = {
        **stage_columns(policy.policy.opportunity.stage_of[move.to_stage], move.occurred_at),
        "seq": step.seq,
        "closing_reason": move.reason_code if move.closes else None,
        "updated_at": now,
    }
    if row.owner_id is None and not move.closes and caller.actor.role in OWNERS:
        columns["owner_id"] = caller.actor.user_id  # as `accept` does for an unassigned lead
    return columns


def _update_lead(change: Change, row: Record, move: OpportunityMove, step: OpportunityStep) -> None:
    """Records on the lead what the step means for it; `row` is the opportunity after the step."""
    lead = change.lead
    change.voids.extend((row.journey_id, name) for name in move.voids)
    for name in move.milestones:
        change.milestones.append((row.journey_id, name, ids.show("transition", step.id), move.occurred_at, False))
    lead.confirmations.extend(move.bant)
    change.new_bant.extend(move.bant)
    if lead.opportunity_id == row.id:
        lead.opportunity_class = move.to_class
    change.late_events.append(step.event(row._mapping))
