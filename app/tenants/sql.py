"""SQL of tenants, users and keys."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, insert, select, text, update

from app.database.tables import (
    calendars,
    console_sessions,
    keys,
    reporting_lines,
    sources,
    tenants,
    user_changes,
    users,
)
from app.database.transaction import Record, Records, Tx
from app.ids import new_id
from app.web.pages import Page


async def insert_tenant(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> None:
    await tx.execute(insert(tenants).values(id=tenant_id, **values))


async def tenant(tx: Tx, tenant_id: UUID, *, lock: bool = False) -> Record | None:
    statement = select(tenants).where(tenants.c.id == tenant_id)
    return (await tx.execute(statement.with_for_update(key_share=True) if lock else statement)).one_or_none()


async def update_tenant(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> Record:
    changed = update(tenants).where(tenants.c.id == tenant_id).values(version=tenants.c.version + 1, **values)
    return (await tx.execute(changed.returning(tenants))).one()


async def update_snapshot_due(tx: Tx, tenant_id: UUID, due_at: datetime) -> None:
    """Sets when the snapshot of a tenant is due next; that is no new version of the tenant."""
    await tx.execute(update(tenants).where(tenants.c.id == tenant_id).values(snapshot_due_at=due_at))


async def update_retention(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> None:
    """Sets how far a run of retention is; that is no new version of the tenant."""
    await tx.execute(update(tenants).where(tenants.c.id == tenant_id).values(**values))


async def insert_source(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> None:
    await tx.execute(insert(sources).values(tenant_id=tenant_id, **values))


async def insert_user(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> Record:
    return (await tx.execute(insert(users).values(tenant_id=tenant_id, **values).returning(users))).one()


async def user(tx: Tx, tenant_id: UUID, user_id: UUID, *, lock: bool = False) -> Record | None:
    statement = select(users).where(users.c.tenant_id == tenant_id, users.c.id == user_id)
    return (await tx.execute(statement.with_for_update(key_share=True) if lock else statement)).one_or_none()


async def list_users(tx: Tx, tenant_id: UUID, page: Page, filters: Mapping[str, Any]) -> Records:
    rows = select(users).where(users.c.tenant_id == tenant_id)
    for name, value in filters.items():
        if value is not None:
            rows = rows.where(users.c[name] == value)
    return (await tx.execute(page.statement(rows, users))).all()


async def update_user(tx: Tx, tenant_id: UUID, user_id: UUID, values: Mapping[str, Any]) -> Record:
    statement = (
        update(users)
        .where(users.c.tenant_id == tenant_id, users.c.id == user_id)
        .values(version=users.c.version + 1, **values)
        .returning(users)
    )
    return (await tx.execute(statement)).one()


MANAGERS_FROM = text(
    """
    WITH RECURSIVE above AS (
        SELECT id, manager_id, 1 AS level FROM users WHERE tenant_id = :tenant_id AND id = :user_id
        UNION ALL
        SELECT u.id, u.manager_id, a.level + 1
          FROM above a JOIN users u ON u.tenant_id = :tenant_id AND u.id = a.manager_id
    )
    SELECT id FROM above ORDER BY level
    """
)


async def managers_from(tx: Tx, tenant_id: UUID, user_id: UUID) -> list[UUID]:
    """The user, his manager, and so on to the top; empty where there is no such user."""
    return (await tx.execute(MANAGERS_FROM, {"tenant_id": tenant_id, "user_id": user_id})).scalars()


async def insert_reporting_line(tx: Tx, tenant_id: UUID, user_id: UUID, manager_id: UUID | None, now: datetime) -> None:
    """Keeps that the user reports to the manager from now on."""
    values = {"id": new_id(), "user_id": user_id, "manager_id": manager_id, "recorded_at": now}
    await tx.execute(insert(reporting_lines).values(tenant_id=tenant_id, **values))


async def insert_user_change(
    tx: Tx, tenant_id: UUID, user_id: UUID, version: int, before: Mapping[str, Any], now: datetime
) -> None:
    """Keeps what this version of the user has replaced."""
    values = {"user_id": user_id, "version": version, "before": before, "recorded_at": now}
    await tx.execute(insert(user_changes).values(tenant_id=tenant_id, **values))


async def insert_calendar(tx: Tx, tenant_id: UUID, calendar: Mapping[str, Any], now: datetime) -> None:
    """Keeps that the calendar is this one from now on."""
    values = {"id": new_id(), "calendar": calendar, "recorded_at": now}
    await tx.execute(insert(calendars).values(tenant_id=tenant_id, **values))


async def calendar_at(tx: Tx, tenant_id: UUID, at: datetime) -> Mapping[str, Any]:
    """The calendar as it was set at that instant; empty where none was."""
    known = calendars.c.tenant_id == tenant_id, calendars.c.recorded_at <= at
    latest = calendars.c.recorded_at.desc(), calendars.c.id.desc()
    return (
        await tx.execute(select(calendars.c.calendar).where(*known).order_by(*latest).limit(1))
    ).scalar_one_or_none() or {}


async def insert_key(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> Record:
    return (await tx.execute(insert(keys).values(tenant_id=tenant_id, **values).returning(keys))).one()


async def key(tx: Tx, tenant_id: UUID, key_id: UUID, *, lock: bool = False) -> Record | None:
    statement = select(keys).where(keys.c.tenant_id == tenant_id, keys.c.id == key_id)
    return (await tx.execute(statement.with_for_update(key_share=True) if lock else statement)).one_or_none()


async def list_keys(tx: Tx, tenant_id: UUID, page: Page) -> Records:
    return (await tx.execute(page.statement(select(keys).where(keys.c.tenant_id == tenant_id), keys))).all()


async def revoke_key(tx: Tx, tenant_id: UUID, key_id: UUID, now: datetime) -> Record | None:
    statement = (
        update(keys)
        .where(keys.c.tenant_id == tenant_id, keys.c.id == key_id, keys.c.revoked_at.is_(None))
        .values(revoked_at=now, version=keys.c.version + 1)
        .returning(keys)
    )
    return (await tx.execute(statement)).one_or_none()


async def insert_session(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> None:
    """Keeps a session or login link, and removes those of the tenant that have expired."""
    sessions = console_sessions
    expired = (sessions.c.tenant_id == tenant_id) & (sessions.c.expires_at <= values["created_at"])
    await tx.execute(delete(sessions).where(expired))
    await tx.execute(insert(sessions).values(tenant_id=tenant_id, **values))


async def session(tx: Tx, tenant_id: UUID, token_sha256: str) -> Record | None:
    sessions = console_sessions
    found = select(sessions).where(sessions.c.tenant_id == tenant_id, sessions.c.token_sha256 == token_sha256)
    return (await tx.execute(found.where(sessions.c.kind == "session"))).one_or_none()


async def take_session(tx: Tx, tenant_id: UUID, token_sha256: str, kind: str) -> Record | None:
    """Removes a session or login link; of several requests at the same time, one gets it."""
    sessions = console_sessions
    taken = delete(sessions).where(sessions.c.tenant_id == tenant_id, sessions.c.token_sha256 == token_sha256)
    return (await tx.execute(taken.where(sessions.c.kind == kind).returning(sessions))).one_or_none()
