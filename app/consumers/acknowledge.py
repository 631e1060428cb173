"""Acknowledges what a consumer is done with: its place goes forward, never back."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from app.consumers import sql
from app.consumers.keep import locked
from app.consumers.problems import AlreadyAcknowledged
from app.consumers.schemas import Ack, filters_of, place_of
from app.database.transaction import Tx
from app.errors import RequestInvalid
from app.events import cursors
from app.events import sql as events
from app.events.cursors import Filters
from app.events.sql import Place
from app.web import versions


async def acknowledge(
    tx: Tx, tenant_id: UUID, name: str, ack: Ack, expected: frozenset[str] | None, now: datetime
) -> None:
    """Move the consumer to the place; to acknowledge the same place again changes nothing.

    Raises ConsumerNotFound, VersionConflict, AlreadyAcknowledged for an earlier place, RequestInvalid for an unknown
    event, and the CURSOR_PROBLEMS.
    """
    found = await locked(tx, tenant_id, name)
    versions.check(expected, found.version)
    filters, stands = filters_of(found), place_of(found)
    place = await _acknowledged(tx, tenant_id, ack, filters)
    if place.position < stands.position:
        raise AlreadyAcknowledged(cursor=cursors.write(stands, filters))
    if place != stands:
        await sql.move(tx, tenant_id, found.id, {**place._asdict(), "acknowledged_at": now}, now)


async def _acknowledged(tx: Tx, tenant_id: UUID, ack: Ack, filters: Filters) -> Place:
    if ack.cursor is not None:
        return await cursors.place_of_cursor(tx, tenant_id, ack.cursor, filters, "cursor")
    assert ack.event_id is not None
    event = await events.find_event(tx, tenant_id, ack.event_id)
    if event is None:
        raise RequestInvalid.of("event_id", "unknown_value", "there is no event with this id")
    return Place(event.position, event.id)
