"""The people of an account, and what happened in it, in one line of time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from app import ids
from app.conversion import account_sql
from app.database.transaction import Record, Tx
from app.leads.history import leads_of
from app.leads.schemas import show_activity, show_transition
from app.pipeline.kinds import ACCOUNT, missing
from app.pipeline.sql import record_of
from app.pipeline.steps import show_step
from app.web.fields import rfc3339
from app.web.pages import read_cursor, read_id, read_place, write_cursor


async def people_of(
    tx: Tx, tenant_id: UUID, account_id: UUID, limit: int, cursor: str | None, now: datetime
) -> dict[str, Any]:
    """A page of the people of an account. Raises AccountNotFound, CursorInvalid."""
    account = await record_of(tx, tenant_id, ACCOUNT, account_id)
    if account is None:
        raise missing(ACCOUNT, account_id)
    filters = {"people_of": account_id}
    after = None if cursor is None else read_id(*read_cursor(cursor, filters, 1))
    rows = await account_sql.people_of(tx, tenant_id, account_id, account.domain, after, limit + 1)
    page, following = rows[:limit], None
    if len(rows) > limit:
        following = write_cursor(filters, str(page[-1].person))
    shown = await leads_of(tx, tenant_id, [row.lead_id for row in page if row.lead_id is not None], now)
    leads = {lead["id"]: lead for lead in shown}
    return {"data": [_person(row, leads.get(ids.shown("lead", row.lead_id) or "")) for row in page], "next": following}


def _person(row: Record, lead: Mapping[str, Any] | None) -> dict[str, Any]:
    """A person as contact, as lead, or as both; `lead` as answers show it."""
    fields: Mapping[str, Any] = lead["fields"] if lead else {}
    owner_id = lead["owner_id"] if lead else None
    return {
        "contact_id": ids.shown("contact", row.contact_id),
        "lead_id": lead["id"] if lead else None,
        "by": row.by,
        **{name: getattr(row, name) or fields.get(name) for name in ("full_name", "email", "job_title")},
        "stage": lead["stage"] if lead else None,
        "score": lead["score"] if lead else None,
        "owner_id": owner_id or ids.shown("user", row.owner_id),
        "last_activity_at": rfc3339(row.last_activity_at),
    }


async def timeline_of(tx: Tx, tenant_id: UUID, account_id: UUID, limit: int, cursor: str | None) -> dict[str, Any]:
    """A page of what happened in an account, newest first. Raises AccountNotFound, CursorInvalid."""
    if await record_of(tx, tenant_id, ACCOUNT, account_id) is None:
        raise missing(ACCOUNT, account_id)
    filters = {"timeline_of": account_id}
    after = None if cursor is None else read_place(*read_cursor(cursor, filters, 2))
    rows = await account_sql.lines_of(tx, tenant_id, account_id, after, limit + 1)
    page = rows[:limit]
    more = len(rows) > limit
    following = write_cursor(filters, page[-1].occurred_at.isoformat(), str(page[-1].id)) if more else None
    shown = await _shown(tx, tenant_id, page)
    lines = [{"at": rfc3339(row.occurred_at), "kind": row.kind, row.kind: shown[row.id]} for row in page]
    return {"data": lines, "next": following}


async def _shown(tx: Tx, tenant_id: UUID, page: Sequence[Record]) -> dict[UUID, dict[str, Any]]:
    """What each line tells, by its id."""
    wanted = {kind: [row.id for row in page if row.kind == kind] for kind in ("activity", "transition", "opportunity")}
    acted = await account_sql.activities_with(tx, tenant_id, wanted["activity"])
    moved = await account_sql.transitions_with(tx, tenant_id, wanted["transition"])
    steps = await account_sql.steps_with(tx, tenant_id, wanted["opportunity"])
    return {
        **{row.id: show_activity(row, row.lead_id) for row in acted},
        **{row.id: show_transition(row) for row in moved},
        **{row.id: show_step(row) for row in steps},
    }
