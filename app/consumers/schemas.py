"""Bodies and answers of /v1/consumers."""

from __future__ import annotations

import re
from typing import Annotated, Any, Final, Self

from fastapi import Path
from pydantic import Field, model_validator

from app import ids
from app.events import cursors
from app.events.cursors import Filters
from app.events.schemas import EventPage, Types
from app.events.sql import Place
from app.policy.shape import Like
from app.web.fields import EventId, LeadId, RequestBody, ResponseBody, refuse, rfc3339

PATTERN: Final = "^[a-z0-9][a-z0-9._-]{0,63}$"
NAME_FORM: Final = "write small letters, digits, and . _ - after the first of them; at most 64"
NAME: Final = re.compile(PATTERN, re.ASCII)
ConsumerName = Annotated[str, Like("billing", NAME_FORM, PATTERN)]
# The name of a consumer to be: a wrong one is told as a fault of the request, where others are a consumer that is not.
NewName = Annotated[str, Path(json_schema_extra={"pattern": PATTERN, "examples": ["billing"]})]
WHERE: Final = "`earliest`, `latest`, an instant, or a cursor of the feed"
Start = Annotated[str, Field(min_length=1, max_length=1000, examples=["earliest"])]


class ConsumerPut(RequestBody):
    """What a consumer reads, and where it begins. The filters of one that exists have to be the same."""

    types: Types | None = Field(default=None, description="As those of the feed; null: all.")
    lead_id: LeadId | None = None
    start: Start = Field(
        default="latest", description=f"Where a new consumer begins: {WHERE}. One that exists stays where it is."
    )
    seek: Start | None = Field(
        default=None, description=f"Moves the consumer, new or not, also backwards: {WHERE}. Counts before `start`."
    )

    @property
    def filters(self) -> Filters:
        return Filters(tuple(self.types) if self.types else None, self.lead_id)


class Ack(RequestBody):
    """The last place that is done with: the `next` of a page of the consumer, or the id of one of its events."""

    cursor: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    event_id: EventId | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.cursor is None) == (self.event_id is None):
            refuse(self, "cursor", "one_of", "give either `cursor` or `event_id`")
        return self


class ConsumerOut(ResponseBody):
    """A consumer. `cursor` is null where it stands before the first event."""

    name: str
    types: list[str] | None
    lead_id: LeadId | None
    cursor: str | None = Field(description="The place up to which it has acknowledged.")
    lag: int = Field(description="How many of the next 10,000 events pass its filters.")
    lag_seconds: int = Field(description="Age of the first of them; 0 if there is none.")
    acknowledged_at: str | None
    version: int
    created_at: str
    updated_at: str


class ConsumerPage(ResponseBody):
    data: list[ConsumerOut]
    next: str | None


class ConsumerEvents(EventPage):
    """A page of a consumer's events. Acknowledge `next` when all of them are done with, also of an empty page."""


def filters_of(row: Any) -> Filters:
    return Filters(tuple(row.types) if row.types else None, row.lead_id)


def place_of(row: Any) -> Place:
    return Place(row.position, row.event_id)


def show_consumer(row: Any) -> dict[str, Any]:
    return {
        "name": row.name,
        "types": row.types,
        "lead_id": ids.shown("lead", row.lead_id),
        "cursor": cursors.write(place_of(row), filters_of(row)) if row.event_id is not None else None,
        "lag": row.lag,
        "lag_seconds": int(row.lag_seconds),
        "acknowledged_at": rfc3339(row.acknowledged_at),
        "version": row.version,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }


def moving_members(shown: dict[str, Any]) -> dict[str, Any] | None:
    """The members that change without a new version, for the entity tag; None where none has."""
    return {"lag": shown["lag"], "lag_seconds": shown["lag_seconds"]} if shown["lag"] else None
