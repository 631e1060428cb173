"""The response that a source's document sets in place of the plain 202: a redirect, or a status and body."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from app.matching.host import host_of_url
from app.matching.text import as_text
from app.sources.budget import QUICK_STEPS, Budget, TooCostly
from app.sources.document import Document, Parse
from app.sources.expressions import Context, is_literal
from app.sources.parse import ParseFailed, parse_body
from app.sources.request import RawRequest
from app.web.accept import prefers

FILLED: Final = ("submission_id", "verdict", "lead_id", "stage")
_PLACE: Final = re.compile(r"\{(" + "|".join(FILLED) + r")\}")


@dataclass(frozen=True, slots=True)
class Answer:
    """A response. A text body is sent as text/plain, None as an empty body, anything else as JSON."""

    status: int
    body: Any = None
    location: str | None = None


def answer(document: Document, request: RawRequest) -> Answer | None:
    """The response that the document's `respond` sets for an accepted request; None: the caller answers 202.

    Only browsers are redirected: a form post that does not ask for JSON. A URL taken from the request must have a host
    in `allow_hosts`; otherwise the plain response is sent, not an error, because the submission is stored already.
    """
    respond = document.respond
    if respond is None:
        return None
    if respond.redirect and _is_browser(request):
        location = _location(respond.redirect, respond.allow_hosts, document.parse, request)
        if location is not None:
            return Answer(respond.status if respond.status >= 300 else 303, location=location)
    return None if respond.body is None or respond.status >= 300 else Answer(respond.status, respond.body)


def filled(body: Any, values: Mapping[str, str | None]) -> Any:
    """A body with values in place of `{name}`: null for a text that is nothing else and has no value, else a text."""
    match body:
        case dict():
            return {name: filled(member, values) for name, member in body.items()}
        case list():
            return [filled(member, values) for member in body]
        case str() if body[:1] == "{" and body[1:-1] in FILLED and body[-1:] == "}":
            return values.get(body[1:-1])
        case str():
            return _PLACE.sub(lambda found: values.get(found[1]) or "", body)
    return body


def _is_browser(request: RawRequest) -> bool:
    content_type, accepted = request.header("content-type").lower(), request.header("accept").lower()
    is_form = content_type.startswith(("application/x-www-form-urlencoded", "multipart/form-data"))
    is_page = content_type.startswith("text/plain") and "text/html" in accepted  # a script sends that type unasked
    prefers_json = prefers(accepted, "application/json", "text/html")
    return (is_form or is_page) and ("json" not in accepted or ("text/html" in accepted and not prefers_json))


def _location(redirect: str, allowed: list[str], parse: Parse, request: RawRequest) -> str | None:
    if is_literal(redirect):
        return redirect if host_of_url(redirect) else None
    try:
        body = parse_body(parse, request)
        budget = Budget(len(request.content), QUICK_STEPS)
        found = as_text(Context({"body": body, "query": request.parameters}, budget=budget).value(redirect))
    except (ParseFailed, TooCostly):
        return None
    host = host_of_url(found)
    return found if host and any(_allows(pattern.lower(), host) for pattern in allowed) else None


def _allows(pattern: str, host: str) -> bool:
    pattern = pattern.removesuffix(".")
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern
