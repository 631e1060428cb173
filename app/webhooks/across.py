"""Statements over the lanes of all tenants. Leases are compared with the database's clock only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import ARRAY, BigInteger, Boolean, DateTime, Integer, SmallInteger, Text, Uuid, bindparam, text

from app.database.transaction import Record, Records, Tx
from app.events.sql import MEMBERS
from app.webhooks.lane import AttemptRow, Changes

UUIDS, BIGINTS, INTS, SMALLINTS, TEXTS, TIMES = (
    ARRAY(Uuid),
    ARRAY(BigInteger),
    ARRAY(Integer),
    ARRAY(SmallInteger),
    ARRAY(Text),
    ARRAY(DateTime(timezone=True)),
)
RECEIVER: Final = """s.url, s.types, s.filter, s.condition, s.mode, s.include, s.headers, s.secrets, s.ed25519_keys,
           s.credentials, s.format, s.limits, s.allowed_rate, s.on_dead, s.disable_after_days, s.state, s.state_reason,
           s.lanes, s.version"""
# Whether an order key is of a lane, as in shares.py.
OF_SHARE: Final = "mod(get_byte(uuid_send({key}), 14) * 256 + get_byte(uuid_send({key}), 15), {lanes}) = {lane_no}"
MINE: Final = OF_SHARE.format(key="r.order_key", lanes="{0}.lane_count", lane_no="{0}.lane_no")
OF_L, OF_C = MINE.format("l"), MINE.format("c")

# A lane has work when the log has rows after its position, a retry is due, something is asked for a delivery, events
# are to be replayed, or its breaker is open or half open. A claim increments the fence, so later writes of the
# previous owner match no row. A lane that this process owns but no longer serves is claimed at once. A claimed lane
# is due since the claim, so ADVANCE can tell one that was restarted (RESTART_LANE) while it was served.
# ORDER BY makes the planner use the index: EXISTS would scan the log, all of it where the lane has no work. NOT IN
# hashes the served lanes: `<> ALL` would compare each lane with each of them. Replays are served with the first lane.
CLAIM = text(
    f"""
    WITH claimed AS (
        UPDATE lanes SET owner = :owner, fence = fence + 1, due_at = now(), wanted = false,
                         passed = CASE WHEN (passed ->> 'last')::bigint > position THEN passed ELSE '{{}}' END,
                         lease_until = clock_timestamp() + make_interval(secs => :lease)
         WHERE (tenant_id, subscription_id, lane_no) IN (
            SELECT l.tenant_id, l.subscription_id, l.lane_no
              FROM lanes l JOIN subscriptions s ON s.tenant_id = l.tenant_id AND s.id = l.subscription_id
             WHERE s.state = 'active' AND l.due_at <= now() AND (l.lease_until < clock_timestamp() OR l.owner = :owner)
               AND (l.subscription_id, l.lane_no) NOT IN (SELECT * FROM unnest(:served, :served_no))
               AND ((SELECT e.position FROM event_log e WHERE e.tenant_id = l.tenant_id AND e.position > l.position
                      ORDER BY e.position LIMIT 1) IS NOT NULL
                    OR EXISTS (SELECT 1 FROM delivery_retries r
                                WHERE r.tenant_id = l.tenant_id AND r.subscription_id = l.subscription_id
                                  AND r.state = 'retry' AND r.next_at <= now() AND {OF_L})
                    OR EXISTS (SELECT 1 FROM delivery_retries r
                                WHERE r.tenant_id = l.tenant_id AND r.subscription_id = l.subscription_id
                                  AND r.request IS NOT NULL AND {OF_L})
                    OR EXISTS (SELECT 1 FROM replays p
                                WHERE p.tenant_id = l.tenant_id AND p.subscription_id = l.subscription_id
                                  AND l.lane_no = 0 AND p.state IN ('pending', 'running'))
                    OR l.breaker ->> 'state' IS NOT NULL)
             ORDER BY l.due_at LIMIT :limit FOR UPDATE OF l SKIP LOCKED)
        RETURNING tenant_id, subscription_id, lane_no, lane_count, position, passed, fence, breaker
    )
    SELECT c.*, {RECEIVER}, clock_timestamp() AS now,
           EXISTS (SELECT 1 FROM delivery_retries r
                    WHERE r.tenant_id = c.tenant_id AND r.subscription_id = c.subscription_id
                      AND r.request IS NOT NULL AND {OF_C}) AS requested,
           EXISTS (SELECT 1 FROM replays p
                    WHERE p.tenant_id = c.tenant_id AND p.subscription_id = c.subscription_id
                      AND c.lane_no = 0 AND p.state IN ('pending', 'running')) AS replaying
      FROM claimed c JOIN subscriptions s ON s.tenant_id = c.tenant_id AND s.id = c.subscription_id
    """  # noqa: S608 - constants
).bindparams(bindparam("owner", type_=Uuid), bindparam("served", type_=UUIDS), bindparam("served_no", type_=SMALLINTS))

THESE: Final = """unnest(:tenant_id, :subscription_id, :lane_no) AS mine(tenant_id, subscription_id, lane_no)
      JOIN lanes l USING (tenant_id, subscription_id, lane_no)"""
KEYS: Final = (
    bindparam("tenant_id", type_=UUIDS),
    bindparam("subscription_id", type_=UUIDS),
    bindparam("lane_no", type_=SMALLINTS),
)

PARKED = text(
    f"""
    SELECT l.subscription_id, l.lane_no, r.order_key, count(*) AS rows
      FROM {THESE}
     CROSS JOIN LATERAL (
        SELECT order_key FROM delivery_retries
         WHERE tenant_id = l.tenant_id AND subscription_id = l.subscription_id AND state IN ('retry', 'held')
        UNION ALL
        SELECT order_key FROM delivery_retries
         WHERE tenant_id = l.tenant_id AND subscription_id = l.subscription_id AND blocks) r
     WHERE {OF_L}
     GROUP BY l.subscription_id, l.lane_no, r.order_key
    """  # noqa: S608 - constants
).bindparams(*KEYS)

# Attempts do not say by which lane they were made: where there are several, only those up to the furthest of this lane
# are looked at.
SETTLED_AFTER = text(
    f"""
    SELECT l.subscription_id, l.lane_no, done.position
      FROM {THESE}
     CROSS JOIN LATERAL (
        SELECT r.position FROM delivery_retries r
         WHERE r.tenant_id = l.tenant_id AND r.subscription_id = l.subscription_id AND r.position > l.position
           AND {OF_L}
        UNION
        SELECT a.position FROM attempts a
         WHERE a.tenant_id = l.tenant_id AND a.subscription_id = l.subscription_id AND a.position > l.position
           AND a.position <= CASE WHEN l.lane_count = 1 THEN 9223372036854775807 ELSE l.reached END
           AND a.code BETWEEN 200 AND 299 AND a.trigger <> 'replay'
           AND a.at > coalesce(l.moved_at, '-infinity')) done
    """  # noqa: S608 - constants
).bindparams(*KEYS)

# Rows are locked in one order, as in ADVANCE, which may run at the same time in the same process. A lane that was
# released meanwhile stays released: any process may claim it.
RENEW = text(
    """
    WITH mine AS MATERIALIZED (
        SELECT l.tenant_id, l.subscription_id, l.lane_no
          FROM lanes l JOIN unnest(:tenant_id, :subscription_id, :lane_no, :fence)
                            AS given(tenant_id, subscription_id, lane_no, fence)
               USING (tenant_id, subscription_id, lane_no, fence)
         WHERE l.owner = :owner AND l.lease_until > '-infinity'
         ORDER BY l.tenant_id, l.subscription_id, l.lane_no FOR UPDATE OF l
    )
    UPDATE lanes l SET lease_until = clock_timestamp() + make_interval(secs => :lease)
      FROM mine JOIN subscriptions s ON s.tenant_id = mine.tenant_id AND s.id = mine.subscription_id
     WHERE l.tenant_id = mine.tenant_id AND l.subscription_id = mine.subscription_id AND l.lane_no = mine.lane_no
    RETURNING l.subscription_id, l.lane_no, l.wanted, s.version, clock_timestamp() AS now
    """
).bindparams(bindparam("owner", type_=Uuid), *KEYS, bindparam("fence", type_=BIGINTS))

# Of the lanes of a subscription a process wants one more where another has at least two more than it has. A lane that
# its owner writes at this moment is left out: another will be wanted the next time.
WANT = text(
    """
    WITH held AS MATERIALIZED (
        SELECT tenant_id, subscription_id, owner, count(*) AS lanes, max(lane_no) AS lane_no
          FROM lanes WHERE lane_count > 1 AND lease_until > clock_timestamp() AND subscription_id <> ALL (:without)
         GROUP BY tenant_id, subscription_id, owner
    ), most AS (
        SELECT DISTINCT ON (tenant_id, subscription_id) * FROM held WHERE owner <> :owner
         ORDER BY tenant_id, subscription_id, lanes DESC, owner
    ), chosen AS MATERIALIZED (
        SELECT l.tenant_id, l.subscription_id, l.lane_no
          FROM most m LEFT JOIN held mine ON mine.tenant_id = m.tenant_id
           AND mine.subscription_id = m.subscription_id AND mine.owner = :owner
          JOIN lanes l ON l.tenant_id = m.tenant_id AND l.subscription_id = m.subscription_id AND l.lane_no = m.lane_no
         WHERE m.lanes >= coalesce(mine.lanes, 0) + 2 AND NOT l.wanted FOR UPDATE OF l SKIP LOCKED
    )
    UPDATE lanes l SET wanted = true FROM chosen c
     WHERE l.tenant_id = c.tenant_id AND l.subscription_id = c.subscription_id AND l.lane_no = c.lane_no
    """
).bindparams(bindparam("owner", type_=Uuid), bindparam("without", type_=UUIDS))

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
    f"""
    SELECT l.subscription_id, l.lane_no,
           EXISTS (SELECT 1 FROM delivery_retries r
                    WHERE r.tenant_id = l.tenant_id AND r.subscription_id = l.subscription_id
                      AND r.request IS NOT NULL AND {OF_L}) AS deliveries,
           EXISTS (SELECT 1 FROM replays p
                    WHERE p.tenant_id = l.tenant_id AND p.subscription_id = l.subscription_id
                      AND l.lane_no = 0 AND p.state IN ('pending', 'running')) AS replays
      FROM {THESE}
    """  # noqa: S608 - constants
).bindparams(*KEYS)

# A lane of which no row comes back was claimed by another process, or was deleted. Lanes are locked before anything is
# written for them, so that no claim happens before the commit. A lane that was restarted since its claim waits for
# nothing: what its owner learned concerns the receiver as it was.
ADVANCE = text(
    """
    WITH given AS (
        SELECT * FROM unnest(:tenant_id, :subscription_id, :lane_no, :fence, :new_position, :reached, :delivered,
                             :due_at, :release, :breaker)
             WITH ORDINALITY AS given(tenant_id, subscription_id, lane_no, fence, position, reached, delivered,
                                      due_at, release, breaker, n)
    ), locked AS MATERIALIZED (
        SELECT given.* FROM lanes l JOIN given USING (tenant_id, subscription_id, lane_no, fence)
         ORDER BY l.tenant_id, l.subscription_id, l.lane_no FOR UPDATE OF l
    ), moved AS (
        UPDATE lanes l SET position = greatest(l.position, k.position), reached = greatest(l.reached, k.reached),
                           delivered_at = CASE WHEN k.delivered THEN clock_timestamp() ELSE l.delivered_at END,
                           due_at = CASE WHEN l.due_at > '-infinity' AND k.due_at IS NOT NULL THEN k.due_at
                                         ELSE l.due_at END,
                           breaker = CASE WHEN l.due_at > '-infinity' AND k.breaker IS NOT NULL THEN k.breaker::jsonb
                                          ELSE l.breaker END,
                           lease_until = CASE WHEN k.release THEN '-infinity' ELSE l.lease_until END
          FROM locked k
         WHERE l.tenant_id = k.tenant_id AND l.subscription_id = k.subscription_id AND l.lane_no = k.lane_no
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
    *KEYS,
    *(bindparam(name, type_=UUIDS) for name in ("event_id", "lead_id")),
    *(bindparam(name, type_=BIGINTS) for name in ("fence", "new_position", "reached", "lane", "position")),
    *(bindparam(name, type_=ARRAY(Boolean)) for name in ("delivered", "release")),
    *(bindparam(name, type_=TIMES) for name in ("due_at", "at")),
    *(bindparam(name, type_=INTS) for name in ("n", "ms", "code")),
    *(bindparam(name, type_=TEXTS) for name in ("error", "head", "trigger", "breaker")),
)

