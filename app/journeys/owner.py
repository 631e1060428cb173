"""Owners that a request names."""

from __future__ import annotations

from uuid import UUID

from app.database.transaction import Tx
from app.errors import OwnerInvalid
from app.journeys import sql
from app.journeys.state import Owner

FAULT = [{"field": "owner_id", "code": "owner_invalid", "detail": "names no active user"}]


async def active_owner(tx: Tx, tenant_id: UUID, user_id: UUID | None) -> Owner | None:
    """The active user of that id as an owner; None where there is none."""
    row = None if user_id is None else await sql.active_user(tx, tenant_id, user_id)
    return None if row is None else Owner(row.id, row.role, row.team)


async def named_owner(tx: Tx, tenant_id: UUID, user_id: UUID | None) -> Owner | None:
    """The same for a request that must name one where it names any. OwnerInvalid."""
    owner = await active_owner(tx, tenant_id, user_id)
    if owner is None and user_id is not None:
        raise OwnerInvalid("owner_id names no active user of this tenant.", errors=FAULT)
    return owner
