"""Makes a consumer, moves one that exists, and deletes it."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from app.consumers import sql
from app.consumers.problems import ConsumerLimitReached, ConsumerNotFound, FiltersFixed
from app.consumers.schemas import NAME, NAME_FORM, ConsumerPut, filters_of
from app.database.transaction import Record, Tx
from app.errors import RequestInvalid
from app.events import cursors
from app.events.sql import Place
from app.ids import new_id
from app.web import versions

MOST: Final = 100


async def put(
    tx: Tx, tenant_id: UUID, name: str, body: ConsumerPut, expected: frozenset[str] | None, now: datetime
) -> bool:
    """Make the consumer, or move it where `seek` is given; whether it is new.

    Raises RequestInvalid for the name, FiltersFixed, ConsumerLimitReached, VersionConflict, and the CURSOR_PROBLEMS.
    """
    if not NAME.fullmatch(name):
        raise RequestInvalid.of("name", "wrong_form", f"{NAME_FORM}, like billing")
    found = await sql.consumer(tx, tenant_id, name, lock=True)
    if found is None and expected is None and await _is_made(tx, tenant_id, name, body, now):
        return True
    found = found or await locked(tx, tenant_id, name)
    versions.check(expected, found.version)
    if filters_of(found).hash() != body.filters.hash():
        raise FiltersFixed()
    if body.seek is not None:
        place = await _place(tx, tenant_id, body.seek, "seek")
        await sql.move(tx, tenant_id, found.id, place._asdict(), now)
    return False


async def _is_made(tx: Tx, tenant_id: UUID, name: str, body: ConsumerPut, now: datetime) -> bool:
    """False where another request has just made one of this name."""
    if await sql.count(tx, tenant_id) >= MOST:
        raise ConsumerLimitReached(f"There may be {MOST} consumers: delete one that is not used.", limit=MOST)
    start, field = (body.start, "start") if body.seek is None else (body.seek, "seek")
    place = await _place(tx, tenant_id, start, field)
    filters = {"types": body.types, "lead_id": body.lead_id}
    row = {"id": new_id(), "name": name, **filters, **place._asdict(), "created_at": now, "updated_at": now}
    return await sql.insert_consumer(tx, tenant_id, row)


async def _place(tx: Tx, tenant_id: UUID, start: str, field: str) -> Place:
    """The place to begin after: of a cursor with any filters, and not before the first event that is kept."""
    return await cursors.place_of(tx, tenant_id, start, None, field)


async def delete(tx: Tx, tenant_id: UUID, name: str, expected: frozenset[str] | None) -> None:
    """Raises ConsumerNotFound and VersionConflict."""
    found = await locked(tx, tenant_id, name)
    versions.check(expected, found.version)
    await sql.delete_consumer(tx, tenant_id, found.id)


async def locked(tx: Tx, tenant_id: UUID, name: str) -> Record:
    """The row of a consumer, locked until the transaction ends. Raises ConsumerNotFound."""
    found = await sql.consumer(tx, tenant_id, name, lock=True)
    if found is None:
        raise ConsumerNotFound()
    return found
