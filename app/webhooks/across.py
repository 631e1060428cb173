"""Statements over the lanes of all tenants. Leases are compared with the database's clock only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import ARRAY, BigInteger, Boolean, DateTime, Integer, Text, Uuid, bindparam, text

from app.database.transaction import Record, Records, Tx
from app.events.sql import MEMBERS
from app.webhooks.lane import AttemptRow, Changes

UUIDS, BIGINTS, INTS, TEXTS, TIMES = (
    ARRAY(Uuid),
    ARRAY(BigInteger),
    ARRAY(Integer),
    ARRAY(Text),
    ARRAY(DateTime(timezone=True)),
)
RECEIVER: Final = """s.url, s.types, s.filter, s.condition, s.mode, s.include, s.headers, s.secrets, s.ed25519_keys,
           s.credentials, s.format, s.limits, s.allowed_rate, s.on_dead, s.disable_after_days, s.state, s.state_reason,
           s.version"""

# A lane has work when the log has rows after its position, a retry is due, something is asked for a delivery, events
# are to be replayed, or its breaker is open or half open. A claim increments the fence, so later writes of the
# previous owner match no row. A lane that this process owns but no longer serves is claimed at once. A claimed lane
# is due since the claim, so ADVANCE can tell one that was restarted (RESTART_LANE) while it was served.
# ORDER BY makes the planner use the index: EXISTS would scan the log, all of it where the lane has no work. NOT IN
# hashes the served lanes: `<> ALL` would compare each lane with each of them.
CLAIM = text(
    f"""
    WITH claimed AS (
        UPDATE lanes SET owner = :owner, fence = fence + 1, due_at = now(),
                         lease_until = clock_timestamp() + make_interval(secs => :lease)
         WHERE (tenant_id, subscription_id, lane_no) IN (
            SELECT l.tenant_id, l.subscription_id, l.lane_no
              FROM lanes l JOIN subscriptions s ON s.tenant_id = l.tenant_id AND s.id = l.subscription_id
             WHERE s.state = 'active' AND l.due_at <= now() AND (l.lease_until < clock_timestamp() OR l.owner = :owner)
               AND l.subscription_id NOT IN (SELECT unnest(:served))
               AND ((SELECT e.position FROM event_log e WHERE e.tenant_id = l.tenant_id AND e.position > l.position
                      ORDER BY e.position LIMIT 1) IS NOT NULL
                    OR EXISTS (SELECT 1 FROM delivery_retries r
                                WHERE r.tenant_id = l.tenant_id AND r.subscription_id = l.subscription_id
                                  AND r.state = 'retry' AND r.next_at <= now())
                    OR EXISTS (SELECT 1 FROM delivery_retries r
                                WHERE r.tenant_id = l.tenant_id AND r.subscription_id = l.subscription_id
                                  AND r.request IS NOT NULL)
                    OR EXISTS (SELECT 1 FROM replays p
                                WHERE p.tenant_id = l.tenant_id AND p.subscription_id = l.subscription_id
                                  AND p.state IN ('pending', 'running'))
                    OR l.breaker ->> 'state' IS NOT NULL)
             ORDER BY l.due_at LIMIT :limit FOR UPDATE OF l SKIP LOCKED)
        RETURNING tenant_id, subscription_id, position, fence, breaker
    )
    SELECT c.*, {RECEIVER}, clock_timestamp() AS now,
           EXISTS (SELECT 1 FROM delivery_retries r
                    WHERE r.tenant_id = c.tenant_id AND r.subscription_id = c.subscription_id
                      AND r.request IS NOT NULL) AS requested,
           EXISTS (SELECT 1 FROM replays p
                    WHERE p.tenant_id = c.tenant_id AND p.subscription_id = c.subscription_id
                      AND p.state IN ('pending', 'running')) AS replaying
      FROM claimed c JOIN subscriptions s ON s.tenant_id = c.tenant_id AND s.id = c.subscription_id
    """  # noqa: S608 - constants
).bindparams(bindparam("owner", type_=Uuid), bindparam("served", type_=UUIDS))

PARKED = text(
    """
    SELECT r.subscription_id, r.order_key, count(*) AS rows
      FROM unnest(:tenant_id, :subscription_id) AS mine(tenant_id, subscription_id)
     CROSS JOIN LATERAL (
        SELECT subscription_id, order_key FROM delivery_retries
         WHERE tenant_id = mine.tenant_id AND subscription_id = mine.subscription_id AND state IN ('retry', 'held')
        UNION ALL
        SELECT subscription_id, order_key FROM delivery_retries
         WHERE tenant_id = mine.tenant_id AND subscription_id = mine.subscription_id AND blocks) r
     GROUP BY r.subscription_id, r.order_key
    """
).bindparams(bindparam("tenant_id", type_=UUIDS), bindparam("subscription_id", type_=UUIDS))

SETTLED_AFTER = text(
    """
    SELECT mine.subscription_id, done.position
      FROM unnest(:tenant_id, :subscription_id, :after) AS mine(tenant_id, subscription_id, after)
     CROSS JOIN LATERAL (
        SELECT r.position FROM delivery_retries r
         WHERE r.tenant_id = mine.tenant_id AND r.subscription_id = mine.subscription_id AND r.position > mine.after
        UNION
        SELECT a.position FROM attempts a
         WHERE a.tenant_id = mine.tenant_id AND a.subscription_id = mine.subscription_id AND a.position > mine.after
           AND a.code BETWEEN 200 AND 299 AND a.trigger <> 'replay'
           AND a.at > coalesce((SELECT l.moved_at FROM lanes l
                                 WHERE l.tenant_id = mine.tenant_id AND l.subscription_id = mine.subscription_id
                                   AND l.lane_no = 0), '-infinity')) done
    """
).bindparams(
    bindparam("tenant_id", type_=UUIDS), bindparam("subscription_id", type_=UUIDS), bindparam("after", type_=BIGINTS)
)

# Rows are locked in one order, as in ADVANCE, which may run at the same time in the same process. A lane that was
# released meanwhile stays released: any process may claim it.
RENEW = text(
    """
    WITH mine AS MATERIALIZED (
        SELECT l.tenant_id, l.subscription_id
          FROM lanes l JOIN unnest(:tenant_id, :subscription_id, :fence) AS given(tenant_id, subscription_id, fence)
            ON l.tenant_id = given.tenant_id AND l.subscription_id = given.subscription_id AND l.fence = given.fence
         WHERE l.lane_no = 0 AND l.owner = :owner AND l.lease_until > '-infinity'
         ORDER BY l.tenant_id, l.subscription_id FOR UPDATE OF l
    )
    UPDATE lanes l SET lease_until = clock_timestamp() + make_interval(secs => :lease)
      FROM mine JOIN subscriptions s ON s.tenant_id = mine.tenant_id AND s.id = mine.subscription_id
     WHERE l.tenant_id = mine.tenant_id AND l.subscription_id = mine.subscription_id AND l.lane_no = 0
    RETURNING l.subscription_id, s.version, clock_timestamp() AS now
    """
).bindparams(
    bindparam("owner", type_=Uuid),
    bindparam("tenant_id", type_=UUIDS),
    bindparam("subscription_id", type_=UUIDS),
    bindparam("fence", type_=BIGINTS),
)

READ_LOGS = text(
    f"""
    SELECT mine.tenant_id, l.position, {MEMBERS}
      FROM unnest(:tenant_id, :after) AS mine(tenant_id, after)
     CROSS JOIN LATERAL (SELECT position, event_seq FROM event_log
                          WHERE tenant_id = mine.tenant_id AND position > mine.after
                          ORDER BY position LIMIT :limit) l
      LEFT JOIN LATERAL (SELECT * FROM events WHERE tenant_id = mine.tenant_id AND seq = l.event_seq LIMIT 1) e ON true
     ORDER BY mine.tenant_id, l.position
    """  # noqa: S608 - constants
).bindparams(bindparam("tenant_id", type_=UUIDS), bindparam("after", type_=BIGINTS))

CHANGED = text(
    """
    SELECT mine.subscription_id
      FROM unnest(:tenant_id, :subscription_id, :version) AS mine(tenant_id, subscription_id, version)
     WHERE (SELECT s.version FROM subscriptions s WHERE s.tenant_id = mine.tenant_id AND s.id = mine.subscription_id)
           IS DISTINCT FROM mine.version
    """
).bindparams(
    bindparam("tenant_id", type_=UUIDS), bindparam("subscription_id", type_=UUIDS), bindparam("version", type_=BIGINTS)
)

REQUESTED = text(
    """
    SELECT mine.subscription_id,
           EXISTS (SELECT 1 FROM delivery_retries r
                    WHERE r.tenant_id = mine.tenant_id AND r.subscription_id = mine.subscription_id
                      AND r.request IS NOT NULL) AS deliveries,
           EXISTS (SELECT 1 FROM replays p
                    WHERE p.tenant_id = mine.tenant_id AND p.subscription_id = mine.subscription_id
                      AND p.state IN ('pending', 'running')) AS replays
      FROM unnest(:tenant_id, :subscription_id) AS mine(tenant_id, subscription_id)
    """
).bindparams(bindparam("tenant_id", type_=UUIDS), bindparam("subscription_id", type_=UUIDS))

# A lane of which no row comes back was claimed by another process, or was deleted. Lanes are locked before anything is
# written for them, so that no claim happens before the commit. A lane that was restarted since its claim waits for
# nothing: what its owner learned concerns the receiver as it was.
ADVANCE = text(
    """
    WITH given AS (
        SELECT * FROM unnest(:tenant_id, :subscription_id, :fence, :new_position, :due_at, :release, :breaker)
             WITH ORDINALITY AS given(tenant_id, subscription_id, fence, position, due_at, release, breaker, n)
    ), locked AS MATERIALIZED (
        SELECT given.* FROM lanes l JOIN given USING (tenant_id, subscription_id, fence)
         WHERE l.lane_no = 0 ORDER BY l.tenant_id, l.subscription_id FOR UPDATE OF l
    ), moved AS (
        UPDATE lanes l SET position = greatest(l.position, k.position),
                           due_at = CASE WHEN l.due_at > '-infinity' AND k.due_at IS NOT NULL THEN k.due_at
                                         ELSE l.due_at END,
                           breaker = CASE WHEN l.due_at > '-infinity' AND k.breaker IS NOT NULL THEN k.breaker::jsonb
                                          ELSE l.breaker END,
                           lease_until = CASE WHEN k.release THEN '-infinity' ELSE l.lease_until END
          FROM locked k
         WHERE l.tenant_id = k.tenant_id AND l.subscription_id = k.subscription_id AND l.lane_no = 0
        RETURNING l.tenant_id, l.subscription_id, k.n
    ), recorded AS (
        INSERT INTO attempts (tenant_id, subscription_id, position, n, at, event_id, lead_id, ms, code, error_kind,
                              response_head, trigger)
        SELECT m.tenant_id, m.subscription_id, a.position, a.n, a.at, a.event_id, a.lead_id, a.ms, a.code, a.error,
               a.head, a.trigger
          FROM moved m JOIN unnest(:lane, :position, :n, :at, :event_id, :lead_id, :ms, :code, :error, :head, :trigger)
               AS a(lane, position, n, at, event_id, lead_id, ms, code, error, head, trigger) ON a.lane = m.n
    )
    SELECT m.n, s.version, clock_timestamp() AS now FROM moved m
      JOIN subscriptions s ON s.tenant_id = m.tenant_id AND s.id = m.subscription_id
    """
).bindparams(
    *(bindparam(name, type_=UUIDS) for name in ("tenant_id", "subscription_id", "event_id", "lead_id")),
    *(bindparam(name, type_=BIGINTS) for name in ("fence", "new_position", "lane", "position")),
    bindparam("release", type_=ARRAY(Boolean)),
    *(bindparam(name, type_=TIMES) for name in ("due_at", "at")),
    *(bindparam(name, type_=INTS) for name in ("n", "ms", "code")),
    *(bindparam(name, type_=TEXTS) for name in ("error", "head", "trigger", "breaker")),
)

# Positions are those of the whole log, so the difference is exact where there is one tenant.
COUNT_LANES = text(
    """
    SELECT coalesce(l.breaker ->> 'state', 'closed') AS breaker, count(*) AS lanes,
           coalesce(max(waits.seconds), 0)::float AS worst_seconds, coalesce(sum(waits.seconds), 0)::float AS seconds,
           coalesce(max(waits.positions), 0) AS worst_positions, coalesce(sum(waits.positions), 0) AS positions
      FROM lanes l JOIN subscriptions s ON s.tenant_id = l.tenant_id AND s.id = l.subscription_id
      LEFT JOIN LATERAL (
        SELECT extract(epoch FROM clock_timestamp() - e.recorded_at) AS seconds,
               (SELECT position FROM event_log WHERE tenant_id = l.tenant_id ORDER BY position DESC LIMIT 1)
               - l.position AS positions
          FROM event_log e WHERE e.tenant_id = l.tenant_id AND e.position > l.position ORDER BY e.position LIMIT 1
      ) waits ON true
     WHERE s.state = 'active' GROUP BY 1
    """
)

Owned = tuple[UUID, UUID, int]  # a lane: its tenant and subscription, and the fence by which this process owns it


async def count_lanes(tx: Tx) -> Records:
    """Active subscriptions by the state of their breaker: how many, and how far behind, the worst and all together."""
    return (await tx.execute(COUNT_LANES)).all()


async def claim_lanes(tx: Tx, owner: UUID, served: Sequence[UUID], lease: float, limit: int) -> Records:
    """Claim lanes that have work and no valid lease; each with what serving it needs (see CLAIM)."""
    values = {"owner": owner, "served": list(served), "lease": lease, "limit": limit}
    return (await tx.execute(CLAIM, values)).all()


async def parked(tx: Tx, lanes: Sequence[tuple[UUID, UUID]]) -> Records:
    """The parked leads of (tenant, subscription): subscription_id, order_key and how many deliveries wait."""
    return (await tx.execute(PARKED, _pairs(lanes))).all()


async def settled_after(tx: Tx, lanes: Sequence[tuple[UUID, UUID]], after: Sequence[int]) -> Records:
    """Positions after that of each lane that were delivered already or have a row, with the subscription_id."""
    return (await tx.execute(SETTLED_AFTER, {**_pairs(lanes), "after": list(after)})).all()


async def renew_lanes(tx: Tx, owner: UUID, lanes: Sequence[Owned], lease: float) -> Records:
    """Extend the leases of lanes; returns those still owned, with version and time."""
    return (await tx.execute(RENEW, {"owner": owner, "lease": lease, **_owned(lanes)})).all()


async def read_logs(tx: Tx, after: Mapping[UUID, int], limit: int) -> Records:
    """The next rows of several tenants' logs, at most `limit` of each, with all members of the event."""
    return (await tx.execute(READ_LOGS, {"tenant_id": [*after], "after": [*after.values()], "limit": limit})).all()


