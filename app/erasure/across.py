"""The erasures whose steps come next, over all tenants."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import DateTime, bindparam, text

from app.database.transaction import Records, Tx

# How long after an erasure its steps begin: by then every transaction and every delivery that was under way when it
# was committed has written what it knew (a delivery takes at most 20 seconds, a statement 5).
SETTLED: Final = timedelta(minutes=1)
# All erasures of the tenant of the oldest one that stand where that stands, so that one reading serves them all.
CLAIM = text(
    """
    WITH oldest AS (
        SELECT tenant_id, step, after FROM erasures WHERE finished_at IS NULL AND erased_at <= :settled
         ORDER BY erased_at LIMIT 1
    )
    SELECT e.tenant_id, e.lead_id, e.lead_ids, e.sought, e.step, e.after FROM oldest o
      JOIN erasures e ON e.tenant_id = o.tenant_id AND e.step = o.step AND e.after IS NOT DISTINCT FROM o.after
     WHERE e.finished_at IS NULL AND e.erased_at <= :settled ORDER BY e.lead_id LIMIT :limit FOR UPDATE OF e SKIP LOCKED
    """
).bindparams(bindparam("settled", type_=DateTime(timezone=True)))


async def claim(tx: Tx, limit: int, now: datetime) -> Records:
    """Unfinished erasures that do the same step next, locked: of one tenant and from one row on."""
    return (await tx.execute(CLAIM, {"limit": limit, "settled": now - SETTLED})).all()
