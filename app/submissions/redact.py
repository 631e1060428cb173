"""A stored body without the secrets that senders put into it (`parse.drop`), and otherwise as it came."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final
from urllib.parse import unquote_plus

from app.sources.document import Parse
from app.sources.parse import ParseFailed, parse_body
from app.sources.request import RawRequest
from app.sources.structure import at

NAME: Final = re.compile(rb'\bname="?([^";\r\n]*)"?', re.IGNORECASE)


def redacted(parse: Parse, request: RawRequest) -> bytes | None:
    """The body to show and to keep. None when it cannot be read, so that nobody knows what is secret in it.

    A form keeps every other byte; JSON is written anew. What neither way gets out of it leaves the parsed body as JSON.
    """
    if not parse.drop or not request.body.strip():
        return request.body
    try:
        if not _shows(parse, request):
            return request.body
        for way in (_of_json, _of_multipart, _of_form):
            body = way(parse, request)
            if body is not None and not _shows(parse, replace(request, body=body)):
                return body
        return json.dumps(parse_body(parse, request), ensure_ascii=False).encode()
    except ParseFailed:
        return None


def _shows(parse: Parse, request: RawRequest) -> bool:
    body = parse_body(parse.model_copy(update={"drop": []}), request)
    return any(at(body, path) for path in parse.drop)


def _of_json(parse: Parse, request: RawRequest) -> bytes | None:
    try:
        body = json.loads(request.body)
    except (ValueError, RecursionError):
        return None
    _drop(body, parse.drop, parse.decode_json)
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def _drop(body: Any, paths: list[str], texts: list[str]) -> None:
    for path in paths:
        if place := at(body, path):
            del place[0][place[1]]
            continue
        for text in texts:
            inner = at(body, text) if path.startswith(text + ".") else None
            if inner and isinstance(inner[0][inner[1]], str):
                inner[0][inner[1]] = _without(inner[0][inner[1]], path[len(text) + 1 :])


def _without(text: str, path: str) -> str:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if place := at(value, path):
        del place[0][place[1]]
    return json.dumps(value, ensure_ascii=False)


def _of_form(parse: Parse, request: RawRequest) -> bytes | None:
    is_secret = _names(parse)
    return b"&".join(pair for pair in request.body.split(b"&") if not is_secret(_name(pair)))


def _name(pair: bytes) -> str:
    return unquote_plus(pair.partition(b"=")[0].decode("utf-8", "replace")).strip()


def _of_multipart(parse: Parse, request: RawRequest) -> bytes | None:
    line = request.body[:200].split(b"\r\n", 1)[0]
    if not line.startswith(b"--"):
        return None
    is_secret = _names(parse)
    parts = ((part, NAME.search(part)) for part in request.body.split(line))
    return line.join(part for part, name in parts if not (name and is_secret(name[1].decode("utf-8", "replace"))))


def _names(parse: Parse) -> Callable[[str], bool]:
    """Whether a form's field is one to drop: by its name, with brackets read as dots, or because it lies within one."""

    def is_secret(name: str) -> bool:
        plain = name.replace("][", ".").replace("[", ".").replace("]", "").rstrip(".")
        return any(plain == path or name == path or plain.startswith(path + ".") for path in parse.drop)

    return is_secret
