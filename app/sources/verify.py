"""Verifies a request by the document's rules: HMAC, digest, token or HTTP Basic. Signatures cover the raw bytes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Final, assert_never
from urllib.parse import unquote

from app.matching.text import as_text
from app.sources.document import TOKENS, BasicRule, Document, Rule, SignatureRule, Timestamp, TokenRule
from app.sources.parse import ParseFailed, parse_body
from app.sources.request import RawRequest, header_text
from app.sources.structure import locate

Secrets = Mapping[str, str | Sequence[str]]
_UNESCAPED: Final = re.compile(r"%(?:3A|2F|3F|40|21|24|27|28|29|2A|2C|3B)", re.IGNORECASE)
_NOT_ASCII: Final = re.compile(r"[^\x00-\x7f]")


def verify(document: Document, secrets: Secrets, request: RawRequest, now: datetime) -> bool:
    """Whether at least one rule of the document holds, or the document has no rules. Never raises.

    A rule whose secret is not set never holds; with `open_without_secrets` every request holds while none is set. Of a
    secret that is being rotated (a list of two) either value is valid.
    """
    if document.open_without_secrets and not proves_sender(document, secrets):
        return True
    return not document.verify or any(_holds(document, rule, secrets, request, now) for rule in document.verify)


def proves_sender(document: Document, secrets: Secrets) -> bool:
    """Whether who sends has to know a secret. If not, the sender may be anybody who sees a page with the form."""
    return any(secret_values(secrets, rule.secret) for rule in document.verify)


def _holds(document: Document, rule: Rule, secrets: Secrets, request: RawRequest, now: datetime) -> bool:
    values = secret_values(secrets, rule.secret)
    match rule:
        case SignatureRule():
            return any(_is_signed(rule, value, request, now) for value in values)
        case TokenRule():
            return any(_same(read_token(document, rule, request), value) for value in values)
        case BasicRule():
            return any(_same(read_credentials(request), value) for value in values)
        case unexpected:
            assert_never(unexpected)


def secret_values(secrets: Secrets, name: str) -> list[str]:
    """The valid values of a secret: none, one, or two during rotation."""
    value = secrets.get(name, ())
    return [one for one in ([value] if isinstance(value, str) else value) if one]


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), wanted.encode("utf-8", "replace"))


def _is_signed(rule: SignatureRule, secret: str, request: RawRequest, now: datetime) -> bool:
    if rule.unless_header and request.header(rule.unless_header):
        return False
    parts = _key_values(request.header(rule.header)) if rule.parse == "kv" else {}
    stamp = _stamp(rule, parts, request)
    if rule.timestamp and not _is_fresh(rule.timestamp, stamp, now):
        return False
    key = key_of(rule, secret)
    if key is None:
        return False
    message = _message(rule.signed, request, key, stamp)
    if rule.kind == "hmac":
        wanted = hmac.digest(key, message, rule.algorithm)
    else:
        wanted = hashlib.new(rule.algorithm, message).digest()
    return any(hmac.compare_digest(wanted, given) for given in _signatures(rule, parts, request))


def key_of(rule: SignatureRule, secret: str) -> bytes | None:
    if rule.key_encoding == "text":
        return secret.encode("utf-8", "replace")
    return _base64(secret.removeprefix("whsec_"))


def _key_values(header: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for piece in re.split(r"[,;\s]+", header):
        name, mark, value = piece.partition("=")
        if mark:
            found.setdefault(name, []).append(value)
    return found


def _stamp(rule: SignatureRule, parts: Mapping[str, list[str]], request: RawRequest) -> str:
    if rule.timestamp and rule.timestamp.origin.startswith("header:"):
        return request.header(rule.timestamp.origin[7:]).strip()
    return parts.get(rule.timestamp.origin if rule.timestamp else "t", [""])[0]


def _is_fresh(rule: Timestamp, stamp: str, now: datetime) -> bool:
    if not re.fullmatch(r"[0-9]{1,16}", stamp):
        return False
    seconds = int(stamp) / (1_000 if rule.unit == "ms" else 1)
    return abs(now.timestamp() - seconds) <= rule.tolerance_s


def _message(template: str, request: RawRequest, key: bytes, stamp: str) -> bytes:
    parts = re.split(TOKENS, template)
    # re.split with one group alternates literal text and tokens.
    return b"".join(
        _token_value(part, request, key, stamp) if place % 2 else part.encode() for place, part in enumerate(parts)
    )


def _token_value(name: str, request: RawRequest, key: bytes, stamp: str) -> bytes:
    match name:
        case "body":
            return request.body
        case "secret":
            return key
        case "body:ascii_json":
            text = _NOT_ASCII.sub(_escaped, request.body.decode("utf-8", "replace"))
        case "method":
            text = request.method.upper()
        case "url":
            text = request.url
        case "url:unescaped":
            text = _UNESCAPED.sub(lambda match: unquote(match.group()), request.url)
        case "t":
            text = stamp
        case _:
            text = request.header(name.removeprefix("header:"))
    return text.encode("utf-8", "replace")


def _escaped(match: re.Match[str]) -> str:
    units = match.group().encode("utf-16-be")
    return "".join(f"\\u{units[i]:02x}{units[i + 1]:02x}" for i in range(0, len(units), 2))


def _signatures(rule: SignatureRule, parts: Mapping[str, list[str]], request: RawRequest) -> Iterator[bytes]:
    header = request.header(rule.header).strip()
    match rule.parse:
        case "kv":
            texts = parts.get(rule.pick, [])
        case "list":
            # A comma is a separator too, unless the prefix contains one (`v1,`).
            texts = re.split(r"\s+" if "," in rule.prefix else r"[\s,]+", header)
        case "raw":
            texts = [header]
    for text in texts[:20]:
        if not text.lower().startswith(rule.prefix.lower()):
            continue
        bare = text[len(rule.prefix) :]
        given = _hex(bare) if rule.encoding == "hex" else _base64(bare)
        if given:
            yield given


def _hex(text: str) -> bytes | None:
    try:
        return bytes.fromhex(text)
    except ValueError:
        return None


def _base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        return None


def read_token(document: Document, rule: TokenRule, request: RawRequest) -> str:
    """The token that a request carries where the rule says, "" when there is none."""
    match rule.place:
        case "header":
            given = request.header(rule.name)
        case "query":
            given = request.parameters.get(rule.name, "")
        case "body":
            given = body_member(document, rule.name, request)
    return given[len(rule.prefix) :] if given.lower().startswith(rule.prefix.lower()) else ""


def body_member(document: Document, name: str, request: RawRequest) -> str:
    """A member of the body as text, also one that `parse.drop` names; "" where there is none."""
    try:
        body = parse_body(document.parse.model_copy(update={"drop": []}), request)
    except ParseFailed:
        return ""
    place = locate(body, name)
    return as_text(place[0][place[1]]) if place else ""


def read_credentials(request: RawRequest) -> str:
    """The `user:password` of HTTP Basic that a request carries, "" when there is none."""
    scheme, _, value = request.header("authorization").partition(" ")
    decoded = _base64(value.strip()) if scheme.lower() == "basic" else None
    return header_text(decoded) if decoded else ""
