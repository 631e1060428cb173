"""SQL of the model that policies read."""

from __future__ import annotations

from uuid import UUID

from sqlalchemy import text

from app.database.transaction import Record, Tx

NEWEST = text(
    "SELECT version, document FROM models WHERE tenant_id = :tenant_id AND state = 'ready'"
    " ORDER BY version DESC LIMIT 1"
)


async def newest_model(tx: Tx, tenant_id: UUID) -> Record | None:
    """The tenant's newest trained model: version and document."""
    return (await tx.execute(NEWEST, {"tenant_id": tenant_id})).one_or_none()
