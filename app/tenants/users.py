"""Users: the marketers, SDRs, AEs and managers on whose behalf an API key can act."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from app import ids
from app.database.transaction import Record, Tx
from app.errors import AlreadyExists, RequestInvalid, UserNotFound
from app.tenants import sql
from app.web import auth, versions

NOT_NULLABLE = ("name", "email", "role", "time_zone", "working_hours", "weight", "absences", "active")


async def create_user(tx: Tx, tenant_id: UUID, values: Mapping[str, Any], now: datetime) -> Record:
    """A new user. Raises AlreadyExists where another user has the e-mail or the external id."""
    stamped = {**values, "id": ids.new_id(), "created_at": now, "updated_at": now}
    try:
        async with tx.savepoint():
            return await sql.insert_user(tx, tenant_id, stamped)
    except IntegrityError as error:
        raise _taken(error) from None


async def change_user(
    tx: Tx, tenant_id: UUID, user_id: UUID, values: Mapping[str, Any], expected: frozenset[str] | None, now: datetime
) -> Record:
    """The changed user.

    Raises UserNotFound where there is none, VersionConflict for another version, AlreadyExists where another user has a
    key.
    """
    row = await sql.user(tx, tenant_id, user_id, lock=True)
    if row is None:
        raise UserNotFound()
    versions.check(expected, row.version)
    for name in NOT_NULLABLE:
        if name in values and values[name] is None:
            raise RequestInvalid.of(name, "required", "must not be null")
    values = versions.moved(row._mapping, values)
    if not values:
        return row
    try:
        async with tx.savepoint():
            changed = await sql.update_user(tx, tenant_id, user_id, {**values, "updated_at": now})
    except IntegrityError as error:
        raise _taken(error) from None
    tx.after_commit.append(auth.clear_cache)
    return changed


def _taken(error: IntegrityError) -> AlreadyExists:
    field = "external_id" if "external_id" in str(error.orig) else "email"
    return AlreadyExists(
        f"Another user has this {field}.", errors=[{"field": field, "code": "taken", "detail": "another user has it"}]
    )
