"""A stored body without the secrets that senders put into it (`parse.drop`), and otherwise as it came."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import Final
from urllib.parse import unquote_plus

from app.sources.document import Parse
from app.sources.parse import ParseFailed, parse_body
from app.sources.request import RawRequest
from app.sources.structure import at

NAME: Final = re.compile(rb'\bname="?([^";\r\n]*)"?', re.IGNORECASE)


def redacted(parse: Parse, request: RawRequest) -> bytes | None:
    """The body to show and to keep. None when it cannot be read, so that nobody knows what is secret in it.

    A form keeps every other byte; anything else is written anew as JSON, as the document's `parse` reads it.
    """
    if not parse.drop or not request.body.strip():
        return request.body
    try:
        if not _shows(parse, request):
            return request.body
        read = parse_body(parse, request)
    except ParseFailed:
        return None
    for way in (_of_multipart, _of_form):
        body = way(parse, request.body)
        if _is_clean(parse, replace(request, body=body)):
            return body
    return json.dumps(read, ensure_ascii=False, separators=(",", ":")).encode()


def _shows(parse: Parse, request: RawRequest) -> bool:
    body = parse_body(parse.model_copy(update={"drop": []}), request)
    return any(at(body, path) for path in parse.drop)


def _is_clean(parse: Parse, request: RawRequest) -> bool:
    try:
        return not _shows(parse, request)
    except ParseFailed:
        return False


def _of_form(parse: Parse, body: bytes) -> bytes:
    return b"&".join(pair for pair in body.split(b"&") if not _is_secret(parse, _name(pair)))


def _name(pair: bytes) -> str:
    return unquote_plus(pair.partition(b"=")[0].decode("utf-8", "replace")).strip()


def _of_multipart(parse: Parse, body: bytes) -> bytes:
    line = body[:200].split(b"\r\n", 1)[0]
    if not line.startswith(b"--"):
        return body
    parts = ((part, NAME.search(part)) for part in body.split(line))
    return line.join(
        part for part, name in parts if not (name and _is_secret(parse, name[1].decode("utf-8", "replace")))
    )


def _is_secret(parse: Parse, name: str) -> bool:
    """Whether a form's field is one to drop: by its name, with brackets read as dots, or because it lies within one."""
    plain = name.replace("][", ".").replace("[", ".").replace("]", "").rstrip(".")
    return any(plain == path or name == path or plain.startswith(path + ".") for path in parse.drop)