# Of each subscription the lowest position and the worst breaker, which is the last of the alphabet. Positions are those
# of the whole log, so the difference is exact where there is one tenant.
COUNT_LANES = text(
    """
    WITH served AS MATERIALIZED (
        SELECT l.tenant_id, min(l.position) AS position, max(coalesce(l.breaker ->> 'state', 'closed')) AS breaker
          FROM lanes l JOIN subscriptions s ON s.tenant_id = l.tenant_id AND s.id = l.subscription_id
         WHERE s.state = 'active' GROUP BY l.tenant_id, l.subscription_id
    )
    SELECT l.breaker, count(*) AS subscriptions,
           coalesce(max(waits.seconds), 0)::float AS worst_seconds, coalesce(sum(waits.seconds), 0)::float AS seconds,
           coalesce(max(waits.positions), 0) AS worst_positions, coalesce(sum(waits.positions), 0) AS positions
      FROM served l
      LEFT JOIN LATERAL (
        SELECT extract(epoch FROM clock_timestamp() - e.recorded_at) AS seconds,
               (SELECT position FROM event_log WHERE tenant_id = l.tenant_id ORDER BY position DESC LIMIT 1)
               - l.position AS positions
          FROM event_log e WHERE e.tenant_id = l.tenant_id AND e.position > l.position ORDER BY e.position LIMIT 1
      ) waits ON true
     GROUP BY l.breaker
    """
)

