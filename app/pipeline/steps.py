"""What happens to an opportunity, as a row of its log, as an event, and as a response shows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from app import ids
from app.database.transaction import Record
from app.events.record import NewEvent
from app.journeys.record import actor_document, milestones_document
from app.policies.published import Published
from app.policy.facts import Actor
from app.policy.opportunity import CATEGORY_OF_CLASS, OpportunityStage
from app.web.auth import Caller
from app.web.fields import rfc3339
from app.web.money import money

STAGE_CHANGED: Final = "opportunity.stage_changed"
UPDATED: Final = "opportunity.updated"


def stage_columns(stage: OpportunityStage, at: datetime) -> dict[str, Any]:
    """The columns of an opportunity that enters the stage; a category that somebody chose ends with the stage."""
    return {
        "stage": stage.name,
        "class": stage.of_class,
        "stage_entered_at": at,
        "forecast_category": stage.category,
        "probability": stage.probability,
    }


def category_of(row: Mapping[str, Any]) -> str:
    """The forecast category; by the class where it is closed, or where a process of an older release wrote the row."""
    chosen = None if row["class"] in ("won", "lost") else row["forecast_category"]
    return str(chosen or CATEGORY_OF_CLASS[row["class"]])


def state_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """What forecasts count of an opportunity, as events show it; `row` is its row, or the columns of a new one."""
    amount = None if row["amount"] is None else Decimal(row["amount"])
    return {
        "version": row.get("version", 1),
        "amount": money(amount, row["currency"]),
        "close_date": row["close_date"].isoformat() if row["close_date"] else None,
        "owner_id": ids.shown("user", row["owner_id"]),
        "forecast_category": category_of(row),
        "probability": row["probability"],
        "business": row["business"],
        "archived_at": rfc3339(row.get("archived_at")),
    }


def updated_event(
    before: Mapping[str, Any], after: Mapping[str, Any], caller: Caller, now: datetime
) -> NewEvent | None:
    """The event of a change of what forecasts count, the stage aside; None where nothing of it has changed.

    Such a change is none of the lead, so the event is ordered by the opportunity and has no version of the lead.
    """
    old, new = state_of(before), state_of(after)
    changed = sorted(name for name in new if name != "version" and old[name] != new[name])
    if not changed:
        return None
    data = {
        "opportunity_id": ids.show("opportunity", after["id"]),
        "lead_id": ids.shown("lead", after["origin_lead_id"]),
        "changed": changed,
        "before": {name: old[name] for name in changed},
        "stage": after["stage"],
        "class": after["class"],
        **new,
        "actor": actor_document(caller.actor),
        "occurred_at": rfc3339(now),
        "recorded_at": rfc3339(now),
    }
    return NewEvent(UPDATED, data, now, order_key=after["id"])


@dataclass(frozen=True, slots=True)
class OpportunityStep:
    """An opportunity enters `to_stage` of class `of_class`; seq 1 with `from_stage` None is its creation.

    The journey that it came from reaches `milestones`, and did not reach `voids`. What a conversion reaches is told by
    the step of the journey.
    """

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
    milestones: Sequence[str] = ()
    voids: Sequence[str] = ()

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

    def event(self, row: Mapping[str, Any]) -> NewEvent:
        """The event of the step, ordered with the events of the lead, or of the opportunity where there is no lead.

        `row` is the opportunity after the step.
        """
        data = {name: value for name, value in self.document().items() if name not in ("note", "id", "on_behalf_of")}
        reached = milestones_document([(name, False) for name in self.milestones], self.voids, self.occurred_at)
        journey = {"journey_id": ids.shown("journey", row.get("journey_id")), **reached}
        return NewEvent(
            STAGE_CHANGED,
            {"transition_id": ids.show("transition", self.id), **data, **state_of(row), **journey},
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
