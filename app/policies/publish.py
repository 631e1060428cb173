"""Putting a policy in force. The shipped ones need no signatures; the rest of a policy's life comes with governance."""

from __future__ import annotations

import hashlib
from datetime import datetime
from uuid import UUID

import orjson

from app import ids
from app.database import Tx
from app.policies import sql
from app.policy.document import Policy
from app.policy.shipped import Shipped, shipped


async def publish_shipped(tx: Tx, tenant_id: UUID, name: Shipped, now: datetime) -> UUID:
    """Makes a shipped policy (`waterfall`, `pipeline`) the tenant's active one."""
    return await activate(tx, tenant_id, shipped(name), "shipped", now)


async def activate(tx: Tx, tenant_id: UUID, policy: Policy, origin: str, now: datetime) -> UUID:
    """Stores a sound policy as the tenant's next version, active from now on; its leads are evaluated anew."""
    document = policy.model_dump(mode="json", by_alias=True, exclude_unset=True)
    canonical = orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
    policy_id = ids.new_id()
    await sql.retire_active(tx, tenant_id, now)
    values = {
        "id": policy_id, "number": await sql.next_number(tx, tenant_id), "name": policy.name, "state": "active",
        "origin": origin, "document": document, "sha256": hashlib.sha256(canonical).hexdigest(),
        "effective_from": now, "created_at": now, "updated_at": now,
    }  # fmt: skip
    await sql.insert_policy(tx, tenant_id, values)
    await sql.insert_activation(tx, tenant_id, policy_id, now)
    await sql.wake_leads(tx, tenant_id, now)
    return policy_id
