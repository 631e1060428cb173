"""Summaries of journeys: how they follow from milestones, and what reports read of them (docs/decisions/0089)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, DateTime, Integer, Uuid, bindparam, text

from app.database.transaction import Record, Records, Tx
from app.reports.sql import recorded

MOST_BEHIND: Final = 20_000  # events that a report adds from the base; where more are left it reads the base alone


# Journeys that merges had closed by the instant.
GONE: Final = """
    SELECT g.closed_journey_id FROM lead_merges g
     WHERE g.tenant_id = :tenant_id AND g.closed_journey_id IS NOT NULL
       AND g.merged_at <= :as_of AND (g.unmerged_at IS NULL OR g.unmerged_at > :as_of)
"""


def fresh(journeys: str) -> str:
    """SQL of the summaries that these journeys should have as of the instant."""
    return f"""
        SELECT j.id AS journey_id, j.business, array_agg(m.name ORDER BY m.name) AS names,
               array_agg(m.reached_at ORDER BY m.name) AS instants, array_agg(m.skipped ORDER BY m.name) AS skips
          FROM journeys j
          JOIN milestones m ON m.tenant_id = :tenant_id AND m.journey_id = j.id AND m.recorded_at <= :as_of
               AND (m.voided_at IS NULL OR m.voided_at > :as_of)
         WHERE j.tenant_id = :tenant_id AND j.id IN ({journeys})
           AND j.id NOT IN ({GONE})
         GROUP BY j.id, j.business
    """  # noqa: S608 - the argument is written below


def stored(journeys: str) -> str:
    """SQL of the summaries that these journeys have."""
    return f"""
        SELECT s.journey_id, s.business, s.names, s.instants, s.skips FROM journey_summaries s
         WHERE s.tenant_id = :tenant_id AND s.journey_id IN ({journeys})
    """  # noqa: S608 - the argument is written below


# Each milestone of a summary `s` with itself and every later one.
PAIRS: Final = """
    SELECT (a.at AT TIME ZONE 'UTC')::date AS reached_on, a.name, b.name AS "to", s.business,
           a.skipped OR b.skipped AS skipped, ceil(date_part('epoch', b.at - a.at) / 86400)::integer AS days,
           a.at, s.journeys
      FROM {SUMMARIES} s
     CROSS JOIN LATERAL unnest(s.names, s.instants, s.skips) a(name, at, skipped)
      JOIN LATERAL unnest(s.names, s.instants, s.skips) b(name, at, skipped) ON b.at >= a.at
"""
# The journeys of the leads of the events after a position, and of leads that were merged with these.
TOUCHED: Final = """
    WITH told AS (
        SELECT l.lead_id FROM event_log l
         WHERE l.tenant_id = :tenant_id AND l.position > :after AND {UNTIL} AND l.lead_id IS NOT NULL
        {MORE}
    ), merged AS (
        SELECT lead_id FROM told
        UNION SELECT m.survivor_id FROM lead_merges m
               WHERE m.tenant_id = :tenant_id AND m.merged_id IN (SELECT lead_id FROM told)
        UNION SELECT m.merged_id FROM lead_merges m
               WHERE m.tenant_id = :tenant_id AND m.survivor_id IN (SELECT lead_id FROM told)
    )
    SELECT j.id FROM journeys j WHERE j.tenant_id = :tenant_id AND j.lead_id IN (SELECT lead_id FROM merged)
"""
PENDING: Final = """
        UNION ALL
        SELECT e.lead_id FROM pending p JOIN events e ON e.tenant_id = p.tenant_id AND e.seq = p.seq
         WHERE p.tenant_id = :tenant_id AND e.lead_id IS NOT NULL
