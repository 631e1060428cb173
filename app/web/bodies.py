"""Bodies of requests: their media type, and those sent to a route that takes none."""

from __future__ import annotations

import re
from typing import Final

from fastapi import Request

from app.errors import RequestInvalid, UnsupportedMediaType
from app.web.parameters import MOST_NAMED
from app.web.strict_json import parse_json, printable

SAFE: Final = {"GET", "HEAD"}
# The types that FastAPI reads as JSON.
JSON_MEDIA: Final = re.compile(r"application/(json|[^/]+\+json)")


def check_media(request: Request, body: bytes) -> None:
    """Raises UnsupportedMediaType for a body under another media type than JSON."""
    media = request.headers.get("content-type", "").split(";")[0].strip().lower()
    if body and not JSON_MEDIA.fullmatch(media):
        raise UnsupportedMediaType("Send application/json (with curl: -H 'Content-Type: application/json').")


def check_no_body(request: Request, body: bytes) -> None:
    """For a route that takes no body: who sends one expects an effect. `{}` and `null` say nothing, and are taken.

    Raises UnsupportedMediaType, MalformedJson, and RequestInvalid that names each member.
    """
    if not body or request.method in SAFE:
        return
    check_media(request, body)
    sent = parse_json(body)
    if sent is None or sent == {}:
        return
    code, named = ("unknown_member", list(sent)) if isinstance(sent, dict) else ("wrong_type", ["body"])
    detail = "this endpoint takes no body: leave it out"
    faults = [{"field": printable(name) or "body", "code": code, "detail": detail} for name in named[:MOST_NAMED]]
    raise RequestInvalid("This endpoint takes no body. See `errors`.", errors=faults)
