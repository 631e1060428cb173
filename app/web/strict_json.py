"""The parser of JSON request bodies (promises.md, section 4, rows 43-52).

Refuses what PostgreSQL or another JSON parser could not store or would read differently: bad UTF-8, duplicate members,
NaN and Infinity, numbers that overflow, NUL, lone surrogates, depth over 32, and very large objects and lists. A raw
line break or tab within a text, which many programs send, has one meaning and is read. Where the items of a list are
read one by one (app/web/items.py), an item that holds such a value is replaced by `Unstorable`, and costs no other.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from app.errors import MalformedJson, RequestInvalid
from app.policy.fault import escaped

MAX_DEPTH: Final = 32
MAX_MEMBERS: Final = 500
MAX_ITEMS: Final = 1_000
MAX_INTEGER: Final = 2**63 - 1


class Unstorable(Exception):
    """A value that cannot be stored: the steps that lead to it from the outermost, and what is wrong."""

    def __init__(self, steps: tuple[str, ...], code: str, detail: str) -> None:
        self.steps, self.code, self.detail = steps, code, detail

    def fault(self, around: tuple[str, ...] = ()) -> dict[str, str]:
        """As an entry of `errors`, with its place also as a JSON pointer: a name may have dots. `around`: the steps
        that lead to the outermost."""
        steps = (*around, *self.steps)
        field, place = ".".join(steps) or "body", "".join(f"/{escaped(step)}" for step in steps)
        return {"field": printable(field), "place": printable(place), "code": self.code, "detail": self.detail}


@dataclass(frozen=True, slots=True)
class _Repeating:
    """In place of an object that has this member more than once."""

    name: str


def parse_json(body: bytes, read_alone: Collection[str] = ()) -> Any:
    """The value of a JSON body. `read_alone`: its members that are lists whose items are read one by one.

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
    try:
        return _checked(value, read_alone)
    except Unstorable as error:
        if error.code in _NOT_JSON:
            raise MalformedJson(error.detail) from None
        fault = error.fault()
        raise RequestInvalid(f"{fault['field']}: {error.detail}", errors=[fault]) from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Repeating:
    members = dict(pairs)
    if len(members) != len(pairs):
        return _Repeating(Counter(name for name, _ in pairs).most_common(1)[0][0])
    return members


def _integer(digits: str) -> int:
    # Python refuses to read an integer of thousands of digits: any that is too large stands for it.
    return int(digits) if len(digits) <= len(str(-MAX_INTEGER)) else MAX_INTEGER + 1


_DECODER: Final = json.JSONDecoder(object_pairs_hook=_object, parse_int=_integer, strict=False)
_NOT_JSON: Final = frozenset({"nested_too_deeply", "member_repeated"})


def _checked(body: Any, read_alone: Collection[str]) -> Any:
    """The body, with Unstorable in place of each item of `read_alone` that holds a value which cannot be stored."""
    lists = {name: body[name] for name in read_alone if isinstance(body, dict) and isinstance(body.get(name), list)}
    rest = {name: member for name, member in body.items() if name not in lists} if lists else body
    _check(rest, (), 1)
    for name, items in lists.items():
        _check_length(items, (name,))
    return {**rest, **{name: [_item(one) for one in items] for name, items in lists.items()}} if lists else body


def _item(item: Any) -> Any:
    try:
        _check(item, (), 3)
    except Unstorable as error:
        return error
    return item


def _check(value: Any, steps: tuple[str, ...], depth: int) -> None:
    """Raises Unstorable for the first value that cannot be stored; `steps` lead to it from the outermost."""
    if isinstance(value, str):
        _check_text(value, steps)
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int):
        if not -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
            raise Unstorable(steps, "number_invalid", "the integer is outside the 64-bit range")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise Unstorable(steps, "number_invalid", "the number is NaN, infinite or too large")
    elif isinstance(value, dict):
        _check_depth(steps, depth)
        if len(value) > MAX_MEMBERS:
            raise Unstorable(steps, "too_many_members", f"more than {MAX_MEMBERS} members")
        for name, member in value.items():
            _check_text(name, steps)
            _check(member, (*steps, name), depth + 1)
    elif isinstance(value, list):
        _check_depth(steps, depth)
        _check_length(value, steps)
        for index, item in enumerate(value):
            _check(item, (*steps, str(index)), depth + 1)
    elif isinstance(value, _Repeating):
        named = f"The member {value.name[:100]!a} occurs more than once in one object."
        raise Unstorable(steps, "member_repeated", named)


def _check_depth(steps: tuple[str, ...], depth: int) -> None:
    if depth > MAX_DEPTH:
        raise Unstorable(steps, "nested_too_deeply", f"The body is nested deeper than {MAX_DEPTH} levels.")


def _check_length(items: list[Any], steps: tuple[str, ...]) -> None:
    if len(items) > MAX_ITEMS:
        raise Unstorable(steps, "too_many_items", f"more than {MAX_ITEMS} items")


def _check_text(text: str, steps: tuple[str, ...]) -> None:
    if (wrong := _wrong_with(text)) is not None:
        raise Unstorable(steps, *wrong)


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
