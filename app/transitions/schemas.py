"""Request and response models of transitions."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, StringConstraints

from app.conversion.order import ConversionOrder
from app.leads.schemas import Bant, LeadOut, TransitionOut
from app.transitions.ask import TransitionRequest
from app.web.fields import Code, Instant, Note, RequestBody, ResponseBody, TransitionId, UserId

Stage = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class TransitionCreate(RequestBody):
    action: Stage | None = Field(default=None, examples=["accept"])
    to: Stage | None = None
    reason_code: Code | None = None
    note: Note | None = None
    bant: Bant | None = None
    wake_at: Instant | None = None
    occurred_at: Instant | None = None
    owner_id: UserId | None = None
    override_reason: Note | None = None
    correction_of: TransitionId | None = None
    conversion: ConversionOrder | bool | None = None

    def request(self) -> TransitionRequest:
        """The arguments of `ask_transition`."""
        return TransitionRequest(
            action=self.action,
            to=self.to,
            reason_code=self.reason_code,
            note=self.note,
            bant=self.bant.model_dump(exclude_none=True) if self.bant else None,
            wake_at=self.wake_at,
            occurred_at=self.occurred_at,
            owner_id=self.owner_id,
            override_reason=self.override_reason,
            correction_of=self.correction_of,
            conversion=self.conversion,
        )


class TransitionAnswer(ResponseBody):
    transition: TransitionOut
    lead: LeadOut
    conversion: dict[str, Any] | None = Field(default=None, description="Present if the move converted the lead.")


class EligibleOut(ResponseBody):
    action: str
    to: str | None
    allowed: bool
    code: str | None
    unmet: list[dict[str, Any]]


class EligibilityOut(ResponseBody):
    stage: str | None
    actions: list[EligibleOut]