Lane = tuple[UUID, UUID, int]  # its tenant and subscription, and its number
Owned = tuple[UUID, UUID, int, int]  # and the fence by which this process owns it


async def count_lanes(tx: Tx) -> Records:
    """Active subscriptions by the state of their breaker: how many, and how far behind, the worst and all together."""
    return (await tx.execute(COUNT_LANES)).all()


async def claim_lanes(tx: Tx, owner: UUID, served: Sequence[tuple[UUID, int]], lease: float, limit: int) -> Records:
    """Claim lanes that have work and no valid lease, but for those `served` (subscription, number); each with what
    serving it needs (see CLAIM)."""
    names = {"served": [one for one, _ in served], "served_no": [number for _, number in served]}
    return (await tx.execute(CLAIM, {"owner": owner, **names, "lease": lease, "limit": limit})).all()


async def parked(tx: Tx, lanes: Sequence[Lane]) -> Records:
    """The parked leads of lanes: subscription_id, lane_no, order_key and how many deliveries wait."""
    return (await tx.execute(PARKED, _keys(lanes))).all()


async def settled_after(tx: Tx, lanes: Sequence[Lane]) -> Records:
    """Positions after that of each lane that it delivered already, or that have a row; with its subscription_id and
    lane_no. Among them may be some of other lanes."""
    return (await tx.execute(SETTLED_AFTER, _keys(lanes))).all()


