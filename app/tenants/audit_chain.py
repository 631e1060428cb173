"""`baton verify`: whether the audit log of a tenant has all its rows as they were written."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from app import ids
from app.database.transaction import Tx
from app.tenants import audit_sql

MAX_SHOWN: Final = 20


async def audit_faults(tx: Tx, tenant_id: UUID) -> list[str]:
    """What is wrong with the chain of a tenant's audit rows, at most 20 places; nothing where it is whole."""
    broken = await audit_sql.broken_rows(tx, tenant_id, MAX_SHOWN)
    faults = [
        f"row {row.number} ({ids.show('audit', row.id)}, {row.act}) "
        + ("is not as it was written" if row.follows else "does not follow the row before: rows are gone")
        for row in broken
    ]
    head = await audit_sql.head(tx, tenant_id)
    if (
        head is not None
        and head.begins_after
        and not await audit_sql.beginning_is_told(tx, tenant_id, head.begins_after)
    ):
        faults.append(f"the rows up to {head.begins_after} are gone, and no run of retention says that it removed them")
    if head is not None and await audit_sql.hash_of(tx, tenant_id, head.number) != head.hash:
        faults.append(f"row {head.number}, the last that was written, is gone or is not as it was written")
    return faults
