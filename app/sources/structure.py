"""Parses untrusted JSON, and form names with brackets or separators into nested objects."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from app.matching.text import is_storable, storable_value

MAX_DEPTH: Final = 64
_MAX_INTEGER: Final = 2**63
_ESCAPES: Final = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
# A backslash, with the rest of an escape of JSON where it begins one.
_BACKSLASH: Final = re.compile(r"\\(?:[\"\\/bfnrt]|u[0-9a-fA-F]{4})?")
_TOKEN: Final = re.compile(r'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)
_PLACE: Final = re.compile(r"[0-9]{1,18}")  # of an element of a list
_BRACKETS: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])+)")
_MAX_BRACKETS: Final = 8


def parse_json(text: str) -> Any:
    """The value of JSON text, with every string in it storable. Raises ValueError when it is invalid.

    More lenient than the API's own endpoints: NaN becomes null, a number too large for a column becomes text, and so
    does an object or a list that is over 64 deep; of a repeated member the last is used, and a string may hold raw line
    breaks, tabs and lone backslashes.
    """
    try:
        text, value = _loaded(text)
        is_too_deep = text.count("[") + text.count("{") > MAX_DEPTH and _depth_over(value, MAX_DEPTH)
    except RecursionError:
        is_too_deep = True
    if is_too_deep:
        try:
            text, value = _loaded(_shallow(text))
        except RecursionError:
            raise ValueError("nested too deeply") from None
    return value if is_storable(text) and _ESCAPES.search(text) is None else storable_value(value)


def _loaded(text: str) -> tuple[str, Any]:
    """The text with its lone backslashes doubled, where it has such, and its value. Raises RecursionError."""
    try:
        return text, _load(text)
    except json.JSONDecodeError:
        kept = _BACKSLASH.sub(lambda found: "\\\\" if found[0] == "\\" else found[0], text)
        if kept == text:
            raise
        return kept, _load(kept)


def _load(text: str) -> Any:
    return json.loads(text, strict=False, parse_constant=lambda _: None, parse_float=_float, parse_int=_integer)


def _shallow(text: str) -> str:
    """JSON text in which each object and list that is over 64 deep is its own text, as a string."""
    parts, depth, kept_to, begins_at = [], 0, 0, 0
    for token in _TOKEN.finditer(text):
        if token[0] in ("[", "{"):
            depth += 1
            if depth == MAX_DEPTH + 1:
                begins_at = token.start()
        elif token[0] in ("]", "}"):
            if depth == MAX_DEPTH + 1:
                parts += [text[kept_to:begins_at], json.dumps(text[begins_at : token.end()])]
                kept_to = token.end()
            depth -= 1
    return "".join([*parts, text[kept_to:]])


def parse_json_text(text: str) -> Any:
    """The value of JSON text, None when it is invalid."""
    try:
        return parse_json(text)
    except ValueError:
        return None


def _float(digits: str) -> float | str:
    number = float(digits)
    return digits if number in (float("inf"), float("-inf")) else number


def _integer(digits: str) -> int | str:
    # A larger integer would become a float, or an error, in whatever reads it later.
    return digits if len(digits) > 19 or not -_MAX_INTEGER <= int(digits) < _MAX_INTEGER else int(digits)


def _depth_over(value: Any, limit: int) -> bool:
    level = [value]
    for _ in range(limit):
        level = [
            member
            for container in level
            if isinstance(container, dict | list)
            for member in (container.values() if isinstance(container, dict) else container)
        ]
        if not level:
            return False
    return any(isinstance(member, dict | list) for member in level)


def listed(value: Any) -> list[Any]:
    """A list as it is, another value alone in one.

    An object of objects whose names are all numbers is the list of its values: PHP writes a list with gaps so.
    """
    if isinstance(value, list):
        return value
    if not isinstance(value, dict) or not value or not all(map(_PLACE.fullmatch, value)):
        return [value]
    elements = [value[place] for place in sorted(value, key=int)]
    return elements if all(isinstance(one, dict) for one in elements) else [value]


def nested(pairs: list[tuple[str, Any]], *, unbracket: bool) -> dict[str, Any]:
    """Form pairs as an object: `a[b][c]=1` is {a: {b: {c: 1}}}; `a[]=1&a[]=2` and `a=1&a=2` are lists.

    A name that contradicts an earlier one (`a=1&a[b]=2`) is used literally as key.
    """
    body: dict[str, Any] = {}
    for name, value in pairs:
        match = _BRACKETS.fullmatch(name) if unbracket else None
        path = [match.group(1), *re.findall(r"\[([^\[\]]*)\]", match.group(2))] if match else [name]
        if len(path) > _MAX_BRACKETS or not _put(body, path, value):
            _put(body, [name], value)
    return body


def _put(body: dict[str, Any], path: list[str], value: Any) -> bool:
    listed = len(path) > 1 and path[-1] == ""
    *parents, last = path[:-1] if listed else path
    place: Any = body
    for name in parents:
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            return False
    present = place.get(last)
    if isinstance(present, dict):
        return False
    if last in place:
        place[last] = [*present, value] if isinstance(present, list) else [present, value]
    else:
        place[last] = [value] if listed else value
    return True


def unflattened(body: dict[str, Any], separator: str) -> dict[str, Any]:
    """Splits names such as `answers__0__question` at the separator; {"0": …, "1": …} become lists."""
    pairs = [(name.split(separator) if separator in name.strip("_") else [name], value) for name, value in body.items()]
    result: dict[str, Any] = {}
    for path, value in pairs:
        if "" in path or len(path) > _MAX_BRACKETS or not _put(result, path, value):
            _put(result, [separator.join(path)], value)
    return {name: _listed(value) for name, value in result.items()}


def _listed(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    members = {name: _listed(member) for name, member in value.items()}
    return list(members.values()) if list(members) == [str(n) for n in range(len(members))] and members else members


def locate(value: Any, path: str) -> tuple[dict[str, Any], str] | None:
    """The object and the member name that a path leads to, read as one literal name, else as a dotted path."""
    if not isinstance(value, dict):
        return None
    if path in value:
        return value, path
    name, dot, rest = path.partition(".")
    return locate(value.get(name), rest) if dot else None
