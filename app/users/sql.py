"""Statements over the open leads and opportunities of one user."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.database.transaction import Records, Tx

# LATERAL ... LIMIT makes the planner look up the journey of each lead by its index.
OPEN_LEADS = """
      FROM leads l
      JOIN LATERAL (
           SELECT 1 FROM journeys j
            WHERE j.tenant_id = l.tenant_id AND j.lead_id = l.id AND j.closed_at IS NULL LIMIT 1
      ) j ON true
     WHERE l.tenant_id = :tenant_id AND l.owner_id = :user_id AND l.merged_into IS NULL AND l.erased_at IS NULL
"""
OPEN_OPPORTUNITIES = (
    "tenant_id = :tenant_id AND owner_id = :user_id AND archived_at IS NULL AND class NOT IN ('won', 'lost')"
)

COUNT_LEADS = text(f"SELECT count(*) {OPEN_LEADS} AND l.id <> ALL(:but)").bindparams(
    bindparam("but", type_=ARRAY(Uuid))
)
LOCK_LEADS = text(f"SELECT l.id {OPEN_LEADS} ORDER BY l.id FOR NO KEY UPDATE OF l")
COUNT_OPPORTUNITIES = text(f"SELECT count(*) FROM opportunities WHERE {OPEN_OPPORTUNITIES}")  # noqa: S608
NEXT_LEADS = text(f"SELECT l.id {OPEN_LEADS} AND l.id > :after ORDER BY l.id LIMIT :limit").bindparams(
    bindparam("after", type_=Uuid)
)
MOVE_OPPORTUNITIES = text(
    f"UPDATE opportunities SET owner_id = :owner_id, version = version + 1, updated_at = :now"  # noqa: S608
    f" WHERE {OPEN_OPPORTUNITIES} RETURNING *"
).bindparams(bindparam("owner_id", type_=Uuid), bindparam("now", type_=DateTime(timezone=True)))


async def count_open_leads(tx: Tx, tenant_id: UUID, user_id: UUID, but: Sequence[UUID] = ()) -> int:
    """How many open leads the user owns, apart from these."""
    values = {"tenant_id": tenant_id, "user_id": user_id, "but": but}
    return int((await tx.execute(COUNT_LEADS, values)).scalar_one())


async def lock_open_leads(tx: Tx, tenant_id: UUID, user_id: UUID) -> Sequence[UUID]:
    """Locks all open leads of the user in the order of their ids until the transaction ends; their ids."""
    return (await tx.execute(LOCK_LEADS, {"tenant_id": tenant_id, "user_id": user_id})).scalars()


async def count_open_opportunities(tx: Tx, tenant_id: UUID, user_id: UUID) -> int:
    return int((await tx.execute(COUNT_OPPORTUNITIES, {"tenant_id": tenant_id, "user_id": user_id})).scalar_one())


async def open_leads(tx: Tx, tenant_id: UUID, user_id: UUID, after: UUID, limit: int) -> Sequence[UUID]:
    """The ids of the next open leads of the user, ascending."""
    values = {"tenant_id": tenant_id, "user_id": user_id, "after": after, "limit": limit}
    return (await tx.execute(NEXT_LEADS, values)).scalars()


async def move_opportunities(tx: Tx, tenant_id: UUID, user_id: UUID, owner_id: UUID | None, now: datetime) -> Records:
    """Gives the user's open opportunities to another user, or to nobody; the opportunities after it."""
    values = {"tenant_id": tenant_id, "user_id": user_id, "owner_id": owner_id, "now": now}
    return (await tx.execute(MOVE_OPPORTUNITIES, values)).all()
