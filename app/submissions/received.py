"""A submission to be stored: the raw request without its secrets in headers and query."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal
from urllib.parse import unquote_plus
from uuid import UUID

import orjson

from app.sources.document import Document, TokenRule
from app.sources.request import Suspicion

SECRET_HEADER: Final = re.compile(r"authorization|cookie|token|secret|passw|api-?key")


@dataclass(frozen=True, slots=True)
class Received:
    """One row of `submissions` to insert. `headers` is JSON text.

    `client_address`: of the person who sends a public form that asks for consents; None for other submissions.
    """

    tenant_id: UUID
    id: UUID
    source_id: UUID
    method: str
    query: str
    headers: str
    body: bytes
    sha256: str
    received_at: datetime
    suspicion: Suspicion | None = None
    bot_check: Literal["waiting"] | None = None
    client_address: str | None = None


def kept_headers(document: Document, headers: Mapping[str, str]) -> str:
    """The headers as JSON text, without those that hold secrets."""
    secret = {rule.name.lower() for rule in document.verify if isinstance(rule, TokenRule) and rule.place == "header"}
    kept = {name: value for name, value in headers.items() if name not in secret and not _is_secret(name)}
    return orjson.dumps(kept).decode()


@lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    return SECRET_HEADER.search(name) is not None


def kept_query(document: Document, query: str) -> str:
    """The query string without the tokens of the document's rules; otherwise unchanged."""
    secret = {rule.name for rule in document.verify if isinstance(rule, TokenRule) and rule.place == "query"}
    if not secret or not query:
        return query
    return "&".join(pair for pair in query.split("&") if unquote_plus(pair.partition("=")[0]) not in secret)
