"""SQL across tenants: inserts received submissions, and claims those that wait for processing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import text

from app.database.transaction import Database, Records, Tx
from app.submissions.received import Received

BATCH: Final = 100
BATCH_BYTES: Final = 2 * 1024 * 1024

# An existing id was written by an earlier attempt of which the response was lost: the insert is retried then.
INSERT_RECEIVED: Final = """
    INSERT INTO submissions (tenant_id, id, source_id, method, query, headers, body, sha256, received_at)
    SELECT tenant_id, id, source_id, method, query, headers::jsonb, body, sha256, received_at
      FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::text[],
                  $9::timestamptz[])
        AS r(tenant_id, id, source_id, method, query, headers, body, sha256, received_at)
    ON CONFLICT (tenant_id, id) DO NOTHING
"""
COLUMNS: Final = ("tenant_id", "id", "source_id", "method", "query", "headers", "body", "sha256", "received_at")

# Oldest first, up to a total size that fits into memory; the first is claimed whatever its size. Rows that are locked
# but over that size are released with the transaction. `rested_at` leaves out those whose next try is later.
CLAIM = text(
    """
    WITH claimed AS MATERIALIZED (
        SELECT tenant_id, id, received_at, octet_length(body) AS size FROM submissions
         WHERE state = 'received'
           AND (CAST(:rested_at AS timestamptz) IS NULL OR retry_at IS NULL OR retry_at <= :rested_at)
         ORDER BY received_at, id LIMIT :most FOR UPDATE SKIP LOCKED
    ), measured AS (
        SELECT *, sum(size) OVER (ORDER BY received_at, id) - size AS before FROM claimed
    )
    SELECT s.* FROM measured m JOIN submissions s USING (tenant_id, id)
     WHERE m.before < :bytes ORDER BY s.tenant_id, s.received_at, s.id
    """
)
CLAIM_ONE = text(
    "SELECT * FROM submissions WHERE tenant_id = :tenant_id AND id = :id AND state = 'received' FOR UPDATE SKIP LOCKED"
)


async def insert_received(engine: Database, rows: Sequence[Received]) -> None:
    """Inserts submissions of any tenants; committed on return. DBAPIError, as SQLAlchemy raises it."""
    columns = ([getattr(row, column) for row in rows] for column in COLUMNS)
    async with engine.connect() as tx:
        await tx.run(INSERT_RECEIVED, tx.driver.execute(INSERT_RECEIVED, *columns))


async def claim(tx: Tx, rested_at: datetime | None = None) -> Records:
    """Claims up to a hundred of the oldest waiting submissions, locked until the transaction ends; sorted by tenant."""
    return (await tx.execute(CLAIM, {"most": BATCH, "bytes": BATCH_BYTES, "rested_at": rested_at})).all()


async def claim_one(tx: Tx, tenant_id: UUID, submission_id: UUID) -> Records:
    """Claims one submission; no row when it is processed already or locked by another transaction."""
    return (await tx.execute(CLAIM_ONE, {"tenant_id": tenant_id, "id": submission_id})).all()
