"""SQL across tenants: inserts received submissions, and claims those that wait for processing.

Rows of imported lists wait in a queue of their own (state `listed`), so that a long list delays no form fill.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import TextClause, Uuid, bindparam, text

from app.database.transaction import Database, Records, Tx
from app.database.turn import Turn
from app.submissions.received import Received

BATCH: Final = 100
CHECKED_AT_ONCE: Final = 50
LISTED_BATCH: Final = 1  # a submission of a list holds many rows
BATCH_BYTES: Final = 2 * 1024 * 1024

# An existing id was written by an earlier attempt of which the response was lost: the insert is retried then.
INSERT_RECEIVED: Final = """
    INSERT INTO submissions (tenant_id, id, source_id, method, query, headers, body, sha256, received_at, suspicion,
           bot_check, client_address)
    SELECT tenant_id, id, source_id, method, query, headers::jsonb, body, sha256, received_at, suspicion, bot_check,
           client_address
      FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::text[], $7::bytea[], $8::text[],
                  $9::timestamptz[], $10::text[], $11::text[], $12::text[])
        AS r(tenant_id, id, source_id, method, query, headers, body, sha256, received_at, suspicion, bot_check,
             client_address)
    ON CONFLICT (tenant_id, id) DO NOTHING
"""
COLUMNS: Final = (
    *("tenant_id", "id", "source_id", "method", "query", "headers", "body", "sha256", "received_at"),
    *("suspicion", "bot_check", "client_address"),
)

# `rested_at` leaves out submissions whose next try is later. A bot check comes before processing.
WAITS: Final = (
    "s.state = '{state}' AND s.bot_check IS DISTINCT FROM 'waiting'"
    " AND (CAST(:rested_at AS timestamptz) IS NULL OR s.retry_at IS NULL OR s.retry_at <= :rested_at)"
)
# A range of the index by tenant and time. With `s.tenant_id = t.tenant_id` a generic plan may take the index by time,
# and read what waits for all other tenants.
OF_TENANT: Final = (
    f"{WAITS} AND (s.tenant_id, s.received_at) BETWEEN (t.tenant_id, '-infinity') AND (t.tenant_id, 'infinity')"
)
# Tenants in turn (docs/decisions/0034). `waiting` reads one entry of the index for each tenant that has submissions,
# and `turns` begins with the tenant after the one that was served last. `shares` takes the oldest submission of each
# tenant, then the second oldest of each, until a batch is full: how many these are is the share of the tenant. Only
# then is anything locked. The batch ends, in that order, at a total size that fits into memory; its first submission
# is claimed whatever its size. Rows that are locked but over that size are released with the transaction.
CLAIM_OF: Final = f"""
    WITH RECURSIVE waiting AS (
        (SELECT s.tenant_id FROM submissions s WHERE {WAITS} ORDER BY s.tenant_id LIMIT 1)
        UNION ALL
        SELECT next.tenant_id FROM waiting w CROSS JOIN LATERAL (
            SELECT s.tenant_id FROM submissions s WHERE {WAITS} AND s.tenant_id > w.tenant_id
             ORDER BY s.tenant_id LIMIT 1) next
    ), turns AS (
        SELECT tenant_id, row_number() OVER (ORDER BY tenant_id <= :after, tenant_id) AS turn FROM waiting
         ORDER BY turn LIMIT :most
    ), shares AS (
        SELECT tenant_id, turn, count(*) AS share FROM (
            SELECT t.tenant_id, t.turn FROM turns t CROSS JOIN LATERAL (
                SELECT row_number() OVER () AS place FROM (
                    SELECT FROM submissions s WHERE {OF_TENANT} ORDER BY s.tenant_id, s.received_at LIMIT :most) s
                ) candidate
             ORDER BY candidate.place, t.turn LIMIT :most) chosen
         GROUP BY tenant_id, turn
    ), claimed AS MATERIALIZED (
        SELECT oldest.*, t.turn FROM shares t CROSS JOIN LATERAL (
            SELECT s.* FROM submissions s WHERE {OF_TENANT}
             ORDER BY s.tenant_id, s.received_at, s.id LIMIT t.share FOR UPDATE SKIP LOCKED) oldest
    ), placed AS (
        SELECT *, row_number() OVER (PARTITION BY tenant_id ORDER BY received_at, id) AS place FROM claimed
    ), measured AS (
        SELECT *, row_number() OVER in_turn AS served,
               sum(octet_length(body)) OVER in_turn - octet_length(body) AS bytes_before
          FROM placed WINDOW in_turn AS (ORDER BY place, turn)
    )
    SELECT * FROM measured WHERE bytes_before < :bytes ORDER BY tenant_id, received_at, id
