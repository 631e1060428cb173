"""Users: the marketers, SDRs, AEs and managers on whose behalf an API key can act."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy.exc import IntegrityError

from app import ids
from app.database.transaction import Record, Tx
from app.errors import AlreadyExists, ManagerCycle, RequestInvalid, UserNotFound
from app.tenants import sql
from app.web import auth, versions

KEPT = ("name", "team")  # for reports as of an earlier instant


async def create_user(tx: Tx, tenant_id: UUID, values: Mapping[str, Any], now: datetime) -> Record:
    """A new user.

    Raises AlreadyExists where another user has the e-mail or the external id, RequestInvalid for an unknown manager.
    """
    stamped = {**values, "id": ids.new_id(), "created_at": now, "updated_at": now}
    await _check_manager(tx, tenant_id, None, values.get("manager_id"))
    try:
        async with tx.savepoint():
            row = await sql.insert_user(tx, tenant_id, stamped)
    except IntegrityError as error:
        raise _taken(error) from None
    if row.manager_id is not None:
        await sql.insert_reporting_line(tx, tenant_id, row.id, row.manager_id, now)
    return row


async def change_user(
    tx: Tx, tenant_id: UUID, user_id: UUID, values: Mapping[str, Any], expected: frozenset[str] | None, now: datetime
) -> Record:
    """The changed user.

    Raises UserNotFound where there is none, VersionConflict for another version, AlreadyExists where another user has a
    key, ManagerCycle for a manager who reports to the user, RequestInvalid for an unknown manager.
    """
    await _check_manager(tx, tenant_id, user_id, values.get("manager_id"))
    row = await sql.user(tx, tenant_id, user_id, lock=True)
    if row is None:
        raise UserNotFound()
    versions.check(expected, row.version)
    values = versions.moved(row._mapping, values)
    if not values:
        return row
    try:
        async with tx.savepoint():
            changed = await sql.update_user(tx, tenant_id, user_id, {**values, "updated_at": now})
    except IntegrityError as error:
        raise _taken(error) from None
    if replaced := {name: row._mapping[name] for name in KEPT if name in values}:
        await sql.insert_user_change(tx, tenant_id, user_id, changed.version, replaced, now)
    if "manager_id" in values:
        await sql.insert_reporting_line(tx, tenant_id, user_id, values["manager_id"], now)
    tx.after_commit.append(auth.clear_cache)
    return changed


async def _check_manager(tx: Tx, tenant_id: UUID, user_id: UUID | None, manager_id: UUID | None) -> None:
    """Checks that the manager exists, and does not report to the user, directly or over others.

    The lock of the tenant lets one change of managers happen at a time: two at once could make a cycle together.
    """
    if manager_id is None:
        return
    await sql.tenant(tx, tenant_id, lock=True)
    above = await sql.managers_from(tx, tenant_id, manager_id)
    if not above:
        raise RequestInvalid.of("manager_id", "manager_unknown", "no user of this tenant has this id")
    if user_id in above:
        detail = "the manager is the user, or reports to the user, directly or over others"
        fault = {"field": "manager_id", "code": ManagerCycle.code, "detail": detail}
        chain = [ids.show("user", one) for one in above[: above.index(user_id) + 1]]
        raise ManagerCycle(f"manager_id: {detail}.", errors=[fault], managers=chain)


def _taken(error: IntegrityError) -> AlreadyExists:
    field = "external_id" if "external_id" in str(error.orig) else "email"
    return AlreadyExists(
        f"Another user has this {field}.", errors=[{"field": field, "code": "taken", "detail": "another user has it"}]
    )
