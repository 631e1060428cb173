"""The one reader of JSON bodies of our own API (promises.md, section 4, rows 43-52).

Refuses what a database or another reader would choke on later: bad UTF-8, duplicate members, NaN and Infinity, numbers
that overflow, NUL, lone surrogates, depth over 32, and collections too large to be meant.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any, Final

from app.errors import MalformedJson, RequestInvalid

MAX_DEPTH: Final = 32
MAX_MEMBERS: Final = 500
MAX_ITEMS: Final = 1_000
MAX_INTEGER: Final = 2**63 - 1


def parse_json(body: bytes) -> Any:
    """The value of a JSON body; MalformedJson (400) for what is no JSON, RequestInvalid (422) for what is not kept."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MalformedJson("The body is not UTF-8.") from None
    try:
        value = json.loads(text, object_pairs_hook=_members)
    except RecursionError:
        raise MalformedJson(f"The body is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError as error:
        raise MalformedJson(f"The body is not JSON: {error}.") from None
    _walk(value, "", 1)
    return value


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise MalformedJson(f"The member {twice[:100]!a} is there twice.")
    return members


def _walk(value: Any, place: str, depth: int) -> None:
    if isinstance(value, str):
        check_text(value, place or "body")
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise RequestInvalid.of(place or "body", "number_invalid", "an integer is too large")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise RequestInvalid.of(place or "body", "number_invalid", "NaN, or a number that is too large")
    elif isinstance(value, dict):
        _deep(depth)
        if len(value) > MAX_MEMBERS:
            raise RequestInvalid.of(place or "body", "too_many_members", f"more than {MAX_MEMBERS} members")
        for name, member in value.items():
            check_text(name, place or "body")
            _walk(member, f"{place}.{name}" if place else name, depth + 1)
    elif isinstance(value, list):
        _deep(depth)
        if len(value) > MAX_ITEMS:
            raise RequestInvalid.of(place or "body", "too_many_items", f"more than {MAX_ITEMS} items")
        for index, item in enumerate(value):
            _walk(item, f"{place}.{index}" if place else str(index), depth + 1)


def _deep(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise MalformedJson(f"The body is nested deeper than {MAX_DEPTH} levels.")


def check_text(text: str, place: str) -> None:
    """Refuses text that PostgreSQL or UTF-8 cannot hold, naming where it stands."""
    if "\x00" in text:
        raise RequestInvalid.of(printable(place), "nul_character", "text must not contain a NUL character")
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            raise RequestInvalid.of(printable(place), "lone_surrogate", "text contains half of a character") from None


def printable(place: str) -> str:
    """A field's name that any JSON writer and log can carry."""
    return place.replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")[:200]
