"""Reads the events after the place that a consumer has acknowledged. Reading changes nothing: each reader gets them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from app.consumers import sql
from app.consumers.problems import ConsumerNotFound
from app.consumers.schemas import filters_of
from app.database.transaction import Record, Tx
from app.events import cursors, feed
from app.events.feed import IncludeLeads
from app.events.waiting import with_connection


async def read(
    state: Any, tenant_id: UUID, name: str, limit: int, seconds: float, include: IncludeLeads | None
) -> bytes:
    """The body of a page; when it would be empty, waits up to `seconds` for an event.

    Raises ConsumerNotFound, CursorExpired, and TooManyRequests when too many wait. A database restored from a backup
    has the place of then, so it fits the log.
    """

    async def checked(tx: Tx) -> Record:
        found = await sql.consumer(tx, tenant_id, name)
        if found is None:
            raise ConsumerNotFound()
        await cursors.check_kept(tx, found.position)
        return found

    found = await with_connection(state, checked)
    filters = filters_of(found)
    page = await feed.page_after(state, tenant_id, found.position, limit, filters, seconds, include)
    return page.body(filters)
