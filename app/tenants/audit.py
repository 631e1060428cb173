"""The append-only audit log: administrative actions, and who read keys, raw submissions and exports.

The database numbers the rows of a tenant and chains them by hashes (docs/decisions/0079), which holds the tenant's next
row back until the transaction ends: write a row after everything that has to wait for locks.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from uuid import UUID

from app import ids
from app.database.transaction import Tx
from app.tenants import audit_sql
from app.tenants.acts import Act
from app.web.auth import Caller


async def record(
    tx: Tx, caller: Caller, tenant_id: UUID, act: Act, subject: str, now: datetime, detail: Mapping[str, Any] = {}
) -> None:
    """Writes an audit row, in the transaction of the action it describes."""
    actor = {"id": caller.actor.id, "kind": caller.actor.kind, "key": ids.show("key", caller.key_id)}
    await record_by(tx, actor, tenant_id, act, subject, now, detail)


async def record_by(
    tx: Tx,
    actor: Mapping[str, Any],
    tenant_id: UUID,
    act: Act,
    subject: str,
    now: datetime,
    detail: Mapping[str, Any] = {},
) -> None:
    """Writes an audit row of something that no request asked for at this moment."""
    values = {"id": ids.new_id(), "recorded_at": now, "actor": actor, "act": act, "subject": subject}
    await audit_sql.insert_audit(tx, tenant_id, {**values, "detail": detail})
