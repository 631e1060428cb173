"""Statements that work across tenants: giving events their positions, and creating partitions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, text

from app.database.transaction import Tx
from app.events import sql
from app.events.sql import Place

BATCH: Final = 1000
PARTITION_ROWS: Final = sql.PARTITION_ROWS

LOCK_SEQUENCER = text("SELECT 1 FROM sequencer WHERE scope = 0 FOR UPDATE SKIP LOCKED")

# Locking the sequencer's row and draining in one statement takes one round trip instead of four. The snapshot may be
# older than the previous sequencer's commit; rows which that one deleted are skipped. Earlier events of the same lead
# are in the same snapshot, so they were drained before or are drained here, in the order of seq. No position is given
# out before the lock is held. The join includes tenant_id because by seq alone it would scan the whole events table.
DRAIN = text(
    """
    WITH locked AS (
        SELECT 1 FROM sequencer WHERE scope = 0 FOR UPDATE SKIP LOCKED
    ), drained AS (
        DELETE FROM pending WHERE EXISTS (SELECT 1 FROM locked) AND (tenant_id, seq) IN (
            SELECT tenant_id, seq FROM pending WHERE scope = 0 ORDER BY seq LIMIT :batch
        ) RETURNING tenant_id, seq
    ), logged AS (
        INSERT INTO event_log (tenant_id, event_seq, lead_id, order_key, type, recorded_at)
        SELECT e.tenant_id, e.seq, e.lead_id, e.order_key, e.type, e.recorded_at
          FROM drained JOIN events e USING (tenant_id, seq) ORDER BY e.seq
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM logged) AS count FROM locked
    """
)

COUNT_PENDING = text("SELECT count(*) FROM pending")
LAST_NUMBERS = text(
    """
    SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('events', 'seq')::regclass), 0) AS events,
           coalesce(pg_sequence_last_value(pg_get_serial_sequence('event_log', 'position')::regclass), 0) AS event_log
    """
)
PARTITIONS = text(
    """
    SELECT p.relname AS parent, c.relname AS name FROM pg_inherits i
      JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
     WHERE p.oid IN ('events'::regclass, 'event_log'::regclass, 'attempts'::regclass) AND NOT i.inhdetachpending
    """
)
FIRST_POSITION = text(f"SELECT 1 + {sql.BEFORE_LOG}")
DAYS_AHEAD = text("SELECT to_char((now() AT TIME ZONE 'UTC')::date + n, 'YYYYMMDD') FROM generate_series(0, :days) n")


HEADS = text(
    """
    SELECT t.tenant_id, l.position, e.id
      FROM unnest(:tenants) t (tenant_id)
     CROSS JOIN LATERAL (SELECT position, event_seq FROM event_log
                          WHERE tenant_id = t.tenant_id ORDER BY position DESC LIMIT 1) l
      LEFT JOIN events e ON e.tenant_id = t.tenant_id AND e.seq = l.event_seq
    """
).bindparams(bindparam("tenants", type_=ARRAY(Uuid)))


async def heads(tx: Tx, tenants: Sequence[UUID]) -> dict[UUID, Place]:
    """The last position and event of each of these tenants that has events."""
    rows = await tx.execute(HEADS, {"tenants": list(tenants)})
    return {row.tenant_id: Place(row.position, row.id) for row in rows}


async def lock_sequencer(tx: Tx) -> bool:
    """Lock the sequencer's row until this transaction ends; False when another process holds it."""
    return (await tx.execute(LOCK_SEQUENCER)).one_or_none() is not None


async def drain(tx: Tx) -> int | None:
    """Give positions to at most BATCH pending events, by seq; how many, or None when another process holds the lock."""
    count: int | None = (await tx.execute(DRAIN, {"batch": BATCH})).scalar_one_or_none()
    return count


async def count_pending(tx: Tx) -> int:
    """How many events have no position yet."""
    return int((await tx.execute(COUNT_PENDING)).scalar_one())


async def last_numbers(tx: Tx) -> dict[str, int]:
    """The last value of each identity column: `seq` of events, `position` of event_log."""
    return dict((await tx.execute(LAST_NUMBERS)).one()._mapping)


async def partitions(tx: Tx) -> dict[str, set[str]]:
    """The names of the partitions of events, event_log and attempts, without one that is being detached."""
    found: dict[str, set[str]] = {"events": set(), "event_log": set(), "attempts": set()}
    for row in await tx.execute(PARTITIONS):
        found[row.parent].add(row.name)
    return found


async def first_position(tx: Tx) -> int:
    """The first position that the partitions of the log have room for; what was before it is kept no more."""
    return int((await tx.execute(FIRST_POSITION)).scalar_one())


async def days_ahead(tx: Tx, days: int) -> list[str]:
    """Today and the `days` after it, in UTC by the database's clock, as YYYYMMDD."""
    return list((await tx.execute(DAYS_AHEAD, {"days": days})).scalars())


async def attach(tx: Tx, parent: str, name: str, first: str, end: str) -> None:
    """Create the partition `name` for `first` ≤ key < `end`.

    ATTACH PARTITION does not block writers to the parent table; CREATE TABLE ... PARTITION OF would.
    """
    await tx.execute(text(f'CREATE TABLE "{name}" (LIKE {parent} INCLUDING ALL EXCLUDING IDENTITY)'))
    await tx.execute(text(f"ALTER TABLE {parent} ATTACH PARTITION \"{name}\" FOR VALUES FROM ('{first}') TO ('{end}')"))
