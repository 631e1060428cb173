"""The feed as server-sent events: one response that goes on, with a cursor for each event to continue from.

The format is that of the HTML standard (https://html.spec.whatwg.org/multipage/server-sent-events.html): `id` is the
cursor, `event` the type, `data` the envelope. The stream holds no database connection; it keeps one page at most, and
writes the next one only when its reader has taken the bytes before.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final
from uuid import UUID

import structlog
from fastapi import Response
from starlette.types import Receive, Scope, Send

from app.database.faults import DATABASE_ERRORS
from app.events import cursors, feed
from app.events.cursors import Filters
from app.events.feed import IncludeLeads
from app.events.sql import Place
from app.events.tails import Live, Reader, Tail, Tails, live
from app.events.waiting import with_connection
from app.events.wake import within
from app.problem import Problem
from app.web.auth import Caller
from app.web.capacity import STREAM_MEDIA
from app.web.head import WITHOUT_BODY

log = structlog.get_logger("baton.stream")

HEARTBEAT_SECONDS: Final = 15.0
LIFETIME_SECONDS: Final = 900.0
PAGE_EVENTS: Final = 100
RETRY: Final = b"retry: 1000\n"  # milliseconds after which the reader connects again
# A proxy that collects answers before it passes them on would hold events back.
HEADERS: Final = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}


class Stream(Response):
    """The events after `after` that pass the filters, then those that come, for at most LIFETIME_SECONDS.

    Before anything is sent it raises Overloaded and TooManyRequests, and the CURSOR_PROBLEMS, which name `field`.
    """

    media_type = STREAM_MEDIA

    def __init__(
        self, state: Any, caller: Caller, after: str, field: str, filters: Filters, include: IncludeLeads | None
    ) -> None:
        super().__init__(headers=HEADERS, media_type=STREAM_MEDIA)
        del self.headers["content-length"]
        self._state, self._caller, self._filters, self._include = state, caller, filters, include
        self._after, self._field = after, field

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        tails: Tails = self._state.tails
        with tails.opened(self._caller) as (tail, reader):
            position = Position(self._state, self._caller.tenant_id, tail, self._filters, self._include)
            await position.start(self._after, self._field)
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if not scope.get(WITHOUT_BODY):
                leaving = asyncio.create_task(_end_when_left(reader, receive))
                try:
                    await self._send_events(position, reader, send)
                finally:
                    leaving.cancel()
            await send({"type": "http.response.body", "body": b""})

    async def _send_events(self, position: Position, reader: Reader, send: Send) -> None:
        async def write(frames: bytes) -> None:
            await send({"type": "http.response.body", "body": frames, "more_body": True})

        clock = asyncio.get_running_loop().time
        ends_at = clock() + LIFETIME_SECONDS
        await write(RETRY + position.line() + b"\n")
        while not reader.ended and (left := ends_at - clock()) > 0:
            reader.changed.clear()
            try:
                frames, is_all = await position.read()
            except (Problem, *DATABASE_ERRORS) as fault:  # the status is sent: the reader connects again and is told
                log.warning("stream_ended", error=type(fault).__name__)
                return
            if frames:
                await write(frames)
            elif is_all and not await within(min(HEARTBEAT_SECONDS, left), reader.changed.wait()):
                # With the cursor, which has moved past events that the filters drop.
                await write(b": heartbeat\n" + position.line() + b"\n")


class Position:
    """Where a stream stands, and how it reads on."""

    def __init__(self, state: Any, tenant_id: UUID, tail: Tail, filters: Filters, include: IncludeLeads | None) -> None:
        self._state, self._tenant_id, self._tail = state, tenant_id, tail
        self._filters, self._include = filters, include
        self._place = Place(0, None)

    async def start(self, after: str, field: str) -> None:
        async with self._tail.turn:
            self._place = await with_connection(
                self._state, lambda tx: cursors.place_of(tx, self._tenant_id, after, self._filters, field)
            )

    def line(self) -> bytes:
        """The line with the cursor."""
        return _id(self._place, self._filters)

    async def read(self) -> tuple[bytes, bool]:
        """The frames of the next events, and whether there are no others yet."""
        head = self._tail.head
        if head is not None and head.position <= self._place.position:
            return b"", True
        kept = self._tail.after(self._place.position) if self._include is None else None
        if kept is None:
            return await self._read_page()
        events, is_all = kept[:PAGE_EVENTS], len(kept) <= PAGE_EVENTS
        self._place = events[-1].place if not is_all else head or self._place
        return self._frames([event for event in events if self._filters.match(event.type, event.lead_id)]), is_all

    async def _read_page(self) -> tuple[bytes, bool]:
        after = self._place.position
        async with self._tail.turn:
            page = await with_connection(
                self._state,
                lambda tx: feed.read(tx, self._tenant_id, after, PAGE_EVENTS, self._filters, self._include),
            )
        if page.next.position > after:
            self._place = page.next
        return self._frames(list(map(live, page.events))), page.next.position >= page.head.position

    def _frames(self, events: list[Live]) -> bytes:
        return b"".join(_id(event.place, self._filters) + event.frame for event in events)


def _id(place: Place, filters: Filters) -> bytes:
    return b"id: %b\n" % cursors.write(place, filters).encode()


async def _end_when_left(reader: Reader, receive: Receive) -> None:
    """End the stream when its reader has closed the connection."""
    while (await receive())["type"] != "http.disconnect":
        pass
    reader.end()
