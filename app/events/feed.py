"""Read the log from a place on: at once, or waiting for the next event without holding a connection."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from app.database.transaction import Tx
from app.events import cursors, sql
from app.events.cursors import Filters
from app.events.envelope import Sequenced, envelope
from app.events.waiting import short
from app.events.wake import Wake

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


async def page(state: Any, tenant_id: UUID, after: str, limit: int, filters: Filters, seconds: float) -> Reading:
    """The next page, waiting up to `seconds` for a first event. CursorInvalid, TooManyRequests."""
    wake: Wake = state.wake

    async def look(position: int) -> Reading:
        return await short(state, lambda tx: read(tx, tenant_id, position, limit, filters))

    seen = wake.seen("log")
    found = await look(await short(state, lambda tx: cursors.position_of(tx, tenant_id, after, filters)))
    if found.events or not seconds:
        return found
    with state.waiters:
        end = asyncio.get_running_loop().time() + seconds
        while not found.events and (left := end - asyncio.get_running_loop().time()) > 0:
            if found.next >= found.head:
                await wake.wait("log", seen, min(left, LOOK_SECONDS))
            seen = wake.seen("log")
            found = await look(found.next)
    return found
