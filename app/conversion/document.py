"""A conversion as it is answered, told and stored (lifecycle.md, section 4, item 4), and the rows that it makes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from app import ids
from app.conversion.plan import Case, Part, Plan
from app.errors import Problem
from app.journeys.record import actor_document
from app.journeys.state import Change, Step
from app.pipeline.steps import OpportunityStep
from app.policy.facts import Actor
from app.web.fields import z

Rows = dict[str, list[dict[str, Any]]]


def conversion_document(change: Change, case: Case, plan: Plan, step: Step, actor: Actor) -> dict[str, Any]:
    """The conversion. It holds ids and names of fields, nothing personal."""
    verified_by = case.order.verification.by or actor.user_id
    return {
        "id": ids.show("conversion", case.new.conversion),
        "lead_id": ids.show("lead", change.lead.id),
        "journey_no": step.journey.number,
        "converted_at": z(step.move.occurred_at),
        "policy_version": step.published.number,
        "verified_by": ids.shown("user", verified_by),
        "account": _shown("account", plan.account),
        "contact": _shown("contact", plan.contact),
        "opportunity": {
            "id": ids.shown("opportunity", plan.deal.id),
            "outcome": plan.deal.outcome,
            "class": plan.deal.of_class,
        },
        "field_outcomes": plan.field_outcomes,
        "transition_id": ids.show("transition", step.id),
        "carry_activities": case.order.carry_activities,
        "reverted_at": None,
    }


def preview_document(plan: Plan, blocked: list[Problem]) -> dict[str, Any]:
    """What a conversion would do, or everything that stands in its way."""
    deal = plan.deal
    return {
        "possible": not blocked,
        "blocked": [{"code": one.code, "status": one.status, "detail": one.detail, **one.members} for one in blocked],
        "account": _previewed("account", plan.account),
        "contact": _previewed("contact", plan.contact),
        "opportunity": {
            "outcome": deal.outcome,
            "id": ids.shown("opportunity", deal.id) if deal.outcome == "linked" else None,
            "class": deal.of_class,
            "stage": deal.stage,
            "name": deal.name,
        },
        "field_outcomes": plan.field_outcomes,
    }


def rows_of(
    change: Change, case: Case, plan: Plan, step: Step, opened: OpportunityStep | None, document: Mapping[str, Any]
) -> Rows:
    """Everything that the conversion writes beside the lead itself."""
    lead, deal = change.lead, plan.deal
    conversion = {
        "id": case.new.conversion,
        "lead_id": lead.id,
        "journey_id": step.journey.id,
        "account_id": plan.account.id,
        "contact_id": plan.contact.id,
        "opportunity_id": deal.id,
        "transition_id": step.id,
        "answer": document,
        "actor": actor_document(step.move.actor),
        "converted_at": step.move.occurred_at,
    }
    return {
        "new_accounts": _new(plan.account, plan, lead.id),
        "changed_accounts": _changed(plan.account),
        "new_contacts": _new(plan.contact, plan, lead.id),
        "changed_contacts": _changed(plan.contact),
        "opportunities": [_opportunity(change, case, plan, step)] if opened else [],
        "steps": [opened.row()] if opened else [],
        "conversions": [conversion],
    }


def _new(part: Part, plan: Plan, lead_id: UUID) -> list[dict[str, Any]]:
    if not part.is_new:
        return []
    return [{**part.columns, "id": part.id, "owner_id": plan.owner_id, "origin_lead_id": lead_id}]


def _changed(part: Part) -> list[dict[str, Any]]:
    """The whole of an existing record, with what is filled; nothing where nothing is."""
    record = part.resolved.record
    return [] if record is None or not part.columns else [{**record, **part.columns}]


def _opportunity(change: Change, case: Case, plan: Plan, step: Step) -> dict[str, Any]:
    order, deal, journey = case.order.opportunity, plan.deal, step.journey
    return {
        "id": deal.id,
        "name": deal.name,
        "stage": deal.stage,
        "class": deal.of_class,
        "stage_entered_at": step.move.occurred_at,
        "account_id": plan.account.id,
        "contact_id": plan.contact.id,
        "owner_id": order.owner_id or plan.owner_id,
        "origin_lead_id": change.lead.id,
        "journey_id": journey.id,
        "policy_id": step.published.id,
        "amount": order.amount.value if order.amount else None,
        "currency": order.amount.currency if order.amount else None,
        "close_date": order.close_date,
        "business": order.business or journey.business,
    }


def _shown(kind: str, part: Part) -> dict[str, Any]:
    return {"id": ids.shown(kind, part.id), "outcome": part.resolved.outcome}


def _previewed(kind: str, part: Part) -> dict[str, Any]:
    resolved = part.resolved
    if resolved.outcome is None:
        return {"outcome": None, "id": None, "candidates": resolved.candidates}
    return {"outcome": resolved.outcome, "id": ids.shown(kind, part.id) if resolved.outcome == "linked" else None}
