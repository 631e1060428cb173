"""Statements across tenants: models that wait to be trained, and tenants that may train a new one."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from app.database.transaction import Record, Tx

# The lock is kept until the model is stored: another worker takes another one, and after a crash it waits again.
CLAIM_MODEL = text(
    "SELECT * FROM models WHERE state = 'queued' ORDER BY requested_at, tenant_id, version LIMIT 1"
    " FOR NO KEY UPDATE SKIP LOCKED"
)
# Tenants after `:after` of which no model was asked for since `:since`, and where a milestone was reached since then.
UNTRAINED = text(
    """
    SELECT t.id FROM tenants t
      LEFT JOIN LATERAL (SELECT requested_at FROM models m WHERE m.tenant_id = t.id
                          ORDER BY version DESC LIMIT 1) last ON true
     WHERE t.id > :after AND (last.requested_at IS NULL OR last.requested_at < :since)
       AND EXISTS (SELECT 1 FROM milestones m WHERE m.tenant_id = t.id
                      AND m.recorded_at > coalesce(last.requested_at, '-infinity'))
     ORDER BY t.id LIMIT 1
    """
)


async def claim_model(tx: Tx) -> Record | None:
    """Locks the model that has waited longest, of those that no other worker trains."""
    return (await tx.execute(CLAIM_MODEL)).one_or_none()


async def untrained(tx: Tx, after: UUID, since: datetime) -> UUID | None:
    """The next tenant, in the order of their ids, that may have something new to learn."""
    found: UUID | None = (await tx.execute(UNTRAINED, {"after": after, "since": since})).scalar_one_or_none()
    return found
