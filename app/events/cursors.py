"""Cursors of the feed: opaque to clients, valid only with the filters and the event that they were issued for.

A database restored from a backup gives the same positions to other events. A cursor therefore names the event at its
position; where another event stands there, or none, reading on would skip events without an error, and is refused.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

import orjson
from pydantic import TypeAdapter, ValidationError

from app.database.transaction import Record, Tx
from app.errors import CursorExpired, CursorInvalid, LogDiverged
from app.events import across, sql
from app.events.sql import Place
from app.web.fields import Instant, rfc3339

VERSION: Final = 2
FIRST_VERSION: Final = 1  # of the first release: JSON, without the event
LAST_POSITION: Final = 2**63 - 1
CURSOR_PROBLEMS: Final = (CursorInvalid, CursorExpired, LogDiverged)
EVENT_BYTES: Final = 8  # the start of a UUIDv7: its creation time in milliseconds, its version, twelve random bits
# `recorded_at` is taken before the commit, so it may be out of order in the log by at most this much.
MAX_DISORDER: Final = timedelta(minutes=1)
NOT_A_CURSOR: Final = "This is not a cursor; use `next` or `head` of a page, `earliest`, `latest` or an instant."
EXPIRED: Final = "Events after this cursor are kept no more: read from `earliest`."
INSTANT: Final[TypeAdapter[datetime]] = TypeAdapter(Instant)


@dataclass(frozen=True, slots=True)
class Filters:
    """What a reader wants to see; None is everything."""

    types: tuple[str, ...] | None = None
    lead_id: UUID | None = None

    def match(self, event_type: str, lead_id: UUID | None) -> bool:
        """Whether such an event passes: as `feed.like_patterns` has it in SQL, `lead.*` is every type of leads."""
        if self.lead_id is not None and lead_id != self.lead_id:
            return False
        noun = event_type.partition(".")[0]
        return self.types is None or not {"*", event_type, f"{noun}.*"}.isdisjoint(self.types)

    def hash(self) -> str:
        members = [sorted(self.types) if self.types is not None else None, str(self.lead_id)]
        return hashlib.sha256(orjson.dumps(members)).hexdigest()[:16]


class Mark(NamedTuple):
    """What a cursor says: a position, and the first bytes of the id of its event (None: of the first release)."""

    position: int
    event: bytes | None


def write(place: Place, filters: Filters) -> str:
    """The cursor after the event at that place."""
    packed = bytes([VERSION]) + place.position.to_bytes(8) + _start_of(place.event_id) + bytes.fromhex(filters.hash())
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def _start_of(event_id: UUID | None) -> bytes:
    return bytes(EVENT_BYTES) if event_id is None else event_id.bytes[:EVENT_BYTES]


def read(cursor: str, filters: Filters | None, field: str | None = None) -> Mark:
    """The mark in a cursor. Raises CursorInvalid, which names the field, for other text, and for other filters.

    `filters` is None for the start of a subscription, where a cursor with any filters is accepted.
    """
    field = field or ("start" if filters is None else "after")
    try:
        packed = base64.urlsafe_b64decode(cursor + "==")
        mark, hashed = _unpacked(packed) if packed[:1] == bytes([VERSION]) else _of_first_release(packed)
    except (ValueError, TypeError, binascii.Error):
        raise CursorInvalid.of(field, NOT_A_CURSOR) from None
    if filters is not None and hashed != filters.hash():
        raise CursorInvalid.of(field, "The cursor was issued for other filters; use it with the same filters.")
    return mark


def _unpacked(packed: bytes) -> tuple[Mark, str]:
    position, event, hashed = int.from_bytes(packed[1:9]), packed[9:17], packed[17:]
    if len(hashed) != 8 or position > LAST_POSITION:
        raise ValueError("not a cursor")
    return Mark(position, event), hashed.hex()


def _of_first_release(packed: bytes) -> tuple[Mark, str]:
    version, position, hashed = orjson.loads(packed)
    if version != FIRST_VERSION or type(position) is not int or not 0 <= position <= LAST_POSITION:
        raise ValueError("not a cursor")
    return Mark(position, None), str(hashed)


async def position_of(tx: Tx, tenant_id: UUID, after: str, filters: Filters | None, field: str | None = None) -> int:
    """The position that `earliest`, `latest`, an instant or a cursor stands for.

    Raises CursorInvalid for a text that is none of these, CursorExpired when events after it were deleted, LogDiverged
    when the log has another event there.
    """
    if after == "earliest":
        return 0
    if after == "latest":
        return (await sql.head(tx, tenant_id)).position
    if (since := _instant(after)) is not None:
        return await _position_before(tx, tenant_id, since)
    mark = read(after, filters, field)
    await _check(tx, tenant_id, mark)
    return mark.position


async def place_of(tx: Tx, tenant_id: UUID, after: str, filters: Filters | None, field: str | None = None) -> Place:
    """The same as the place of the tenant's last event up to there, which a cursor can name. Raises the same."""
    return await _last_place(tx, tenant_id, await position_of(tx, tenant_id, after, filters, field))