async def renew_lanes(tx: Tx, owner: UUID, lanes: Sequence[Owned], lease: float) -> Records:
    """Extend the leases of lanes; returns those still owned, with version and time, and whether another wants them."""
    return (await tx.execute(RENEW, {"owner": owner, "lease": lease, **_owned(lanes)})).all()


async def want_lanes(tx: Tx, owner: UUID, without: Sequence[UUID]) -> None:
    """Ask processes that serve more lanes of a subscription for one of them; not of the subscriptions in `without`."""
    await tx.execute(WANT, {"owner": owner, "without": list(without)})


async def read_logs(tx: Tx, after: Mapping[UUID, int], limit: int) -> Records:
    """The next rows of several tenants' logs, at most `limit` of each, with all members of the event."""
    return (await tx.execute(READ_LOGS, {"tenant_id": [*after], "after": [*after.values()], "limit": limit})).all()


async def changed(tx: Tx, subscriptions: Sequence[tuple[UUID, UUID]], versions: Sequence[int]) -> set[UUID]:
    """Those of these (tenant, subscription) that have another version now, or are deleted."""
    values = {
        "tenant_id": [tenant for tenant, _ in subscriptions],
        "subscription_id": [one for _, one in subscriptions],
    }
    return set((await tx.execute(CHANGED, {**values, "version": list(versions)})).scalars())


async def requested(tx: Tx, lanes: Sequence[Lane]) -> Records:
    """Of each of these lanes whether something is asked for its `deliveries`, and whether it has `replays` to send."""
    return (await tx.execute(REQUESTED, _keys(lanes))).all()


async def advance_lanes(tx: Tx, lanes: Sequence[Owned], changes: Sequence[Changes]) -> list[Record | None]:
    """Write positions, breakers and attempts of many lanes; for each version and now, or None when it is not ours."""
    attempts = [(n, *row) for n, one in enumerate(changes, start=1) for row in one.attempts]
    names = ("lane", *AttemptRow._fields)
    columns = zip(*attempts, strict=True) if attempts else [()] * len(names)
    values = {
        **_owned(lanes),
        "new_position": [one.position for one in changes],
        "reached": [one.reached for one in changes],
        "delivered": [any(row.delivered for row in one.attempts) for one in changes],
        "due_at": [one.due_at for one in changes],
        "release": [one.release for one in changes],
        "breaker": [orjson.dumps(one.breaker.stored).decode() if one.breaker else None for one in changes],
        **dict(zip(names, columns, strict=True)),
    }
    rows = {row.n: row for row in await tx.execute(ADVANCE, values)}
    return [rows.get(n) for n in range(1, len(lanes) + 1)]


def _keys(lanes: Sequence[Lane]) -> dict[str, list[Any]]:
    names = ("tenant_id", "subscription_id", "lane_no")
    return {name: [lane[n] for lane in lanes] for n, name in enumerate(names)}


def _owned(lanes: Sequence[Owned]) -> dict[str, list[Any]]:
    return {**_keys([lane[:3] for lane in lanes]), "fence": [lane[3] for lane in lanes]}
