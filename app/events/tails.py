"""The newest events of each tenant that has open streams: read from the log once per process, shared by all streams.

One task asks for the heads of these tenants whenever an event got its position, and each second. It reads what is new
of a tenant once, keeps the last KEPT_EVENTS, and wakes the tenant's streams. A stream that is further behind reads
pages of its own (stream.py). The task also ends streams whose API key is revoked or has expired.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from typing import Any, Final, NamedTuple
from uuid import UUID

import structlog

from app import metrics
from app.database.faults import DATABASE_ERRORS
from app.database.transaction import Tx
from app.errors import Overloaded, TooManyRequests
from app.events import across, sql
from app.events.envelope import Sequenced, envelope
from app.events.sql import Place
from app.events.wake import Wake
from app.web import auth
from app.web.auth import Caller

log = structlog.get_logger("baton.tails")

POLL_SECONDS: Final = 1.0
KEYS_SECONDS: Final = 5.0
KEPT_EVENTS: Final = 1024
READ_EVENTS: Final = 256
WOKEN_TOGETHER: Final = 50
SHARE: Final = 5


class Live(NamedTuple):
    """An event as streams send it: its frame lacks the line with the cursor, which differs by the stream's filters."""

    place: Place
    type: str
    lead_id: UUID | None
    frame: bytes


def live(event: Sequenced) -> Live:
    frame = b"event: %b\ndata: %b\n\n" % (event.type.encode(), envelope(event))
    return Live(Place(event.position, event.id), event.type, event.lead_id, frame)


class Reader:
    """One open stream: whose key opened it, whether there may be something new, and whether it has to end."""

    __slots__ = ("changed", "ended", "key_id")

    def __init__(self, key_id: UUID) -> None:
        self.key_id, self.changed, self.ended = key_id, asyncio.Event(), False

    def end(self) -> None:
        self.ended = True
        self.changed.set()


class Tail:
    """The events of one tenant after the position `begins` up to `head`; `head` is None until it was read."""

    def __init__(self) -> None:
        self.events: deque[Live] = deque()
        self.begins = 0
        self.head: Place | None = None
        self.readers: set[Reader] = set()
        # Pages of streams that are behind are read one at a time: those of other tenants wait for one of them at most.
        self.turn = asyncio.Lock()

    def after(self, position: int) -> list[Live] | None:
        """The events after a position; None where they are not all kept here."""
        if self.head is None or position < self.begins:
            return None
        return list(takewhile(lambda event: event.place.position > position, reversed(self.events)))[::-1]

    def begin(self, head: Place) -> None:
        self.begins, self.head = head.position, head

    def append(self, events: list[Sequenced], head: Place) -> None:
        self.events.extend(map(live, events))
        self.head = head
        while len(self.events) > KEPT_EVENTS:
            self.begins = self.events.popleft().place.position


class Tails:
    """The tails of the tenants that have open streams in this process, at most `most` streams together."""

    def __init__(self, state: Any, most: int) -> None:
        self._state, self.most = state, most
        self._tails: dict[UUID, Tail] = {}
        self._open = 0
        self._closing = False
        self._task: asyncio.Task[None] | None = None
        self._keys_at = 0.0

    @contextmanager
    def opened(self, caller: Caller) -> Iterator[tuple[Tail, Reader]]:
        """Count a stream during the block. Raises Overloaded, and TooManyRequests where the tenant has its share.

        A tenant may have SHARE times as many streams as remain free, so some always remain for others.
        """
        found = self._tails.get(caller.tenant_id)
        own, free = len(found.readers) if found else 0, self.most - self._open
        if self._closing or free <= 0:
            raise Overloaded()
        if own >= SHARE * free:
            raise TooManyRequests(
                f"The tenant has {own} streams open in this process, as many as it may while {free} remain for others:"
                " close some, or read pages (`Accept: application/json`)."
            )
        tail, reader = self._tails.setdefault(caller.tenant_id, Tail()), Reader(caller.key_id)
        tail.readers.add(reader)
        self._count(1)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._follow())
        try:
            yield tail, reader
        finally:
            tail.readers.discard(reader)
            self._count(-1)
            if not tail.readers and self._tails.get(caller.tenant_id) is tail:
                del self._tails[caller.tenant_id]

    def _count(self, change: int) -> None:
        self._open += change
        metrics.STREAMS.inc(change)

    def end(self) -> None:
        """End all streams, and refuse new ones: the process is about to stop."""
        self._closing = True
        for tail in self._tails.values():
            for reader in tail.readers:
                reader.end()

    @property
    def ending(self) -> bool:
        return self._closing

    async def close(self) -> None:
        self.end()
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    async def _follow(self) -> None:
        """Runs while there are streams; faults of the database are logged, and it tries again every second."""
        wake: Wake = self._state.wake
        while self._tails:
            seen = wake.generation("log")
            try:
                async with self._state.engine.connect() as tx:
                    await self._end_invalid(tx)
                    changed, more = await self._read(tx)
            except DATABASE_ERRORS as fault:
                log.warning("tails_failed", error=type(fault).__name__)
                await asyncio.sleep(POLL_SECONDS)
                continue
            for tail in changed:
                await _tell(tail)
            if not more:
                await wake.wait("log", seen, POLL_SECONDS)

    async def _read(self, tx: Tx) -> tuple[list[Tail], bool]:
        """The tails that have something new, and whether more is left to read."""
        heads, changed, more = await across.heads(tx, list(self._tails)), [], False
        for tenant_id, tail in list(self._tails.items()):
            head = heads.get(tenant_id, Place(0, None))
            if tail.head is None:
                tail.begin(head)
                changed.append(tail)
            elif tail.head != head:
                if not await self._advance(tx, tenant_id, tail):
                    del self._tails[tenant_id]
                changed.append(tail)
                more = more or tail.head.position < head.position
        return changed, more

    async def _advance(self, tx: Tx, tenant_id: UUID, tail: Tail) -> bool:
        """Read on from the head; False where its event is not there any more, as after a restore from a backup.

        Then the tail's streams are ended: their cursors are checked when they are opened again.
        """
        assert tail.head is not None
        known = tail.head.event_id is not None
        events, place, _ = await sql.read_log(tx, tenant_id, tail.head.position - known, READ_EVENTS, None, None)
        if known and (not events or events[0].id != tail.head.event_id):
            for reader in tail.readers:
                reader.end()
            return False
        tail.append(events[known:], place)
        return True

    async def _end_invalid(self, tx: Tx) -> None:
        """End the streams whose key is revoked or has expired; looks every KEYS_SECONDS."""
        now = asyncio.get_running_loop().time()
        if now < self._keys_at:
            return
        self._keys_at = now + KEYS_SECONDS
        readers = {(tenant_id, reader) for tenant_id, tail in self._tails.items() for reader in tail.readers}
        keys = {(tenant_id, reader.key_id) for tenant_id, reader in readers}
        valid = await auth.valid_keys(tx, keys, self._state.clock.now())
        for tenant_id, reader in readers:
            if (tenant_id, reader.key_id) not in valid:
                reader.end()


async def _tell(tail: Tail) -> None:
    """Wake the streams of a tail, some at a time, so that other requests are served in between."""
    for number, reader in enumerate(list(tail.readers), 1):
        reader.changed.set()
        if number % WOKEN_TOGETHER == 0:
            await asyncio.sleep(0)
