"""Published policy versions, cached in the process: a version never changes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson

from app.database.transaction import Tx
from app.errors import PolicyNotFound
from app.policies import sql
from app.policy.document import Policy

CACHE_SIZE: Final = 256


@dataclass(frozen=True, slots=True)
class Published:
    """One version of a tenant's policy."""

    id: UUID
    number: int
    effective_from: datetime
    policy: Policy


_cache: dict[UUID, Published] = {}


async def published_policy(tx: Tx, tenant_id: UUID, policy_id: UUID) -> Published:
    """The policy version with that id. Raises PolicyNotFound where there is none."""
    found = _cache.get(policy_id)
    if found is None:
        row = await sql.policy(tx, tenant_id, policy_id)
        if row is None:
            raise PolicyNotFound()
        if len(_cache) >= CACHE_SIZE:
            _cache.clear()
        found = _cache[policy_id] = Published(
            row.id, row.number, row.effective_from, Policy.model_validate_json(orjson.dumps(row.document))
        )
    return found


async def active_policy(tx: Tx, tenant_id: UUID) -> Published:
    """The tenant's active policy; every tenant has one."""
    return await published_policy(tx, tenant_id, await sql.active_id(tx, tenant_id))
