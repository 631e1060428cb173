"""Writes an export into a temporary file, row by row: the document alone, or a ZIP with the raw submissions."""

from __future__ import annotations

import zipfile
from collections.abc import AsyncIterator
from datetime import datetime
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Final

from app import ids
from app.database.plain_json import write_json
from app.database.transaction import Record, Tx
from app.exports import sql
from app.exports.person import Person
from app.exports.sections import SECTIONS
from app.sources import sql as sources_sql
from app.sources.document import Document
from app.sources.ready import ready_source
from app.submissions.entries import request_of
from app.submissions.redact import redacted
from app.web.fields import rfc3339

ROWS: Final = 200  # read at once
RAW_ROWS: Final = 4  # a body may have some MiB
IN_MEMORY: Final = 1 << 20  # bytes; a larger file is on the disk, without a name


async def write_document(tx: Tx, person: Person, now: datetime) -> IO[bytes]:
    """The document as a file, at its beginning."""
    file = _temporary()
    await _document(tx, person, now, file)
    file.seek(0)
    return file


async def write_zip(tx: Tx, person: Person, now: datetime) -> IO[bytes]:
    """`export.json`, and for each submission `submissions/ID/request.json` and `…/body`, without secrets.

    Left out are the requests of lists and those in which other leads are too.
    """
    file = _temporary()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as packed:
        with packed.open("export.json", "w", force_zip64=True) as document:
            await _document(tx, person, now, document)
        documents: dict[Any, Document | None] = {}
        async for row in _rows(tx, RAW_ROWS, sql.RAW, person.tenant_id, person.submissions, person.leads):
            if row.source_id not in documents:
                (source,) = await sources_sql.sources_by_id(tx, person.tenant_id, [row.source_id])
                documents[row.source_id] = ready_source(source).document
            _add_raw(packed, row, documents[row.source_id])
    file.seek(0)
    return file


def _add_raw(packed: zipfile.ZipFile, row: Record, document: Document | None) -> None:
    folder = f"submissions/{ids.show('submission', row.id)}"
    about = {"received_at": rfc3339(row.received_at), "method": row.method, "query": row.query, "headers": row.headers}
    packed.writestr(f"{folder}/request.json", write_json(about))
    body = redacted(document.parse, request_of(row)) if document is not None else None
    if body is not None:
        packed.writestr(f"{folder}/body", body)


async def _document(tx: Tx, person: Person, now: datetime, file: IO[bytes]) -> None:
    leads = [ids.show("lead", one) for one in person.leads]
    file.write(write_json({"exported_at": rfc3339(now), "leads_of": leads})[:-1])
    for section in SECTIONS:
        file.write(f',"{section.table}":['.encode())
        separator = b""
        async for row in _rows(tx, ROWS, section.statement, *person.values):
            file.write(separator + write_json(section.show(row)))
            separator = b","
        file.write(b"]")
    file.write(b"}")


async def _rows(tx: Tx, count: int, statement: str, *values: Any) -> AsyncIterator[Record]:
    """The rows of a statement by a cursor, `count` at a time."""

    async def opened() -> Any:
        return await tx.driver.cursor(statement, *values, record_class=Record)

    cursor = await tx.run(statement, opened())
    while rows := await tx.run(statement, cursor.fetch(count)):
        for row in rows:
            yield row


def _temporary() -> Any:
    return SpooledTemporaryFile(max_size=IN_MEMORY)
