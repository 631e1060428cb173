"""Statements for one claimed lane: read the log and due retries, write attempts and retries."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, DateTime, Integer, Row, Text, Uuid, bindparam, text

from app.database.transaction import Tx
from app.events.sql import MEMBERS
from app.webhooks.lane import AttemptRow, Changes, RetryRow

READ_ROWS: Final = 256
DUE_ROWS: Final = 64
VERSION: Final = """(SELECT version FROM subscriptions WHERE tenant_id = :tenant_id AND id = :subscription_id)
           AS version"""
UUIDS, BIGINTS, INTS, TEXTS, TIMES = (
    ARRAY(Uuid),
    ARRAY(BigInteger),
    ARRAY(Integer),
    ARRAY(Text),
    ARRAY(DateTime(timezone=True)),
)

# A row whose type matches no pattern is returned without its event: it only advances the position.
READ = text(
    f"""
    SELECT l.position, {MEMBERS}, {VERSION}
      FROM (SELECT tenant_id, position, event_seq, type FROM event_log
             WHERE tenant_id = :tenant_id AND position > :after ORDER BY position LIMIT {READ_ROWS}) l
      LEFT JOIN events e ON e.tenant_id = l.tenant_id AND e.seq = l.event_seq AND l.type LIKE ANY (:types)
     ORDER BY l.position
    """  # noqa: S608 - constants
).bindparams(bindparam("types", type_=TEXTS))

DUE = text(
    f"""
    SELECT r.position, {MEMBERS}, r.attempts, {VERSION}
      FROM delivery_retries r
      JOIN event_log l ON l.tenant_id = r.tenant_id AND l.position = r.position
      JOIN events e ON e.tenant_id = l.tenant_id AND e.seq = l.event_seq
     WHERE r.tenant_id = :tenant_id AND r.subscription_id = :subscription_id AND r.state = 'retry'
       AND r.next_at <= clock_timestamp() AND r.order_key <> ALL (:busy)
     ORDER BY r.next_at LIMIT {DUE_ROWS}
    """  # noqa: S608 - constants
).bindparams(bindparam("busy", type_=UUIDS))

NEXT_DUE = text(
    "SELECT min(next_at) FROM delivery_retries WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id"
    " AND state = 'retry' AND order_key <> ALL (:busy)"
).bindparams(bindparam("busy", type_=UUIDS))

PARKED = text(
    "SELECT order_key, count(*) AS rows FROM delivery_retries WHERE tenant_id = :tenant_id"
    " AND subscription_id = :subscription_id AND state IN ('retry', 'held') GROUP BY order_key"
)

SETTLED_AFTER = text(
    "SELECT position FROM delivery_retries WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id"
    " AND position > :position"
    " UNION SELECT position FROM attempts WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id"
    " AND position > :position AND code BETWEEN 200 AND 299"
)

RECEIVER = text(
    "SELECT url, types, filter, mode, include, headers, secrets, limits, state, state_reason, version,"
    " clock_timestamp() AS now"
    " FROM subscriptions WHERE tenant_id = :tenant_id AND id = :subscription_id"
)

# No row back: another process claimed the lane, or it was deleted. The UPDATE locks the lane first, so that no claim
# happens before the commit.
ADVANCE = text(
    """
    WITH moved AS (
        UPDATE lanes SET position = greatest(position, :new_position), due_at = coalesce(:due_at, due_at),
                         lease_until = CASE WHEN :release THEN '-infinity' ELSE lease_until END
         WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id AND lane_no = 0 AND fence = :fence
        RETURNING tenant_id, subscription_id
    ), recorded AS (
        INSERT INTO attempts (tenant_id, subscription_id, position, n, at, event_id, lead_id, ms, code, error_kind,
                              response_head, trigger)
        SELECT m.tenant_id, m.subscription_id, a.position, a.n, a.at, a.event_id, a.lead_id, a.ms, a.code, a.error,
               a.head, a.trigger
          FROM moved m, unnest(:position, :n, :at, :event_id, :lead_id, :ms, :code, :error, :head, :trigger)
               AS a(position, n, at, event_id, lead_id, ms, code, error, head, trigger)
    )
    SELECT s.version, clock_timestamp() AS now FROM moved m
      JOIN subscriptions s ON s.tenant_id = m.tenant_id AND s.id = m.subscription_id
    """
).bindparams(
    bindparam("due_at", type_=DateTime(timezone=True)),
    bindparam("position", type_=BIGINTS),
    bindparam("at", type_=TIMES),
    *(bindparam(name, type_=UUIDS) for name in ("event_id", "lead_id")),
    *(bindparam(name, type_=INTS) for name in ("n", "ms", "code")),
    *(bindparam(name, type_=TEXTS) for name in ("error", "head", "trigger")),
)

UPSERT_RETRIES = text(
    """
    INSERT INTO delivery_retries AS r (tenant_id, subscription_id, position, order_key, event_id, lead_id, attempts,
                                       next_at, state, last_code, last_error)
    SELECT :tenant_id, :subscription_id, k.* FROM unnest(:position, :order_key, :event_id, :lead_id, :attempts,
                                                         :next_at, :state, :last_code, :last_error) k
    ON CONFLICT (tenant_id, subscription_id, position) DO UPDATE
       SET attempts = excluded.attempts, next_at = excluded.next_at, state = excluded.state,
           last_code = excluded.last_code, last_error = excluded.last_error
    """
).bindparams(
    bindparam("tenant_id", type_=Uuid),
    bindparam("subscription_id", type_=Uuid),
    bindparam("position", type_=BIGINTS),
    *(bindparam(name, type_=UUIDS) for name in ("order_key", "event_id", "lead_id")),
    *(bindparam(name, type_=INTS) for name in ("attempts", "last_code")),
    bindparam("next_at", type_=TIMES),
    *(bindparam(name, type_=TEXTS) for name in ("state", "last_error")),
)

DELETE_RETRIES = text(
    "DELETE FROM delivery_retries WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id"
    " AND position = ANY (:positions)"
).bindparams(bindparam("positions", type_=BIGINTS))

PROMOTE_HELD = text(
    """
    UPDATE delivery_retries SET state = 'retry', next_at = clock_timestamp()
     WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id AND position IN (
        SELECT DISTINCT ON (order_key) position FROM delivery_retries
         WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id AND order_key = ANY (:keys)
           AND state = 'held' ORDER BY order_key, position)
    """
).bindparams(bindparam("keys", type_=UUIDS))

DISABLE = text(
    "UPDATE subscriptions SET state = 'disabled', state_reason = :reason, version = version + 1, updated_at = :now"
    " WHERE tenant_id = :tenant_id AND id = :subscription_id AND state <> 'disabled' RETURNING id"
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


async def parked(tx: Tx, tenant_id: UUID, subscription_id: UUID) -> dict[UUID, int]:
    """The number of waiting deliveries of each parked lead, by order key."""
    values = {"tenant_id": tenant_id, "subscription_id": subscription_id}
    return {row.order_key: row.rows for row in await tx.execute(PARKED, values)}


async def settled_after(tx: Tx, tenant_id: UUID, subscription_id: UUID, position: int) -> set[int]:
    """Positions after `position` that were delivered already or have a row."""
    values = {"tenant_id": tenant_id, "subscription_id": subscription_id, "position": position}
    return set((await tx.execute(SETTLED_AFTER, values)).scalars())


async def read_log(
    tx: Tx, tenant_id: UUID, subscription_id: UUID, after: int, types: Sequence[str]
) -> Sequence[Row[Any]]:
    """The next rows of the log, with the subscription's version; `id` is null where no pattern in `types` matches."""
    values = {"tenant_id": tenant_id, "subscription_id": subscription_id, "after": after, "types": list(types)}
    return (await tx.execute(READ, values)).all()


