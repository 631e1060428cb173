"""Statements over the lanes of all tenants: claim and renew. Leases are compared with the database's clock only."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Row, Uuid, bindparam, text

from app.database.transaction import Tx

# A lane has work when the log has rows after its position or a retry is due. A claim increments the fence, so later
# writes of the previous owner match no row. A lane that this process owns but no longer serves is claimed at once.
# ORDER BY makes the planner use the index: EXISTS would scan the log, all of it where the lane has no work.
CLAIM = text(
    """
    UPDATE lanes SET owner = :owner, fence = fence + 1,
                     lease_until = clock_timestamp() + make_interval(secs => :lease)
     WHERE (tenant_id, subscription_id, lane_no) IN (
        SELECT l.tenant_id, l.subscription_id, l.lane_no
          FROM lanes l JOIN subscriptions s ON s.tenant_id = l.tenant_id AND s.id = l.subscription_id
         WHERE s.state = 'active' AND l.due_at <= now() AND (l.lease_until < clock_timestamp() OR l.owner = :owner)
           AND l.subscription_id <> ALL (:served)
           AND ((SELECT e.position FROM event_log e WHERE e.tenant_id = l.tenant_id AND e.position > l.position
                  ORDER BY e.position LIMIT 1) IS NOT NULL
                OR EXISTS (SELECT 1 FROM delivery_retries r
                            WHERE r.tenant_id = l.tenant_id AND r.subscription_id = l.subscription_id
                              AND r.state = 'retry' AND r.next_at <= now()))
         ORDER BY l.due_at LIMIT :limit FOR UPDATE OF l SKIP LOCKED)
    RETURNING tenant_id, subscription_id, position, fence
    """
).bindparams(bindparam("owner", type_=Uuid), bindparam("served", type_=ARRAY(Uuid)))

RENEW = text(
    """
    UPDATE lanes l SET lease_until = clock_timestamp() + make_interval(secs => :lease)
      FROM unnest(:tenant_id, :subscription_id, :fence) AS mine(tenant_id, subscription_id, fence)
      JOIN subscriptions s ON s.tenant_id = mine.tenant_id AND s.id = mine.subscription_id
     WHERE l.tenant_id = mine.tenant_id AND l.subscription_id = mine.subscription_id AND l.lane_no = 0
       AND l.fence = mine.fence AND l.owner = :owner
    RETURNING l.subscription_id, s.version, clock_timestamp() AS now
    """
).bindparams(
    bindparam("owner", type_=Uuid),
    bindparam("tenant_id", type_=ARRAY(Uuid)),
    bindparam("subscription_id", type_=ARRAY(Uuid)),
    bindparam("fence", type_=ARRAY(BigInteger)),
)


async def claim_lanes(tx: Tx, owner: UUID, served: Sequence[UUID], lease: float, limit: int) -> Sequence[Row[Any]]:
    """Claim lanes that have work and no valid lease: tenant_id, subscription_id, position, fence."""
    values = {"owner": owner, "served": list(served), "lease": lease, "limit": limit}
    return (await tx.execute(CLAIM, values)).all()


async def renew_lanes(tx: Tx, owner: UUID, lanes: Sequence[tuple[UUID, UUID, int]], lease: float) -> Sequence[Row[Any]]:
    """Extend the leases of (tenant, subscription, fence); returns those still owned, with version and time."""
    values = {
        "owner": owner,
        "lease": lease,
        "tenant_id": [tenant_id for tenant_id, _, _ in lanes],
        "subscription_id": [subscription_id for _, subscription_id, _ in lanes],
        "fence": [fence for _, _, fence in lanes],
    }
    return (await tx.execute(RENEW, values)).all()
