"""Statements over the events of one tenant: insert them, and read them in the order of the log."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, DateTime, Row, Text, TextClause, Uuid, bindparam, text

from app.database.transaction import Record, Tx
from app.events.envelope import Sequenced

SCANNED_ROWS: Final = 10_000
PARTITION_ROWS: Final = 5_000_000  # migrations/versions/0001 created the first three partitions


class Place(NamedTuple):
    """A position of the tenant's log and the id of its event; 0 and None before the first one."""

    position: int
    event_id: UUID | None


INSERT = text(
    """
    WITH emitted AS (
        INSERT INTO events (tenant_id, id, lead_id, order_key, lead_version, type, occurred_at, recorded_at,
                            tx_id, tx_index, tx_size, data)
        SELECT :tenant_id, n.id, n.lead_id, n.order_key, n.lead_version, n.type, n.occurred_at, :now,
               :tx_id, n.place, :size, n.data
          FROM unnest(:id, :lead_id, :order_key, :lead_version, :type, :occurred_at, :data) WITH ORDINALITY
               AS n(id, lead_id, order_key, lead_version, type, occurred_at, data, place)
         ORDER BY n.place
        RETURNING tenant_id, seq
    )
    INSERT INTO pending (tenant_id, seq) SELECT tenant_id, seq FROM emitted
    """
).bindparams(
    bindparam("tenant_id", type_=Uuid),
    bindparam("tx_id", type_=Uuid),
    bindparam("now", type_=DateTime(timezone=True)),
    bindparam("size", type_=BigInteger),
    *(bindparam(name, type_=ARRAY(Uuid)) for name in ("id", "lead_id", "order_key")),
    bindparam("lead_version", type_=ARRAY(BigInteger)),
    *(bindparam(name, type_=ARRAY(Text)) for name in ("type", "data")),
    bindparam("occurred_at", type_=ARRAY(DateTime(timezone=True))),
)

# The last position before those for which the log has room: what was there is kept no more.
BEFORE_LOG: Final = f"""
    (SELECT {PARTITION_ROWS} * coalesce(min(substring(c.relname FROM '[0-9]+$')::bigint), 0)
       FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
      WHERE i.inhparent = 'event_log'::regclass AND NOT i.inhdetachpending)
"""  # noqa: S608 - a constant
# What the last event of each version of a lead says of its score, also where the event is kept no more.
SCORED: Final = """
    (SELECT tenant_id, lead_id, lead_version, recorded_at, lead_computed FROM events
      WHERE lead_version IS NOT NULL AND tx_index = tx_size
     UNION ALL
     SELECT tenant_id, lead_id, lead_version, recorded_at,
            CASE WHEN temperature IS NOT NULL THEN jsonb_build_object(
                 'score', jsonb_build_object('engagement', engagement, 'temperature', temperature),
                 'below_threshold_since', below_threshold_since) END
       FROM kept_scores)
"""
# The columns of Sequenced after `position`, in the order of its fields; `included` is not stored.
COLUMNS: Final = len(Sequenced._fields) - 1
MEMBERS: Final = """e.id, e.type, e.data, e.recorded_at, e.lead_id, e.lead_version, e.order_key, e.tx_id, e.tx_index,
       e.tx_size, e.schema_version, e.lead_computed"""

# `scanned` limits the work when the filter drops nearly every row, `wanted` when it drops none. The head is read in the
# same snapshot, so a page that continues from the head skips no event that became visible meanwhile.
READ = """
    WITH head AS (
        SELECT l.position, e.id
          FROM (SELECT position, event_seq FROM event_log WHERE tenant_id = :tenant_id ORDER BY position DESC LIMIT 1) l
          LEFT JOIN events e ON e.tenant_id = :tenant_id AND e.seq = l.event_seq
    ), scanned AS (
        SELECT position, event_seq, lead_id, type FROM event_log
         WHERE tenant_id = :tenant_id AND position > :after {lead}
         ORDER BY position LIMIT :scanned
    ), wanted AS (
        SELECT position, event_seq FROM scanned {types} ORDER BY position LIMIT :wanted
    ), last AS (
        SELECT s.position, e.id
          FROM (SELECT position, event_seq FROM scanned ORDER BY position DESC LIMIT 1) s
          LEFT JOIN events e ON e.tenant_id = :tenant_id AND e.seq = s.event_seq
    )
    SELECT coalesce(head.position, {before_log}) AS head, head.id AS head_id, s.rows AS scanned_rows,
           last.position AS scanned_to, last.id AS scanned_id, w.position, {members}
      FROM (SELECT count(*) AS rows FROM scanned) s
      LEFT JOIN head ON true LEFT JOIN last ON true
      LEFT JOIN (wanted w JOIN events e ON e.tenant_id = :tenant_id AND e.seq = w.event_seq) ON true
     ORDER BY w.position
"""
FIRST_MEMBER: Final = 5  # the column of READ with the position, which the members follow

