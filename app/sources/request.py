"""An HTTP request as received."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Literal

from app.matching.text import storable
from app.sources.charset import Decoder
from app.sources.coding import unpacked
from app.web.gate import MAX_BODY, MAX_MULTIPART

Suspicion = Literal["origin_not_allowed", "too_many_of_client"]


def header_text(sent: bytes) -> str:
    """The bytes of a header as text: UTF-8, which senders write in spite of HTTP, else latin-1."""
    try:
        return sent.decode()
    except UnicodeDecodeError:
        return sent.decode("latin-1")


@dataclass(frozen=True)
class RawRequest:
    """A request, verbatim. `query` is the raw query string; `url` the public URL that the sender called, which some
    signatures cover (the caller builds it from the public address); `received_at` is aware and in UTC.
    `suspicion`: why it was taken for spam when it was received; `cleared`: somebody has said that it is none;
    `bot_check`: the outcome of that check, where the source has one."""

    method: str
    headers: Mapping[str, str]
    query: str
    body: bytes
    received_at: datetime
    url: str = ""
    suspicion: Suspicion | None = None
    cleared: bool = False
    bot_check: str | None = None

    @cached_property
    def lower_headers(self) -> dict[str, str]:
        """Headers by lower-case name."""
        return {name.lower(): value for name, value in self.headers.items()}

    @cached_property
    def sha256(self) -> str:
        """The hash of the body as received."""
        return hashlib.sha256(self.body).hexdigest()

    @cached_property
    def content(self) -> bytes:
        """The body without its Content-Encoding.

        Raises ContentInvalid when it is damaged, ContentTooLarge above the limit.
        """
        is_large = self.header("content-type").startswith(("multipart/", "text/csv"))
        return unpacked(self.body, self.header("content-encoding"), MAX_MULTIPART if is_large else MAX_BODY)

    @property
    def parameters(self) -> dict[str, str]:
        """Query parameters, the last of each name. Never raises; {} when there are more than a thousand."""
        return self._decoded_query[0]

    @property
    def is_query_guessed(self) -> bool:
        """Whether the query is neither in UTF-8 nor in a set that it names."""
        return self._decoded_query[1]

    @cached_property
    def _decoded_query(self) -> tuple[dict[str, str], bool]:
        decoder = Decoder()
        try:
            pairs = decoder.pairs(self.query.encode("utf-8", "replace"), 1_000)
        except ValueError:
            return {}, False
        return {storable(name): storable(value) for name, value in pairs}, decoder.is_guessed

    def header(self, name: str) -> str:
        """One header, "" when it is absent."""
        return self.lower_headers.get(name.lower(), "")
