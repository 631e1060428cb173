"""Published policy versions, cached in the process: a version never changes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson

from app.database.transaction import Tx
from app.errors import PolicyNotFound
from app.policies import model_sql, sql
from app.policy.check_conditions import roots
from app.policy.conditions import walk
from app.policy.document import Policy
from app.policy.likelihood import Likelihood
from app.policy.model import Model

CACHE_SIZE: Final = 256


@dataclass(frozen=True, slots=True)
class Published:
    """One version of a tenant's policy. `model`: the newest one, where a condition of the policy reads it."""

    id: UUID
    number: int
    effective_from: datetime
    policy: Policy
    reads_model: bool = False
    model: Model | None = None


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
        policy = Policy.model_validate_json(orjson.dumps(row.document))
        found = _cache[policy_id] = Published(
            row.id, row.number, row.effective_from, policy, reads_model=_reads_model(policy)
        )
    return replace(found, model=await newest_model(tx, tenant_id)) if found.reads_model else found


def _reads_model(policy: Policy) -> bool:
    return any(isinstance(node, Likelihood) for _, root, _ in roots(policy) for _, node, _ in walk(root))


async def newest_model(tx: Tx, tenant_id: UUID) -> Model | None:
    """The tenant's newest trained model."""
    row = await model_sql.newest_model(tx, tenant_id)
    return None if row is None else Model.of(row.version, row.document)


async def active_policy(tx: Tx, tenant_id: UUID) -> Published:
    """The tenant's active policy; every tenant has one."""
    return await published_policy(tx, tenant_id, await sql.active_id(tx, tenant_id))
