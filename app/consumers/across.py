"""How far the consumers of all tenants are behind, for the metrics."""

from __future__ import annotations

from sqlalchemy import text

from app.database.transaction import Record, Tx

COUNT = text(
    """
    SELECT count(*) AS consumers, coalesce(max(seconds), 0) AS worst_seconds, coalesce(sum(seconds), 0) AS seconds
      FROM consumers c
      LEFT JOIN LATERAL (
        SELECT greatest(extract(epoch FROM clock_timestamp() - recorded_at), 0) AS seconds FROM event_log
         WHERE tenant_id = c.tenant_id AND position > c.position ORDER BY position LIMIT 1
      ) l ON true
    """
)


async def count_consumers(tx: Tx) -> Record:
    """How many there are, and the age of the oldest event after the place of each: the worst, and all together."""
    return (await tx.execute(COUNT)).one()
