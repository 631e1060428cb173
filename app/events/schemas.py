"""Parameters and response of the event feed."""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

from fastapi import Header, Query
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from app.events.catalogue import TYPES, Envelope
from app.policy.fault import did_you_mean
from app.web.fields import ResponseBody

PATTERN: Final = re.compile(r"\*|[a-z][a-z_]*\.(\*|[a-z][a-z_]*)")
MAX_TYPES: Final = 50
KNOWN: Final = {"*", *TYPES, *(f"{name.partition('.')[0]}.*" for name in TYPES)}


def _check_text(text: str) -> str:
    """Comma-separated names and `noun.*` patterns. Refuses unknown types."""
    for each in map(str.strip, text.split(",")):
        if len(each) > 64 or not PATTERN.fullmatch(each):
            raise PydanticCustomError("type_pattern", "write types as lead.stage_changed, lead.* or *")
        if each not in KNOWN:
            raise PydanticCustomError(
                "type_unknown",
                "there is no event type {type}{meant}: types are written as lead.captured, and /docs lists all of them",
                {"type": each, "meant": did_you_mean(each, KNOWN).rstrip("?").replace(";", ",")},
            )
    return text


def check_types(given: list[str]) -> list[str]:
    """The names and patterns of all texts; sorted, without duplicates. Refuses unknown types, and too many."""
    types = sorted({part.strip() for text in given for part in text.split(",")})
    if len(types) > MAX_TYPES:
        raise PydanticCustomError("too_many_items", f"too many: the maximum is {MAX_TYPES}")
    for each in types:
        _check_text(each)
    return types


Types = Annotated[
    list[Annotated[str, AfterValidator(_check_text)]],
    Field(min_length=1, max_length=MAX_TYPES),
    AfterValidator(check_types),
]
TypesParameter = Annotated[
    list[str] | None,
    Query(max_length=MAX_TYPES, description="`lead.converted`, `lead.*`; several separated by commas."),
    AfterValidator(lambda given: check_types(given) if given else None),
]
After = Annotated[
    str,
    Query(min_length=1, max_length=1000, description="`earliest`, `latest`, an instant, or the last page's `next`."),
]
LastEventId = Annotated[
    str | None,
    Header(
        alias="Last-Event-ID",
        description="Of a stream: the `id` of the last event that was received. Counts before `after`.",
    ),
]
PageSize = Annotated[int, Query(ge=1, le=1000, description="Events in a page.")]
Include = Annotated[
    Literal["lead"] | None,
    Query(
        description="`lead` adds `data.lead`, the lead as of the event, and to `lead.updated` the old and new values."
        " Needs the scope leads:read."
    ),
]
Wait = Annotated[int, Query(ge=0, le=30, description="Seconds to wait for a first event.")]


class EventPage(ResponseBody):
    """A page of the log. `next` is the cursor for the following page, also when this one is empty."""

    data: list[Envelope]
    next: str
    has_more: bool
    head: str
