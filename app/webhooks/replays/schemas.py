"""Request and response schemas of replays."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, StringConstraints
from sqlalchemy import Row

from app import ids
from app.events.schemas import Types
from app.web.fields import LeadId, Omittable, RequestBody, ResponseBody, rfc3339
from app.webhooks.replays.sql import Only, State

End = Annotated[str, StringConstraints(min_length=1, max_length=1000)]


class ReplayCreate(RequestBody):
    """Which events to send once more: a range of the log, and of it types, leads, or what failed."""

    from_: End = Field(
        default="earliest",
        alias="from",
        description="`earliest`, an instant (the event was recorded then or later), or a cursor of the feed.",
    )
    to: End = Field(
        default="latest", description="`latest`, an instant (recorded before), or a cursor of the feed (up to it)."
    )
    types: Types = Field(default=["*"], examples=[["lead.*"]], description="Of those that the subscription accepts.")
    lead_ids: Omittable[Annotated[list[LeadId], Field(min_length=1, max_length=100)]] = None
    only: Only = Field(
        default="all", description="`failed`: what is dead, and what failed at its last attempt and is not waiting."
    )
    rate: Annotated[float, Field(ge=0.01, le=1000)] | None = Field(
        default=None,
        description="Requests a second at most; null: no limit but that of `limits.concurrency`, of which a replay"
        " gets 20 %, at least one request at a time.",
    )


class ReplayOut(ResponseBody):
    id: str
    subscription_id: str
    state: State
    state_reason: str | None = Field(description="Why it failed: `position_expired`, its events are kept no more.")
    only: Only
    types: list[str]
    lead_ids: list[str] | None
    rate: float | None
    from_position: str = Field(description="The first position that it may send.")
    to_position: str = Field(description="The last one.")
    position: str = Field(description="Everything up to this position is handled.")
    sent: int = Field(description="Deliveries that the receiver took.")
    failed: int = Field(description="Deliveries that were given up; send them with `only: failed`.")
    remaining: int = Field(
        description="Events of the log after the position, counted up to 10,000; also those that types, the filter or"
        " `only` will leave out."
    )
    created_at: str
    started_at: str | None
    finished_at: str | None


class ReplayPage(ResponseBody):
    data: list[ReplayOut]
    next: str | None


def show_replay(row: Row[Any]) -> dict[str, Any]:
    return {
        "id": ids.show("replay", row.id),
        "subscription_id": ids.show("subscription", row.subscription_id),
        "state": row.state,
        "state_reason": row.state_reason,
        "only": row.only,
        "types": row.types,
        "lead_ids": None if row.lead_ids is None else [ids.show("lead", UUID(each)) for each in row.lead_ids],
        "rate": row.rate,
        "from_position": str(row.after_position + 1),
        "to_position": str(row.to_position),
        "position": str(row.position),
        "sent": row.sent,
        "failed": row.failed,
        "remaining": row.remaining,
        "created_at": rfc3339(row.created_at),
        "started_at": rfc3339(row.started_at),
        "finished_at": rfc3339(row.finished_at),
    }
