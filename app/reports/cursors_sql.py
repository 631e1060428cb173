"""Until where the log is summarized, and the work on all tables that follow from it (docs/decisions/0089, 0096)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Integer, TextClause, Uuid, bindparam, text

from app.database.transaction import Record, Records, Tx
from app.reports import across, origins_sql, summaries_sql, times_sql
from app.reports.derived_sql import COMPLETE, TOUCHED

MOST_BEHIND: Final = 20_000  # events that a report adds from the base; where more are left it reads the base alone
FOLDS: Final = (summaries_sql.FOLD, times_sql.FOLD_MILESTONES, times_sql.FOLD_STAGES, origins_sql.FOLD)
VERIFY: Final[Mapping[str, TextClause]] = {
    "summary": summaries_sql.VERIFY_SUMMARIES,
    "times of milestones": times_sql.VERIFY_MILESTONES,
    "times in stages": times_sql.VERIFY_STAGES,
    "origin": origins_sql.VERIFY,
}
WRONG_COUNTS: Final = (summaries_sql.VERIFY_COUNTS, origins_sql.VERIFY_COUNTS)
COUNTS: Final = ("milestone_counts", "milestone_months", "origin_counts", "origin_months")
TABLES: Final = (*COUNTS, "journey_summaries", "milestone_times", "stage_times", "journey_origins")
LOCK = text("SELECT * FROM summary_cursors WHERE tenant_id = :tenant_id FOR UPDATE SKIP LOCKED")
LOCK_OR_WAIT = text("SELECT * FROM summary_cursors WHERE tenant_id = :tenant_id FOR UPDATE")
MOVE = text(
    "UPDATE summary_cursors SET position = :position, as_of = :as_of, built_to = :built_to, times_position = :position,"
    " times_built_to = :built_to, counts_position = :position, counts_built_to = :built_to WHERE tenant_id = :tenant_id"
).bindparams(
    bindparam("position", type_=BigInteger),
    bindparam("as_of", type_=DateTime(timezone=True)),
    bindparam("built_to", type_=Uuid),
)
# The last position before which no event is younger than the instant. It reads the whole log, once for each rebuild.
HEAD = text(
    "SELECT coalesce(min(position) FILTER (WHERE recorded_at > :as_of) - 1, max(position), 0)"
    " FROM event_log WHERE tenant_id = :tenant_id"
).bindparams(bindparam("as_of", type_=DateTime(timezone=True)))
BEGIN = text(
    "INSERT INTO summary_cursors (tenant_id, position, as_of, built_to)"
    " VALUES (:tenant_id, 0, 'epoch', :built_to) ON CONFLICT DO NOTHING"
).bindparams(bindparam("built_to", type_=Uuid))
EMPTY: Final[Mapping[str, TextClause]] = {
    table: text(f"DELETE FROM {table} WHERE tenant_id = :tenant_id")  # noqa: S608 - names of tables
    for table in TABLES
}
NEXT_EVENTS = text(
    "SELECT position, recorded_at FROM event_log WHERE tenant_id = :tenant_id AND position > :after"
    " ORDER BY position LIMIT :limit"
).bindparams(bindparam("after", type_=BigInteger), bindparam("limit", type_=Integer))
NEXT_JOURNEYS = text(
    "SELECT id FROM journeys WHERE tenant_id = :tenant_id AND id > :after ORDER BY id LIMIT :limit"
).bindparams(bindparam("after", type_=Uuid), bindparam("limit", type_=Integer))
JOURNEYS_OF_EVENTS = text(TOUCHED.replace("{UNTIL}", "l.position <= :until").replace("{MORE}", "")).bindparams(
    bindparam("after", type_=BigInteger), bindparam("until", type_=BigInteger)
)
# The cursor from which a report as of the instant can go on: everything that it has seen was recorded by then.
USABLE = text(
    f"""
    SELECT c.position FROM summary_cursors c
     WHERE c.tenant_id = :tenant_id AND c.built_to IS NULL AND c.as_of <= :as_of AND {COMPLETE}
       AND NOT EXISTS (SELECT FROM event_log l WHERE l.tenant_id = :tenant_id AND l.position > c.position
                        OFFSET :most_behind LIMIT 1)
    """  # noqa: S608 - interpolates what is written here
).bindparams(bindparam("as_of", type_=DateTime(timezone=True)), bindparam("most_behind", type_=Integer))


async def begin(tx: Tx, tenant_id: UUID) -> None:
    """Makes the cursor of a tenant that has none; its summaries are not made yet."""
    await tx.execute(BEGIN, {"tenant_id": tenant_id, "built_to": UUID(int=0)})


async def lock(tx: Tx, tenant_id: UUID, *, wait: bool = False) -> Record | None:
    """Locks the cursor of a tenant; None where another process has locked it, unless it waits for that."""
    return (await tx.execute(LOCK_OR_WAIT if wait else LOCK, {"tenant_id": tenant_id})).one_or_none()


async def head(tx: Tx, tenant_id: UUID, as_of: datetime) -> int:
    """The position until which all events of the log were recorded by the instant."""
    return int((await tx.execute(HEAD, {"tenant_id": tenant_id, "as_of": as_of})).scalar_one())


async def move(tx: Tx, tenant_id: UUID, position: int, as_of: datetime, built_to: UUID | None) -> None:
    """Moves the cursor."""
    await tx.execute(MOVE, {"tenant_id": tenant_id, "position": position, "as_of": as_of, "built_to": built_to})


async def fold(tx: Tx, tenant_id: UUID, journey_ids: Sequence[UUID], as_of: datetime, *, anew: bool = False) -> None:
    """Makes the rows of these journeys in all derived tables anew, and the counts with them.

    `anew`: no count knows these journeys, whatever rows they have.
    """
    for statement in FOLDS:
        await tx.execute(statement, {"tenant_id": tenant_id, "ids": list(journey_ids), "as_of": as_of, "anew": anew})


async def next_events(tx: Tx, tenant_id: UUID, after: int, limit: int) -> Records:
    """Position and instant of the next events of the log."""
    return (await tx.execute(NEXT_EVENTS, {"tenant_id": tenant_id, "after": after, "limit": limit})).all()


async def journeys_of_events(tx: Tx, tenant_id: UUID, after: int, until: int) -> list[UUID]:
    """The journeys that these events may have changed."""
    values = {"tenant_id": tenant_id, "after": after, "until": until}
    return (await tx.execute(JOURNEYS_OF_EVENTS, values)).scalars()


async def next_journeys(tx: Tx, tenant_id: UUID, after: UUID, limit: int) -> list[UUID]:
    """The next journeys by id."""
    return (await tx.execute(NEXT_JOURNEYS, {"tenant_id": tenant_id, "after": after, "limit": limit})).scalars()


async def empty(tx: Tx, tenant_id: UUID, tables: Sequence[str] = TABLES) -> None:
    """Removes all summaries and counts, or only those of these tables."""
    await across.take_time(tx)
    for table in tables:
        await tx.execute(EMPTY[table], {"tenant_id": tenant_id})


async def usable(tx: Tx, tenant_id: UUID, as_of: datetime) -> int | None:
    """The position from which a report as of the instant adds what is missing; None where it reads the base alone."""
    values = {"tenant_id": tenant_id, "as_of": as_of, "most_behind": MOST_BEHIND}
    return (await tx.execute(USABLE, values)).scalar_one_or_none()


async def wrong_rows(tx: Tx, tenant_id: UUID, kind: str, limit: int) -> Records:
    """Rows of a derived table that differ from the base, of journeys that no event after the cursor is about."""
    return (await tx.execute(VERIFY[kind], {"tenant_id": tenant_id, "limit": limit})).all()


async def wrong_counts(tx: Tx, tenant_id: UUID, limit: int) -> Records:
    """Counts that differ from the sum of the rows that they are of; none while they are being made."""
    values = {"tenant_id": tenant_id, "limit": limit}
    return [row for statement in WRONG_COUNTS for row in (await tx.execute(statement, values)).all()]
