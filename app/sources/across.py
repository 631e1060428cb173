"""SQL across tenants: looks up a source, and with it the tenant, by ingest key."""

from __future__ import annotations

from sqlalchemy import select

from app.database.tables import sources, tenants
from app.database.transaction import Record, Tx
from app.web.quotas import NAMES


async def source_with_key(tx: Tx, key: str) -> Record | None:
    """The source with this key and the limits of its tenant; None when there is none or it is archived."""
    found = select(sources, *(tenants.c[name] for name in NAMES)).join(tenants, tenants.c.id == sources.c.tenant_id)
    statement = found.where(sources.c.key == key, sources.c.archived_at.is_(None))
    return (await tx.execute(statement)).one_or_none()
