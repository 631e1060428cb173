"""Keyset pagination with opaque cursors (api.md, section 2).

A cursor holds its format version, a hash of the filters, the sort column, and the last row's value and id. The hash and
the sort column let a cursor be refused on any list but its own.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import UUID

import orjson
from fastapi import Query
from sqlalchemy import FromClause, Select, tuple_

from app.errors import CursorInvalid

VERSION: Final = 1
OTHER_LIST: Final = "The cursor is from a list with another order or other filters: start again without a cursor."
Limit = Annotated[int, Query(ge=1, le=200, description="Rows in a page.")]
Cursor = Annotated[str | None, Query(max_length=1000, description="`next` of the page before.")]


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a list: its size, the cursor it starts after, its order and its filters."""

    limit: int = 50
    cursor: str | None = None
    sort: str = "created_at"
    filters: Mapping[str, Any] | None = None

    def statement(self, rows: Select[*tuple[Any, ...]], table: FromClause) -> Select[*tuple[Any, ...]]:
        """`rows` in this page's order after its cursor, plus one row that tells whether a page follows."""
        value, row_id = table.c[self.sort], table.c.id
        if self.cursor is not None:
            last, last_id = self._read(self.cursor)
            rows = rows.where(tuple_(value, row_id) < tuple_(last, last_id))
        return rows.order_by(value.desc(), row_id.desc()).limit(self.limit + 1)

    def _read(self, cursor: str) -> tuple[datetime, UUID]:
        sort, last, last_id = read_cursor(cursor, self.filters, 3)
        place = read_place(last, last_id)
        if sort != self.sort:
            raise CursorInvalid.of("cursor", OTHER_LIST)
        return place

    def next_cursor(self, rows: Sequence[Any]) -> str | None:
        """The cursor of the page after this one; None on the last page."""
        if len(rows) <= self.limit:
            return None
        last = rows[self.limit - 1]
        return write_cursor(self.filters, self.sort, getattr(last, self.sort).isoformat(), str(last.id))

    def answer(self, rows: Sequence[Any], show: Callable[[Any], Any]) -> dict[str, Any]:
        """`{"data": […], "next": cursor or null}` from the rows of `statement`."""
        return {"data": [show(row) for row in rows[: self.limit]], "next": self.next_cursor(rows)}


def write_cursor(filters: Mapping[str, Any] | None, *members: object) -> str:
    """An opaque cursor of these members, bound to the filters of its list."""
    parts = [VERSION, _hash(filters), *members]
    return base64.urlsafe_b64encode(orjson.dumps(parts)).decode().rstrip("=")


def read_cursor(cursor: str, filters: Mapping[str, Any] | None, size: int) -> list[Any]:
    """The `size` members of a cursor made for a list with the same filters. Raises CursorInvalid for any other text."""
    try:
        version, hashed, *members = orjson.loads(base64.urlsafe_b64decode(cursor + "=="))
    except (ValueError, TypeError, binascii.Error):
        raise malformed_cursor() from None
    if version != VERSION or len(members) != size:
        raise malformed_cursor()
    if hashed != _hash(filters):
        raise CursorInvalid.of("cursor", OTHER_LIST)
    return members


def read_place(last: Any, last_id: Any) -> tuple[datetime, UUID]:
    """The instant and the id of the last row of a page, of a cursor's members. Raises CursorInvalid for others."""
    try:
        at = datetime.fromisoformat(last)
        if at.tzinfo is None:
            raise malformed_cursor()
        return at.astimezone(UTC), read_id(last_id)
    except (ValueError, TypeError, OverflowError, AttributeError):
        raise malformed_cursor() from None


def read_id(last_id: Any) -> UUID:
    """The id of the last row of a page, of a cursor's member. Raises CursorInvalid for another."""
    try:
        return UUID(last_id)
    except (ValueError, TypeError, AttributeError):
        raise malformed_cursor() from None


def malformed_cursor() -> CursorInvalid:
    return CursorInvalid.of("cursor", "The cursor is malformed: send `next` of the page before, unchanged.")


def _hash(filters: Mapping[str, Any] | None) -> str:
    values = {name: str(value) for name, value in sorted((filters or {}).items()) if value is not None}
    return hashlib.sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
