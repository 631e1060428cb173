"""Lists in pages: keyset cursors that know which list they belong to (api.md, section 2).

A cursor holds its version, the sort, the last row's value and id, and a hash of the filters. It is opaque to clients.
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
from sqlalchemy import Select, Table, tuple_

from app.errors import CursorInvalid

VERSION: Final = 1
ANOTHER_LIST: Final = "The cursor belongs to a list with another order or other filters."
Limit = Annotated[int, Query(ge=1, le=200, description="Rows in a page.")]
Cursor = Annotated[str | None, Query(max_length=1000, description="`next` of the page before.")]


@dataclass(frozen=True, slots=True)
class Page:
    """What a list was asked for: how many rows, from where, in which order, under which filters."""

    limit: int = 50
    cursor: str | None = None
    sort: str = "created_at"
    filters: Mapping[str, Any] | None = None

    def statement(self, rows: Select[*tuple[Any, ...]], table: Table) -> Select[*tuple[Any, ...]]:
        """`rows` in this page's order, from its cursor on, with one row more than the limit. CursorInvalid."""
        value, row_id = table.c[self.sort], table.c.id
        if self.cursor is not None:
            last, last_id = self._read(self.cursor)
            rows = rows.where(tuple_(value, row_id) < tuple_(last, last_id))
        return rows.order_by(value.desc(), row_id.desc()).limit(self.limit + 1)

    def _read(self, cursor: str) -> tuple[datetime, UUID]:
        sort, last, last_id = read_cursor(cursor, self.filters, 3)
        try:
            at, row_id = datetime.fromisoformat(last), UUID(last_id)
            at = at.astimezone(UTC) if at.tzinfo else at
        except (ValueError, TypeError, OverflowError, AttributeError):
            raise foreign_cursor() from None
        if sort != self.sort or at.tzinfo is None:
            raise CursorInvalid.of("cursor", ANOTHER_LIST)
        return at, row_id

    def next_cursor(self, rows: Sequence[Any]) -> str | None:
        """The cursor after the last row of this page; None on the last page."""
        if len(rows) <= self.limit:
            return None
        last = rows[self.limit - 1]
        return write_cursor(self.filters, self.sort, getattr(last, self.sort).isoformat(), str(last.id))

    def answer(self, rows: Sequence[Any], show: Callable[[Any], Any]) -> dict[str, Any]:
        """`{"data": […], "next": cursor or null}` from the rows of `statement`."""
        return {"data": [show(row) for row in rows[: self.limit]], "next": self.next_cursor(rows)}


def write_cursor(filters: Mapping[str, Any] | None, *members: object) -> str:
    """An opaque cursor of these members, bound to the filters of its list."""
    said = [VERSION, _hash(filters), *members]
    return base64.urlsafe_b64encode(orjson.dumps(said)).decode().rstrip("=")


def read_cursor(cursor: str, filters: Mapping[str, Any] | None, size: int) -> list[Any]:
    """The `size` members of a cursor that was written for a list with the same filters. CursorInvalid."""
    try:
        version, hashed, *members = orjson.loads(base64.urlsafe_b64decode(cursor + "=="))
    except (ValueError, TypeError, binascii.Error):
        raise foreign_cursor() from None
    if version != VERSION or len(members) != size:
        raise foreign_cursor()
    if hashed != _hash(filters):
        raise CursorInvalid.of("cursor", ANOTHER_LIST)
    return members


def foreign_cursor() -> CursorInvalid:
    return CursorInvalid.of("cursor", "The cursor is not one that Baton gave.")


def _hash(filters: Mapping[str, Any] | None) -> str:
    said = {name: str(value) for name, value in sorted((filters or {}).items()) if value is not None}
    return hashlib.sha256(orjson.dumps(said, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
