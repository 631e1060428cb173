"""The refused rows of an import, as a CSV in the columns of the list: to be corrected and posted again."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import orjson

from app.database.faults import run_with_retries
from app.database.transaction import Database, Record, Records
from app.imports import sql
from app.imports.rows import ERROR_COLUMN, ROW_COLUMN, is_own
from app.web.cells import as_text

TOGETHER: Final = 50  # submissions that are read in one statement
BYTE_ORDER_MARK: Final = "\ufeff"  # by which spreadsheet programs know that a CSV is UTF-8


async def errors_file(engine: Database, tenant_id: UUID, row: Record) -> AsyncIterator[bytes]:
    """The file in pieces, each read by a statement of its own."""
    columns = [name for name in row.columns if not is_own(name)]
    yield (BYTE_ORDER_MARK + _written([[ROW_COLUMN, ERROR_COLUMN, *map(as_text, columns)]], row.delimiter)).encode()
    after: UUID | None = None
    while found := await _next(engine, tenant_id, row.id, after):
        after = found[-1].id
        lines = (line for submission in found for line in _lines(submission, columns))
        yield _written(lines, row.delimiter).encode()


async def _next(engine: Database, tenant_id: UUID, import_id: UUID, after: UUID | None) -> Records:
    async def read() -> Records:
        async with engine.connect() as tx:
            return await sql.quarantined(tx, tenant_id, import_id, after, TOGETHER)

    return await run_with_retries(read)


def _lines(submission: Record, columns: Sequence[str]) -> Iterable[list[str]]:
    rows = orjson.loads(submission.body)
    for item in submission.refused or ():
        cells: dict[str, str] = dict(rows[item["place"]])
        number = str(submission.listed["rows"][item["place"]])
        known = [cells.pop(name, "") for name in columns]
        yield [number, reason_of(item), *(as_text(cell) for cell in (*known, *cells.values()))]


def reason_of(item: Mapping[str, Any]) -> str:
    """The reason of a refused row, and what was missing, for people."""
    unmet = "; ".join(
        f"{one['criterion']}: {_listed(one['need'])} is needed"
        + (f", not {one['have']!r}" if one["have"] not in (None, "") else "")
        for one in item["unmet"]
        if one["criterion"] != item["reason"]
    )
    own = next((str(one["have"]) for one in item["unmet"] if one["criterion"] == item["reason"]), "")
    return ": ".join(filter(None, (item["reason"] or "quarantined", own or unmet)))


def _listed(need: Any) -> str:
    return " or ".join(map(str, need)) if isinstance(need, list) else str(need)


def _written(lines: Iterable[Sequence[str]], delimiter: str | None) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter or ",").writerows(lines)
    return text.getvalue()