"""  # noqa: S608
CLAIM, CLAIM_LISTED = (
    text(CLAIM_OF.replace("{state}", state)).bindparams(bindparam("after", type_=Uuid))
    for state in ("received", "listed")
)
CLAIM_ONE = text(
    "SELECT * FROM submissions WHERE tenant_id = :tenant_id AND id = :id AND state IN ('received', 'listed')"
    " AND bot_check IS DISTINCT FROM 'waiting' FOR UPDATE SKIP LOCKED"
)
# Those whose bot check waits, of each tenant the oldest first. Of two processes that choose the same row, the second
# waits for the first, and then finds the row claimed until `retry_at`. `asked`: it was claimed before.
CLAIM_UNCHECKED = text(
    """
    WITH chosen AS (
        SELECT tenant_id, id, retry_at, row_number() OVER (PARTITION BY tenant_id ORDER BY received_at, id) AS place
          FROM submissions WHERE bot_check = 'waiting' AND (retry_at IS NULL OR retry_at <= :now)
         ORDER BY place, tenant_id LIMIT :most
    )
    UPDATE submissions s SET retry_at = :until
      FROM chosen c
     WHERE s.tenant_id = c.tenant_id AND s.id = c.id AND s.bot_check = 'waiting'
       AND (s.retry_at IS NULL OR s.retry_at <= :now)
    RETURNING s.*, c.retry_at IS NOT NULL AS asked
    """
)

# Records that are due, of each tenant in turn its four that wait longest. To claim one counts the attempt, and sets the
# end of its lease as the time of the next.
CLAIM_FETCHES = text(
    """
    WITH RECURSIVE waiting AS (
        (SELECT i.tenant_id FROM submission_items i WHERE i.fetch_at <= :now ORDER BY i.tenant_id LIMIT 1)
        UNION ALL
        SELECT next.tenant_id FROM waiting w CROSS JOIN LATERAL (
            SELECT i.tenant_id FROM submission_items i WHERE i.fetch_at <= :now AND i.tenant_id > w.tenant_id
             ORDER BY i.tenant_id LIMIT 1) next
    ), turns AS (
        SELECT tenant_id, row_number() OVER (ORDER BY tenant_id <= :after, tenant_id) AS turn FROM waiting
         ORDER BY turn LIMIT :most
    ), due AS (
        SELECT t.turn, own.* FROM turns t CROSS JOIN LATERAL (
            SELECT i.tenant_id, i.submission_id, i.index, i.source_id FROM submission_items i
             WHERE i.tenant_id = t.tenant_id AND i.fetch_at <= :now
             ORDER BY i.fetch_at LIMIT :each FOR UPDATE SKIP LOCKED) own
         ORDER BY t.turn LIMIT :most
    )
    UPDATE submission_items i SET fetch_at = :until, fetch_tries = i.fetch_tries + 1
      FROM due d JOIN sources s ON s.tenant_id = d.tenant_id AND s.id = d.source_id
     WHERE i.tenant_id = d.tenant_id AND i.submission_id = d.submission_id AND i.index = d.index
    RETURNING d.turn AS served, i.tenant_id, i.submission_id, i.index AS place, i.submission_key, i.mapped,
              i.fetch_tries, s.id, s.version, s.name, s.preset, s.overrides, s.defaults, s.enabled, s.secrets
    """
).bindparams(bindparam("after", type_=Uuid))
FETCHES: Final = 20
FETCHES_OF_TENANT: Final = 4


async def insert_received(engine: Database, rows: Sequence[Received]) -> None:
    """Inserts submissions of any tenants; committed on return. DBAPIError, as SQLAlchemy raises it."""
    columns = ([getattr(row, column) for row in rows] for column in COLUMNS)
    async with engine.connect() as tx:
        await tx.run(INSERT_RECEIVED, tx.driver.execute(INSERT_RECEIVED, *columns))


async def claim(tx: Tx, turn: Turn | None = None, rested_at: datetime | None = None) -> Records:
    """Claims up to a hundred waiting submissions, of each tenant its oldest, locked until the transaction ends.

    `turn` says with which tenant the batch begins. The rows are sorted by tenant.
    """
    return await _claim(tx, CLAIM, BATCH, turn or Turn(), rested_at)


async def claim_listed(tx: Tx, turn: Turn | None = None, rested_at: datetime | None = None) -> Records:
    """Claims the oldest waiting rows of a list, of the tenant whose turn it is; locked as those of `claim`."""
    return await _claim(tx, CLAIM_LISTED, LISTED_BATCH, turn or Turn(), rested_at)


async def _claim(tx: Tx, statement: TextClause, most: int, turn: Turn, rested_at: datetime | None) -> Records:
    values = {"after": turn.after, "most": most, "bytes": BATCH_BYTES, "rested_at": rested_at}
    return turn.took((await tx.execute(statement, values)).all())


async def claim_one(tx: Tx, tenant_id: UUID, submission_id: UUID) -> Records:
    """Claims one submission; no row when it is processed already or locked by another transaction."""
    return (await tx.execute(CLAIM_ONE, {"tenant_id": tenant_id, "id": submission_id})).all()


async def claim_fetches(tx: Tx, turn: Turn, now: datetime, until: datetime) -> Records:
    """The items whose records are due, with their sources; no other process gets them before `until`."""
    values = {"now": now, "until": until, "after": turn.after, "most": FETCHES, "each": FETCHES_OF_TENANT}
    return turn.took((await tx.execute(CLAIM_FETCHES, values)).all())


async def claim_unchecked(tx: Tx, now: datetime, until: datetime) -> Records:
    """Claims up to fifty submissions whose bot check waits, until `until`; `asked` where that was done before."""
    return (await tx.execute(CLAIM_UNCHECKED, {"now": now, "until": until, "most": CHECKED_AT_ONCE})).all()
