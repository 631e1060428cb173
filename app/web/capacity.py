"""What this process can take: requests in flight by kind, and how late its event loop is (docs/decisions/0035).

Refusing costs the same core as serving. So a request without a slot is refused as soon as its headers are known, by a
ready-made answer; and new connections are closed at once while the loop is late (`limited_protocol.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final, Literal

import orjson

from app.errors import Overloaded
from app.web.accept import prefers

Kind = Literal["api", "read", "ingest", "feed", "stream", "ping", "import"]
Headers = Iterable[tuple[bytes, bytes]]  # names in lower case

INGEST: Final = "/v1/ingest/"
UNLIMITED: Final = ("/healthz", "/readyz", "/metrics")
FEED: Final = "/v1/events"
CONSUMERS: Final = "/v1/consumers/"
STREAM_MEDIA: Final = "text/event-stream"
PING: Final = "/ping"
IMPORTS: Final = "/v1/imports"
# Requests that wait long (for the next event, or for a receiver to answer a ping) have slots of their own, so that they
# do not use up those of the other requests. So have reads: a flood of writes refuses none of them.
MAX_FEED_READERS: Final = 600
MAX_STREAMS: Final = 12_000  # of events, which are idle most of the time (docs/decisions/0093)
MAX_PINGS: Final = 16
MAX_UPLOADS: Final = 64  # of lists, which are received piece by piece and stored in turn (imports/store.py)
READ: Final = ("GET", "HEAD")

WATCH_SECONDS: Final = 0.02
SMOOTHING: Final = 0.25
LONGEST_SECONDS: Final = 0.5  # of one measurement: a single pause, as at the first requests, is no overload
# A loop may be late once without any load. So it also takes this many requests in progress, or open connections, until
# requests are refused at their headers, or new connections closed.
LATE_SECONDS, MANY_REQUESTS = 0.15, 16
TOO_LATE_SECONDS, MANY_CONNECTIONS = 0.3, 200

_BODY: Final = orjson.dumps(Overloaded().document())
ANSWER: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n"
    b"x-content-type-options: nosniff\r\nretry-after: %d\r\ncontent-length: %d\r\n"
    % (Overloaded.retry_after or 1, len(_BODY))
)
KEPT: Final = ANSWER + b"\r\n" + _BODY
CLOSED: Final = ANSWER + b"connection: close\r\n\r\n" + _BODY


class Capacity:
    """The free slots of each kind, and how late the event loop is on average, in seconds."""

    def __init__(self, max_in_flight: int = 64, max_ingest_in_flight: int = 32) -> None:
        self.slots: dict[Kind, int] = {
            "api": max_in_flight,
            "read": max_in_flight,
            "ingest": max_ingest_in_flight,
            "feed": MAX_FEED_READERS,
            "stream": MAX_STREAMS,
            "ping": MAX_PINGS,
            "import": MAX_UPLOADS,
        }
        self.late = 0.0
        self.max_streams = MAX_STREAMS

    def limit_streams(self, most: int) -> None:
        """Leave sockets to other requests where the process may have few; before the first stream is opened."""
        self.max_streams = self.slots["stream"] = min(MAX_STREAMS, most)

    @property
    def streams(self) -> int:
        """Streams that are open. They wait, so they count neither as requests nor as connections of an overload."""
        return self.max_streams - self.slots["stream"]

    def refuses(self, kind: Kind | None, in_progress: int) -> bool:
        """Whether a request is refused before its body is read; `in_progress`: how many others the process has."""
        if kind is None:
            return False
        is_late = self.late > LATE_SECONDS and in_progress - self.streams >= MANY_REQUESTS
        return is_late or self.slots[kind] <= 0

    def refuses_connection(self, connections: int) -> bool:
        """Whether a new connection is closed at once; `connections`: how many are open, with it."""
        return self.late > TOO_LATE_SECONDS and connections - self.streams > MANY_CONNECTIONS

    async def watch(self) -> None:
        """Measures the lateness until it is cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + WATCH_SECONDS
            await asyncio.sleep(WATCH_SECONDS)
            self.measured(loop.time() - due)

    def measured(self, seconds: float) -> None:
        """Counts one measurement in the moving average, in which a single pause of any length is no overload."""
        self.late += SMOOTHING * (min(seconds, LONGEST_SECONDS) - self.late)


def kind_of(method: str, path: str, headers: Headers) -> Kind | None:
    """The kind of slot that a request takes; None where it needs none."""
    if path in UNLIMITED:
        return None
    if path.startswith(INGEST):
        return "ingest"
    if path.startswith(CONSUMERS) and path.endswith("/events"):
        return "feed"
    if path == FEED:
        return "stream" if asks_for_stream(headers) else "feed"
    if path.endswith(PING):
        return "ping"
    if path == IMPORTS and method not in READ:
        return "import"
    return "read" if method in READ else "api"


def asks_for_stream(headers: Headers) -> bool:
    """Whether a request of the feed asks for a stream of events instead of a page."""
    accept = ",".join(value.decode("latin-1") for name, value in headers if name == b"accept")
    return prefers(accept, STREAM_MEDIA, "application/json")
