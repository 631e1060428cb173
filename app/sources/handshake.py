"""Handshake: the response to a provider that verifies the ingest URL before it posts to it."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterator
from typing import Final

from app.sources.answer import Answer
from app.sources.document import Document
from app.sources.request import RawRequest
from app.sources.verify import Secrets, secret_values

_MAX_CHALLENGE: Final = 1_024


def handshake_answer(document: Document, secrets: Secrets, request: RawRequest) -> Answer | None:
    """The response to a GET or HEAD; None when the document has no handshake or the request is not one; 401 when the
    token is wrong. An echo is sent as text/plain, so that no browser renders untrusted text as HTML."""
    rule = document.handshake
    if rule.kind == "none" or request.method.upper() not in ("GET", "HEAD"):
        return None
    if rule.kind == "ok":
        return Answer(200, body="ok")
    challenge = request.parameters.get(rule.param, "")
    if not challenge or len(challenge) > _MAX_CHALLENGE:
        return None
    if rule.token_param:
        given = request.parameters.get(rule.token_param, "").encode()
        values = secret_values(secrets, rule.secret)
        if not any(hmac.compare_digest(given, value.encode("utf-8", "replace")) for value in values):
            return Answer(401)
    digest = ""
    if rule.kind == "hmac_echo":
        values = [value for name in rule.keys for value in secret_values(secrets, name)]
        if not values:
            return Answer(401)
        raw = hmac.digest(values[0].encode("utf-8", "replace"), challenge.encode(), rule.algorithm)
        digest = raw.hex() if rule.encoding == "hex" else base64.b64encode(raw).decode()
    if isinstance(rule.template, str):
        return Answer(200, body=_filled(rule.template, challenge, digest))
    return Answer(200, body={name: _filled(text, challenge, digest) for name, text in rule.template.items()})


def handshake_faults(document: Document) -> Iterator[dict[str, str]]:
    """A fault for an answer that does not fit its kind. Checked when a source is saved, as its addresses are."""
    rule = document.handshake
    if rule.kind == "hmac_echo" and not rule.proves:
        detail = "an answer of hmac_echo holds {hmac}, which proves that the secret is known"
        yield {"field": "handshake.answer", "code": "hmac_missing", "detail": detail}
    if rule.kind == "echo" and rule.proves:
        detail = "{hmac} stands in answers of hmac_echo only"
        yield {"field": "handshake.answer", "code": "hmac_not_made", "detail": detail}
    elif rule.kind == "echo" and not rule.holds("{challenge}"):
        detail = "an answer of echo holds {challenge}, which the provider compares with what it sent"
        yield {"field": "handshake.answer", "code": "challenge_missing", "detail": detail}


def _filled(template: str, challenge: str, digest: str) -> str:
    return digest.join(part.replace("{challenge}", challenge) for part in template.split("{hmac}"))
