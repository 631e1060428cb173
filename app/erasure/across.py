"""The erasures whose steps come next, over all tenants."""

from __future__ import annotations

from sqlalchemy import text

from app.database.transaction import Records, Tx

# All erasures of the tenant of the oldest one that stand where that stands, so that one reading serves them all.
CLAIM = text(
    """
    WITH oldest AS (
        SELECT tenant_id, step, after FROM erasures WHERE finished_at IS NULL ORDER BY erased_at LIMIT 1
    )
    SELECT e.tenant_id, e.lead_id, e.sought, e.step, e.after FROM oldest o
      JOIN erasures e ON e.tenant_id = o.tenant_id AND e.step = o.step AND e.after IS NOT DISTINCT FROM o.after
     WHERE e.finished_at IS NULL ORDER BY e.lead_id LIMIT :limit FOR UPDATE OF e SKIP LOCKED
    """
)


async def claim(tx: Tx, limit: int) -> Records:
    """Unfinished erasures that do the same step next, locked: of one tenant and from one row on."""
    return (await tx.execute(CLAIM, {"limit": limit})).all()
