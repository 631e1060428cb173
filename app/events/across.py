"""Statements that work across tenants: the sequencer's, and the upkeep of partitions."""

from __future__ import annotations

from typing import Final

from sqlalchemy import text

from app.database.transaction import Tx

BATCH: Final = 1000
WIDTH: Final = 5_000_000  # rows in a partition; migrations/versions/0001 made the first three

ELECT = text("SELECT 1 FROM sequencer WHERE scope = 0 FOR UPDATE SKIP LOCKED")

# Election and drain in one statement are one way to the server instead of four. Its snapshot may be older than what
# the sequencer before it drained: those rows are passed over, since they are gone. Whatever of a lead was told before
# an event in the snapshot is in the snapshot too, so it was drained before or is drained here, by its seq. Nothing
# gets a position before the lock is held. Joined by seq alone it would read the whole table of events.
DRAIN = text(
    """
    WITH elected AS (
        SELECT 1 FROM sequencer WHERE scope = 0 FOR UPDATE SKIP LOCKED
    ), drained AS (
        DELETE FROM pending WHERE EXISTS (SELECT 1 FROM elected) AND (tenant_id, seq) IN (
            SELECT tenant_id, seq FROM pending WHERE scope = 0 ORDER BY seq LIMIT :batch
        ) RETURNING tenant_id, seq
    ), logged AS (
        INSERT INTO event_log (tenant_id, event_seq, lead_id, order_key, type, recorded_at)
        SELECT e.tenant_id, e.seq, e.lead_id, e.order_key, e.type, e.recorded_at
          FROM drained JOIN events e USING (tenant_id, seq) ORDER BY e.seq
        RETURNING 1
    )
    SELECT (SELECT count(*) FROM logged) AS count FROM elected
    """
)

LAST_NUMBERS = text(
    """
    SELECT coalesce(pg_sequence_last_value(pg_get_serial_sequence('events', 'seq')::regclass), 0) AS events,
           coalesce(pg_sequence_last_value(pg_get_serial_sequence('event_log', 'position')::regclass), 0) AS event_log
    """
)
NUMBERED = text(
    """
    SELECT p.relname AS parent, c.relname AS name FROM pg_inherits i
      JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
     WHERE p.oid IN ('events'::regclass, 'event_log'::regclass, 'attempts'::regclass)
    """
)
DAYS_AHEAD = text("SELECT to_char((now() AT TIME ZONE 'UTC')::date + n, 'YYYYMMDD') FROM generate_series(0, :days) n")


async def elected(tx: Tx) -> bool:
    """Take the sequencer's row for this transaction; False when another process has it."""
    return (await tx.execute(ELECT)).one_or_none() is not None


async def drain(tx: Tx) -> int | None:
    """Give positions to at most BATCH pending events, by their seq; how many, or None when another process is at it."""
    count: int | None = (await tx.execute(DRAIN, {"batch": BATCH})).scalar_one_or_none()
    return count


async def last_numbers(tx: Tx) -> dict[str, int]:
    """The last seq and the last position that were handed out, by table."""
    return dict((await tx.execute(LAST_NUMBERS)).one()._mapping)


async def partitions(tx: Tx) -> dict[str, set[str]]:
    """The names of the partitions of events, event_log and attempts."""
    found: dict[str, set[str]] = {"events": set(), "event_log": set(), "attempts": set()}
    for row in await tx.execute(NUMBERED):
        found[row.parent].add(row.name)
    return found


async def days_ahead(tx: Tx, days: int) -> list[str]:
    """Today and the `days` after it, in UTC by the database's clock, as YYYYMMDD."""
    return list((await tx.execute(DAYS_AHEAD, {"days": days})).scalars())


async def attach(tx: Tx, parent: str, name: str, first: str, end: str) -> None:
    """Make the partition `name` for `first` ≤ key < `end`; by attaching, so that writers run on meanwhile."""
    await tx.execute(text(f'CREATE TABLE "{name}" (LIKE {parent} INCLUDING ALL EXCLUDING IDENTITY)'))
    await tx.execute(text(f"ALTER TABLE {parent} ATTACH PARTITION \"{name}\" FOR VALUES FROM ('{first}') TO ('{end}')"))