"""
OF_IDS: Final = "SELECT unnest(CAST(:ids AS uuid[]))"
DIFFERENCES: Final = PAIRS.replace(
    "{SUMMARIES}",
    "(SELECT *, 1 AS journeys FROM fresh UNION ALL SELECT *, -1 FROM stale)",
)
# Replaces the summaries of these journeys by those that they should have, and changes the counts by the difference.
FOLD = text(
    f"""
    WITH fresh AS MATERIALIZED ({fresh(OF_IDS)}), stale AS MATERIALIZED ({stored(OF_IDS)}), counted AS (
        INSERT INTO milestone_counts (tenant_id, reached_on, name, "to", business, skipped, days, journeys)
        SELECT :tenant_id, reached_on, name, "to", business, skipped, days, sum(journeys) FROM ({DIFFERENCES}) d
         GROUP BY 2, 3, 4, 5, 6, 7 HAVING sum(journeys) <> 0 ORDER BY 2, 3, 4, 5, 6, 7
        ON CONFLICT (tenant_id, reached_on, name, "to", business, skipped, days)
           DO UPDATE SET journeys = milestone_counts.journeys + EXCLUDED.journeys
    ), dropped AS (
        DELETE FROM journey_summaries s USING stale t
         WHERE s.tenant_id = :tenant_id AND s.journey_id = t.journey_id
           AND NOT EXISTS (SELECT FROM fresh f WHERE f.journey_id = t.journey_id)
    )
    INSERT INTO journey_summaries AS s (tenant_id, journey_id, business, names, instants, skips)
    SELECT :tenant_id, f.* FROM fresh f WHERE NOT EXISTS (SELECT FROM stale t WHERE t = f)
    ON CONFLICT (tenant_id, journey_id) DO UPDATE SET business = EXCLUDED.business, names = EXCLUDED.names,
           instants = EXCLUDED.instants, skips = EXCLUDED.skips
    """  # noqa: S608 - interpolates what is written here
).bindparams(
    bindparam("tenant_id", type_=Uuid),
    bindparam("as_of", type_=DateTime(timezone=True)),
    bindparam("ids", type_=ARRAY(Uuid)),
)
LOCK = text("SELECT * FROM summary_cursors WHERE tenant_id = :tenant_id FOR UPDATE SKIP LOCKED")
LOCK_OR_WAIT = text("SELECT * FROM summary_cursors WHERE tenant_id = :tenant_id FOR UPDATE")
MOVE = text(
    "UPDATE summary_cursors SET position = :position, as_of = :as_of, built_to = :built_to WHERE tenant_id = :tenant_id"
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
EMPTY = (
    text("DELETE FROM milestone_counts WHERE tenant_id = :tenant_id"),
    text("DELETE FROM journey_summaries WHERE tenant_id = :tenant_id"),
)
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
    """
    SELECT c.position FROM summary_cursors c
     WHERE c.tenant_id = :tenant_id AND c.built_to IS NULL AND c.as_of <= :as_of
       AND NOT EXISTS (SELECT FROM event_log l WHERE l.tenant_id = :tenant_id AND l.position > c.position
                        OFFSET :most_behind LIMIT 1)
    """
).bindparams(bindparam("as_of", type_=DateTime(timezone=True)), bindparam("most_behind", type_=Integer))

# What a report reads: the counts of whole days of UTC; of the parts of days at both ends of its window the summaries;
# and of journeys that were touched since, what they count now without what they counted.
CELLS: Final = f"""
    SELECT d.name, d.business, NULL::text AS key, d."to", d.days, sum(d.journeys) AS journeys
      FROM (SELECT c.name, c."to", c.business, c.skipped, c.days, c.journeys FROM milestone_counts c
             WHERE c.tenant_id = :tenant_id AND c.reached_on >= :first_day AND c.reached_on < :last_day
            UNION ALL
            SELECT p.name, p."to", p.business, p.skipped, p.days, p.journeys
              FROM ({PAIRS.replace("{SUMMARIES}", "(SELECT *, 1 AS journeys FROM fresh)")}) p
             WHERE p.at >= :start AND p.at < :end
            UNION ALL
            SELECT p.name, p."to", p.business, p.skipped, p.days, p.journeys
              FROM ({PAIRS.replace("{SUMMARIES}", "(SELECT *, -1 AS journeys FROM stale)")}) p
             WHERE p.reached_on >= :first_day AND p.reached_on < :last_day
            UNION ALL
            SELECT p.name, p."to", p.business, p.skipped, p.days, p.journeys
              FROM ({PAIRS.replace("{SUMMARIES}", "(SELECT *, 1 AS journeys FROM edges)")}) p
             WHERE p.at >= :start AND p.at < :end AND (p.reached_on < :first_day OR p.reached_on >= :last_day)
           ) d
     WHERE :with_skipped OR NOT d.skipped
     GROUP BY 1, 2, 4, 5
"""  # noqa: S608 - interpolates what is written here
EDGES: Final = """
    SELECT m.journey_id FROM milestones m WHERE m.tenant_id = :tenant_id AND m.name IN (SELECT x.start FROM {METRICS})
       AND m.reached_at >= :start AND m.reached_at < LEAST((:first_day)::timestamp AT TIME ZONE 'UTC', :end)
    UNION
    SELECT m.journey_id FROM milestones m WHERE m.tenant_id = :tenant_id AND m.name IN (SELECT x.start FROM {METRICS})
       AND m.reached_at < :end AND m.reached_at >= GREATEST((:last_day)::timestamp AT TIME ZONE 'UTC', :start)
    EXCEPT
    SELECT id FROM touched
"""
OF_TOUCHED: Final = "SELECT id FROM touched"
SEEN: Final = f"""
    touched AS MATERIALIZED ({TOUCHED.replace("{UNTIL}", "true").replace("{MORE}", PENDING)}),
    fresh AS MATERIALIZED ({fresh(OF_TOUCHED)}), stale AS MATERIALIZED ({stored(OF_TOUCHED)}),
    edges AS MATERIALIZED ({stored(EDGES)})
