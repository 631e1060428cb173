"""Parses a request body in the formats that the document declares. The only exception is ParseFailed."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import Any, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from app.matching.text import storable, storable_value
from app.sources.charset import Decoder
from app.sources.coding import ContentInvalid, ContentTooLarge
from app.sources.csv_rows import csv_rows
from app.sources.document import Format, Parse
from app.sources.request import RawRequest
from app.sources.structure import locate, nested, parse_json, parse_json_text, unflattened

MAX_FIELDS: Final = 5_000
_OF_LISTS: Final[dict[str, list[Format]]] = {"text/csv": ["csv"], "application/csv": ["csv"]}
_AUTO: Final[list[Format]] = ["json", "form", "multipart"]
# An object or a list, or a JSON text that holds one.
_JSON_START: Final = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\r\n]{0,64}\"?[{\[]")
# The parser logs a warning for every unexpected byte, and the bytes are untrusted.
logging.getLogger("python_multipart").setLevel(logging.CRITICAL)


class ParseFailed(ValueError):
    """The body is in none of the declared formats."""


@dataclass(frozen=True, slots=True)
class Body:
    """A parsed body. `is_form`: of an urlencoded form, in which a plus that was not encoded is a blank by now.

    `is_text_guessed`: its bytes are in no declared character set.
    """

    value: Any
    is_form: bool = False
    is_text_guessed: bool = False


def parse_body(parse: Parse, request: RawRequest) -> Any:
    """The value of the parsed body, without the members in `drop`. Raises ParseFailed when no declared format fits."""
    return read_body(parse, request).value


def read_body(parse: Parse, request: RawRequest) -> Body:
    """The parsed body, without the members in `drop`. Raises ParseFailed when no declared format fits."""
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


def _parsed(parse: Parse, request: RawRequest) -> Body:
    content_type, content = request.header("content-type"), request.content
    if not content.strip() and request.parameters:
        read = Body(dict(request.parameters), is_form=True, is_text_guessed=request.is_query_guessed)
    else:
        read = _read(_formats(parse.formats, content_type, content), content_type, content, parse.unbracket)
    body = read.value
    if isinstance(body, dict) and parse.unflatten:
        body = unflattened(body, parse.unflatten)
    for path in parse.decode_json:
        if (place := locate(body, path)) and isinstance(text := place[0][place[1]], str):
            decoded = parse_json_text(text)
            place[0][place[1]] = text if decoded is None else decoded
    for path in parse.drop:
        if place := locate(body, path):
            del place[0][place[1]]
    return replace(read, value=body)


def _formats(declared: list[Format], content_type: str, body: bytes) -> list[Format]:
    kind = content_type.partition(";")[0].strip().lower()
    wanted: list[Format] = [*_AUTO, *_OF_LISTS.get(kind, ())] if "auto" in declared else declared
    named: Format
    if kind.endswith(("/json", "+json")):
        named = "json"
    elif kind == "multipart/form-data":
        named = "multipart"
    elif kind in _OF_LISTS:
        named = "csv"
    elif kind == "application/x-www-form-urlencoded":
        # Some senders post JSON under curl's default type.
        named = "json" if _JSON_START.match(body) and "json" in wanted else "form"
    else:
        named = "json" if _JSON_START.match(body) else "csv" if "csv" in wanted else "form"
    return sorted(wanted, key=lambda one: one != named)


def _read(formats: list[Format], content_type: str, body: bytes, unbracket: bool) -> Body:
    reasons = []
    for wanted in formats:
        decoder = Decoder(_parameter(content_type, "charset"))
        try:
            if wanted == "json":
                value = _parse_json(decoder.text(body, first=json.detect_encoding(body)))
            elif wanted == "multipart":
                value = nested(_multipart(body, content_type, decoder), unbracket=unbracket)
            elif wanted == "csv":
                value = csv_rows(decoder.text(body))
            else:
                in_lines = is_in_lines(content_type, body)
                pairs = _lines(decoder.text(body)) if in_lines else _form(body, decoder)
                return Body(nested(pairs, unbracket=unbracket), not in_lines, decoder.is_guessed)
            return Body(value, is_text_guessed=decoder.is_guessed)
        except ValueError as error:
            reasons.append(f"{wanted}: {str(error)[:120]}")
    raise ParseFailed("; ".join(reasons) or "the document declares no format")


def _parse_json(text: str) -> Any:
    """The value of JSON text. Where that is itself the text of an object or a list, some senders encoded it twice."""
    value = parse_json(text)
    inner = parse_json_text(value) if isinstance(value, str) else None
    return inner if isinstance(inner, dict | list) else value


def _form(body: bytes, decoder: Decoder) -> list[tuple[str, Any]]:
    if b"=" not in body:
        raise ValueError("no name=value pair in the body")
    return [(storable(name), storable_value(value)) for name, value in decoder.pairs(body, MAX_FIELDS)]


def is_in_lines(content_type: str, body: bytes) -> bool:
    """Whether a form has a line for each field, as `enctype="text/plain"` sends it. A script that sends an encoded form
    under that type sends one line."""
    return content_type.lower().startswith("text/plain") and b"\n" in body.strip()


def _lines(text: str) -> list[tuple[str, Any]]:
    """The fields of such a form, which nothing is encoded in: a line without `=` goes on with the field before."""
    found: list[tuple[str, list[str]]] = []
    for line in text.split("\n"):
        name, mark, value = line.rstrip("\r").partition("=")
        if mark and len(found) < MAX_FIELDS:
            found.append((name, [value]))
        elif found:
            found[-1][1].append(line.rstrip("\r"))
    if not found:
        raise ValueError("no line of the body is name=value")
    return [(storable(name), storable_value("\n".join(lines).strip())) for name, lines in found]


def _multipart(body: bytes, content_type: str, decoder: Decoder) -> list[tuple[str, Any]]:
    boundary = _parameter(content_type, "boundary") or _first_line(body)
    parts: list[tuple[dict[str, bytes], bytearray]] = []
    name, value = bytearray(), bytearray()

    def begin() -> None:
        if len(parts) >= MAX_FIELDS:
            raise ValueError(f"more than {MAX_FIELDS} parts")
        parts.append(({}, bytearray()))

    def end_header() -> None:
        parts[-1][0][name.decode("latin-1").lower()] = bytes(value)
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
    decoder.declare((_part_name(headers), bytes(content)) for headers, content in parts)
    return [pair for headers, content in parts if (pair := _pair(headers, bytes(content), decoder)) is not None]


def _part_name(headers: Mapping[str, bytes]) -> bytes:
    return _parameter(headers.get("content-disposition", b"").decode("latin-1"), "name").encode("latin-1", "replace")


def _pair(headers: Mapping[str, bytes], content: bytes, decoder: Decoder) -> tuple[str, Any] | None:
    """Name and value of one part; for a file its name, type and size (its bytes are in the stored raw body)."""
    disposition = decoder.text(headers.get("content-disposition", b""))
    kind = headers.get("content-type", b"").decode("utf-8", "replace")
    name, filename = _parameter(disposition, "name"), _parameter(disposition, "filename")
    if not name:
        return None
    if filename:
        return storable(name), {"filename": storable(filename), "content_type": kind, "size": len(content)}
    return storable(name), storable_value(decoder.text(content, own=_parameter(kind, "charset")))


def _parameter(header: str, name: str) -> str:
    if name not in header.lower():
        return ""
    message = Message()
    message["content-type"] = "x/y;" + header.replace("\r", " ").replace("\n", " ")
    value = message.get_param(name, "")
    return collapse_rfc2231_value(value or "").strip()


def _first_line(body: bytes) -> str:
    line = body[:200].split(b"\r\n", 1)[0]
    if not line.startswith(b"--"):
        raise ValueError("no boundary in Content-Type or body")
    return line[2:].decode("latin-1")
