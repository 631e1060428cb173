"""Statements over all tenants: how old partitions are, and the steps in which one is taken away."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import BigInteger, bindparam, text

from app.database.transaction import Tx

# A partition that carries it was taken away by the service. One that an operator detached to keep it stays.
MARK: Final = "kept no more"
STRAGGLING: Final = 1_000_000  # positions; more than are given while a transaction may be open

FIRST_AT: Final = """
    SELECT min(first.recorded_at) FROM tenants t
     CROSS JOIN LATERAL (SELECT recorded_at FROM {table} WHERE tenant_id = t.id AND {column} >= :first
                          ORDER BY {column} LIMIT 1) first
"""
FIRST_EVENT_AT = text(FIRST_AT.format(table="events", column="seq")).bindparams(bindparam("first", type_=BigInteger))
FIRST_POSITION_AT = text(FIRST_AT.format(table="event_log", column="position")).bindparams(
    bindparam("first", type_=BigInteger)
)
# An event with a low `seq` whose transaction was open for long has a position behind those of later events.
STRAGGLERS = text(
    """
    SELECT count(*) FROM tenants t
     CROSS JOIN LATERAL (SELECT position FROM event_log
                          WHERE tenant_id = t.id AND position >= :first AND position < :last AND event_seq < :end
                          ORDER BY position LIMIT 1) straggler
    """
).bindparams(*(bindparam(name, type_=BigInteger) for name in ("first", "last", "end")))
LEFTOVERS = text(
    """
    SELECT c.relname AS name, p.relname AS parent
      FROM pg_class c LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
     WHERE c.relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'events'::regclass)
       AND c.relname ~ '^(events|event_log|attempts)_[0-9]+$' AND c.relkind = 'r'
       AND (i.inhrelid IS NULL OR i.inhdetachpending) AND obj_description(c.oid, 'pg_class') = :mark
     ORDER BY c.relname
    """
)


async def first_at(tx: Tx, table: str, first: int) -> datetime | None:
    """When the first event from this `seq` (of events) or position (of event_log) on was recorded."""
    statement = FIRST_EVENT_AT if table == "events" else FIRST_POSITION_AT
    found: datetime | None = (await tx.execute(statement, {"first": first})).scalar_one()
    return found


async def has_stragglers(tx: Tx, first: int, end: int) -> bool:
    """Whether an event with a `seq` below `end` has a position from `first` on."""
    values = {"first": first, "last": first + STRAGGLING, "end": end}
    return bool((await tx.execute(STRAGGLERS, values)).scalar_one())


async def leftovers(tx: Tx) -> list[tuple[str, str | None]]:
    """Each partition that was taken away and is not yet dropped; with its parent where it is not yet detached."""
    return [(row.name, row.parent) for row in await tx.execute(LEFTOVERS, {"mark": MARK})]


async def detach(tx: Tx, parent: str, name: str) -> None:
    """Take a partition out of its table, which is read and written meanwhile; not in a transaction.

    No lock is held while it waits for the transactions that may read the partition. If it is cancelled, `finalize` it.
    """
    await tx.command(f"COMMENT ON TABLE \"{name}\" IS '{MARK}'")
    await tx.command(f'ALTER TABLE {parent} DETACH PARTITION "{name}" CONCURRENTLY')


async def finalize(tx: Tx, parent: str, name: str) -> None:
    """End a `detach` that was cancelled."""
    await tx.command(f'ALTER TABLE {parent} DETACH PARTITION "{name}" FINALIZE')


async def drop(tx: Tx, name: str) -> None:
    """Drop a detached partition. Alone in its transaction: what reads may lock its tables in another order."""
    await tx.command(f'DROP TABLE IF EXISTS "{name}"')
