"""Statements across tenants: those whose open opportunities are to be kept."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text

from app.database.transaction import Records, Tx

DUE = text(
    "SELECT id AS tenant_id FROM tenants WHERE coalesce(snapshot_due_at, '-infinity') <= :now"
    " ORDER BY coalesce(snapshot_due_at, '-infinity'), id LIMIT 100"
)


async def snapshots_due(tx: Tx, now: datetime) -> Records:
    """Tenants whose snapshot is due, or of whom it is not known yet when it will be."""
    return (await tx.execute(DUE, {"now": now})).all()