async def changed(tx: Tx, lanes: Sequence[tuple[UUID, UUID]], versions: Sequence[int]) -> set[UUID]:
    """Those of these subscriptions that have another version now, or are deleted."""
    return set((await tx.execute(CHANGED, {**_pairs(lanes), "version": list(versions)})).scalars())


async def requested(tx: Tx, lanes: Sequence[tuple[UUID, UUID]]) -> Records:
    """Of each of these subscriptions whether something is asked for its `deliveries`, and whether it has `replays`."""
    return (await tx.execute(REQUESTED, _pairs(lanes))).all()


async def advance_lanes(tx: Tx, lanes: Sequence[Owned], changes: Sequence[Changes]) -> list[Record | None]:
    """Write positions, breakers and attempts of many lanes; for each version and now, or None when it is not ours."""
    attempts = [(n, *row) for n, one in enumerate(changes, start=1) for row in one.attempts]
    names = ("lane", *AttemptRow._fields)
    columns = zip(*attempts, strict=True) if attempts else [()] * len(names)
    values = {
        **_owned(lanes),
        "new_position": [one.position for one in changes],
        "due_at": [one.due_at for one in changes],
        "release": [one.release for one in changes],
        "breaker": [orjson.dumps(one.breaker.stored).decode() if one.breaker else None for one in changes],
        **dict(zip(names, columns, strict=True)),
    }
    rows = {row.n: row for row in await tx.execute(ADVANCE, values)}
    return [rows.get(n) for n in range(1, len(lanes) + 1)]


def _pairs(lanes: Sequence[tuple[UUID, UUID]]) -> dict[str, list[Any]]:
    return {"tenant_id": [tenant for tenant, _ in lanes], "subscription_id": [one for _, one in lanes]}


def _owned(lanes: Sequence[Owned]) -> dict[str, list[Any]]:
    return {**_pairs([lane[:2] for lane in lanes]), "fence": [fence for _, _, fence in lanes]}
