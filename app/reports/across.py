"""SQL across tenants: the transactions that are open."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sqlalchemy import text

from app.database.transaction import Tx

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


async def open_transactions(tx: Tx) -> set[tuple[int, datetime]]:
    """Process id and begin of each transaction of more than one statement that is open in this database."""
    return {(row.pid, row.waits_until_settled) for row in await tx.execute(OPEN)}
