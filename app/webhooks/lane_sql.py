"""Statements for one claimed lane: read the log and due retries, write retries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, Boolean, Row, Text, Uuid, bindparam, text

from app.database.transaction import Tx
from app.events.sql import MEMBERS
from app.webhooks import across
from app.webhooks.across import BIGINTS, INTS, TEXTS, TIMES, UUIDS
from app.webhooks.lane import Changes, RetryRow
from app.webhooks.shares import Share

READ_ROWS: Final = 256
DUE_ROWS: Final = 64
WAITING_ROWS: Final = 16
VERSION: Final = """(SELECT version FROM subscriptions WHERE tenant_id = :tenant_id AND id = :subscription_id)
           AS version"""
R_MINE: Final = across.OF_SHARE.format(key="r.order_key", lanes=":lanes", lane_no=":lane_no")
MINE: Final = across.OF_SHARE.format(key="order_key", lanes=":lanes", lane_no=":lane_no")

# A row whose type matches no pattern, or that is another lane's, is returned without its event: it only advances the
# position.
READ = text(
    f"""
    SELECT l.position, {MEMBERS}, {VERSION}
      FROM (SELECT tenant_id, position, event_seq, type, {MINE} AS is_mine FROM event_log
             WHERE tenant_id = :tenant_id AND position > :after ORDER BY position LIMIT :rows) l
      LEFT JOIN events e ON e.tenant_id = l.tenant_id AND e.seq = l.event_seq AND l.is_mine AND l.type LIKE ANY (:types)
     ORDER BY l.position
    """  # noqa: S608 - constants
).bindparams(bindparam("types", type_=TEXTS))

AGAIN = text(
    f"""
    SELECT l.position, {MEMBERS}
      FROM event_log l JOIN events e ON e.tenant_id = l.tenant_id AND e.seq = l.event_seq
     WHERE l.tenant_id = :tenant_id AND l.position = ANY (:positions) ORDER BY l.position
    """  # noqa: S608 - constants
).bindparams(bindparam("positions", type_=BIGINTS))

BACK = text(
    f"""
    SELECT l.position, {MEMBERS}
      FROM (SELECT tenant_id, position, event_seq FROM event_log
             WHERE tenant_id = :tenant_id AND position < coalesce(:before, 9223372036854775807)
             ORDER BY position DESC LIMIT :limit) l
      JOIN events e ON e.tenant_id = l.tenant_id AND e.seq = l.event_seq
     ORDER BY l.position DESC
    """  # noqa: S608 - constants
).bindparams(bindparam("before", type_=BigInteger))

DUE = text(
    f"""
    SELECT r.position, {MEMBERS}, r.attempts, {VERSION}
      FROM delivery_retries r
      JOIN event_log l ON l.tenant_id = r.tenant_id AND l.position = r.position
      JOIN events e ON e.tenant_id = l.tenant_id AND e.seq = l.event_seq
     WHERE r.tenant_id = :tenant_id AND r.subscription_id = :subscription_id AND r.state = 'retry'
       AND r.next_at <= clock_timestamp() AND r.order_key <> ALL (:busy) AND {R_MINE}
     ORDER BY r.next_at LIMIT {DUE_ROWS}
    """  # noqa: S608 - constants
).bindparams(bindparam("busy", type_=UUIDS))

WAITING = text(
    f"""
    SELECT r.position, {MEMBERS}, r.attempts
      FROM delivery_retries r
      JOIN event_log l ON l.tenant_id = r.tenant_id AND l.position = r.position
      JOIN events e ON e.tenant_id = l.tenant_id AND e.seq = l.event_seq
     WHERE r.tenant_id = :tenant_id AND r.subscription_id = :subscription_id AND r.state = 'retry'
       AND {R_MINE}
     ORDER BY r.position LIMIT {WAITING_ROWS}
    """  # noqa: S608 - constants
)

NEXT_DUE = text(
    f"""
    SELECT min(next_at) FROM delivery_retries
     WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id AND state = 'retry'
       AND order_key <> ALL (:busy) AND {MINE}
    """  # noqa: S608 - constants
).bindparams(bindparam("busy", type_=UUIDS))

RECEIVER = text(
    f"""
    SELECT {across.RECEIVER}, clock_timestamp() AS now
      FROM subscriptions s WHERE s.tenant_id = :tenant_id AND s.id = :subscription_id
    """  # noqa: S608 - constants
)

UPSERT_RETRIES = text(
    """
    INSERT INTO delivery_retries AS r (tenant_id, subscription_id, position, order_key, event_id, lead_id, attempts,
                                       next_at, state, last_code, last_error, blocks)
    SELECT :tenant_id, :subscription_id, k.* FROM unnest(:position, :order_key, :event_id, :lead_id, :attempts,
                                                         :next_at, :state, :last_code, :last_error,
                                                         :blocks) k
    ON CONFLICT (tenant_id, subscription_id, position) DO UPDATE
       SET attempts = excluded.attempts, next_at = excluded.next_at, state = excluded.state,
           last_code = excluded.last_code, last_error = excluded.last_error, blocks = excluded.blocks
    """
).bindparams(
    bindparam("tenant_id", type_=Uuid),
    bindparam("subscription_id", type_=Uuid),
    bindparam("position", type_=BIGINTS),
    *(bindparam(name, type_=UUIDS) for name in ("order_key", "event_id", "lead_id")),
    *(bindparam(name, type_=INTS) for name in ("attempts", "last_code")),
    bindparam("next_at", type_=TIMES),
    *(bindparam(name, type_=TEXTS) for name in ("state", "last_error")),
    bindparam("blocks", type_=ARRAY(Boolean)),
)

DELETE_RETRIES = text(
    "DELETE FROM delivery_retries WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id"
    " AND position = ANY (:positions)"
).bindparams(bindparam("positions", type_=BIGINTS))

# Of each lead the first delivery that waits is a retry, due at once if it was held; the others are held. Behind a dead
# one that blocks all are held.
KEEP_ORDER = text(
    """
    WITH waiting AS (
        SELECT position, state, blocks, row_number() OVER (PARTITION BY order_key ORDER BY position) = 1 AS first
          FROM delivery_retries
         WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id AND order_key = ANY (:keys)
           AND (state IN ('retry', 'held') OR blocks)
    )
    UPDATE delivery_retries r SET state = CASE WHEN w.first THEN 'retry' ELSE 'held' END,
                                  next_at = CASE WHEN w.first THEN clock_timestamp() END
      FROM waiting w
     WHERE r.tenant_id = :tenant_id AND r.subscription_id = :subscription_id AND r.position = w.position
       AND NOT w.blocks AND w.state <> CASE WHEN w.first THEN 'retry' ELSE 'held' END
    """
).bindparams(bindparam("keys", type_=UUIDS))

# Nothing is done yet for a lead of which the owner's memory is ahead of the rows, nor for a delivery after the lane's
# position: without its row the next owner would send it.
CARRY_OUT = text(
    f"""
    WITH asked AS MATERIALIZED (
        SELECT position, order_key, request FROM delivery_retries
         WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id AND request IS NOT NULL
           AND position <= :position AND order_key <> ALL (:changing) AND {MINE}
         ORDER BY position LIMIT :limit FOR UPDATE
    ), discarded AS (
        DELETE FROM delivery_retries r USING asked a
         WHERE r.tenant_id = :tenant_id AND r.subscription_id = :subscription_id AND r.position = a.position
           AND a.request = 'discard'
    ), changed AS (
        UPDATE delivery_retries r
           SET request = NULL, blocks = false,
               state = CASE WHEN a.request = 'retry' THEN 'retry' ELSE r.state END,
               next_at = CASE WHEN a.request = 'retry' THEN clock_timestamp() ELSE r.next_at END
          FROM asked a
         WHERE r.tenant_id = :tenant_id AND r.subscription_id = :subscription_id AND r.position = a.position
           AND a.request <> 'discard'
    )
    SELECT order_key FROM asked
    """  # noqa: S608 - constants
).bindparams(bindparam("changing", type_=UUIDS))

COUNT_ROWS = text(
    """
    SELECT lead.order_key, (SELECT count(*) FROM delivery_retries
                             WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id
                               AND order_key = lead.order_key AND (state IN ('retry', 'held') OR blocks)) AS rows
      FROM unnest(:keys) AS lead(order_key)
    """
).bindparams(bindparam("keys", type_=UUIDS))

# A receiver is not failing for which another lane has had a success in the time after which it would be disabled.
DISABLE = text(
    """
    UPDATE subscriptions s SET state = 'disabled', state_reason = :reason, version = version + 1, updated_at = :now
     WHERE tenant_id = :tenant_id AND id = :subscription_id AND state <> 'disabled'
       AND (:reason <> 'failing'
            OR NOT EXISTS (SELECT 1 FROM lanes l
                            WHERE l.tenant_id = :tenant_id AND l.subscription_id = :subscription_id
                              AND l.lane_no <> :lane_no
                              AND l.delivered_at > clock_timestamp() - make_interval(days => s.disable_after_days)))
    RETURNING id
    """
).bindparams(bindparam("reason", type_=Text))

LOCK = text("SELECT 1 FROM subscriptions WHERE tenant_id = :tenant_id AND id = :subscription_id FOR NO KEY UPDATE")
WARNED = text(
    "SELECT coalesce(max((breaker ->> 'warned')::int), 0) FROM lanes WHERE tenant_id = :tenant_id"
    " AND subscription_id = :subscription_id AND lane_no <> :lane_no"
)

SET_REASON = text(
    "UPDATE subscriptions SET state_reason = :reason, version = version + 1, updated_at = clock_timestamp()"
    " WHERE tenant_id = :tenant_id AND id = :subscription_id AND state = 'active'"
    " AND state_reason IS DISTINCT FROM :reason"
).bindparams(bindparam("reason", type_=Text))


async def receiver(tx: Tx, tenant_id: UUID, subscription_id: UUID) -> Row[Any] | None:
    """The columns of a subscription that sending needs, and the database's time."""
    values = {"tenant_id": tenant_id, "subscription_id": subscription_id}
    return (await tx.execute(RECEIVER, values)).one_or_none()


