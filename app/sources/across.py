"""What is read before the tenant is known: the source that a key in an ingest address names."""

from __future__ import annotations

from sqlalchemy import select

from app.database.tables import sources
from app.database.transaction import Record, Tx


async def source_with_key(tx: Tx, key: str) -> Record | None:
    """The source of this key that is not archived."""
    statement = select(sources).where(sources.c.key == key, sources.c.archived_at.is_(None))
    return (await tx.execute(statement)).one_or_none()
