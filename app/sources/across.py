"""SQL across tenants: looks up a source, and with it the tenant, by ingest key."""

from __future__ import annotations

from sqlalchemy import select

from app.database.tables import sources
from app.database.transaction import Record, Tx


async def source_with_key(tx: Tx, key: str) -> Record | None:
    """The source with this key; None when there is none or it is archived."""
    statement = select(sources).where(sources.c.key == key, sources.c.archived_at.is_(None))
    return (await tx.execute(statement)).one_or_none()