async def read_log(
    tx: Tx, tenant_id: UUID, subscription_id: UUID, share: Share, after: int, types: Sequence[str]
) -> Sequence[Row[Any]]:
    """The next rows of the log, at most `rows_of(share)`, with the subscription's version.

    `id` is null where no pattern in `types` matches, and of other lanes.
    """
    values = {"after": after, "types": list(types), "rows": rows_of(share)}
    return (await tx.execute(READ, _lane(tenant_id, subscription_id, share) | values)).all()


def rows_of(share: Share) -> int:
    """How many rows of the log a lane reads at once: about as many events of its own, however many lanes there are."""
    return READ_ROWS * share.lanes


async def read_back(tx: Tx, tenant_id: UUID, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """The events before a position, or the last ones; the latest first."""
    return (await tx.execute(BACK, {"tenant_id": tenant_id, "before": before, "limit": limit})).all()


async def read_again(tx: Tx, tenant_id: UUID, positions: Sequence[int]) -> Sequence[Row[Any]]:
    """The events at these positions as they are stored now, in the order of the log."""
    return (await tx.execute(AGAIN, {"tenant_id": tenant_id, "positions": list(positions)})).all()


async def read_due(
    tx: Tx, tenant_id: UUID, subscription_id: UUID, share: Share, busy: Iterable[UUID]
) -> tuple[Sequence[Row[Any]], datetime | None]:
    """Due retries, except of the order keys in `busy`; and when the next one is due, if there is one."""
    lane, keys = _lane(tenant_id, subscription_id, share), list(busy)
    rows = (await tx.execute(DUE, {**lane, "busy": keys})).all()
    keys += [row.order_key for row in rows]
    later: datetime | None = (await tx.execute(NEXT_DUE, {**lane, "busy": keys})).scalar_one()
    return rows, later


async def write_retries(tx: Tx, tenant_id: UUID, subscription_id: UUID, changes: Changes) -> None:
    """Write the changed rows of delivery_retries: upsert, delete settled ones, promote each lead's next one."""
    lane = {"tenant_id": tenant_id, "subscription_id": subscription_id}
    if changes.retries:
        await tx.execute(UPSERT_RETRIES, lane | _columns(changes.retries))
    if changes.deleted:
        await tx.execute(DELETE_RETRIES, lane | {"positions": list(changes.deleted)})
    if changes.promoted:
        await tx.execute(KEEP_ORDER, lane | {"keys": list(changes.promoted)})


async def carry_out(
    tx: Tx, tenant_id: UUID, subscription_id: UUID, share: Share, position: int, changing: Iterable[UUID], limit: int
) -> tuple[int, dict[UUID, int]]:
    """Do what is asked for deliveries up to `position`, except of leads in `changing`; the caller has locked the lane.

    How many requests were carried out, and the number of rows of each lead that they concern.
    """
    lane = {"tenant_id": tenant_id, "subscription_id": subscription_id}
    asked = {"position": position, "changing": list(changing), "limit": limit}
    done = list((await tx.execute(CARRY_OUT, _lane(tenant_id, subscription_id, share) | asked)).scalars())
    keys = {"keys": list(dict.fromkeys(done))}
    if done:
        await tx.execute(KEEP_ORDER, lane | keys)
    counted = (await tx.execute(COUNT_ROWS, lane | keys)).all() if done else []
    return len(done), {row.order_key: row.rows for row in counted}


async def read_waiting(tx: Tx, tenant_id: UUID, subscription_id: UUID, share: Share) -> Sequence[Row[Any]]:
    """The oldest retries, one of each lead, whether due or not: with one of them an open breaker may be probed."""
    return (await tx.execute(WAITING, _lane(tenant_id, subscription_id, share))).all()


async def disable(tx: Tx, tenant_id: UUID, subscription_id: UUID, lane_no: int, reason: str, now: datetime) -> bool:
    """Disable the subscription; False when it was disabled already, or is failing for this lane only."""
    values = {"tenant_id": tenant_id, "subscription_id": subscription_id, "lane_no": lane_no, "reason": reason}
    return (await tx.execute(DISABLE, {**values, "now": now})).one_or_none() is not None


async def warned_by_others(tx: Tx, tenant_id: UUID, subscription_id: UUID, lane_no: int) -> int:
    """How many warnings of the present outage other lanes of the subscription have given. It stays locked, so that of
    two lanes that ask at the same time the second one knows of the first."""
    values = {"tenant_id": tenant_id, "subscription_id": subscription_id, "lane_no": lane_no}
    await tx.execute(LOCK, values)
    warned: int = (await tx.execute(WARNED, values)).scalar_one()
    return warned


async def set_reason(tx: Tx, tenant_id: UUID, subscription_id: UUID, reason: str | None) -> None:
    """Set why an active subscription is not served, or None when it is served again."""
    values = {"tenant_id": tenant_id, "subscription_id": subscription_id, "reason": reason}
    await tx.execute(SET_REASON, values)


def _columns(rows: Sequence[RetryRow]) -> dict[str, Sequence[Any]]:
    return dict(zip(RetryRow._fields, zip(*rows, strict=True), strict=True))


def _lane(tenant_id: UUID, subscription_id: UUID, share: Share) -> dict[str, Any]:
    return {
        "tenant_id": tenant_id,
        "subscription_id": subscription_id,
        "lanes": share.lanes,
        "lane_no": share.lane_no,
    }