async def place_of_cursor(tx: Tx, tenant_id: UUID, cursor: str, filters: Filters, field: str) -> Place:
    """The place of a cursor, and of nothing else. Raises the CURSOR_PROBLEMS."""
    mark = read(cursor, filters, field)
    await _check(tx, tenant_id, mark)
    return await _last_place(tx, tenant_id, mark.position)


async def _last_place(tx: Tx, tenant_id: UUID, position: int) -> Place:
    row = await sql.at_or_before(tx, tenant_id, position)
    if row is None:
        return Place(await across.first_position(tx) - 1, None)
    return Place(row.position, row.id)


async def check_kept(tx: Tx, position: int) -> None:
    """Raises CursorExpired when events after the position were deleted."""
    if position + 1 < await across.first_position(tx):
        raise CursorExpired(EXPIRED, earliest="earliest")


async def _check(tx: Tx, tenant_id: UUID, mark: Mark) -> None:
    """Checks that the event of the mark is at its position; of a first-release cursor, that the log reaches it."""
    row = await sql.at_or_before(tx, tenant_id, mark.position)
    here = row if row is not None and row.position == mark.position else None
    if here is not None and here.id is not None and mark.event in (None, _start_of(here.id)):
        return
    kept = await across.first_position(tx)
    if (here is not None and here.id is None) or mark.position + 1 < kept:
        raise CursorExpired(EXPIRED, earliest="earliest")
    if here is None and mark.position + 1 == kept:  # nothing after it is gone
        return
    if mark.position > 0 and (mark.event is not None or mark.position > (await sql.head(tx, tenant_id)).position):
        raise await _diverged(tx, tenant_id, mark)


async def _diverged(tx: Tx, tenant_id: UUID, mark: Mark) -> LogDiverged:
    last = None if mark.event is None else await _last_before(tx, tenant_id, mark.event)
    where = "`earliest`" if last is None else f"{rfc3339(last)} (`last_event_at`)"
    detail = f"The log was restored from a backup: the event of this cursor is not at its place. Read from {where} on."
    return LogDiverged(detail, earliest="earliest", last_event_at=rfc3339(last))


async def _last_before(tx: Tx, tenant_id: UUID, event: bytes) -> datetime | None:
    """When the last event was recorded that was made before this one: what both logs have ends there at the latest."""
    first = UUID(bytes=event + bytes(16 - EVENT_BYTES))
    end = await _end_of(tx, tenant_id, lambda row: row.id is None or row.id < first)
    row = await sql.at_or_before(tx, tenant_id, end)
    return None if row is None else row.recorded_at


def _instant(after: str) -> datetime | None:
    if "T" not in after.upper() or ":" not in after:
        return None
    try:
        return INSTANT.validate_python(after)
    except ValidationError:
        return None


async def _position_before(tx: Tx, tenant_id: UUID, since: datetime) -> int:
    """The position before the first event recorded at `since` or later."""
    early = since - MAX_DISORDER
    end = await _end_of(tx, tenant_id, lambda row: row.recorded_at < early)
    first = await sql.first_since(tx, tenant_id, end + 1, since)
    return first - 1 if first is not None else (await sql.head(tx, tenant_id)).position


async def _end_of(tx: Tx, tenant_id: UUID, is_early: Callable[[Record], bool]) -> int:
    """A position up to which every event is early, by halving: the log is in the order of time, without an index."""
    low, high = 0, (await sql.head(tx, tenant_id)).position
    while low < high:
        middle = (low + high) // 2
        row = await sql.at_or_after(tx, tenant_id, middle + 1)
        if row is None or not is_early(row):
            high = middle
        else:
            low = int(row.position)
    return low
