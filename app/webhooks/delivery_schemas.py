"""Request and response schemas of deliveries and their attempts."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import Path
from pydantic import Field
from sqlalchemy import Row

from app import ids
from app.events.schemas import Types
from app.web.fields import Instant, LeadId, Omittable, RequestBody, ResponseBody, rfc3339
from app.web.parameters import check_window
from app.webhooks.sql import Wanted

DeliveryState = Literal["retry", "held", "dead"]
Position = Annotated[int, Path(ge=1, lt=2**63, description="As in `meta.position` of the event.")]


class DeadLetters(RequestBody):
    """Which dead deliveries; an absent member is any."""

    types: Omittable[Types] = Field(default=None, examples=[["lead.*"]])
    lead_ids: Omittable[Annotated[list[LeadId], Field(min_length=1, max_length=100)]] = None
    from_: Omittable[Instant] = Field(default=None, alias="from", description="The event was recorded then or later.")
    to: Omittable[Instant] = Field(default=None, description="The event was recorded before.")

    @property
    def wanted(self) -> Wanted:
        check_window(self.from_, self.to)
        types, leads = tuple(self.types) if self.types else None, tuple(self.lead_ids) if self.lead_ids else None
        return Wanted("dead", types, leads, self.from_, self.to)


class DeliveryOut(ResponseBody):
    event_id: str
    event_type: str | None = Field(description="Null where the log has the event no more.")
    lead_id: str | None
    position: str
    state: DeliveryState
    attempts: int
    next_at: str | None
    last_code: int | None
    last_error: str | None = Field(description="`expired`: it waited until its event was kept no more.")
    blocks: bool = Field(description="It is dead, and later events of its lead wait.")
    requested: Literal["retry", "discard", "skip"] | None = Field(
        description="What was asked for it and is not done yet; `skip`: let its lead go on."
    )


class DeadLettersAsked(ResponseBody):
    count: int = Field(description="Dead deliveries for which it is asked now: at most 10,000 by one request.")
    more: bool = Field(description="Whether there are more: send the request again.")


class DeliveryPage(ResponseBody):
    data: list[DeliveryOut]
    next: str | None


class AttemptOut(ResponseBody):
    event_id: str
    lead_id: str | None
    position: str
    n: int
    at: str
    ms: int
    code: int | None = Field(description="The status of the answer; of a broker the one that says the same.")
    error: str | None = Field(
        description="Why it failed. `skipped`: it was not sent, because the subscription no longer accepts the event."
    )
    response_head: str | None
    trigger: Literal["live", "retry", "probe", "replay"] = Field(
        description="`probe`: tried whether the receiver is back; it does not count as an attempt of the delivery."
    )


class AttemptPage(ResponseBody):
    data: list[AttemptOut]
    next: str | None


def show_delivery(row: Row[Any]) -> dict[str, Any]:
    return {
        "event_id": ids.show("event", row.event_id),
        "event_type": row.event_type,
        "lead_id": ids.shown("lead", row.lead_id),
        "position": str(row.position),
        "state": row.state,
        "attempts": row.attempts,
        "next_at": rfc3339(row.next_at),
        "last_code": row.last_code,
        "last_error": row.last_error,
        "blocks": row.blocks,
        "requested": row.request,
    }


def show_attempt(row: Row[Any]) -> dict[str, Any]:
    return {
        "event_id": ids.show("event", row.event_id),
        "lead_id": ids.shown("lead", row.lead_id),
        "position": str(row.position),
        "n": row.n,
        "at": rfc3339(row.at),
        "ms": row.ms,
        "code": row.code,
        "error": row.error_kind,
        "response_head": row.response_head,
        "trigger": row.trigger,
    }
