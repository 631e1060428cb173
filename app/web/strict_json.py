"""The parser of JSON request bodies (promises.md, section 4, rows 43-52).

Refuses what PostgreSQL or another JSON parser could not store or would read differently: bad UTF-8, duplicate members,
NaN and Infinity, numbers that overflow, NUL, lone surrogates, depth over 32, and very large objects and lists. A raw
line break or tab within a text, which many programs send, has one meaning and is read.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import Any, Final

from app.errors import MalformedJson, RequestInvalid
from app.policy.fault import escaped

MAX_DEPTH: Final = 32
MAX_MEMBERS: Final = 500
MAX_ITEMS: Final = 1_000
MAX_INTEGER: Final = 2**63 - 1


def parse_json(body: bytes) -> Any:
    """The value of a JSON body.

    Raises MalformedJson (400) if it is not JSON, RequestInvalid (422) if it cannot be stored.
    """
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise MalformedJson("The body is not UTF-8.") from None
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise MalformedJson(f"The body is nested deeper than {MAX_DEPTH} levels.") from None
    except ValueError as error:
        raise MalformedJson(f"The body is not JSON: {error}.") from None
    _check(value, (), 1)
    return value


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise MalformedJson(f"The member {twice[:100]!a} occurs more than once in one object.")
    return members


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, strict=False)


def _check(value: Any, steps: tuple[str, ...], depth: int) -> None:
    """Raises the problem of the first value that cannot be stored; `steps` lead to it from the outermost."""
    if isinstance(value, str):
        _check_text(value, steps)
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise _invalid(steps, "number_invalid", "the integer is outside the 64-bit range")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise _invalid(steps, "number_invalid", "the number is NaN, infinite or too large")
    elif isinstance(value, dict):
        _check_depth(depth)
        if len(value) > MAX_MEMBERS:
            raise _invalid(steps, "too_many_members", f"more than {MAX_MEMBERS} members")
        for name, member in value.items():
            _check_text(name, steps)
            _check(member, (*steps, name), depth + 1)
    elif isinstance(value, list):
        _check_depth(depth)
        if len(value) > MAX_ITEMS:
            raise _invalid(steps, "too_many_items", f"more than {MAX_ITEMS} items")
        for index, item in enumerate(value):
            _check(item, (*steps, str(index)), depth + 1)


def _check_depth(depth: int) -> None:
    if depth > MAX_DEPTH:
        raise MalformedJson(f"The body is nested deeper than {MAX_DEPTH} levels.")


def _check_text(text: str, steps: tuple[str, ...]) -> None:
    if (wrong := _wrong_with(text)) is not None:
        raise _invalid(steps, *wrong)


def _invalid(steps: tuple[str, ...], code: str, detail: str) -> RequestInvalid:
    """The problem of one value, whose place is also given as a JSON pointer: a name may have dots."""
    field, place = ".".join(steps) or "body", "".join(f"/{escaped(step)}" for step in steps)
    entry = {"field": printable(field), "place": printable(place), "code": code, "detail": detail}
    return RequestInvalid(f"{entry['field']}: {detail}", errors=[entry])


def check_text(text: str, path: str) -> None:
    """Raises RequestInvalid, naming the field, for text that PostgreSQL or UTF-8 cannot represent."""
    if (wrong := _wrong_with(text)) is not None:
        raise RequestInvalid.of(printable(path), *wrong)


def _wrong_with(text: str) -> tuple[str, str] | None:
    """Code and sentence for text that PostgreSQL or UTF-8 cannot represent."""
    if "\x00" in text:
        return "nul_character", "text must not contain a NUL character"
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError:
            return "lone_surrogate", "text contains a lone surrogate"
    return None


def printable(path: str) -> str:
    """A field's path with NUL and lone surrogates escaped, at most 200 characters, safe in JSON and logs."""
    return path.replace("\x00", "\\0").encode("utf-8", "backslashreplace").decode("utf-8")[:200]
