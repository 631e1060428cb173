"""Read the log from a place on: at once, or waiting for the next event without holding a connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from app.database import Tx, again
from app.errors import TooManyRequests
from app.events import cursors, sql
from app.events.cursors import Filters
from app.events.envelope import Sequenced, envelope
from app.events.wake import Wake

T = TypeVar("T")

MOST_WAITERS: Final = 500
LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class Reading:
    """One page: its events, the position to go on from, and the last position there is."""

    events: list[Sequenced]
    next: int
    head: int

    def body(self, filters: Filters) -> bytes:
        """`{"data": […], "next", "has_more", "head"}`, the events in the bytes that webhooks have."""
        more = b"true" if self.next < self.head else b"false"
        ends = cursors.write(self.next, filters).encode(), more, cursors.write(self.head, filters).encode()
        told = b",".join(envelope(event) for event in self.events)
        return b'{"data":[%b],"next":"%b","has_more":%b,"head":"%b"}' % (told, *ends)


async def read(tx: Tx, tenant_id: UUID, after: int, limit: int, filters: Filters) -> Reading:
    """At most `limit` events after the position `after`."""
    return Reading(*await sql.read_log(tx, tenant_id, after, limit, like_patterns(filters.types), filters.lead_id))


def like_patterns(types: tuple[str, ...] | None) -> list[str] | None:
    """`lead.*` as SQL's LIKE knows it; None for everything."""
    if types is None or "*" in types:
        return None
    return [each.replace("_", r"\_").replace("*", "%") for each in types]


class Waiters:
    """How many requests of this process wait for events; each holds a socket, none a connection."""

    def __init__(self, most: int = MOST_WAITERS) -> None:
        self.waiting, self.most = 0, most

    def __enter__(self) -> None:
        if self.waiting >= self.most:
            raise TooManyRequests("Too many readers are waiting for events; ask again without `wait`, or later.")
        self.waiting += 1

    def __exit__(self, *_: object) -> None:
        self.waiting -= 1


@dataclass(frozen=True, slots=True)
class Feed:
    """A reader of one process: where it reads, what wakes it, and who else waits."""

    engine: AsyncEngine
    wake: Wake
    waiters: Waiters

    async def page(self, tenant_id: UUID, after: str, limit: int, filters: Filters, seconds: float) -> Reading:
        """The next page, waiting up to `seconds` for a first event. CursorInvalid, TooManyRequests."""
        seen = self.wake.seen("log")
        position = await self._once(lambda tx: cursors.position_of(tx, tenant_id, after, filters))
        found = await self._read(tenant_id, position, limit, filters)
        if found.events or not seconds:
            return found
        with self.waiters:
            end = asyncio.get_running_loop().time() + seconds
            while not found.events and (left := end - asyncio.get_running_loop().time()) > 0:
                if found.next >= found.head:
                    await self.wake.wait("log", seen, min(left, LOOK_SECONDS))
                seen = self.wake.seen("log")
                found = await self._read(tenant_id, found.next, limit, filters)
        return found

    async def _read(self, tenant_id: UUID, after: int, limit: int, filters: Filters) -> Reading:
        return await self._once(lambda tx: read(tx, tenant_id, after, limit, filters))

    async def _once(self, work: Callable[[Tx], Awaitable[T]]) -> T:
        async def run() -> T:
            async with self.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as tx:
                return await work(tx)

        return await again(run)
