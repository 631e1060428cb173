"""The verb of `POST /v1/imports`: checks what is said of a list, then stores it or maps it in a dry run."""

from __future__ import annotations

from fastapi import Request, Response

from app.events.waiting import with_connection
from app.imports.body import ListBody, declared_charset, refuse_other_media
from app.imports.dry_run import dry_run
from app.imports.rows import RowReader
from app.imports.schemas import DELIMITERS, ListOptions
from app.imports.store import source_of, store_list
from app.web import idempotency
from app.web.auth import Caller
from app.web.fields import answer


async def receive(request: Request, caller: Caller, options: ListOptions) -> Response:
    """202 with the import once all rows are stored, or 200 with what would come of them."""
    kept = options.checked().kept()
    refuse_other_media(request)
    idempotency.key_of(request)  # a malformed key is refused before the body is read
    source = await with_connection(request.app.state, lambda tx: source_of(tx, caller.tenant_id, options.source_id))
    reader = RowReader(
        options.encoding or declared_charset(request), DELIMITERS.get(options.delimiter or ""), options.header_row
    )
    body = ListBody(request, reader, options.sheet)
    if options.dry_run:
        return answer(await dry_run(source, body, kept, request.app.state.clock.now()))
    return await store_list(request, caller, body, {"source_id": source.id, "name": options.name, "options": kept})
