"""Statements of transition requests."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import select

from app.database.tables import transitions
from app.database.transaction import Tx


async def has_transition(tx: Tx, tenant_id: UUID, journey_id: UUID, transition_id: UUID) -> bool:
    """Whether the transition is one of this journey."""
    of_journey = (transitions.c.tenant_id == tenant_id) & (transitions.c.journey_id == journey_id)
    found = select(transitions.c.seq).where(of_journey, transitions.c.id == transition_id)
    return (await tx.execute(found)).first() is not None
