"""Parses a request body in the formats that the document declares. The only exception is ParseFailed."""

from __future__ import annotations

import codecs
import json
import logging
import re
from collections.abc import Mapping
from email.message import Message
from typing import Any, Final
from urllib.parse import parse_qsl

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from app.matching.text import storable
from app.sources.coding import ContentInvalid, ContentTooLarge
from app.sources.document import Format, Parse
from app.sources.request import RawRequest
from app.sources.structure import locate, nested, parse_json, parse_json_text, unflattened

MAX_FIELDS: Final = 5_000
_CHARSETS: Final = re.compile(
    r"utf-?(8|16|32)(le|be)?|(us-)?ascii|latin-?\d+|iso-?8859-?\d+|(windows|cp)-?\d{3,4}|koi8-[ru]|gb\w+|big5|shift_?jis"
    r"|euc-\w+",
    re.IGNORECASE,
)
# An object or a list, or a JSON text that holds one.
_JSON_START: Final = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]{0,64}\"?[{\[]")
# The parser logs a warning for every unexpected byte, and the bytes are untrusted.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


class ParseFailed(ValueError):
    """The body is in none of the declared formats."""


def parse_body(parse: Parse, request: RawRequest) -> Any:
    """The parsed body, without the members in `drop`. ParseFailed when no declared format fits."""
    try:
        return _parsed(parse, request)
    except ParseFailed:
        raise
    except (ContentInvalid, ContentTooLarge) as error:
        raise ParseFailed(str(error)) from None
    # Codecs and parsers may raise anything on untrusted bytes; unconverted, it would be a 500 on ingest, and would be
    # retried again and again by the worker.
    except Exception as error:
        raise ParseFailed(f"{type(error).__name__}: {str(error)[:120]}") from error


def _parsed(parse: Parse, request: RawRequest) -> Any:
    content_type, content = request.header("content-type"), request.content
    if not content.strip() and request.parameters:
        body: Any = dict(request.parameters)
    else:
        body = _read(_formats(parse.formats, content_type, content), content_type, content, parse.unbracket)
    if isinstance(body, dict) and parse.unflatten:
        body = unflattened(body, parse.unflatten)
    for path in parse.decode_json:
        if (place := locate(body, path)) and isinstance(text := place[0][place[1]], str):
            decoded = parse_json_text(text)
            place[0][place[1]] = text if decoded is None else decoded
    for path in parse.drop:
        if place := locate(body, path):
            del place[0][place[1]]
    return body


def _formats(declared: list[Format], content_type: str, body: bytes) -> list[Format]:
    wanted: list[Format] = ["json", "form", "multipart"] if "auto" in declared else declared
    kind = content_type.partition(";")[0].strip().lower()
    named: Format
    if kind.endswith(("/json", "+json")):
        named = "json"
    elif kind == "multipart/form-data":
        named = "multipart"
    elif kind == "application/x-www-form-urlencoded":
        # Some senders post JSON under curl's default type.
        named = "json" if _JSON_START.match(body) and "json" in wanted else "form"
    else:
        named = "json" if _JSON_START.match(body) else "form"
    return sorted(wanted, key=lambda one: one != named)


def _read(formats: list[Format], content_type: str, body: bytes, unbracket: bool) -> Any:
    reasons = []
    for wanted in formats:
        try:
            if wanted == "json":
                return _parse_json(_text(body, content_type, utf=json.detect_encoding(body)))
            if wanted == "multipart":
                return nested(_multipart(body, content_type), unbracket=unbracket)
            return nested(_form(body, content_type), unbracket=unbracket)
        except ValueError as error:
            reasons.append(f"{wanted}: {str(error)[:120]}")
    raise ParseFailed("; ".join(reasons) or "the document declares no format")


def _parse_json(text: str) -> Any:
    """The value of JSON text. Where that is itself the text of an object or a list, some senders encoded it twice."""
    value = parse_json(text)
    inner = parse_json_text(value) if isinstance(value, str) else None
    return inner if isinstance(inner, dict | list) else value


def _text(body: bytes, content_type: str, *, utf: str = "utf-8") -> str:
    for encoding in (utf, _charset(content_type)):
        try:
            return body.decode(encoding).removeprefix("\ufeff") if encoding else body.decode("utf-8", "replace")
        except UnicodeDecodeError:
            continue
    return body.decode("utf-8", "replace")


def _form(body: bytes, content_type: str) -> list[tuple[str, Any]]:
    if b"=" not in body:
        raise ValueError("no name=value pair in the body")
    charset = _charset(content_type) or "utf-8"
    pairs = parse_qsl(
        _text(body, content_type), keep_blank_values=True, encoding=charset, errors="replace", max_num_fields=MAX_FIELDS
    )
    return [(storable(name), storable(value)) for name, value in pairs]


def _multipart(body: bytes, content_type: str) -> list[tuple[str, Any]]:
    boundary = _parameter(content_type, "boundary") or _first_line(body)
    parts: list[tuple[dict[str, str], bytearray]] = []
    name, value = bytearray(), bytearray()

    def begin() -> None:
        if len(parts) >= MAX_FIELDS:
            raise ValueError(f"more than {MAX_FIELDS} parts")
        parts.append(({}, bytearray()))

    def end_header() -> None:
        parts[-1][0][name.decode("latin-1").lower()] = value.decode("utf-8", "replace")
        name.clear()
        value.clear()

    callbacks: Any = {
        "on_part_begin": begin,
        "on_header_field": lambda data, start, end: name.extend(data[start:end]),
        "on_header_value": lambda data, start, end: value.extend(data[start:end]),
        "on_header_end": end_header,
        "on_part_data": lambda data, start, end: parts[-1][1].extend(data[start:end]),
    }
    parser = MultipartParser(boundary.encode("utf-8", "replace"), callbacks)
    try:
        parser.write(body)
        parser.finalize()
    except FormParserError as error:
        raise ValueError(str(error)) from None
    if not parts:
        raise ValueError("no parts in the body")
    return [pair for headers, content in parts if (pair := _pair(headers, bytes(content))) is not None]


def _pair(headers: Mapping[str, str], content: bytes) -> tuple[str, Any] | None:
    """Name and value of one part; for a file its name, type and size (its bytes are in the stored raw body)."""
    disposition, kind = headers.get("content-disposition", ""), headers.get("content-type", "")
    name, filename = _parameter(disposition, "name"), _parameter(disposition, "filename")
    if not name:
        return None
    if filename:
        return storable(name), {"filename": storable(filename), "content_type": kind, "size": len(content)}
    return storable(name), storable(_text(content, kind))


def _parameter(header: str, name: str) -> str:
    if name not in header.lower():
        return ""
    message = Message()
    message["content-type"] = "x/y;" + header.replace("\r", " ").replace("\n", " ")
    value = message.get_param(name, "")
    return str(value[2] if isinstance(value, tuple) else value or "").strip()


def _charset(content_type: str) -> str:
    """The declared character set; "" when it is absent, unknown, or a codec that is not a character set."""
    name = _parameter(content_type, "charset")
    try:
        return codecs.lookup(name).name if _CHARSETS.fullmatch(name) else ""
    except LookupError:
        return ""


def _first_line(body: bytes) -> str:
    line = body[:200].split(b"\r\n", 1)[0]
    if not line.startswith(b"--"):
        raise ValueError("no boundary in Content-Type or body")
    return line[2:].decode("latin-1")
