"""Removes secrets (`parse.drop`) from a raw body and leaves the rest unchanged."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Final
from urllib.parse import unquote_plus

from app.sources.coding import packed
from app.sources.document import Parse
from app.sources.parse import ParseFailed, is_in_lines, parse_body
from app.sources.request import RawRequest
from app.sources.structure import locate

NAME: Final = re.compile(rb'\bname="?([^";\r\n]*)"?', re.IGNORECASE)


def redacted(parse: Parse, request: RawRequest) -> bytes | None:
    """The body without its secrets; None when it cannot be parsed and may hold secrets, which cannot be found then.

    A form keeps every other byte; any other body is replaced by its parsed value as JSON. A packed body stays packed.
    """
    if not parse.drop or not request.body.strip():
        return request.body
    try:
        if not _holds_secret(parse, request):
            return request.body
        read = parse_body(parse, request)
    except ParseFailed:
        return None if _may_hold_secret(parse, request) else request.body
    coding = request.header("content-encoding")
    in_lines = is_in_lines(request.header("content-type"), request.content)
    for redact in () if in_lines else (_redact_multipart, _redact_form):
        body = packed(redact(parse, request.content), coding)
        if _is_clean(parse, replace(request, body=body)):
            return body
    return packed(json.dumps(read, ensure_ascii=False, separators=(",", ":")).encode(), coding)


def _holds_secret(parse: Parse, request: RawRequest) -> bool:
    body = parse_body(parse.model_copy(update={"drop": []}), request)
    return any(locate(body, path) for path in parse.drop)


def _may_hold_secret(parse: Parse, request: RawRequest) -> bool:
    """Whether a body that cannot be parsed may have one of the names: as it is, or written in another way."""
    try:
        text = unquote_plus(request.content.decode())
    except ValueError:
        return True
    hidden = "\\u" in text or "\x00" in text or "base64" in text.lower()
    return hidden or any(path.rpartition(".")[2] in text for path in parse.drop)


def _is_clean(parse: Parse, request: RawRequest) -> bool:
    try:
        return not _holds_secret(parse, request)
    except ParseFailed:
        return False


def _redact_form(parse: Parse, body: bytes) -> bytes:
    return b"&".join(pair for pair in body.split(b"&") if not _is_secret(parse, _name(pair)))


def _name(pair: bytes) -> str:
    return unquote_plus(pair.partition(b"=")[0].decode("utf-8", "replace")).strip()


def _redact_multipart(parse: Parse, body: bytes) -> bytes:
    line = body[:200].split(b"\r\n", 1)[0]
    if not line.startswith(b"--"):
        return body
    parts = ((part, NAME.search(part)) for part in body.split(line))
    return line.join(
        part for part, name in parts if not (name and _is_secret(parse, name[1].decode("utf-8", "replace")))
    )


def _is_secret(parse: Parse, name: str) -> bool:
    """Whether `drop` covers a form field: by its name, by its path (`a[b]` is `a.b`), or by a parent of that."""
    plain = name.replace("][", ".").replace("[", ".").replace("]", "").rstrip(".")
    return any(plain == path or name == path or plain.startswith(path + ".") for path in parse.drop)
