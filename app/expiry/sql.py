"""Statements over one tenant, before a partition of its events goes: who needs it, and what follows for them.

`end` is the first position (of the log) or `seq` (of events) after the partition.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, Boolean, Integer, Uuid, bindparam, text

from app.database.transaction import Records, Tx
from app.events.sql import BEFORE_LOG

TOGETHER: Final = 500
SCORES: Final = 5_000
ANEW: Final = UUID(int=0)  # the projector makes summaries anew from here
TENANT, SUBSCRIPTION = bindparam("tenant_id", type_=Uuid), bindparam("subscription_id", type_=Uuid)
END, MOST = bindparam("end", type_=BigInteger), bindparam("most", type_=Integer)


def unread(position: str) -> str:
    """SQL: whether the tenant has an event after the position and before the end; null if it has none after it."""
    return f"""(SELECT n.position FROM event_log n WHERE n.tenant_id = :tenant_id AND n.position > {position}
                 ORDER BY n.position LIMIT 1) < :end"""  # noqa: S608 - the argument is written below


# Where the partition is gone nobody can know that any more.
READ_ALL: Final = f"{unread('{position}')} IS NOT TRUE AND {BEFORE_LOG} < :end - 1"

WAITS = text(
    f"""
    SELECT EXISTS (SELECT FROM subscriptions s
                    WHERE s.tenant_id = :tenant_id
                      AND (SELECT r.position FROM delivery_retries r
                            WHERE r.tenant_id = :tenant_id AND r.subscription_id = s.id
                              AND r.state IN ('retry', 'held') AND r.position < :end LIMIT 1) IS NOT NULL)
           OR EXISTS (SELECT FROM summary_cursors c WHERE c.tenant_id = :tenant_id AND {unread("c.position")})
           OR EXISTS (SELECT FROM backtests b WHERE b.tenant_id = :tenant_id AND b.kind = 'shadow'
                         AND b.finished_at IS NULL AND {unread("b.log_position")})
    """  # noqa: S608 - constants, here and below
).bindparams(TENANT, END)

# Who has read everything before the end goes to the end: nothing is missed there. Lanes are locked as by their owners.
MOVE_LANES = text(
    f"""
    WITH done AS MATERIALIZED (
        SELECT subscription_id, lane_no FROM lanes l
         WHERE l.tenant_id = :tenant_id AND l.position < :end - 1 AND {READ_ALL.format(position="l.position")}
         ORDER BY subscription_id, lane_no FOR UPDATE
    )
    UPDATE lanes l SET position = greatest(l.position, :end - 1) FROM done
     WHERE l.tenant_id = :tenant_id AND l.subscription_id = done.subscription_id AND l.lane_no = done.lane_no
    """  # noqa: S608
).bindparams(TENANT, END)
MOVE_CONSUMERS = text(
    f"""
    UPDATE consumers c SET position = :end - 1, event_id = NULL
     WHERE c.tenant_id = :tenant_id AND c.position < :end - 1 AND {READ_ALL.format(position="c.position")}
    """  # noqa: S608
).bindparams(TENANT, END)
FAIL_REPLAYS = text(
    f"""
    UPDATE replays r SET state = 'failed', state_reason = 'position_expired', finished_at = clock_timestamp(),
                         updated_at = clock_timestamp()
     WHERE r.tenant_id = :tenant_id AND r.state IN ('pending', 'running', 'paused') AND {unread("r.position")}
    """  # noqa: S608
).bindparams(TENANT, END)
# Summaries and shadow runs that have not read the events are made anew from the records.
SUMMARIZE_ANEW = text(
    f"""
    UPDATE summary_cursors c SET built_to = :anew WHERE c.tenant_id = :tenant_id AND {unread("c.position")}
    """  # noqa: S608
).bindparams(TENANT, END, bindparam("anew", type_=Uuid))
TEST_ANEW = text(
    f"""
    UPDATE backtests b SET last_lead_id = NULL, leads_done = 0, log_position = :end - 1
     WHERE b.tenant_id = :tenant_id AND b.kind = 'shadow' AND b.finished_at IS NULL AND {unread("b.log_position")}
    """  # noqa: S608
).bindparams(TENANT, END)
FORGET_REQUESTS = text(
    """
    UPDATE delivery_retries SET request = NULL
     WHERE tenant_id = :tenant_id AND position < :end AND state = 'dead' AND request = 'retry'
    """
).bindparams(TENANT, END)
OF_READERS: Final = (MOVE_LANES, MOVE_CONSUMERS, FAIL_REPLAYS, SUMMARIZE_ANEW, TEST_ANEW, FORGET_REQUESTS)

CONCERNED = text(
    f"""
    SELECT s.id FROM subscriptions s
     WHERE s.tenant_id = :tenant_id
       AND ((SELECT r.position FROM delivery_retries r
              WHERE r.tenant_id = :tenant_id AND r.subscription_id = s.id AND r.state IN ('retry', 'held')
                AND r.position < :end LIMIT 1) IS NOT NULL
            OR s.state = 'active' AND EXISTS (SELECT FROM lanes l WHERE l.tenant_id = :tenant_id
                AND l.subscription_id = s.id AND l.position < :end - 1 AND {unread("l.position")}))
     ORDER BY s.id
    """  # noqa: S608
).bindparams(TENANT, END)
# The lanes of a subscription; `misses` is where an active one would miss events.
LOCK_LANES = text(
    f"""
    SELECT l.lane_no, l.position, s.state = 'active' AND l.position < :end - 1
           AND coalesce({unread("l.position")}, false) AS misses
      FROM lanes l JOIN subscriptions s ON s.tenant_id = l.tenant_id AND s.id = l.subscription_id
     WHERE l.tenant_id = :tenant_id AND l.subscription_id = :subscription_id ORDER BY l.lane_no FOR UPDATE OF l
    """  # noqa: S608
).bindparams(TENANT, SUBSCRIPTION, END)
EXPIRE = text(
    """
    WITH due AS (
        SELECT position FROM delivery_retries
         WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id AND state IN ('retry', 'held')
           AND position < :end ORDER BY position LIMIT :most
    )
    UPDATE delivery_retries r SET state = 'dead', last_error = 'expired', next_at = NULL, request = NULL, blocks = false
      FROM due LEFT JOIN event_log l ON l.tenant_id = :tenant_id AND l.position = due.position
     WHERE r.tenant_id = :tenant_id AND r.subscription_id = :subscription_id AND r.position = due.position
    RETURNING r.position, r.order_key, r.event_id, r.lead_id, r.attempts, r.last_code, l.type
    """
).bindparams(TENANT, SUBSCRIPTION, END, MOST)
# Whoever serves them loses them, and reads rows and position anew.
TAKE_LANES = text(
    """
    UPDATE lanes SET fence = fence + 1, lease_until = '-infinity',
                     position = CASE WHEN :passing THEN greatest(position, :end - 1) ELSE position END
     WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id
    """
).bindparams(TENANT, SUBSCRIPTION, END, bindparam("passing", type_=Boolean))

# An erasure finds answers of receivers by the log.
FORGET_ANSWERS = text(
    """
    WITH RECURSIVE receivers AS (
        (SELECT subscription_id FROM attempts WHERE tenant_id = :tenant_id ORDER BY subscription_id LIMIT 1)
        UNION ALL
        SELECT (SELECT a.subscription_id FROM attempts a
                 WHERE a.tenant_id = :tenant_id AND a.subscription_id > r.subscription_id
                 ORDER BY a.subscription_id LIMIT 1)
          FROM receivers r WHERE r.subscription_id IS NOT NULL
    ), found AS MATERIALIZED (
        SELECT f.* FROM receivers r CROSS JOIN LATERAL (
               SELECT subscription_id, position, n, at FROM attempts a
                WHERE a.tenant_id = :tenant_id AND a.subscription_id = r.subscription_id AND a.position < :end
                  AND a.response_head IS NOT NULL ORDER BY a.position LIMIT :most) f LIMIT :most
    )
    UPDATE attempts a SET response_head = NULL FROM found f
     WHERE a.tenant_id = :tenant_id AND a.subscription_id = f.subscription_id AND a.position = f.position
       AND a.n = f.n AND a.at = f.at
    RETURNING 1
    """
).bindparams(TENANT, END, MOST)

# What reports and a lead as of an instant read of the last event of each version.
KEEP_SCORES = text(
    """
    WITH page AS MATERIALIZED (
        SELECT seq, lead_id, lead_version, recorded_at, lead_computed FROM events
         WHERE tenant_id = :tenant_id AND seq > :after AND seq < :end AND tx_index = tx_size
           AND lead_id IS NOT NULL AND lead_version IS NOT NULL
         ORDER BY seq LIMIT :most
    ), kept AS (
        INSERT INTO kept_scores (tenant_id, lead_id, lead_version, recorded_at, engagement, temperature,
                                 below_threshold_since)
        SELECT :tenant_id, lead_id, lead_version, recorded_at, (lead_computed #>> '{score,engagement}')::integer,
               lead_computed #>> '{score,temperature}', (lead_computed ->> 'below_threshold_since')::timestamptz
          FROM page
        ON CONFLICT DO NOTHING
    )
    SELECT max(seq) FROM page
    """
).bindparams(TENANT, END, MOST, bindparam("after", type_=BigInteger))


async def waits(tx: Tx, tenant_id: UUID, end: int) -> bool:
    """Whether events before the end are needed: for a delivery that is to be tried again, summaries, a shadow run."""
    return bool((await tx.execute(WAITS, {"tenant_id": tenant_id, "end": end})).scalar_one())


async def move_readers(tx: Tx, tenant_id: UUID, end: int) -> None:
    """What follows for lanes and consumers that have read everything, for replays, summaries and shadow runs."""
    for statement in OF_READERS:
        values = {"tenant_id": tenant_id, "end": end}
        await tx.execute(statement, values | {"anew": ANEW} if statement is SUMMARIZE_ANEW else values)


async def concerned(tx: Tx, tenant_id: UUID, end: int) -> list[UUID]:
    """The subscriptions that miss events before the end, or have deliveries that wait there."""
    return list((await tx.execute(CONCERNED, {"tenant_id": tenant_id, "end": end})).scalars())


async def lock_lanes(tx: Tx, tenant_id: UUID, subscription_id: UUID, end: int) -> Records:
    """The lanes of a subscription: `position`, and whether it `misses` events before the end."""
    values = {"tenant_id": tenant_id, "subscription_id": subscription_id, "end": end}
    return (await tx.execute(LOCK_LANES, values)).all()


async def expire(tx: Tx, tenant_id: UUID, subscription_id: UUID, end: int) -> Records:
    """Gives up the next deliveries that wait for an event before the end; with its type, null where it is gone."""
    values = {"tenant_id": tenant_id, "subscription_id": subscription_id, "end": end, "most": TOGETHER}
    return (await tx.execute(EXPIRE, values)).all()


async def take_lanes(tx: Tx, tenant_id: UUID, subscription_id: UUID, end: int, *, passing: bool) -> None:
    """Takes locked lanes from whoever serves them; `passing`: they go on after the end."""
    values = {"tenant_id": tenant_id, "subscription_id": subscription_id, "end": end, "passing": passing}
    await tx.execute(TAKE_LANES, values)


async def forget_answers(tx: Tx, tenant_id: UUID, end: int) -> bool:
    """Empties the next answers of receivers to events before the end; False where none is left."""
    return bool((await tx.execute(FORGET_ANSWERS, {"tenant_id": tenant_id, "end": end, "most": TOGETHER})).all())


async def keep_scores(tx: Tx, tenant_id: UUID, after: int, end: int) -> int | None:
    """Keeps the scores of the next events after a `seq` and before the end; the last one's, None where none is left."""
    values = {"tenant_id": tenant_id, "after": after, "end": end, "most": SCORES}
    found: int | None = (await tx.execute(KEEP_SCORES, values)).scalar_one()
    return found
