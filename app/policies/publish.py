"""Publishes a policy. Only shipped policies are published so far; they need no signatures."""

from __future__ import annotations

import hashlib
from datetime import datetime
from uuid import UUID

import orjson

from app import ids
from app.database.transaction import Tx
from app.policies import sql
from app.policy.document import Policy


async def publish(tx: Tx, tenant_id: UUID, policy: Policy, now: datetime) -> None:
    """Stores a valid policy as the tenant's next version, activates it, and schedules all leads for evaluation."""
    document = policy.model_dump(mode="json", by_alias=True, exclude_unset=True)
    canonical = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    policy_id = ids.new_id()
    await sql.retire_active(tx, tenant_id, now)
    values = {
        "id": policy_id,
        "name": policy.name,
        "state": "active",
        "origin": "shipped",
        "document": document,
        "sha256": hashlib.sha256(canonical).hexdigest(),
        "effective_from": now,
        "created_at": now,
        "updated_at": now,
    }
    await sql.insert_policy(tx, tenant_id, values)
    await sql.insert_activation(tx, tenant_id, policy_id, now)
    await sql.schedule_evaluation(tx, tenant_id, now)
