"""Converting: a journey becomes account, contact and opportunity in one transaction, together or not at all.

The lead is locked before, so a journey is converted once; records are made under unique keys, and where another
conversion took a key meanwhile, everything is looked up again (promises.md, section 2).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from app import ids
from app.conversion import sql
from app.conversion.document import Rows, conversion_document, rows_of
from app.conversion.order import ConversionOrder
from app.conversion.plan import Case, NewIds, Plan, make_plan, search
from app.conversion.sql import Found
from app.database.transaction import Tx
from app.errors import DatabaseUnavailable, LeadAlreadyConverted, Problem
from app.events.record import NewEvent
from app.journeys.apply import apply_move
from app.journeys.evaluate import evaluate
from app.journeys.load import begin_change
from app.journeys.record import record
from app.journeys.refusals import problem
from app.journeys.state import Change, Step
from app.lifecycle.answer import AlreadyInStage, Move, Refusal, Refused
from app.lifecycle.decide import decide
from app.lifecycle.effects import conversion_class
from app.lifecycle.milestones import reached
from app.pipeline.kinds import ACCOUNT, CONTACT, OPPORTUNITY, missing
from app.pipeline.steps import OpportunityStep
from app.policy.facts import Actor, Ask
from app.scoring.score import score, with_score
from app.web.auth import Caller

__all__ = ["ConversionOrder", "convert", "convert_change"]

ACTION: Final = "convert"
TRIES: Final = 3


async def convert(
    tx: Tx, caller: Caller, lead_id: UUID, order: ConversionOrder, expected: frozenset[str] | None, now: datetime
) -> dict[str, Any]:
    """Converts a lead; the conversion. Every way of being refused is a problem, and then nothing is written."""
    tenant_id = caller.tenant_id
    change = await begin_change(
        tx, tenant_id, lead_id, now, actor=caller.actor, on_behalf_of=caller.on_behalf_of, expected=expected
    )
    sees = caller.may("leads:read")
    document = await convert_change(tx, tenant_id, change, order, caller.actor, now, sees=sees)
    evaluate(change)
    await record(tx, tenant_id, [change])
    return document


async def convert_change(
    tx: Tx,
    tenant_id: UUID,
    change: Change,
    order: ConversionOrder | None,
    actor: Actor,
    now: datetime,
    *,
    sees: bool = True,
) -> dict[str, Any]:
    """Converts the lead of a change that is locked and loaded; the caller evaluates and records the change afterwards.

    `order` None is match_or_create throughout. `sees`: whether the caller may be shown records that match.
    """
    order = order or ConversionOrder()
    decided = decided_of(change, order, actor, now)
    if isinstance(decided, Refused):
        raise await refusal(tx, tenant_id, change, decided.why)
    case = case_of(change, order, NewIds(), hidden=not sees)
    step: Step | None = None
    for _ in range(TRIES):
        plan = make_plan(case, await look(tx, tenant_id, case, lock=True))
        if plan.blocked:
            raise plan.blocked[0]
        step = step or _apply(change, case, plan, decided)
        opened = _opened(change, case, plan, step)
        document = conversion_document(change, case, plan, step, actor)
        if await _write(tx, tenant_id, plan, rows_of(change, case, plan, step, opened, document), now):
            _tell(change, plan, document, opened)
            return document
    raise DatabaseUnavailable("Others were changing the same records; nothing was converted.")


def decided_of(change: Change, order: ConversionOrder, actor: Actor, now: datetime) -> Move | Refused:
    """The policy's word on converting this lead now."""
    policy = change.published.policy
    change.score = score(policy, change.facts(), now)
    note = order.verification.note
    ask = Ask(ACTION, actor, occurred_at=order.occurred_at, note=note, convert=True, endpoint="conversion")
    decided = decide(policy, with_score(change.facts(), change.score), ask, now)
    assert isinstance(decided, Move | Refused), "a conversion moves the lead"
    return decided


def case_of(change: Change, order: ConversionOrder, new: NewIds, *, hidden: bool) -> Case:
    policy, journey = change.published.policy, change.lead.journey
    of_class = conversion_class(policy, journey.stage if journey else None)
    return Case(change.lead, order, policy, of_class, new, hidden)


async def refusal(tx: Tx, tenant_id: UUID, change: Change, why: Refusal) -> Problem:
    """Why the policy says no; where the journey is converted already, with its conversion."""
    journey = change.lead.journey
    if isinstance(why, AlreadyInStage) and journey is not None:
        row = await sql.live_conversion(tx, tenant_id, journey.id)
        if row is not None:
            return LeadAlreadyConverted(conversion=row.answer)
    return problem(why)


async def look(tx: Tx, tenant_id: UUID, case: Case, *, lock: bool) -> Found:
    """What is stored under the keys of the case. …NotFound for a record to use that is unknown or another tenant's."""
    found = await sql.find(tx, tenant_id, search(case), lock=lock)
    order = case.order
    for kind, record_id, rows in (
        (ACCOUNT, order.account.id, found.accounts),
        (CONTACT, order.contact.id, found.contacts),
        (OPPORTUNITY, order.opportunity.id, found.opportunities),
    ):
        if record_id is not None and all(row["id"] != record_id for row in rows):
            raise missing(kind, record_id)
    return found


async def _write(tx: Tx, tenant_id: UUID, plan: Plan, rows: Rows, now: datetime) -> bool:
    if not plan.fills_key:
        return await sql.write(tx, tenant_id, rows, now)
    try:  # another transaction may be taking that key at this moment
        async with tx.savepoint():
            return await sql.write(tx, tenant_id, rows, now)
    except IntegrityError:
        return False


def _apply(change: Change, case: Case, plan: Plan, move: Move) -> Step:
    """The step of the lead. Its milestones are those of the opportunity's class; without one there is no class."""
    evidence = {
        **move.evidence,
        "conversion_id": ids.show("conversion", case.new.conversion),
        "opportunity_class": plan.deal.of_class,
    }
    milestones = reached(case.policy, move.from_stage, move.to_stage, change.lead.milestones, plan.deal.of_class)
    return apply_move(change, replace(move, evidence=evidence, milestones=milestones))


def _opened(change: Change, case: Case, plan: Plan, step: Step) -> OpportunityStep | None:
    """The first step of a new opportunity."""
    deal, move = plan.deal, step.move
    if deal.outcome != "created" or deal.id is None or deal.stage is None or deal.of_class is None:
        return None
    return OpportunityStep(
        ids.new_id(),
        deal.id,
        change.lead.id,
        1,
        None,
        deal.stage,
        deal.of_class,
        ACTION,
        move.actor,
        move.occurred_at,
        change.now,
        step.published,
        change.on_behalf_of if move.actor.kind == "human" else None,
    )


def _tell(change: Change, plan: Plan, document: Mapping[str, Any], opened: OpportunityStep | None) -> None:
    """Links from the lead, and the events in their order: what was converted, then the opportunity."""
    lead, step = change.lead, change.steps[-1]
    lead.account_id = plan.account.id or lead.account_id
    lead.contact_id = plan.contact.id
    at = step.move.occurred_at
    if plan.deal.id is not None:
        lead.opportunity_id = plan.deal.id
        lead.opportunity_class = plan.deal.of_class
    data = {"lead_id": ids.show("lead", lead.id), "journey_no": step.journey.number, "conversion": document}
    change.late_events.append(NewEvent("lead.converted", data, at))
    if opened is not None:
        change.late_events.append(opened.event())
