"""Look up the owner that a request names."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final
from uuid import UUID

from app.database.transaction import Tx
from app.errors import OwnerInvalid
from app.journeys import sql
from app.journeys.state import Owner
from app.policy.facts import OWNERS

DETAIL: Final = f"must be the id of an active user whose role is one of: {', '.join(OWNERS)}"


async def active_owner(tx: Tx, tenant_id: UUID, user_id: UUID | None) -> Owner | None:
    """The active user with this id, of any role, or None."""
    return (await active_owners(tx, tenant_id, {user_id})).get(user_id)


async def active_owners(tx: Tx, tenant_id: UUID, user_ids: Collection[UUID | None]) -> dict[UUID | None, Owner]:
    """Those of the users that are active, of any role, by id."""
    named = [user_id for user_id in user_ids if user_id is not None]
    rows = await sql.active_users(tx, tenant_id, named) if named else ()
    return {row.id: Owner(row.id, row.role, row.team) for row in rows}


async def named_owner(tx: Tx, tenant_id: UUID, user_id: UUID | None, field: str = "owner_id") -> Owner | None:
    """The user whom a request names in `field`; None if it names nobody.

    Raises OwnerInvalid if the user cannot own a lead.
    """
    owner = await active_owner(tx, tenant_id, user_id)
    if user_id is not None and (owner is None or not owner.may_own):
        raise owner_invalid(field)
    return owner


def owner_invalid(*fields: str) -> OwnerInvalid:
    """The problem that these fields do not name users who can own leads and opportunities."""
    faults: list[Mapping[str, str]] = [
        {"field": field, "code": OwnerInvalid.code, "detail": DETAIL} for field in fields
    ]
    return OwnerInvalid(f"{' and '.join(fields)}: {DETAIL}.", errors=faults)