# event_log has an index on event_seq for events without a lead only: for others the lead narrows the search.
FIND = text(
    f"""
    SELECT l.position, {MEMBERS} FROM events e
     CROSS JOIN LATERAL (
        SELECT position FROM event_log
         WHERE tenant_id = e.tenant_id AND lead_id = e.lead_id AND event_seq = e.seq
        UNION ALL
        SELECT position FROM event_log
         WHERE e.lead_id IS NULL AND tenant_id = e.tenant_id AND lead_id IS NULL AND event_seq = e.seq
     ) l
     WHERE e.tenant_id = :tenant_id AND e.id = :event_id
    """  # noqa: S608 - the members are a constant
)
HEAD = text(
    f"""
    SELECT coalesce(l.position, {BEFORE_LOG}) AS position, e.id
      FROM (SELECT) one
      LEFT JOIN (SELECT position, event_seq FROM event_log
                  WHERE tenant_id = :tenant_id ORDER BY position DESC LIMIT 1) l ON true
      LEFT JOIN events e ON e.tenant_id = :tenant_id AND e.seq = l.event_seq
    """  # noqa: S608 - a constant
)
NEAREST = """
    SELECT l.position, l.recorded_at, e.id
      FROM (SELECT position, recorded_at, event_seq FROM event_log
             WHERE tenant_id = :tenant_id AND position {side} :position ORDER BY position {order} LIMIT 1) l
      LEFT JOIN events e ON e.tenant_id = :tenant_id AND e.seq = l.event_seq
"""
AT_OR_AFTER = text(NEAREST.format(side=">=", order="ASC"))
AT_OR_BEFORE = text(NEAREST.format(side="<=", order="DESC"))
FIRST_SINCE = text(
    "SELECT position FROM event_log WHERE tenant_id = :tenant_id AND position >= :position AND recorded_at >= :since"
    " ORDER BY position LIMIT 1"
)


async def insert_events(tx: Tx, tenant_id: UUID, rows: Sequence[Mapping[str, Any]], now: datetime, tx_id: UUID) -> None:
    """Insert events and their pending rows in the given order, in one statement."""
    columns = {name: [row[name] for row in rows] for name in rows[0]}
    whole = {"tenant_id": tenant_id, "now": now, "tx_id": tx_id, "size": len(rows)}
    await tx.execute(INSERT, columns | whole)


async def read_log(
    tx: Tx, tenant_id: UUID, after: int, limit: int, types: Sequence[str] | None, lead_id: UUID | None
) -> tuple[list[Sequenced], Place, Place]:
    """(events, place to continue from, head): at most `limit` events after `after` that pass the filters.

    `types` are patterns for LIKE; None means every type. The position is past the rows that were filtered out.
    """
    scanned = limit if types is None else SCANNED_ROWS
    values: dict[str, Any] = {"tenant_id": tenant_id, "after": after, "wanted": limit, "scanned": scanned}
    values |= {"types": list(types)} if types is not None else {}
    values |= {"lead_id": lead_id} if lead_id else {}
    rows = (await tx.execute(_read_statement(lead_id is not None, types is not None), values)).all()
    found = [event_of(row, FIRST_MEMBER) for row in rows if row.position is not None]
    return found, _next_place(rows[0], found, limit, scanned), Place(rows[0].head, rows[0].head_id)


@functools.cache
def _read_statement(by_lead: bool, by_types: bool) -> TextClause:
    """READ with the filters; cached, so that each variant is compiled once."""
    lead, types = "AND lead_id = :lead_id" * by_lead, "WHERE type LIKE ANY (:types)" * by_types
    binds = [bindparam("types", type_=ARRAY(Text))] * by_types
    return text(READ.format(members=MEMBERS, before_log=BEFORE_LOG, lead=lead, types=types)).bindparams(*binds)


def _next_place(row: Row[Any], found: list[Sequenced], limit: int, scanned: int) -> Place:
    if len(found) == limit:
        return Place(found[-1].position, found[-1].id)
    whole = row.scanned_rows == scanned
    return Place(row.scanned_to, row.scanned_id) if whole else Place(row.head, row.head_id)


async def find_event(tx: Tx, tenant_id: UUID, event_id: UUID) -> Sequenced | None:
    """The event, or None when there is none or it has no position yet."""
    row = (await tx.execute(FIND, {"tenant_id": tenant_id, "event_id": event_id})).one_or_none()
    return event_of(row) if row is not None else None


async def head(tx: Tx, tenant_id: UUID) -> Place:
    """The tenant's last position and event; before the first one that which is before the log."""
    return Place(*(await tx.execute(HEAD, {"tenant_id": tenant_id})).one())


async def at_or_after(tx: Tx, tenant_id: UUID, position: int) -> Record | None:
    """(position, recorded_at, id) of the first event from `position` on."""
    return (await tx.execute(AT_OR_AFTER, {"tenant_id": tenant_id, "position": position})).one_or_none()


async def at_or_before(tx: Tx, tenant_id: UUID, position: int) -> Record | None:
    """(position, recorded_at, id) of the last event up to `position`."""
    return (await tx.execute(AT_OR_BEFORE, {"tenant_id": tenant_id, "position": position})).one_or_none()


async def first_since(tx: Tx, tenant_id: UUID, position: int, since: datetime) -> int | None:
    """The first position from `position` on whose event was recorded at `since` or later."""
    values = {"tenant_id": tenant_id, "position": position, "since": since}
    found: int | None = (await tx.execute(FIRST_SINCE, values)).scalar_one_or_none()
    return found


def event_of(row: Any, first: int = 0) -> Sequenced:
    """The event in a row that has its position and MEMBERS from column `first` on."""
    return Sequenced(*row[first : first + COLUMNS])
