"""Converts a lead: makes or links its account, contact and opportunity in one transaction.

The lead is locked first, so a journey is converted once. Records are inserted under unique keys; where a concurrent
conversion has taken one of them, the search and the plan are repeated.
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
from app.conversion.plan import NewIds, Plan, PlanInputs, make_plan, search_keys
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
from app.leads.contact_consents import consents_to_carry
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
    """Converts a lead and returns the conversion document. A refusal is raised as a problem, and nothing is written."""
    tenant_id = caller.tenant_id
    change = await begin_change(
        tx, tenant_id, lead_id, now, actor=caller.actor, on_behalf_of=caller.on_behalf_of, expected=expected
    )
    may_read = caller.may("leads:read")
    document = await convert_change(tx, tenant_id, change, order, caller.actor, now, may_read=may_read)
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
    may_read: bool = True,
) -> dict[str, Any]:
    """Converts the lead of a change that is locked and loaded; the caller evaluates and records the change afterwards.

    `order` None: the defaults (match or create). `may_read`: whether problems show the records that match.
    """
    order = order or ConversionOrder()
    decided = decide_conversion(change, order, actor, now)
    if isinstance(decided, Refused):
        raise await refusal_problem(tx, tenant_id, change, decided.why)
    inputs = await plan_inputs(tx, tenant_id, change, order, actor, hidden=not may_read)
    step: Step | None = None
    for _ in range(TRIES):
        plan = make_plan(inputs, await find_records(tx, tenant_id, inputs, lock=True))
        if plan.blocked:
            raise plan.blocked[0]
        step = step or _apply_to_lead(change, inputs, plan, decided)
        opportunity_step = _first_opportunity_step(change, inputs, plan, step)
        document = conversion_document(change, inputs, plan, step, actor)
        if await _write(tx, tenant_id, plan, rows_of(change, inputs, plan, step, opportunity_step, document), now):
            _set_links_and_events(change, plan, document, opportunity_step)
            return document
    raise DatabaseUnavailable("Concurrent requests changed the same records; nothing was converted. Try again.")


def decide_conversion(change: Change, order: ConversionOrder, actor: Actor, now: datetime) -> Move | Refused:
    """Whether the policy allows this lead to be converted now. Scores the lead first, since guards depend on scores."""
    policy = change.published.policy
    change.score = score(policy, change.facts(), now)
    note = order.verification.note
    ask = Ask(ACTION, actor, occurred_at=order.occurred_at, note=note, convert=True, endpoint="conversion")
    decided = decide(policy, with_score(change.facts(), change.score), ask, now)
    assert isinstance(decided, Move | Refused), "a conversion moves the lead"
    return decided


async def plan_inputs(
    tx: Tx, tenant_id: UUID, change: Change, order: ConversionOrder, actor: Actor, *, hidden: bool
) -> PlanInputs:
    """What a plan is made from, with the consents of the lead and ids for new records."""
    policy, lead = change.published.policy, change.lead
    of_class = conversion_class(policy, lead.journey.stage if lead.journey else None)
    consents = (await consents_to_carry(tx, tenant_id, [lead]))[lead.id]
    return PlanInputs(lead, actor, order, policy, of_class, NewIds(), consents, hidden)


async def refusal_problem(tx: Tx, tenant_id: UUID, change: Change, why: Refusal) -> Problem:
    """The problem for a refusal by the policy; LeadAlreadyConverted with the conversion where there is one."""
    journey = change.lead.journey
    if isinstance(why, AlreadyInStage) and journey is not None:
        row = await sql.live_conversion(tx, tenant_id, journey.id)
        if row is not None:
            return LeadAlreadyConverted(conversion=row.answer)
    return problem(why)


async def find_records(tx: Tx, tenant_id: UUID, inputs: PlanInputs, *, lock: bool) -> Found:
    """The stored records that match. …NotFound where a record named by mode `use` is unknown or another tenant's."""
    found = await sql.find(tx, tenant_id, search_keys(inputs), lock=lock)
    order = inputs.order
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
    try:  # the UPDATE fails on the unique key where a concurrent transaction has taken it
        async with tx.savepoint():
            return await sql.write(tx, tenant_id, rows, now)
    except IntegrityError:
        return False


def _apply_to_lead(change: Change, inputs: PlanInputs, plan: Plan, move: Move) -> Step:
    """Moves the lead's journey. The class of the opportunity decides which milestones count as reached."""
    evidence = {
        **move.evidence,
        "conversion_id": ids.show("conversion", inputs.new.conversion),
        "opportunity_class": plan.opportunity.of_class,
    }
    milestones = reached(
        inputs.policy, move.from_stage, move.to_stage, change.lead.milestones, plan.opportunity.of_class
    )
    return apply_move(change, replace(move, evidence=evidence, milestones=milestones))


def _first_opportunity_step(change: Change, inputs: PlanInputs, plan: Plan, step: Step) -> OpportunityStep | None:
    """The first log entry of a new opportunity; None where none is created."""
    opportunity, move = plan.opportunity, step.move
    if (
        opportunity.outcome != "created"
        or opportunity.id is None
        or opportunity.stage is None
        or opportunity.of_class is None
    ):
        return None
    return OpportunityStep(
        ids.new_id(),
        opportunity.id,
        change.lead.id,
        1,
        None,
        opportunity.stage,
        opportunity.of_class,
        ACTION,
        move.actor,
        move.occurred_at,
        change.now,
        step.published,
        change.on_behalf_of if move.actor.kind == "human" else None,
    )


def _set_links_and_events(
    change: Change, plan: Plan, document: Mapping[str, Any], opportunity_step: OpportunityStep | None
) -> None:
    """Links the lead to its records, and adds the events: `lead.converted`, then that of the opportunity."""
    lead, step = change.lead, change.steps[-1]
    lead.account_id = plan.account.id or lead.account_id
    lead.contact_id = plan.contact.id
    at = step.move.occurred_at
    if plan.opportunity.id is not None:
        lead.opportunity_id = plan.opportunity.id
        lead.opportunity_class = plan.opportunity.of_class
    data = {"lead_id": ids.show("lead", lead.id), "journey_no": step.journey.number, "conversion": document}
    change.late_events.append(NewEvent("lead.converted", data, at))
    if opportunity_step is not None:
        change.late_events.append(opportunity_step.event())
