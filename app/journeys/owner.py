"""Look up the owner that a request names."""

from __future__ import annotations

from uuid import UUID

from app.database.transaction import Tx
from app.errors import OwnerInvalid
from app.journeys import sql
from app.journeys.state import Owner

FAULT = [{"field": "owner_id", "code": "owner_invalid", "detail": "is not the id of an active user"}]


async def active_owner(tx: Tx, tenant_id: UUID, user_id: UUID | None) -> Owner | None:
    """The active user with this id as an owner, or None."""
    row = None if user_id is None else await sql.active_user(tx, tenant_id, user_id)
    return None if row is None else Owner(row.id, row.role, row.team)


async def named_owner(tx: Tx, tenant_id: UUID, user_id: UUID | None) -> Owner | None:
    """Like `active_owner`, but OwnerInvalid if the id is given and names no active user."""
    owner = await active_owner(tx, tenant_id, user_id)
    if owner is None and user_id is not None:
        raise OwnerInvalid("owner_id is not the id of an active user of this tenant.", errors=FAULT)
    return owner
