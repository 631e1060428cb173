"""Read the log from a position on; a request that waits for the next event holds no database connection."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final
from uuid import UUID

from app.database.transaction import Tx
from app.events import cursors, sql
from app.events.cursors import Filters
from app.events.envelope import Sequenced, envelope
from app.events.sql import Place
from app.events.waiting import with_connection
from app.events.wake import Wake

POLL_SECONDS: Final = 1.0

# Adds to each event its lead, as `included`. The application sets the function, since this package imports no feature.
IncludeLeads = Callable[[Tx, UUID, Sequence[Sequenced]], Awaitable[list[Sequenced]]]


@dataclass(frozen=True, slots=True)
class FeedPage:
    """One page: its events, the place to continue from, and the last place in the log."""

    events: list[Sequenced]
    next: Place
    head: Place

    def body(self, filters: Filters) -> bytes:
        """`{"data": […], "next", "has_more", "head"}`; the events are byte for byte those that webhooks send."""
        more = b"true" if self.next.position < self.head.position else b"false"
        ends = cursors.write(self.next, filters).encode(), more, cursors.write(self.head, filters).encode()
        events = b",".join(envelope(event) for event in self.events)
        return b'{"data":[%b],"next":"%b","has_more":%b,"head":"%b"}' % (events, *ends)


async def read(
    tx: Tx, tenant_id: UUID, after: int, limit: int, filters: Filters, include: IncludeLeads | None = None
) -> FeedPage:
    """At most `limit` events after the position `after`."""
    patterns = like_patterns(filters.types)
    page = FeedPage(*await sql.read_log(tx, tenant_id, after, limit, patterns, filters.lead_id))
    return page if include is None else replace(page, events=await include(tx, tenant_id, page.events))


def like_patterns(types: tuple[str, ...] | None) -> list[str] | None:
    """Type patterns such as `lead.*` as patterns for SQL's LIKE; None for every type."""
    if types is None or "*" in types:
        return None
    return [each.replace("_", r"\_").replace("*", "%") for each in types]


async def page(
    state: Any,
    tenant_id: UUID,
    after: str,
    limit: int,
    filters: Filters,
    seconds: float,
    include: IncludeLeads | None = None,
) -> FeedPage:
    """The next page; when it is empty, wait up to `seconds` for an event.

    Raises the CURSOR_PROBLEMS for its cursor, TooManyRequests when too many wait.
    """
    start = await with_connection(state, lambda tx: cursors.position_of(tx, tenant_id, after, filters))
    return await page_after(state, tenant_id, start, limit, filters, seconds, include)


async def page_after(
    state: Any,
    tenant_id: UUID,
    start: int,
    limit: int,
    filters: Filters,
    seconds: float,
    include: IncludeLeads | None = None,
) -> FeedPage:
    """The same from a position. Raises TooManyRequests when too many wait."""
    wake: Wake = state.wake

    async def read_from(position: int) -> FeedPage:
        return await with_connection(state, lambda tx: read(tx, tenant_id, position, limit, filters, include))

    seen = wake.generation("log")
    found = await read_from(start)
    if found.events or not seconds:
        return found
    with state.waiters:
        end = asyncio.get_running_loop().time() + seconds
        while not found.events and not state.tails.ending and (left := end - asyncio.get_running_loop().time()) > 0:
            if found.next.position >= found.head.position:
                await wake.wait("log", seen, min(left, POLL_SECONDS))
            seen = wake.generation("log")
            found = await read_from(found.next.position)
    return found
