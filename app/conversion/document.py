"""The document of a conversion, which responses, events and the table share, and the rows a conversion writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from app import ids
from app.conversion import sql
from app.conversion.plan import OpportunityPart, Part, Plan, PlanInputs
from app.conversion.undo import replaced_by
from app.database.parts import Rows
from app.journeys.record import actor_document
from app.journeys.state import Change, Step
from app.pipeline.steps import OpportunityStep, stage_columns
from app.policy.facts import Actor
from app.problem import Problem
from app.web.fields import rfc3339


def conversion_document(change: Change, inputs: PlanInputs, plan: Plan, step: Step, actor: Actor) -> dict[str, Any]:
    """The conversion: ids and field names, no personal data."""
    verified_by = inputs.order.verification.by or actor.user_id
    return {
        "id": ids.show("conversion", inputs.new.conversion),
        "lead_id": ids.show("lead", change.lead.id),
        "journey_no": step.journey.number,
        "converted_at": rfc3339(step.move.occurred_at),
        "policy_version": step.published.number,
        "verified_by": ids.shown("user", verified_by),
        "account": _shown("account", plan.account),
        "contact": _shown("contact", plan.contact),
        "opportunity": {
            "id": ids.shown("opportunity", plan.opportunity.id),
            "outcome": plan.opportunity.outcome,
            "class": plan.opportunity.of_class,
            **_owner(plan.opportunity),
        },
        "field_outcomes": plan.field_outcomes,
        "transition_id": ids.show("transition", step.id),
        "carry_activities": inputs.order.carry_activities,
        "reverted_at": None,
    }


def preview_document(plan: Plan, blocked: list[Problem]) -> dict[str, Any]:
    """What a conversion would do, and every problem that prevents it."""
    opportunity = plan.opportunity
    return {
        "possible": not blocked,
        "blocked": [{"code": one.code, "status": one.status, "detail": one.detail, **one.members} for one in blocked],
        "account": _previewed("account", plan.account),
        "contact": _previewed("contact", plan.contact),
        "opportunity": {
            "outcome": opportunity.outcome,
            "id": ids.shown("opportunity", opportunity.id) if opportunity.outcome == "linked" else None,
            "class": opportunity.of_class,
            "stage": opportunity.stage,
            "name": opportunity.name,
            **_owner(opportunity),
        },
        "field_outcomes": plan.field_outcomes,
    }


def rows_of(
    change: Change,
    inputs: PlanInputs,
    plan: Plan,
    step: Step,
    opportunity_step: OpportunityStep | None,
    document: Mapping[str, Any],
) -> Rows:
    """The rows a conversion writes, those of the lead aside."""
    lead, opportunity, now = change.lead, plan.opportunity, {"now": change.now}
    conversion = {
        "id": inputs.new.conversion,
        "lead_id": lead.id,
        "journey_id": step.journey.id,
        "account_id": plan.account.id,
        "contact_id": plan.contact.id,
        "opportunity_id": opportunity.id,
        "transition_id": step.id,
        "answer": document,
        "actor": actor_document(step.move.actor),
        "converted_at": step.move.occurred_at,
        "replaced": replaced_by(lead, plan),
        "recorded_at": change.now,
    }
    opened = [opportunity_row(change, inputs, plan, step) | now] if opportunity_step else []
    return {
        sql.NEW_ACCOUNTS: [row | now for row in _inserted(plan.account, plan, lead.id)],
        sql.CHANGED_ACCOUNTS: [row | now for row in _updated(plan.account)],
        sql.NEW_CONTACTS: [row | now for row in _inserted(plan.contact, plan, lead.id)],
        sql.CHANGED_CONTACTS: [row | now for row in _updated(plan.contact)],
        sql.NEW_OPPORTUNITIES: opened,
        sql.FIRST_STEPS: [opportunity_step.row()] if opportunity_step else [],
        sql.CONVERSIONS: [conversion],
    }


def rows_of_all(made: Sequence[Rows]) -> Rows:
    """The rows of several conversions, by the part of the statement that writes them."""
    return {part: [row for rows in made for row in rows[part]] for part in sql.PARTS}


def _inserted(part: Part, plan: Plan, lead_id: UUID) -> list[dict[str, Any]]:
    if part.resolved.outcome != "created":
        return []
    return [{**part.columns, "id": part.id, "owner_id": plan.owner_id, "origin_lead_id": lead_id}]


def _updated(part: Part) -> list[dict[str, Any]]:
    """An existing record with its changed columns, as a full row; none where no column changes."""
    record = part.resolved.record
    return [] if record is None or not part.columns else [{**record, **part.columns}]


def opportunity_row(change: Change, inputs: PlanInputs, plan: Plan, step: Step) -> dict[str, Any]:
    """The row of the opportunity that a plan creates."""
    order, opportunity, journey = inputs.order.opportunity, plan.opportunity, step.journey
    stage = step.published.policy.opportunity.stage_of[str(opportunity.stage)]
    return {
        "id": opportunity.id,
        "name": opportunity.name,
        **stage_columns(stage, step.move.occurred_at),
        "account_id": plan.account.id,
        "contact_id": plan.contact.id,
        "owner_id": opportunity.owner_id,
        "origin_lead_id": change.lead.id,
        "journey_id": journey.id,
        "policy_id": step.published.id,
        "amount": order.amount.value if order.amount else None,
        "currency": order.amount.currency if order.amount else None,
        "close_date": order.close_date,
        "business": order.business or journey.business,
    }


def _owner(opportunity: OpportunityPart) -> dict[str, Any]:
    """Who owns a new opportunity, and why; nothing for one that existed."""
    if opportunity.outcome != "created":
        return {}
    return {"owner_id": ids.shown("user", opportunity.owner_id), "owner_reason": opportunity.owner_reason}


def _shown(kind: str, part: Part) -> dict[str, Any]:
    return {"id": ids.shown(kind, part.id), "outcome": part.resolved.outcome}


def _previewed(kind: str, part: Part) -> dict[str, Any]:
    resolved = part.resolved
    if resolved.outcome is None:
        return {"outcome": None, "id": None, "candidates": resolved.candidates}
    return {"outcome": resolved.outcome, "id": ids.shown(kind, part.id) if resolved.outcome == "linked" else None}
