"""What the feed is asked and answers."""

from __future__ import annotations

import re
from typing import Annotated, Final

from fastapi import Query
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from app.events.catalogue import TYPES, Envelope
from app.web.fields import Shape

PATTERN: Final = re.compile(r"\*|[a-z][a-z_]*\.(\*|[a-z][a-z_]*)")
MOST_TYPES: Final = 50
KNOWN: Final = {"*", *TYPES, *(f"{name.partition('.')[0]}.*" for name in TYPES)}


def check_types(given: list[str]) -> list[str]:
    """Names and `noun.*` patterns, several in one text separated by commas; sorted, each once."""
    types = sorted({part.strip() for text in given for part in text.split(",")})
    if len(types) > MOST_TYPES or not all(len(each) <= 64 and PATTERN.fullmatch(each) for each in types):
        raise PydanticCustomError("type_pattern", "types look like lead.stage_changed, lead.* or *")
    for each in types:
        if each not in KNOWN:
            raise PydanticCustomError("type_unknown", "there is no event of type {type}", {"type": each})
    return types


Types = Annotated[list[str], Field(min_length=1, max_length=MOST_TYPES), AfterValidator(check_types)]
TypesAsked = Annotated[
    list[str] | None,
    Query(max_length=MOST_TYPES, description="`lead.converted`, `lead.*`; several separated by commas."),
    AfterValidator(lambda given: check_types(given) if given else None),
]
After = Annotated[
    str,
    Query(min_length=1, max_length=1000, description="`earliest`, `latest`, an instant, or `next` of the page before."),
]
PageSize = Annotated[int, Query(ge=1, le=1000, description="Events in a page.")]
Wait = Annotated[int, Query(ge=0, le=30, description="Seconds to wait for a first event.")]


class EventPage(Shape):
    """A page of the log; `next` goes on after it, also when it is empty."""

    data: list[Envelope]
    next: str
    has_more: bool
    head: str
