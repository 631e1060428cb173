"""A request as a sender made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from urllib.parse import parse_qsl

from app.matching.text import storable


@dataclass(frozen=True)
class RawRequest:
    """What came in, verbatim. `query` is the raw query string; `url` the public address the sender called, which some
    signatures cover (built from PUBLIC_URL by the caller); `received_at` is aware and in UTC."""

    method: str
    headers: Mapping[str, str]
    query: str
    body: bytes
    received_at: datetime
    url: str = ""

    @cached_property
    def lower_headers(self) -> dict[str, str]:
        """Headers by lower-case name."""
        return {name.lower(): value for name, value in self.headers.items()}

    @cached_property
    def parameters(self) -> dict[str, str]:
        """Query parameters, the last of each name. Never raises; {} for what no form could have made."""
        try:
            pairs = parse_qsl(self.query, keep_blank_values=True, max_num_fields=1_000)
        except ValueError:
            return {}
        return {storable(name): storable(value) for name, value in pairs}

    def header(self, name: str) -> str:
        """One header, "" when it is not there."""
        return self.lower_headers.get(name.lower(), "")
