"""SQL across tenants: imports whose list has stopped arriving."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import text

from app.database.transaction import Tx

ROWS_AT_ONCE: Final = 1_000

# The rows go before the import: one that is left without rows goes with the next call.
SWEEP = text(
    """
    WITH abandoned AS (
        SELECT tenant_id, id FROM imports WHERE state = 'receiving' AND updated_at < :before
         ORDER BY updated_at LIMIT 1 FOR UPDATE SKIP LOCKED
    ), parts AS (
        SELECT s.tenant_id, s.id FROM submissions s JOIN abandoned a ON s.tenant_id = a.tenant_id AND s.import_id = a.id
         LIMIT :most
    ), emptied AS (
        DELETE FROM submissions s USING parts p WHERE s.tenant_id = p.tenant_id AND s.id = p.id RETURNING s.id
    ), dropped AS (
        DELETE FROM imports i USING abandoned a
         WHERE i.tenant_id = a.tenant_id AND i.id = a.id AND NOT EXISTS (SELECT FROM parts) RETURNING i.id
    )
    SELECT id FROM emptied UNION ALL SELECT id FROM dropped
    """
)


async def sweep_abandoned(tx: Tx, before: datetime) -> int:
    """Deletes rows of an import that received nothing since, or the import itself; how many rows that were."""
    return len((await tx.execute(SWEEP, {"before": before, "most": ROWS_AT_ONCE})).all())