async def read_due(
    tx: Tx, tenant_id: UUID, subscription_id: UUID, busy: Iterable[UUID]
) -> tuple[Sequence[Row[Any]], datetime | None]:
    """Due retries, except of the order keys in `busy`; and when the next one is due, if there is one."""
    lane, keys = {"tenant_id": tenant_id, "subscription_id": subscription_id}, list(busy)
    rows = (await tx.execute(DUE, {**lane, "busy": keys})).all()
    keys += [row.order_key for row in rows]
    later: datetime | None = (await tx.execute(NEXT_DUE, {**lane, "busy": keys})).scalar_one()
    return rows, later


async def advance(tx: Tx, tenant_id: UUID, subscription_id: UUID, fence: int, changes: Changes) -> Row[Any] | None:
    """Write the lane's position and attempts; (version, now), or None when the lane is no longer ours."""
    values = {
        "tenant_id": tenant_id,
        "subscription_id": subscription_id,
        "fence": fence,
        "new_position": changes.position,
        "due_at": changes.due_at,
        "release": changes.release,
    }
    return (await tx.execute(ADVANCE, values | _columns(AttemptRow, changes.attempts))).one_or_none()


async def write_retries(tx: Tx, tenant_id: UUID, subscription_id: UUID, changes: Changes) -> None:
    """Write the changed rows of delivery_retries: upsert, delete settled ones, promote each lead's next one."""
    lane = {"tenant_id": tenant_id, "subscription_id": subscription_id}
    if changes.retries:
        await tx.execute(UPSERT_RETRIES, lane | _columns(RetryRow, changes.retries))
    if changes.deleted:
        await tx.execute(DELETE_RETRIES, lane | {"positions": list(changes.deleted)})
    if changes.promoted:
        await tx.execute(PROMOTE_HELD, lane | {"keys": list(changes.promoted)})


async def disable(tx: Tx, tenant_id: UUID, subscription_id: UUID, reason: str, now: datetime) -> bool:
    """Disable the subscription; False when it was disabled already."""
    values = {"tenant_id": tenant_id, "subscription_id": subscription_id, "reason": reason, "now": now}
    return (await tx.execute(DISABLE, values)).one_or_none() is not None


async def set_reason(tx: Tx, tenant_id: UUID, subscription_id: UUID, reason: str | None) -> None:
    """Set why an active subscription is not served, or None when it is served again."""
    values = {"tenant_id": tenant_id, "subscription_id": subscription_id, "reason": reason}
    await tx.execute(SET_REASON, values)


def _columns(kind: type[AttemptRow | RetryRow], rows: Sequence[AttemptRow | RetryRow]) -> dict[str, Sequence[Any]]:
    columns = zip(*rows, strict=True) if rows else [()] * len(kind._fields)
    return dict(zip(kind._fields, columns, strict=True))
