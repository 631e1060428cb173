"""SQL of imports and of the submissions that hold their rows, within one tenant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import LargeBinary, bindparam, insert, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT

from app.database.tables import imports
from app.database.transaction import Record, Records, Tx
from app.web.pages import Page

# The rows are stored before it is known whether the list arrives as a whole: nothing processes them until then.
ADD_ROWS = text(
    """
    WITH noted AS (
        UPDATE imports SET rows = :rows, bytes = :bytes, updated_at = :now
         WHERE tenant_id = :tenant_id AND id = :id AND state = 'receiving' RETURNING source_id, created_at
    )
    INSERT INTO submissions (tenant_id, id, source_id, method, query, headers, body, sha256, state, received_at,
                             import_id, listed)
    SELECT :tenant_id, p.id, noted.source_id, 'POST', '', '{"content-type": "application/json"}', p.body, '',
           'arriving', noted.created_at, :id, p.listed::jsonb
      FROM noted, unnest(CAST(:ids AS uuid[]), :bodies, :listed) AS p(id, body, listed)
    """
).bindparams(bindparam("bodies", type_=ARRAY(LargeBinary)), bindparam("listed", type_=ARRAY(TEXT)))
PUBLISH = text(
    """
    WITH stored AS (
        UPDATE imports SET state = 'stored', sha256 = :sha256, bytes = :bytes, rows = :rows, columns = :columns,
               delimiter = :delimiter, text_guessed = :text_guessed, updated_at = :now
         WHERE tenant_id = :tenant_id AND id = :id AND state = 'receiving' RETURNING *
    ), listed AS (
        UPDATE submissions s SET state = 'listed', sha256 = :sha256
          FROM stored WHERE s.tenant_id = :tenant_id AND s.import_id = stored.id AND s.state = 'arriving'
    )
    SELECT * FROM stored
    """
).bindparams(bindparam("columns", type_=JSONB))
DISCARD = text(
    """
    WITH gone AS (DELETE FROM imports WHERE tenant_id = :tenant_id AND id = :id AND state = 'receiving' RETURNING id)
    DELETE FROM submissions s USING gone
     WHERE s.tenant_id = :tenant_id AND s.import_id = gone.id AND s.state = 'arriving'
    """
)
# The deletion is a statement of its own, so that it sees rows which arrived until the import was locked. Those that are
# being processed are locked; they are done when it sees them, and stay.
CANCEL = text(
    "UPDATE imports SET state = 'cancelled', cancelled_at = :now, updated_at = :now"
    " WHERE tenant_id = :tenant_id AND id = :id AND state IN ('receiving', 'stored') RETURNING id"
)
DELETE_WAITING = text(
    "DELETE FROM submissions WHERE tenant_id = :tenant_id AND import_id = :id AND state IN ('arriving', 'listed')"
)
# One entry of the index says whether rows of a list wait: all of them were received when it was created.
IS_WAITING: Final = """EXISTS (SELECT FROM submissions w WHERE w.tenant_id = i.tenant_id AND w.import_id = i.id
                        AND w.received_at = i.created_at AND w.state = 'listed')"""
FIND = text(f"SELECT i.*, {IS_WAITING} AS is_waiting FROM imports i WHERE tenant_id = :tenant_id AND id = :id")  # noqa: S608
WAITING = text(
    f"SELECT i.id FROM imports i WHERE tenant_id = :tenant_id AND id = ANY(:ids) AND {IS_WAITING}"  # noqa: S608
)
PROGRESS = text(
    """
    SELECT max(processed_at) AS processed_at, (
           SELECT jsonb_object_agg(verdict, number) FROM (
               SELECT v.key AS verdict, sum(v.value::integer) AS number
                 FROM submissions c, jsonb_each_text(c.verdicts) v
                WHERE c.tenant_id = :tenant_id AND c.import_id = :id GROUP BY v.key) counted) AS counts
      FROM submissions s WHERE s.tenant_id = :tenant_id AND s.import_id = :id
    """
)
# `first` is the submission that a page begins in. Submissions without a wanted row are left out by their counts.
ROWS = text(
    """
    SELECT s.id, i.index AS place, (s.listed -> 'rows' ->> i.index)::integer AS number, i.verdict, i.lead_id, i.reason,
           coalesce(i.mapped -> 'unmet', '[]') AS unmet
      FROM (SELECT id, listed FROM submissions
             WHERE tenant_id = :tenant_id AND import_id = :import_id
               AND (CAST(:first AS uuid) IS NULL OR id >= :first)
               AND (CAST(:verdict AS text) IS NULL OR verdicts ? :verdict)
             ORDER BY tenant_id, import_id, id LIMIT :most) s
      JOIN submission_items i ON i.tenant_id = :tenant_id AND i.submission_id = s.id
     WHERE (CAST(:verdict AS text) IS NULL OR i.verdict = :verdict)
       AND (CAST(:first AS uuid) IS NULL OR (s.id, i.index) > (:first, :place))
     ORDER BY s.id, i.index LIMIT :most
    """
)
QUARANTINED = text(
    """
    SELECT s.id, s.body, s.listed,
           (SELECT jsonb_agg(jsonb_build_object('place', i.index, 'reason', i.reason,
                                                'unmet', coalesce(i.mapped -> 'unmet', '[]')) ORDER BY i.index)
              FROM submission_items i
             WHERE i.tenant_id = :tenant_id AND i.submission_id = s.id AND i.verdict = 'quarantined') AS refused
      FROM submissions s
     WHERE s.tenant_id = :tenant_id AND s.import_id = :import_id AND s.verdicts ? 'quarantined'
       AND s.emptied_at IS NULL
       AND (CAST(:after AS uuid) IS NULL OR s.id > :after)
     ORDER BY s.tenant_id, s.import_id, s.id LIMIT :most
    """
)


# For statements that write every submission of a list at once.
LONGER: Final = "SET LOCAL statement_timeout = '2min'"
IS_IMPORTED = text(
    "SELECT EXISTS (SELECT FROM imports WHERE tenant_id = :tenant_id AND source_id = :source_id AND sha256 = :sha256)"
)


async def is_imported(tx: Tx, tenant_id: UUID, source_id: UUID, sha256: str) -> bool:
    """Whether a file with this hash was imported by this source, whatever became of it."""
    values = {"tenant_id": tenant_id, "source_id": source_id, "sha256": sha256}
    return bool((await tx.execute(IS_IMPORTED, values)).scalar_one())


async def begin_import(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> None:
    await tx.execute(insert(imports).values(tenant_id=tenant_id, **values))


async def add_rows(tx: Tx, tenant_id: UUID, import_id: UUID, values: Mapping[str, Any], now: datetime) -> None:
    """Stores rows of a list that is being received: each body holds those of one submission."""
    await tx.execute(ADD_ROWS, {"tenant_id": tenant_id, "id": import_id, "now": now, **values})


async def publish(tx: Tx, tenant_id: UUID, import_id: UUID, values: Mapping[str, Any], now: datetime) -> Record | None:
    """Lets the rows of a list be processed, all of which are stored; None when it was cancelled meanwhile."""
    await tx.command(LONGER)
    return (await tx.execute(PUBLISH, {"tenant_id": tenant_id, "id": import_id, "now": now, **values})).one_or_none()


async def discard(tx: Tx, tenant_id: UUID, import_id: UUID) -> None:
    """Deletes an import whose list did not arrive as a whole."""
    await tx.command(LONGER)
    await tx.execute(DISCARD, {"tenant_id": tenant_id, "id": import_id})


async def cancel(tx: Tx, tenant_id: UUID, import_id: UUID, now: datetime) -> None:
    """Deletes the rows of a list that are not processed yet, unless it is cancelled already."""
    await tx.command(LONGER)
    if (await tx.execute(CANCEL, {"tenant_id": tenant_id, "id": import_id, "now": now})).all():
        await tx.execute(DELETE_WAITING, {"tenant_id": tenant_id, "id": import_id})


async def find(tx: Tx, tenant_id: UUID, import_id: UUID) -> Record | None:
    """An import, with whether rows of it wait."""
    return (await tx.execute(FIND, {"tenant_id": tenant_id, "id": import_id})).one_or_none()


async def progress(tx: Tx, tenant_id: UUID, import_id: UUID) -> Record:
    """How many rows of an import have each verdict, and when the last of them was processed."""
    return (await tx.execute(PROGRESS, {"tenant_id": tenant_id, "id": import_id})).one()


async def list_imports(tx: Tx, tenant_id: UUID, page: Page) -> Records:
    return (await tx.execute(page.statement(select(imports).where(imports.c.tenant_id == tenant_id), imports))).all()


async def waiting(tx: Tx, tenant_id: UUID, import_ids: Sequence[UUID]) -> set[UUID]:
    """Those of these imports of which rows wait."""
    return set((await tx.execute(WAITING, {"tenant_id": tenant_id, "ids": list(import_ids)})).scalars())


async def rows_of(tx: Tx, tenant_id: UUID, import_id: UUID, values: Mapping[str, Any]) -> Records:
    """Processed rows in their order, after a place in a submission, of one verdict or all."""
    return (await tx.execute(ROWS, {"tenant_id": tenant_id, "import_id": import_id, **values})).all()


async def quarantined(tx: Tx, tenant_id: UUID, import_id: UUID, after: UUID | None, most: int) -> Records:
    """Submissions with rows in quarantine, in their order, with the reasons."""
    values = {"tenant_id": tenant_id, "import_id": import_id, "after": after, "most": most}
    return (await tx.execute(QUARANTINED, values)).all()
