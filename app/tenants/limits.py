"""Sets and shows the limits of a tenant: submissions and API requests a minute, and requests in flight."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from app import ids
from app.database.transaction import Record, Tx
from app.errors import TenantNotFound
from app.tenants import audit, sql
from app.web import quotas, versions
from app.web.auth import Caller


async def set_limits(
    tx: Tx,
    tenant_id: UUID,
    caller: Caller,
    limits: Mapping[str, int | None],
    expected: frozenset[str] | None,
    now: datetime,
) -> Record:
    """The tenant with these limits, None for a default. Raises TenantNotFound and VersionConflict."""
    row = await sql.tenant(tx, tenant_id, lock=True)
    if row is None:
        raise TenantNotFound()
    versions.check(expected, row.version)
    if all(getattr(row, name) == limit for name, limit in limits.items()):
        return row
    changed = await sql.update_tenant(tx, tenant_id, limits)
    await audit.record(tx, caller, tenant_id, "tenant.limits_set", ids.show("tenant", tenant_id), now, limits)
    tx.after_commit.append(partial(quotas.learn, tenant_id, changed))
    return changed


def show(row: Record) -> dict[str, Any]:
    """The limits of a tenant as they were set, and those that hold."""
    found = quotas.limits_of(row)
    return {**asdict(found), "effective": found.effective()}
