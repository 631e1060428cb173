"""Leads of every tenant that time alone has changed."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text

from app.database import Records, Tx

CLAIM_DUE = text(
    "SELECT tenant_id, id FROM leads WHERE evaluate_at <= :now AND merged_into IS NULL AND erased_at IS NULL"
    " ORDER BY id LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED"
)


async def claim_due(tx: Tx, now: datetime, limit: int) -> Records:
    """Locks leads whose evaluation is due, in ascending id, passing over those that somebody else holds."""
    return (await tx.execute(CLAIM_DUE, {"now": now, "limit": limit})).all()
