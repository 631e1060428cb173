"""Sets and shows for how long a tenant keeps what."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from app import ids
from app.database.transaction import Record, Tx
from app.retention.periods import effective
from app.tenants import audit, sql
from app.web import versions
from app.web.auth import Caller
from app.web.fields import rfc3339


async def read_retention(tx: Tx, caller: Caller, *, lock: bool = False) -> Record:
    """The tenant of a caller, whose columns have it."""
    row = await sql.tenant(tx, caller.tenant_id, lock=lock)
    assert row is not None, "a tenant is never deleted"
    return row


async def set_retention(
    tx: Tx, caller: Caller, periods: Mapping[str, int | None], expected: frozenset[str] | None, now: datetime
) -> Record:
    """The tenant with these periods, which hold from its next run on, and for what is left of one under way.

    Raises VersionConflict.
    """
    row = await read_retention(tx, caller, lock=True)
    versions.check(expected, row.version)
    if row.retention == periods:
        return row
    changed = await sql.update_tenant(tx, caller.tenant_id, {"retention": periods})
    subject = ids.show("tenant", caller.tenant_id)
    await audit.record(tx, caller, caller.tenant_id, "tenant.retention_set", subject, now, effective(periods))
    return changed


def show_retention(row: Record) -> dict[str, Any]:
    return {**effective(row.retention), "next_run_at": rfc3339(row.retention_due_at), "latest": row.retention_latest}
