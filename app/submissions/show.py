"""Response bodies of submissions (api.md, section 4)."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any
from uuid import UUID

from app import ids
from app.database.transaction import Record, Tx
from app.errors import Erased, RequestRemoved, SubmissionNotFound
from app.problem import Problem
from app.sources import sql as sources_sql
from app.sources.ready import ready_source
from app.submissions import sql
from app.submissions.entries import request_of
from app.submissions.redact import redacted
from app.submissions.repeats import shown_key
from app.web.fields import rfc3339


async def submission(tx: Tx, tenant_id: UUID, submission_id: UUID) -> dict[str, Any]:
    """One submission with its items and their mapped values. Raises SubmissionNotFound where there is none."""
    row = await sql.submission(tx, tenant_id, submission_id)
    if row is None:
        raise SubmissionNotFound()
    items = await sql.items_of(tx, tenant_id, [submission_id])
    return _submission(row, [{**_item(item), "mapped": item.mapped} for item in items])


async def page_of(tx: Tx, tenant_id: UUID, rows: Sequence[Record]) -> dict[UUID, dict[str, Any]]:
    """The submissions of a page by id, with their items."""
    items: dict[UUID, list[dict[str, Any]]] = {row.id: [] for row in rows}
    for item in await sql.items_of(tx, tenant_id, list(items)):
        items[item.submission_id].append(_item(item))
    return {row.id: _submission(row, items[row.id]) for row in rows}


async def raw(tx: Tx, tenant_id: UUID, submission_id: UUID) -> dict[str, Any]:
    """The raw request in the form that a dry run takes, without the secrets in the document's `parse.drop`.

    `body` is null where the body cannot be parsed and may hold a secret of the document, which cannot be removed.
    Raises SubmissionNotFound where there is none, Erased where its person was erased, and RequestRemoved where its time
    of retention is over.
    """
    row = await sql.submission(tx, tenant_id, submission_id, body=True)
    if row is None or is_without_request(row):
        raise why_without_request(row)
    (source,) = await sources_sql.sources_by_id(tx, tenant_id, [row.source_id])
    document = ready_source(source).document
    body = redacted(document.parse, request_of(row)) if document is not None else None
    return {"method": row.method, "query": row.query, "headers": row.headers, **_written(body)}


def is_without_request(row: Record) -> bool:
    """Whether the request of a submission was removed or erased."""
    return row.emptied_at is not None or not row.sha256


def why_without_request(row: Record | None) -> Problem:
    """Why the request of a submission is not there to be read or processed again."""
    if row is None:
        return SubmissionNotFound()
    return Erased() if not row.sha256 else RequestRemoved()


def _written(body: bytes | None) -> dict[str, str | None]:
    if body is None:
        return {"body": None}
    try:
        return {"body": body.decode()}
    except UnicodeDecodeError:
        return {"body_base64": base64.b64encode(body).decode()}


def _submission(row: Record, items: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": ids.show("submission", row.id),
        "source_id": ids.show("source", row.source_id),
        "state": row.state,
        "received_at": rfc3339(row.received_at),
        "processed_at": rfc3339(row.processed_at),
        "emptied_at": rfc3339(row.emptied_at),
        "sha256": row.sha256,
        "bot_check": row.bot_check,
        "review": row.review,
        "items": items,
    }


def _item(row: Record) -> dict[str, Any]:
    return {
        "index": row.place,
        "verdict": row.verdict,
        "submission_key": shown_key(row.submission_key),
        "lead_id": ids.shown("lead", row.lead_id),
        "reason": row.reason,
    }
