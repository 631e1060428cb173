"""Converts leads: makes or links their accounts, contacts and opportunities in one transaction.

The leads are locked first, so a journey is converted once. Records are inserted under unique keys, by the statement
that writes the leads; where a concurrent conversion has taken one of them, the whole transaction is run again.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app import ids
from app.conversion import sql
from app.conversion.document import conversion_document, opportunity_row, rows_of, rows_of_all
from app.conversion.order import ConversionOrder
from app.conversion.plan import NewIds, Plan, PlanInputs, make_plan, search_keys
from app.conversion.sql import Found, SearchKeys
from app.database.parts import Rows
from app.database.transaction import Tx
from app.errors import LeadAlreadyConverted
from app.events.record import NewEvent
from app.journeys.apply import apply_move
from app.journeys.evaluate import evaluate
from app.journeys.load import OfLead, begin_each
from app.journeys.record import prepare
from app.journeys.refusals import problem
from app.journeys.state import Change, Step
from app.journeys.write import Recording
from app.lifecycle.answer import AlreadyInStage, Move, Refusal, Refused
from app.lifecycle.decide import decide
from app.lifecycle.edges import taken_by
from app.lifecycle.effects import conversion_class
from app.lifecycle.milestones import reached
from app.pipeline.kinds import ACCOUNT, CONTACT, OPPORTUNITY, missing
from app.pipeline.steps import OpportunityStep
from app.policy.facts import Actor, Ask
from app.problem import Problem
from app.scoring.score import score, with_score
from app.web.gather import Member

__all__ = ["ConversionOrder", "Converting", "convert", "convert_changes"]

ACTION: Final = "convert"  # in the history of the opportunity, whatever the policy names its own


Asked = Member[OfLead[ConversionOrder], dict[str, Any]]


@dataclass(slots=True, eq=False)
class Converting:
    """A locked and loaded lead to convert, and the outcome: the conversion document, a problem, or `later`.

    `may_read`: whether problems show the records that match.
    """

    change: Change
    order: ConversionOrder
    actor: Actor
    may_read: bool = True
    document: dict[str, Any] | None = None
    problem: Problem | None = None
    later: bool = False


@dataclass(slots=True, eq=False)
class Allowed:
    """A conversion that the policy allows."""

    of: Converting
    move: Move
    inputs: PlanInputs
    keys: SearchKeys


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """A conversion that is planned and applied to the lead. `first_step`: that of a new opportunity."""

    allowed: Allowed
    plan: Plan
    step: Step
    document: dict[str, Any]
    first_step: OpportunityStep | None

    def rows(self) -> Rows:
        allowed = self.allowed
        return rows_of(allowed.of.change, allowed.inputs, self.plan, self.step, self.first_step, self.document)


async def convert(tx: Tx, tenant_id: UUID, members: Sequence[Asked], now: datetime) -> Recording | None:
    """Converts the lead of each request; the result is the conversion document. A refused request writes nothing.

    Returns what is to be written.
    """
    begun = [
        (one, Converting(change, one.wanted.body, one.caller.actor, one.caller.may("leads:read")))
        for one, change in await begin_each(tx, tenant_id, members, now)
    ]
    rows = await convert_changes(tx, tenant_id, [converting for _, converting in begun])
    converted = [converting.change for _, converting in begun if converting.document is not None]
    for change in converted:
        evaluate(change)
    for one, converting in begun:
        one.result, one.problem, one.later = converting.document, converting.problem, converting.later
    return await prepare(tx, tenant_id, converted, rows)


async def convert_changes(tx: Tx, tenant_id: UUID, wanted: Sequence[Converting]) -> Rows:
    """Converts the leads of changes; the caller evaluates and records those that have a document afterwards.

    Of conversions that search by the same key, or match the same record, only the first is made; the others are for a
    later batch. Returns the rows to write with these leads.
    """
    going = await _allowed(tx, tenant_id, wanted)
    if not going:
        return {}
    found = await sql.find(tx, tenant_id, [one.keys for one in going], lock=True)
    made = [one for each in _first_of_each(going, found) if (one := _make(each, found)) is not None]
    rows = rows_of_all([one.rows() for one in made])  # they say what the lead was linked to before
    for one in made:
        _set_links_and_events(one)
    return rows


async def _allowed(tx: Tx, tenant_id: UUID, wanted: Sequence[Converting]) -> list[Allowed]:
    """The conversions that the policy allows; the others get the problem of their refusal."""
    allowed: list[Allowed] = []
    for one in wanted:
        decided = decide_conversion(one.change, one.order, one.actor, one.change.now)
        if isinstance(decided, Refused):
            one.problem = await refusal_problem(tx, tenant_id, one.change, decided.why)
            continue
        inputs = plan_inputs(one.change, one.order, one.actor, hidden=not one.may_read)
        allowed.append(Allowed(one, decided, inputs, search_keys(inputs)))
    return allowed


def _first_of_each(going: Sequence[Allowed], found: Found) -> list[Allowed]:
    """Those that have no key and no record in common with an earlier one; the others are for a later batch."""
    seen: set[Hashable] = set()
    first: list[Allowed] = []
    for one in going:
        about = one.keys.strong_and_weak() | found.by(one.keys).ids()
        one.of.later = bool(about & seen)
        if not one.of.later:
            first.append(one)
        seen |= about
    return first


def _make(allowed: Allowed, found: Found) -> Made | None:
    """Plans the conversion and applies it to the lead; None if the plan is blocked."""
    one, inputs = allowed.of, allowed.inputs
    try:
        plan = make_plan(inputs, named_records(inputs, found.by(allowed.keys)))
        if plan.blocked:
            raise plan.blocked[0]
    except Problem as problem:
        one.problem = problem
        return None
    step = _apply_to_lead(one.change, inputs, plan, allowed.move)
    first_step = _first_opportunity_step(one.change, inputs, plan, step)
    document = conversion_document(one.change, inputs, plan, step, one.actor)
    return Made(allowed, plan, step, document, first_step)


def decide_conversion(change: Change, order: ConversionOrder, actor: Actor, now: datetime) -> Move | Refused:
    """Whether the policy allows this lead to be converted now. Scores the lead first, since guards depend on scores."""
    policy = change.published.policy
    facts = change.facts()
    change.score = score(policy, facts, now)
    note = order.verification.note
    action = taken_by(policy, "conversion", facts.stage)
    ask = Ask(action, actor, occurred_at=order.occurred_at, note=note, convert=True, endpoint="conversion")
    decided = decide(policy, with_score(facts, change.score), ask, now)
    assert isinstance(decided, Move | Refused), "a conversion moves the lead"
    return decided


def plan_inputs(change: Change, order: ConversionOrder, actor: Actor, *, hidden: bool) -> PlanInputs:
    """What a plan is made from, with ids for new records."""
    policy, lead = change.published.policy, change.lead
    of_class = conversion_class(policy, lead.journey.stage if lead.journey else None)
    return PlanInputs(lead, actor, order, policy, of_class, NewIds(), hidden)


async def refusal_problem(tx: Tx, tenant_id: UUID, change: Change, why: Refusal) -> Problem:
    """The problem for a refusal by the policy: LeadAlreadyConverted with the conversion where there is one."""
    journey = change.lead.journey
    if isinstance(why, AlreadyInStage) and journey is not None:
        row = await sql.live_conversion(tx, tenant_id, journey.id)
        if row is not None:
            return LeadAlreadyConverted(conversion=row.answer)
    return problem(why)


def named_records(inputs: PlanInputs, found: Found) -> Found:
    """The found records. Raises …NotFound where one that mode `use` names is unknown or another tenant's."""
    order = inputs.order
    for kind, record_id, rows in (
        (ACCOUNT, order.account.id, found.accounts),
        (CONTACT, order.contact.id, found.contacts),
        (OPPORTUNITY, order.opportunity.id, found.opportunities),
    ):
        if record_id is not None and all(row["id"] != record_id for row in rows):
            raise missing(kind, record_id, f"{kind.name}.id")
    return found


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


def _set_links_and_events(made: Made) -> None:
    """Links the lead to its records, and adds the events: `lead.converted`, then that of the opportunity."""
    converting, plan = made.allowed.of, made.plan
    change, lead, step = converting.change, converting.change.lead, made.step
    lead.account_id = plan.account.id or lead.account_id
    lead.contact_id = plan.contact.id
    at = step.move.occurred_at
    if plan.opportunity.id is not None:
        lead.opportunity_id = plan.opportunity.id
        lead.opportunity_class = plan.opportunity.of_class
    data = {"lead_id": ids.show("lead", lead.id), "journey_no": step.journey.number, "conversion": made.document}
    change.late_events.append(NewEvent("lead.converted", data, at))
    if made.first_step is not None:
        row = opportunity_row(change, made.allowed.inputs, plan, step)
        change.late_events.append(made.first_step.event(row))
    converting.document = made.document
