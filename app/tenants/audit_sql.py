"""SQL of the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, text

from app.database.tables import audit, audit_heads
from app.database.transaction import Record, Records, Tx
from app.web.pages import Page

# Rows that do not follow the row before, or whose hash is not that of their values and of the hash before.
BROKEN = text(
    """
    SELECT number, id, act, follows FROM (
        SELECT a.number, a.id, a.act, a.number = coalesce(lag(a.number) OVER numbered, h.begins_after) + 1 AS follows,
               a.hash = audit_hash(coalesce(lag(a.hash) OVER numbered, h.begins_hash), a) AS unchanged
          FROM audit a LEFT JOIN audit_heads h ON h.tenant_id = :tenant_id WHERE a.tenant_id = :tenant_id
        WINDOW numbered AS (ORDER BY a.number)) checked
     WHERE (follows AND unchanged) IS NOT TRUE
     ORDER BY number LIMIT :limit
    """
)

# A run of retention tells in the log where it begins since; one under way has not told it yet.
TOLD = text(
    """
    SELECT EXISTS (SELECT FROM audit a
                    WHERE a.tenant_id = :tenant_id AND a.act = 'retention.run'
                      AND a.detail -> 'audit_begins_after' = to_jsonb(CAST(:begins_after AS bigint)))
        OR EXISTS (SELECT FROM tenants t WHERE t.id = :tenant_id AND t.retention_run IS NOT NULL) AS told
    """
)


async def insert_audit(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> None:
    await tx.execute(insert(audit).values(tenant_id=tenant_id, **values))


async def list_audit(tx: Tx, tenant_id: UUID, page: Page, filters: Mapping[str, Any]) -> Records:
    """The rows that match all filters that are set: act, subject, actor, from, to."""
    columns = {"act": audit.c.act, "subject": audit.c.subject, "actor": audit.c.actor["id"].astext}
    rows = select(audit).where(audit.c.tenant_id == tenant_id)
    for name, column in columns.items():
        if filters[name] is not None:
            rows = rows.where(column == filters[name])
    if filters["from"] is not None:
        rows = rows.where(audit.c.recorded_at >= filters["from"])
    if filters["to"] is not None:
        rows = rows.where(audit.c.recorded_at < filters["to"])
    return (await tx.execute(page.statement(rows, audit))).all()


async def head(tx: Tx, tenant_id: UUID) -> Record | None:
    """Number and hash of the latest row that was written; None where none was."""
    return (await tx.execute(select(audit_heads).where(audit_heads.c.tenant_id == tenant_id))).one_or_none()


async def hash_of(tx: Tx, tenant_id: UUID, number: int) -> bytes | None:
    """The hash of the row with this number; None where there is no such row."""
    found = select(audit.c.hash).where(audit.c.tenant_id == tenant_id, audit.c.number == number)
    return (await tx.execute(found)).scalar_one_or_none()


async def beginning_is_told(tx: Tx, tenant_id: UUID, begins_after: int) -> bool:
    """Whether a run of retention says that it removed the rows up to this number."""
    return bool((await tx.execute(TOLD, {"tenant_id": tenant_id, "begins_after": begins_after})).scalar_one())


async def broken_rows(tx: Tx, tenant_id: UUID, limit: int) -> Records:
    return (await tx.execute(BROKEN, {"tenant_id": tenant_id, "limit": limit})).all()
