"""Refuses query parameters that a route does not have: a misspelt filter must not answer with everything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from typing import Any, Final, get_args, get_origin
from urllib.parse import parse_qsl, unquote_to_bytes

from fastapi import Request
from fastapi.dependencies.models import Dependant

from app.errors import RequestInvalid
from app.web.strict_json import check_text, printable

MOST_NAMED: Final = 20
NOT_UTF8: Final = "write text in UTF-8, with `%` codes of its bytes"


def check_parameters(request: Request) -> None:
    """Raises RequestInvalid, naming each query parameter that the route lacks, or that takes one value and has two,
    or the first with text that cannot be stored, which may be a part of the path."""
    _check_path(request)
    if not request.scope["query_string"]:
        return
    _check_utf8(request.scope["query_string"])
    for name, value in request.query_params.multi_items():
        check_text(name, "query")
        check_text(value, name)
    taken = dict(_taken_by(request.scope["route"].dependant))
    given = Counter(name for name, _ in request.query_params.multi_items())
    faults = [fault for name, times in given.items() if (fault := _fault(name, times, taken)) is not None]
    if faults:
        named = ", ".join(fault["field"] for fault in faults)
        raise RequestInvalid(f"Not valid: {named}. See `errors`.", errors=faults[:MOST_NAMED])


def _check_path(request: Request) -> None:
    """Raises RequestInvalid for a part of the path that is not UTF-8, which is read with other characters in it.

    A path with an id is left alone: its other parts are looked up with the record, and not found (404).
    """
    parts = request.path_params
    names = [name for name, value in parts.items() if "\ufffd" in value]
    if names and not any(name.endswith("_id") for name in parts):
        try:
            unquote_to_bytes(request.scope["raw_path"]).decode()
        except UnicodeDecodeError:
            raise RequestInvalid.of(names[0], "not_utf8", NOT_UTF8) from None


def _check_utf8(query: bytes) -> None:
    """Raises RequestInvalid for the first parameter that is not UTF-8, which is read with other characters in it."""
    for name, value in parse_qsl(query.decode("latin-1"), keep_blank_values=True, errors="surrogateescape"):
        try:
            f"{name}{value}".encode()
        except UnicodeEncodeError:
            field = printable(name) or "query"
            raise RequestInvalid.of(field, "not_utf8", NOT_UTF8) from None


def check_window(start: datetime | None, end: datetime | None, names: tuple[str, str] = ("from", "to")) -> None:
    """Raises RequestInvalid for a time between two instants that has nothing in it."""
    if start is not None and end is not None and start >= end:
        raise RequestInvalid.of(names[1], "window_empty", f"write a time that is later than `{names[0]}`")


def _fault(name: str, times: int, taken: dict[str, bool]) -> dict[str, str] | None:
    if name not in taken:
        shown = f"its parameters are {', '.join(sorted(taken))}" if taken else "it has none"
        detail = f"this endpoint has no parameter of this name; {shown}"
        return {"field": printable(name) or "query", "code": "parameter_unknown", "detail": detail}
    if times > 1 and not taken[name]:
        return {"field": name, "code": "parameter_repeated", "detail": "give this parameter once"}
    return None


def _taken_by(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """The query parameters of a route, each with whether it takes several values."""
    for field in dependant.query_params:
        yield field.alias, _is_list(field.field_info.annotation)
    for child in dependant.dependencies:
        yield from _taken_by(child)


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(map(_is_list, get_args(annotation)))