"""
# The numbers of the funnel by these; a number is mature by the last journey that reached its first milestone.
SUMMED: Final = f"""
    WITH {SEEN}, counted AS (
        SELECT x.name, x.start, x.business, coalesce(sum(c.journeys) FILTER (WHERE c."to" = x.start), 0) AS denominator,
               coalesce(sum(c.journeys) FILTER (
                   WHERE c."to" = x."to" AND (x.hours IS NULL OR c.days * 24 <= x.hours)), 0) AS numerator
          FROM ({CELLS}) c
          JOIN {{METRICS}} ON x.start = c.name AND (x.business IS NULL OR x.business = c.business)
               AND c."to" IN (x.start, x."to")
         GROUP BY x.name, x.start, x.business
    )
    SELECT c.name AS metric, NULL::text AS key, c.denominator::bigint, c.numerator::bigint, latest.at AS latest_at
      FROM counted c
     CROSS JOIN LATERAL (
           SELECT m.reached_at AS at
             FROM milestones m JOIN journeys j ON j.tenant_id = :tenant_id AND j.id = m.journey_id
            WHERE {recorded("m")} AND m.name = c.start AND m.reached_at >= :start AND m.reached_at < :end
              AND (c.business IS NULL OR j.business = c.business) AND j.id NOT IN ({GONE})
            ORDER BY m.reached_at DESC LIMIT 1
     ) latest
     WHERE c.denominator > 0 ORDER BY c.name LIMIT :limit
"""  # noqa: S608 - interpolates what is written here
# It reads the cursor in the same snapshot, so that the worker can go on meanwhile.
WRONG: Final = f"""
    WITH cursor AS MATERIALIZED (SELECT * FROM summary_cursors WHERE tenant_id = :tenant_id AND built_to IS NULL)
    SELECT coalesce(f.journey_id, s.journey_id) AS journey_id, f.journey_id IS NULL AS is_extra,
           s.journey_id IS NULL AS is_missing
      FROM ({fresh("SELECT id FROM journeys WHERE tenant_id = :tenant_id")}) f
      FULL JOIN (SELECT journey_id, business, names, instants, skips FROM journey_summaries
                  WHERE tenant_id = :tenant_id) s ON s.journey_id = f.journey_id
     WHERE (f.business, f.names, f.instants, f.skips) IS DISTINCT FROM (s.business, s.names, s.instants, s.skips)
       AND coalesce(f.journey_id, s.journey_id) NOT IN ({TOUCHED.replace("{UNTIL}", "true").replace("{MORE}", PENDING)})
       AND EXISTS (SELECT FROM cursor)
     ORDER BY 1 LIMIT :limit
"""  # noqa: S608 - interpolates what is written here
VERIFY_SUMMARIES = text(
    WRONG.replace(":as_of", "(SELECT as_of FROM cursor)").replace(":after", "(SELECT position FROM cursor)")
)
OF_ALL: Final = "(SELECT *, 1 AS journeys FROM journey_summaries WHERE tenant_id = :tenant_id)"
VERIFY_COUNTS = text(
    f"""
    SELECT reached_on, name, "to", business, skipped, days, sum(journeys) AS stored, sum(expected) AS expected
      FROM (SELECT reached_on, name, "to", business, skipped, days, journeys, 0 AS expected FROM milestone_counts
             WHERE tenant_id = :tenant_id
            UNION ALL
            SELECT reached_on, name, "to", business, skipped, days, 0, journeys
              FROM ({PAIRS.replace("{SUMMARIES}", OF_ALL)}) p
           ) c
     GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(journeys) <> sum(expected) ORDER BY 1, 2, 3, 4, 5, 6 LIMIT :limit
    """  # noqa: S608 - interpolates what is written here
)


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


async def fold(tx: Tx, tenant_id: UUID, journey_ids: Sequence[UUID], as_of: datetime) -> None:
    """Makes the summaries of these journeys anew, and the counts with them."""
    await tx.execute(FOLD, {"tenant_id": tenant_id, "ids": list(journey_ids), "as_of": as_of})


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


async def empty(tx: Tx, tenant_id: UUID) -> None:
    """Removes all summaries and counts."""
    for statement in EMPTY:
        await tx.execute(statement, {"tenant_id": tenant_id})


async def usable(tx: Tx, tenant_id: UUID, as_of: datetime) -> int | None:
    """The position from which a report as of the instant adds what is missing; None where it reads the base alone."""
    values = {"tenant_id": tenant_id, "as_of": as_of, "most_behind": MOST_BEHIND}
    return (await tx.execute(USABLE, values)).scalar_one_or_none()


async def wrong_summaries(tx: Tx, tenant_id: UUID, limit: int) -> Records:
    """Summaries that differ from the milestones, of journeys that no event after the cursor is about."""
    return (await tx.execute(VERIFY_SUMMARIES, {"tenant_id": tenant_id, "limit": limit})).all()


async def wrong_counts(tx: Tx, tenant_id: UUID, limit: int) -> Records:
    """Counts that differ from the sum of the summaries."""
    return (await tx.execute(VERIFY_COUNTS, {"tenant_id": tenant_id, "limit": limit})).all()
