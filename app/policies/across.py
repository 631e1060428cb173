"""Statements across tenants: policies with something due. Whoever finds them locks them, and looks again."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import text

from app.database.transaction import Records, Tx

PLANNED = text(
    "SELECT tenant_id, id FROM policies"
    " WHERE state = 'proposed' AND effective_from IS NOT NULL AND effective_from <= :now"
    " ORDER BY effective_from LIMIT 100"
)
REVIEWS_DUE = text(
    "SELECT tenant_id, id FROM policies"
    " WHERE review_due_at IS NOT NULL AND review_due_at <= :now ORDER BY review_due_at LIMIT 100"
)
UNSCHEDULED = text("SELECT tenant_id, at FROM activations WHERE scheduled_at IS NULL ORDER BY tenant_id, at LIMIT 100")


async def planned(tx: Tx, now: datetime) -> Records:
    """Policies whose activation was planned for an instant until now, the earliest first."""
    return (await tx.execute(PLANNED, {"now": now})).all()


async def reviews_due(tx: Tx, now: datetime) -> Records:
    """Active policies whose review is due."""
    return (await tx.execute(REVIEWS_DUE, {"now": now})).all()


async def unscheduled(tx: Tx) -> Records:
    """Activations after which not all leads are scheduled for evaluation yet."""
    return (await tx.execute(UNSCHEDULED)).all()
