"""The verb of `POST /v1/imports`: checks what is said of a list, then stores it or maps it in a dry run."""

from __future__ import annotations

from uuid import UUID

from fastapi import Request, Response

from app.database.transaction import Tx
from app.events.waiting import with_connection
from app.imports.body import ListBody, declared_charset, refuse_other_media
from app.imports.dry_run import dry_run
from app.imports.rows import RowReader
from app.imports.schemas import DELIMITERS, ListOptions
from app.imports.store import source_of, store_list
from app.policies.entries import check_entry
from app.sources.ready import ReadySource
from app.web import idempotency
from app.web.auth import Caller
from app.web.fields import answer


async def receive(request: Request, caller: Caller, options: ListOptions) -> Response:
    """202 with the import once all rows are stored, or 200 with what would come of them."""
    kept = options.checked().kept()
    refuse_other_media(request)
    idempotency.key_of(request)  # a malformed key is refused before the body is read
    state = request.app.state
    source = await with_connection(state, lambda tx: _begin(tx, caller.tenant_id, options))
    reader = RowReader(
        options.encoding or declared_charset(request), DELIMITERS.get(options.delimiter or ""), options.header_row
    )
    body = ListBody(request, reader, options.sheet)
    if options.dry_run:
        return answer(await dry_run(state, source, body, kept, state.clock.now()))
    return await store_list(request, caller, body, {"source_id": source.id, "name": options.name, "options": kept})


async def _begin(tx: Tx, tenant_id: UUID, options: ListOptions) -> ReadySource:
    await check_entry(tx, tenant_id, options.entry, "entry")
    return await source_of(tx, tenant_id, options.source_id)
