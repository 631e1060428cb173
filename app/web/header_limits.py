"""Header read timeout and size limit, which uvicorn does not have (promises.md, rows 40 and 41)."""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_SECONDS: Final = 20.0
MAX_HEADER_BYTES: Final = 64 * 1024


class LimitedHeaders(HttpToolsProtocol):
    """Closes a connection whose request line and headers do not arrive in time, or are too large."""

    header_seconds = HEADER_SECONDS
    _timeout: asyncio.TimerHandle | None = None
    _header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timeout()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._start_timeout()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._cancel_timeout()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timeout()
        super().connection_lost(exc)

    def _start_timeout(self) -> None:
        self._cancel_timeout()
        self._header_bytes = 0
        self._timeout = self.loop.call_later(self.header_seconds, self._abort)

    def _count(self, size: int) -> None:
        self._header_bytes += size
        if self._header_bytes > MAX_HEADER_BYTES:
            self._abort()

    def _abort(self) -> None:
        self._cancel_timeout()
        if self.transport is not None:
            self.transport.abort()

    def _cancel_timeout(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None
