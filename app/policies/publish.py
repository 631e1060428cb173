"""Publishes a shipped policy, which needs no approvals: the first one of a tenant."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from app import ids
from app.database.transaction import Tx
from app.policies import sql
from app.policies.activate import take_effect
from app.policies.documents import Document
from app.policy.document import Policy


async def publish(tx: Tx, tenant_id: UUID, policy: Policy, now: datetime) -> None:
    """Stores a valid policy as the tenant's next version, and activates it."""
    document = Document.of(policy)
    made = {"id": ids.new_id(), "state": "proposed", "origin": "shipped", "created_at": now, "updated_at": now}
    row = await sql.insert_policy(tx, tenant_id, {**made, **document.columns})
    await take_effect(tx, tenant_id, row, policy, {}, now)
