"""What is due with policies: planned activations, and reviews. Each takes effect once, by whichever worker is first."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

import structlog

from app import ids
from app.clock import ReadClock
from app.database.faults import as_problem, error_fields
from app.database.transaction import Database, Record, Records, Tx
from app.events.record import record_events
from app.policies import across, sql
from app.policies.activate import policy_event, ready, take_effect
from app.policies.review import next_review
from app.policy.facts import POLICY
from app.problem import Problem
from app.tenants import audit
from app.tenants.acts import Act
from app.web.fields import rfc3339

log = structlog.get_logger("baton.policies")

Found = Callable[[Tx, datetime], Awaitable[Records]]
Done = Callable[[Tx, Record, datetime], Awaitable[bool]]


async def activate_due(engine: Database, clock: ReadClock) -> int:
    """Activates the policies that are planned for an instant until now; how many."""
    return await _each(engine, clock, across.planned, _activate)


async def announce_reviews(engine: Database, clock: ReadClock) -> int:
    """Records `policy.review_due` of each active policy whose review is due, and when the next one is; how many."""
    return await _each(engine, clock, across.reviews_due, _announce)


async def _each(engine: Database, clock: ReadClock, found: Found, do: Done) -> int:
    """Does it for each policy found, in a transaction of its own; one that fails does not stop those of others."""
    async with engine.connect() as tx:
        rows = await found(tx, clock())
    return sum([await _one(engine, row, clock, do) for row in rows])


async def _one(engine: Database, found: Record, clock: ReadClock, do: Done) -> bool:
    """Does it, if it is still due once the policy is locked."""
    try:
        async with engine.begin() as tx:
            now = clock()  # not before the transaction began (docs/decisions/0083)
            await sql.lock_policies(tx, found.tenant_id)
            row = await sql.policy(tx, found.tenant_id, found.id)
            return row is not None and await do(tx, row, now)
    except Exception as error:
        if as_problem(error) is not None:
            raise
        log.error("policy_not_handled", policy_id=ids.show("policy", found.id), **error_fields(error))
        return False


async def _activate(tx: Tx, row: Record, now: datetime) -> bool:
    """Where something has come up since it was planned, the policy stays proposed and tells why."""
    if row.state != "proposed" or row.effective_from is None or row.effective_from > now:
        return False
    tenant_id, mapping = row.tenant_id, row.mapping or {}
    try:
        policy = await ready(tx, tenant_id, row, mapping)
    except Problem as problem:
        refused = {"at": rfc3339(now), **problem.document()}
        values = {"effective_from": None, "mapping": None, "activation_refused": refused, "updated_at": now}
        after = await sql.update_policy(tx, tenant_id, row.id, values)
        await _audited(tx, tenant_id, "policy.activation_refused", after, now, problem.code)
        log.warning("activation_refused", policy_id=ids.show("policy", row.id), code=problem.code)
        return True
    after = await take_effect(tx, tenant_id, row, policy, mapping, now)
    await _audited(tx, tenant_id, "policy.activated", after, now)
    return True


async def _announce(tx: Tx, row: Record, now: datetime) -> bool:
    """Reviews that passed while no worker ran are told of once."""
    if row.state != "active" or row.review_due_at is None or row.review_due_at > now:
        return False
    review, activated_at = row.document["review"], row.activated_at or row.effective_from
    told = {"review": review, "due_at": rfc3339(row.review_due_at)}
    await record_events(tx, row.tenant_id, [policy_event("policy.review_due", row, told, now)], now)
    await sql.set_review(tx, row.tenant_id, row.id, next_review(review, activated_at, now))
    return True


async def _audited(tx: Tx, tenant_id: UUID, act: Act, row: Record, now: datetime, code: str | None = None) -> None:
    told = {"number": row.number, "sha256": row.sha256, **({"code": code} if code else {})}
    actor = {"id": POLICY.id, "kind": POLICY.kind, "key": None}
    await audit.record_by(tx, actor, tenant_id, act, ids.show("policy", row.id), now, told)
