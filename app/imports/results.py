"""The processed rows of an import, page by page."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from app.database.transaction import Tx
from app.imports import show, sql
from app.web.pages import malformed_cursor, read_cursor, write_cursor


async def page_of_rows(
    tx: Tx, tenant_id: UUID, import_id: UUID, verdict: str | None, limit: int, cursor: str | None
) -> dict[str, Any]:
    """One page of rows in the order of the list. Raises CursorInvalid."""
    filters = {"import_id": import_id, "verdict": verdict}
    first, place = _read(cursor, filters)
    values = {"first": first, "place": place, "verdict": verdict, "most": limit + 1}
    rows = await sql.rows_of(tx, tenant_id, import_id, values)
    last = rows[limit - 1] if len(rows) > limit else None
    following = None if last is None else write_cursor(filters, "row", str(last.id), last.place)
    return {"data": [show.row_of(row) for row in rows[:limit]], "next": following}


def _read(cursor: str | None, filters: dict[str, Any]) -> tuple[UUID | None, int]:
    if cursor is None:
        return None, 0
    _, last_id, place = read_cursor(cursor, filters, 3)
    try:
        found = UUID(last_id)
    except (ValueError, TypeError, AttributeError):
        raise malformed_cursor() from None
    if not isinstance(place, int) or isinstance(place, bool) or not 0 <= place < 10_000:
        raise malformed_cursor()
    return found, place
