"""SQL across tenants: the transactions that are open, and tenants whose summaries have to be made."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import DateTime, Integer, bindparam, text

from app.database.transaction import Tx
from app.reports.derived_sql import COMPLETE

# A transaction that was begun has run a statement before the one that it runs now, or runs none at present. One that is
# open for longer than 10 s is no request: somebody's psql, a backup. Who waits by this statement is not waited for.
OPEN: Final = text(
    """
    SELECT pid, xact_start AS waits_until_settled FROM pg_stat_activity
     WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
       AND xact_start > clock_timestamp() - interval '10 seconds'
       AND (xact_start < query_start OR state LIKE 'idle in transaction%')
       AND query NOT LIKE '%waits_until_settled%'
    """
)
# Versions before 17 have the first of both alone. A limit of a transaction that has begun can only be lifted.
TAKE_TIME = text(
    "SELECT set_config(name, CASE name WHEN 'statement_timeout' THEN '10min' ELSE '0' END, true) FROM pg_settings"
    " WHERE name IN ('statement_timeout', 'transaction_timeout')"
)


async def open_transactions(tx: Tx) -> set[tuple[int, datetime]]:
    """Process id and begin of each transaction of more than one statement that is open in this database."""
    return {(row.pid, row.waits_until_settled) for row in await tx.execute(OPEN)}


# Tenants whose cursor is missing, whose summaries are being made, or whose next event is old enough.
TO_SUMMARIZE: Final = text(
    f"""
    SELECT t.id AS tenant_id
      FROM tenants t LEFT JOIN summary_cursors c ON c.tenant_id = t.id
      LEFT JOIN LATERAL (
           SELECT l.recorded_at FROM event_log l WHERE l.tenant_id = c.tenant_id AND l.position > c.position
            ORDER BY l.tenant_id, l.position LIMIT 1
      ) event ON true
     WHERE c.tenant_id IS NULL OR c.built_to IS NOT NULL OR event.recorded_at <= :until OR NOT {COMPLETE}
     ORDER BY c.as_of NULLS FIRST, t.id LIMIT :limit
    """  # noqa: S608 - interpolates a condition
).bindparams(bindparam("until", type_=DateTime(timezone=True)), bindparam("limit", type_=Integer))


async def tenants_to_summarize(tx: Tx, until: datetime, limit: int) -> list[UUID]:
    """The tenants that have something to summarize, those that have waited longest first."""
    return (await tx.execute(TO_SUMMARIZE, {"until": until, "limit": limit})).scalars()


async def take_time(tx: Tx) -> None:
    """Lets this transaction read or remove all rows of a tenant."""
    await tx.execute(TAKE_TIME)
