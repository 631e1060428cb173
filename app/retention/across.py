"""SQL across tenants: whose run is due."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from app.database.transaction import Record, Tx

# Another worker that is at work on a tenant holds its row.
NEXT_DUE = text(
    """
    SELECT * FROM tenants WHERE coalesce(retention_due_at, '-infinity') <= :now
     ORDER BY coalesce(retention_due_at, '-infinity'), id LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
    """
)
ONE = text("SELECT * FROM tenants WHERE id = :id FOR NO KEY UPDATE")


async def next_due(tx: Tx, now: datetime, tenant_id: UUID | None = None) -> Record | None:
    """The tenant that has waited longest for its run or a part of it, or the given one; locked until `tx` ends."""
    if tenant_id is not None:
        return (await tx.execute(ONE, {"id": tenant_id})).one_or_none()
    return (await tx.execute(NEXT_DUE, {"now": now})).one_or_none()
