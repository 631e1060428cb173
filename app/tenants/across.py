"""Queries over all tenants, for when the tenant is not known yet."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import select, text

from app import ids
from app.database.tables import keys, tenants
from app.database.transaction import Record, Records, Tx
from app.web.pages import Page


async def list_tenants(tx: Tx, page: Page) -> Records:
    return (await tx.execute(page.statement(select(tenants), tenants))).all()


async def tenant_ids(tx: Tx) -> list[UUID]:
    """All tenants, the oldest first."""
    return (await tx.execute(select(tenants.c.id).order_by(tenants.c.id))).scalars()


async def oldest_tenant(tx: Tx) -> UUID | None:
    """The oldest tenant, or None on a fresh database."""
    return (await tx.execute(select(tenants.c.id).order_by(tenants.c.id).limit(1))).scalar_one_or_none()


async def tenant_by_id_or_name(tx: Tx, wanted: str | None) -> UUID | None:
    """The tenant with that public id or name; the oldest one where `wanted` is None."""
    if wanted is None:
        return await oldest_tenant(tx)
    try:
        matches = tenants.c.id == ids.read("tenant", wanted)
    except ValueError:
        matches = tenants.c.name == wanted
    return (await tx.execute(select(tenants.c.id).where(matches).order_by(tenants.c.id).limit(1))).scalar_one_or_none()


async def key_with_secret(tx: Tx, sha256: str) -> Record | None:
    return (await tx.execute(select(keys).where(keys.c.secret_sha256 == sha256))).one_or_none()


async def tenant_of_key(tx: Tx, key_id: UUID) -> UUID | None:
    return (await tx.execute(select(keys.c.tenant_id).where(keys.c.id == key_id))).scalar_one_or_none()


async def lock_first_run(tx: Tx) -> None:
    """Takes the lock under which one of several starting processes creates the first tenant."""
    await tx.execute(text("SELECT pg_advisory_xact_lock(hashtextextended('baton:first-run', 0))"))


async def oldest_admin_key(tx: Tx, now: datetime) -> Record | None:
    """The oldest key of the oldest tenant that is valid and has the scope admin."""
    valid = keys.c.revoked_at.is_(None) & (keys.c.expires_at.is_(None) | (keys.c.expires_at > now))
    oldest = select(tenants.c.id).order_by(tenants.c.id).limit(1).scalar_subquery()
    found = select(keys).where(keys.c.tenant_id == oldest, valid, keys.c.scopes.contains(["admin"]))
    return (await tx.execute(found.order_by(keys.c.id).limit(1))).one_or_none()
