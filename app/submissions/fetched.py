"""A fetched record takes the place of the item that named it, with its key and what the notification said besides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog

from app import ids
from app.clock import ReadClock
from app.database.faults import is_of_data
from app.database.transaction import Database, Record, Tx
from app.matching.person import Identity, Person
from app.sources.document import Document
from app.sources.item import Item
from app.sources.mapping import map_request_async
from app.sources.preset import make_document
from app.sources.ready import ReadySource
from app.sources.request import RawRequest
from app.submissions import process, sql
from app.submissions.entries import Entry, failure_reason

log = structlog.get_logger("baton.fetch")

WANTED: Final = "one record that the preset of `fetch.use` maps"


def record_document(document: Document) -> Document:
    """The document that maps a fetched record: the preset of `fetch.use` with the source's defaults, else its own."""
    if document.fetch is None or document.fetch.use is None:
        return document
    defaults = document.defaults.model_dump(exclude_none=True)
    return make_document(document.fetch.use, {"defaults": defaults})


async def map_record(source: ReadySource, row: Record, headers: Mapping[str, str], body: bytes) -> Item:
    """The item of a fetched record, in the place of the item of `row`; quarantined unless there is exactly one."""
    assert source.document is not None
    occurred_at = datetime.fromisoformat(row.mapped["occurred_at"])
    request = RawRequest("GET", dict(headers), "", body, occurred_at)
    found = await map_request_async(record_document(source.document), request, source.id)
    if len(found) != 1 or found[0].verdict == "fetch":
        have = f"{len(found)} records" if len(found) != 1 else "a record that has to be fetched again"
        return failed_item(row, {"criterion": "fetch", "have": have, "need": WANTED})
    (item,) = found
    named = row.mapped
    return replace(
        item,
        index=row.place,
        submission_key=row.submission_key,
        repeat_keys=(),
        person=_with_ids(item.person or Person(), named["external_ids"]),
        attribution={**named["attribution"], **item.attribution},
        custom={**named["custom"], **item.custom},
    )


def failed_item(row: Record, why: Mapping[str, Any]) -> Item:
    """The item of a record that could not be fetched or mapped, quarantined."""
    occurred_at = datetime.fromisoformat(row.mapped["occurred_at"])
    named = row.mapped
    return Item(
        index=row.place,
        verdict="quarantined",
        submission_key=row.submission_key,
        occurred_at=occurred_at,
        person=_with_ids(Person(), named["external_ids"]),
        attribution=named["attribution"],
        custom=named["custom"],
        reason="fetch_failed",
        unmet=(dict(why),),
    )


def _with_ids(person: Person, external_ids: Mapping[str, str]) -> Person:
    known = {(one.kind, one.namespace) for one in person.identities}
    named = (Identity("external", name, value) for name, value in external_ids.items())
    return replace(person, identities=(*person.identities, *(one for one in named if one.key[:2] not in known)))


async def settle_fetched(engine: Database, source: ReadySource, row: Record, item: Item, clock: ReadClock) -> None:
    """Stores the item in place of the one that named it, and captures its lead.

    Nothing is written where the attempt is not the last one, or the submission is processed again meanwhile. An item
    that the database refuses is quarantined.
    """
    try:
        await _settle(engine, source, row, item, clock, None)
    except Exception as error:
        if not is_of_data(error):
            raise
        shown = ids.show("submission", row.submission_id)
        log.warning("fetched_record_quarantined", submission_id=shown, error=type(error).__name__)
        await _settle(engine, source, row, item, clock, failure_reason(error))


async def _settle(
    engine: Database, source: ReadySource, row: Record, item: Item, clock: ReadClock, failed: str | None
) -> None:
    tenant_id: UUID = row.tenant_id

    async def once(tx: Tx, now: datetime) -> process.Verdicts:
        submission = await sql.lock_submission(tx, tenant_id, row.submission_id)
        if submission is None:
            return process.Verdicts()
        if not await sql.take_fetched(tx, tenant_id, row.submission_id, row.place, row.fetch_tries):
            return process.Verdicts()
        held = await sql.has_quarantined(tx, tenant_id, row.submission_id)
        entry = Entry(submission.id, source, item, submission.received_at, failed=failed)
        settled = await process.settle(tx, tenant_id, [entry], now)
        return await process.finish(tx, tenant_id, [submission], {source.id: source}, settled, now, held=held)

    process.count_verdicts(await process.in_transaction(engine, clock, once))
