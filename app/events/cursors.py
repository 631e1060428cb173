"""Cursors of the feed: opaque to clients, and valid only with the filters they were issued for."""

from __future__ import annotations

import base64
import binascii
import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import orjson
from pydantic import TypeAdapter, ValidationError

from app.database.transaction import Tx
from app.errors import CursorInvalid
from app.events import sql
from app.web.fields import Instant

VERSION: Final = 1
LAST_POSITION: Final = 2**63 - 1
# `recorded_at` is taken before the commit, so it may be out of order in the log by at most this much.
MAX_DISORDER: Final = timedelta(minutes=1)
NOT_A_CURSOR: Final = "This is not a cursor; use `next` or `head` of a page, `earliest`, `latest` or an instant."
INSTANT: Final[TypeAdapter[datetime]] = TypeAdapter(Instant)


@dataclass(frozen=True, slots=True)
class Filters:
    """The filters of a request to the feed; None means no filter."""

    types: tuple[str, ...] | None = None
    lead_id: UUID | None = None

    def hash(self) -> str:
        members = [sorted(self.types) if self.types is not None else None, str(self.lead_id)]
        return hashlib.sha256(orjson.dumps(members)).hexdigest()[:16]


def write(position: int, filters: Filters) -> str:
    """The cursor after `position`."""
    return base64.urlsafe_b64encode(orjson.dumps([VERSION, position, filters.hash()])).decode().rstrip("=")


def read(cursor: str, filters: Filters | None) -> int:
    """The position in a cursor. CursorInvalid.

    `filters` is None for the start of a subscription, where a cursor with any filters is accepted.
    """
    field = "start" if filters is None else "after"
    try:
        version, position, hashed = orjson.loads(base64.urlsafe_b64decode(cursor + "=="))
    except (ValueError, TypeError, binascii.Error):
        raise CursorInvalid.of(field, NOT_A_CURSOR) from None
    if version != VERSION or type(position) is not int or not 0 <= position <= LAST_POSITION:
        raise CursorInvalid.of(field, NOT_A_CURSOR)
    if filters is not None and hashed != filters.hash():
        raise CursorInvalid.of(field, "The cursor was issued for other filters; use it with the same filters.")
    return position


async def position_of(tx: Tx, tenant_id: UUID, after: str, filters: Filters | None) -> int:
    """The position that `earliest`, `latest`, an instant or a cursor stands for. CursorInvalid."""
    if after == "earliest":
        return 0
    if after == "latest":
        return await sql.head(tx, tenant_id)
    if (since := _instant(after)) is not None:
        return await _position_before(tx, tenant_id, since)
    return read(after, filters)


def _instant(after: str) -> datetime | None:
    if "T" not in after.upper() or ":" not in after:
        return None
    try:
        return INSTANT.validate_python(after)
    except ValidationError:
        return None


async def _position_before(tx: Tx, tenant_id: UUID, since: datetime) -> int:
    """The position before the first event recorded at `since` or later; a binary search, since times have no index."""
    earliest = since - MAX_DISORDER
    low, high = 0, await sql.head(tx, tenant_id)
    while low < high:
        middle = (low + high) // 2
        row = await sql.at_or_after(tx, tenant_id, middle + 1)
        if row is None or row.recorded_at >= earliest:
            high = middle
        else:
            low = int(row.position)
    first = await sql.first_since(tx, tenant_id, low + 1, since)
    return first - 1 if first is not None else await sql.head(tx, tenant_id)
