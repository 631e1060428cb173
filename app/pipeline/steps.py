"""A step of an opportunity as a row of its log, as an event, and as a response shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from app import ids
from app.database.transaction import Record
from app.events.record import NewEvent
from app.journeys.record import actor_document
from app.policies.published import Published
from app.policy.facts import Actor
from app.web.fields import rfc3339

EVENT = "opportunity.stage_changed"


@dataclass(frozen=True, slots=True)
class OpportunityStep:
    """An opportunity enters `to_stage` of class `of_class`; seq 1 with `from_stage` None is its creation."""

    id: UUID
    opportunity_id: UUID
    lead_id: UUID | None
    seq: int
    from_stage: str | None
    to_stage: str
    of_class: str
    action: str
    actor: Actor
    occurred_at: datetime
    recorded_at: datetime
    published: Published
    on_behalf_of: Mapping[str, Any] | None = None
    reason_code: str | None = None
    note: str | None = None
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """The row of `opportunity_transitions`, without its tenant."""
        return {
            "opportunity_id": self.opportunity_id,
            "seq": self.seq,
            "id": self.id,
            "from_stage": self.from_stage,
            "to_stage": self.to_stage,
            "class": self.of_class,
            "action": self.action,
            "reason_code": self.reason_code,
            "note": self.note,
            "actor": actor_document(self.actor),
            "on_behalf_of": self.on_behalf_of,
            "occurred_at": self.occurred_at,
            "recorded_at": self.recorded_at,
            "policy_id": self.published.id,
            "policy_version": self.published.number,
            "evidence": self.evidence,
        }

    def document(self) -> dict[str, Any]:
        """The step as a response shows it."""
        by = {"policy_version": self.published.number, "actor": actor_document(self.actor)}
        return {**_ids(self), **_details(self), **by}

    def event(self) -> NewEvent:
        """The event of the step, ordered with the events of the lead, or of the opportunity where there is no lead."""
        data = {name: value for name, value in self.document().items() if name not in ("note", "id", "on_behalf_of")}
        return NewEvent(
            EVENT,
            {"transition_id": ids.show("transition", self.id), **data},
            self.occurred_at,
            lead_id=self.lead_id,
            order_key=self.lead_id or self.opportunity_id,
        )


def show_step(row: Record) -> dict[str, Any]:
    """A row of the log as a response shows it."""
    return {**_ids(row), **_details(row), "policy_version": row.policy_version, "actor": row.actor}


def _ids(step: Any) -> dict[str, Any]:
    return {
        "id": ids.show("transition", step.id),
        "opportunity_id": ids.show("opportunity", step.opportunity_id),
        "lead_id": ids.shown("lead", step.lead_id),
    }


def _details(step: Any) -> dict[str, Any]:
    of_class = step.of_class if isinstance(step, OpportunityStep) else step._mapping["class"]
    return {
        "seq": step.seq,
        "from": step.from_stage,
        "to": step.to_stage,
        "class": of_class,
        "action": step.action,
        "reason_code": step.reason_code,
        "note": step.note,
        "on_behalf_of": step.on_behalf_of,
        "occurred_at": rfc3339(step.occurred_at),
        "recorded_at": rfc3339(step.recorded_at),
        "evidence": step.evidence,
    }
