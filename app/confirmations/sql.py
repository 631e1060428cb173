"""SQL of the links by which people withdraw consents."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select

from app.database.tables import withdrawal_links
from app.database.transaction import Record, Tx


async def insert_link(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> None:
    await tx.execute(insert(withdrawal_links).values(tenant_id=tenant_id, **values))


async def link(tx: Tx, tenant_id: UUID, link_id: UUID) -> Record | None:
    found = select(withdrawal_links).where(withdrawal_links.c.tenant_id == tenant_id, withdrawal_links.c.id == link_id)
    return (await tx.execute(found)).one_or_none()
