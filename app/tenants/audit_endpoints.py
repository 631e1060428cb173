"""GET /v1/audit: who did what, and who read keys, raw submissions and exports."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Query, Response

from app import ids
from app.database.transaction import Record
from app.errors import CursorInvalid
from app.tenants import audit_sql
from app.tenants.acts import Act
from app.tenants.schemas import AuditPage
from app.web.auth import Caller, allowed
from app.web.fields import Instant, answer, rfc3339
from app.web.pages import Cursor, Limit, Page
from app.web.problems import declared, router
from app.web.transacted import InTx

api = router("/v1/audit", "administration")


@api.get("", response_model=AuditPage, responses=declared(CursorInvalid))
async def list_audit(
    caller: Annotated[Caller, allowed("admin")],
    tx: InTx,
    act: Annotated[Act | None, Query(description="What was done.")] = None,
    subject: Annotated[str | None, Query(max_length=64, description="The id of what it was done to.")] = None,
    actor: Annotated[str | None, Query(max_length=64, description="The id of who did it: a user or a key.")] = None,
    from_: Annotated[Instant | None, Query(alias="from", description="Recorded then or later.")] = None,
    to: Annotated[Instant | None, Query(description="Recorded before.")] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """The audit log, the latest row first; `head` is the number and hash of the last row that was written."""
    filters: dict[str, Any] = {"act": act, "subject": subject, "actor": actor, "from": from_, "to": to}
    page = Page(limit, cursor, "recorded_at", filters)
    shown = page.answer(await audit_sql.list_audit(tx, caller.tenant_id, page, filters), show)
    head = await audit_sql.head(tx, caller.tenant_id)
    return answer({**shown, "head": head and {"number": head.number, "hash": head.hash.hex()}})


def show(row: Record) -> dict[str, Any]:
    """An audit row as responses have it."""
    return {
        "id": ids.show("audit", row.id),
        "number": row.number,
        "recorded_at": rfc3339(row.recorded_at),
        "act": row.act,
        "subject": row.subject,
        "actor": row.actor,
        "detail": row.detail,
        "hash": row.hash.hex(),
    }
