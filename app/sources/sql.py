"""SQL of sources, within one tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, text, update

from app.database.tables import sources
from app.database.transaction import Record, Records, Tx
from app.web.pages import Page

BY_ID = text("SELECT * FROM sources WHERE tenant_id = :tenant_id AND id = ANY(:ids)")
PURPOSES = text(
    "SELECT DISTINCT purpose #>> '{}' FROM sources CROSS JOIN LATERAL ("
    " SELECT jsonb_path_query(overrides, '$.consent[*].purpose') UNION ALL"
    " SELECT jsonb_path_query(defaults, '$.double_opt_in.purposes[*]')) AS named (purpose)"
    " WHERE tenant_id = :tenant_id AND archived_at IS NULL"
)


async def insert_source(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> Record:
    return (await tx.execute(insert(sources).values(tenant_id=tenant_id, **values).returning(sources))).one()


async def source(tx: Tx, tenant_id: UUID, source_id: UUID, *, lock: bool = False) -> Record | None:
    """A source, archived or not."""
    statement = select(sources).where(sources.c.tenant_id == tenant_id, sources.c.id == source_id)
    return (await tx.execute(statement.with_for_update(key_share=True) if lock else statement)).one_or_none()


async def sources_by_id(tx: Tx, tenant_id: UUID, source_ids: Sequence[UUID]) -> Records:
    return (await tx.execute(BY_ID, {"tenant_id": tenant_id, "ids": list(source_ids)})).all()


async def list_sources(tx: Tx, tenant_id: UUID, page: Page) -> Records:
    """The sources that are not archived."""
    rows = select(sources).where(sources.c.tenant_id == tenant_id, sources.c.archived_at.is_(None))
    return (await tx.execute(page.statement(rows, sources))).all()


async def consent_purposes(tx: Tx, tenant_id: UUID) -> set[str]:
    """The purposes of consents that sources name, whether or not anybody was asked yet."""
    return set((await tx.execute(PURPOSES, {"tenant_id": tenant_id})).scalars())


async def update_source(tx: Tx, tenant_id: UUID, source_id: UUID, values: Mapping[str, Any]) -> Record:
    statement = (
        update(sources)
        .where(sources.c.tenant_id == tenant_id, sources.c.id == source_id)
        .values(version=sources.c.version + 1, **values)
        .returning(sources)
    )
    return (await tx.execute(statement)).one()
