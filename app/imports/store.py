"""Receives a list: its rows are stored as they arrive, and wait for processing once all of them are there."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar
from uuid import UUID

import orjson
from fastapi import Request, Response

from app import ids
from app.database.faults import run_with_retries
from app.database.transaction import Tx
from app.errors import MappingHasFaults, SourceNotFound, StateConflict
from app.imports import show, sql
from app.imports.body import ListBody
from app.imports.rows import Row
from app.problem import Problem
from app.sources import sql as sources_sql
from app.sources.ready import ReadySource, ready_source
from app.web import idempotency
from app.web.auth import Caller
from app.web.fields import answer

# Rows of one submission, processed in one transaction. With more, other requests wait longer, and no row is cheaper.
ROWS_TOGETHER: Final = 50
BYTES_TOGETHER: Final = 512 * 1024
STORED_TOGETHER: Final = 20  # submissions
STORED_BYTES: Final = 2 * 1024 * 1024
T = TypeVar("T")


class Parts:
    """Collects rows into the submissions that hold them."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options, self.count = options, 0
        self.is_guessed = False
        self._rows: list[Row] = []
        self._size = 0
        self.ready: list[tuple[bytes, bytes]] = []

    def add(self, row: Row) -> None:
        self.count += 1
        self.is_guessed = self.is_guessed or row.guessed
        self._rows.append(row)
        self._size += sum(map(len, row.cells.values()))
        if len(self._rows) >= ROWS_TOGETHER or self._size >= BYTES_TOGETHER:
            self.close()

    @property
    def are_many(self) -> bool:
        """Whether it is time to store what is ready."""
        return not self._rows and (
            len(self.ready) >= STORED_TOGETHER or sum(len(body) for body, _ in self.ready) >= STORED_BYTES
        )

    def close(self) -> None:
        """Makes a submission of the rows that are collected."""
        if self._rows:
            body = orjson.dumps([row.cells for row in self._rows])
            self.ready.append((body, orjson.dumps(listed(self._rows, self.options))))
        self._rows, self._size = [], 0


def listed(rows: Sequence[Row], options: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored beside the cells of rows (submissions/listed.py)."""
    return {
        "rows": [row.number for row in rows],
        "faults": {str(place): row.fault for place, row in enumerate(rows) if row.fault},
        "guessed": [place for place, row in enumerate(rows) if row.guessed],
        "options": options,
    }


async def source_of(tx: Tx, tenant_id: UUID, source_id: UUID) -> ReadySource:
    """The source of a list. Raises SourceNotFound, StateConflict for a disabled one, MappingHasFaults."""
    row = await sources_sql.source(tx, tenant_id, source_id)
    if row is None or row.archived_at is not None:
        raise SourceNotFound.of("source_id", f"there is no source {ids.show('source', source_id)} that is not archived")
    source = ready_source(row)
    if not source.enabled:
        raise StateConflict("The source is disabled: enable it with PATCH /v1/sources/{source_id}, then send the list.")
    if source.document is None:
        raise MappingHasFaults("The stored document is invalid in this release: correct the source's overrides.")
    return source


async def store_list(request: Request, caller: Caller, body: ListBody, values: Mapping[str, Any]) -> Response:
    """Stores a list and answers its import. Where the list does not arrive as a whole, nothing of it stays."""
    state = request.app.state
    now, import_id, tenant_id = state.clock.now(), ids.new_id(), caller.tenant_id
    begun = {"id": import_id, **values, "created_at": now, "updated_at": now}
    await _in_turn(state, lambda tx: sql.begin_import(tx, tenant_id, begun))
    try:
        parts = Parts(values["options"])
        async for rows in body.rows():
            for row in rows:
                parts.add(row)
                if parts.are_many:
                    await _store(state, tenant_id, import_id, parts, body)
        parts.close()
        await _store(state, tenant_id, import_id, parts, body)
        response = await _publish(request, tenant_id, import_id, parts, body)
    except BaseException:
        with suppress(Exception):  # else the sweep does it, within the hour
            await _in_turn(state, lambda tx: sql.discard(tx, tenant_id, import_id))
        raise
    state.wake.set("submissions")
    return response


async def _store(state: Any, tenant_id: UUID, import_id: UUID, parts: Parts, body: ListBody) -> None:
    bodies, facts = [part[0] for part in parts.ready], [part[1].decode() for part in parts.ready]
    new_ids = [ids.new_id() for _ in parts.ready]
    values = {"ids": new_ids, "bodies": bodies, "listed": facts, "rows": parts.count, "bytes": body.size}
    now = state.clock.now()
    await _in_turn(state, lambda tx: sql.add_rows(tx, tenant_id, import_id, values, now))
    parts.ready.clear()


async def _publish(request: Request, tenant_id: UUID, import_id: UUID, parts: Parts, body: ListBody) -> Response:
    """Publishes the import, and stores the answer under the Idempotency-Key; or answers what is stored under it."""
    request.state.body_sha256 = body.sha256.encode()
    now, keyed = request.app.state.clock.now(), idempotency.keyed(request)
    values = {
        "sha256": body.sha256,
        "bytes": body.size,
        "rows": parts.count,
        "columns": body.reader.names,
        "delimiter": body.reader.delimiter,
        "text_guessed": parts.is_guessed,
    }

    async def publish(tx: Tx) -> Response:
        if keyed is not None:
            (stored,) = await idempotency.stored_responses(tx, tenant_id, [keyed])
            if isinstance(stored, Problem):
                raise stored
            if stored is not None:
                await sql.discard(tx, tenant_id, import_id)
                return stored
        row = await sql.publish(tx, tenant_id, import_id, values, now)
        if row is None:
            raise StateConflict("The import was cancelled while its list was being received.")
        shown = show.import_of(row, is_waiting=parts.count > 0)
        response = answer(shown, 202, location=f"{request.app.state.settings.prefix}/v1/imports/{shown['id']}")
        if keyed is not None:
            await idempotency.store_response(tx, tenant_id, keyed, response, now)
        return response

    return await _in_turn(request.app.state, publish)


async def _in_turn(state: Any, work: Callable[[Tx], Awaitable[T]]) -> T:
    """The result of `work` in a transaction, for which the upload waits until it is its turn. It holds a connection
    no longer, and receives nothing while it waits."""

    async def once() -> T:
        async with state.engine.begin() as tx:
            return await work(tx)

    async with state.uploads.storing:
        return await run_with_retries(once)
