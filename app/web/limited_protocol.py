"""What uvicorn does not have: limits of headers, and refusals before the body (promises.md, rows 35, 40 and 41)."""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from app import metrics
from app.web.capacity import CLOSED, KEPT, Capacity, Kind, kind_of

HEADER_SECONDS: Final = 20.0
MAX_HEADER_BYTES: Final = 64 * 1024
STALL_SECONDS: Final = 30.0  # that a reader of a stream may take no bytes
PAUSE_SECONDS: Final = 0.5  # until the next request is read from a connection whose last one was refused


class LimitedProtocol(HttpToolsProtocol):
    """Closes a connection whose request line and headers do not arrive in time, or are too large.

    While the process is overloaded (`Capacity`), it closes new connections and answers 503 to requests of others as
    soon as their headers are complete. The body of such a request is thrown away, and the next request on its
    connection waits a little: a client that asks again at once would take the time of the requests that are served.

    A stream whose reader takes no bytes is not written to beyond the buffer of its connection (uvicorn's flow control),
    and its connection is closed after a while.
    """

    header_seconds = HEADER_SECONDS
    _timeout: asyncio.TimerHandle | None = None
    _stall: asyncio.TimerHandle | None = None
    _is_stream = False
    _header_bytes = 0
    _refused = False

    @property
    def _capacity(self) -> Capacity | None:
        """That of the application; None before it is set up, and for an application of another kind."""
        return getattr(getattr(self.config.app, "state", None), "capacity", None)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        capacity = self._capacity
        if capacity is not None and capacity.refuses_connection(len(self.connections)):
            metrics.OVERLOADED.labels("connection").inc()
            transport.abort()
            return
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
        capacity = self._capacity
        # A request that was sent before the one before it was answered waits for its turn.
        is_next = self.cycle is None or self.cycle.response_complete
        kind = self._kind()
        self._is_stream = kind == "stream"
        if capacity is None or not is_next or not capacity.refuses(kind, len(self.tasks)):
            super().on_headers_complete()
            return
        self._refused = True
        metrics.OVERLOADED.labels("request").inc()
        is_kept = self.parser.should_keep_alive() and self.parser.get_http_version() == "1.1"
        self.transport.write(KEPT if is_kept else CLOSED)
        if not is_kept:
            self.transport.close()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if not self._refused:
            super().on_message_complete()
            return
        self._refused = False
        if not self.transport.is_closing():
            self.flow.pause_reading()
            self.loop.call_later(PAUSE_SECONDS, self._read_on)

    def _read_on(self) -> None:
        if not self.transport.is_closing():
            self._start_timeout()
            self.flow.resume_reading()

    def _kind(self) -> Kind | None:
        path = self.url.partition(b"?")[0].decode("latin-1")
        return kind_of(self.parser.get_method().decode("latin-1"), path.removeprefix(self.root_path), self.headers)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._is_stream:
            self._abort_if_stalled(None)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_stall()

    def _abort_if_stalled(self, unsent: int | None) -> None:
        """Closes the connection if as much is unsent as a while ago (None: the first look)."""
        left = self.transport.get_write_buffer_size()
        if unsent is not None and left >= unsent:
            self.transport.abort()
            return
        self._stall = self.loop.call_later(STALL_SECONDS, self._abort_if_stalled, left)

    def _cancel_stall(self) -> None:
        if self._stall is not None:
            self._stall.cancel()
            self._stall = None

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timeout()
        self._cancel_stall()
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
