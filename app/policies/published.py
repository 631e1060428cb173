"""Published policy versions, cached in the process: a version never changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
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
SHARED_SIZE: Final = 32
PUBLISHED: Final = ("active", "retired")


@dataclass(frozen=True, slots=True)
class Published:
    """One version of a tenant's policy. `mapping`: to which of its stages journeys move from those that it lacks.

    `model`: the newest one, where a condition of the policy reads it.
    """

    id: UUID
    number: int
    activated_at: datetime
    policy: Policy
    mapping: Mapping[str, str] = field(default_factory=dict)
    reads_model: bool = False
    model: Model | None = None


_cache: dict[UUID, Published] = {}


async def published_policy(tx: Tx, tenant_id: UUID, policy_id: UUID) -> Published:
    """The policy with that id, which is or was active. Raises PolicyNotFound where there is none."""
    found = _cache.get(policy_id)
    if found is None:
        row = await sql.policy(tx, tenant_id, policy_id)
        if row is None or row.state not in PUBLISHED:
            raise PolicyNotFound()
        if len(_cache) >= CACHE_SIZE:
            _cache.clear()
        policy = _parsed(orjson.dumps(row.document))
        since = row.activated_at or row.effective_from
        found = Published(row.id, row.number, since, policy, row.mapping or {}, reads_model(policy))
        _cache[policy_id] = found
    return replace(found, model=await newest_model(tx, tenant_id)) if found.reads_model else found


@lru_cache(maxsize=SHARED_SIZE)
def _parsed(document: bytes) -> Policy:
    """The policy of a stored document. Equal documents, as those of tenants under a shipped policy, are parsed once."""
    return Policy.model_validate_json(document)


def reads_model(policy: Policy) -> bool:
    """Whether a condition of the policy reads the model."""
    return any(isinstance(node, Likelihood) for _, root, _ in roots(policy) for _, node, _ in walk(root))


async def newest_model(tx: Tx, tenant_id: UUID) -> Model | None:
    """The tenant's newest trained model."""
    row = await model_sql.newest_model(tx, tenant_id)
    return None if row is None else Model.of(row.version, row.document)


async def active_policy(tx: Tx, tenant_id: UUID) -> Published:
    """The tenant's active policy; every tenant has one."""
    return await published_policy(tx, tenant_id, await sql.active_id(tx, tenant_id))
