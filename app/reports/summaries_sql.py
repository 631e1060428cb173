"""Summaries of journeys: how they follow from milestones, and what reports read of them (docs/decisions/0089)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from sqlalchemy import text

from app.reports.derived_sql import GONE, OF_TOUCHED, UNSEEN, Derived
from app.reports.report import Summed
from app.reports.sql import recorded


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


SUMMARIES: Final = Derived("journey_summaries", "journey_id", "business names instants skips", fresh)
# Each milestone of a summary `s` with itself and every later one.
PAIRS: Final = """
    SELECT (a.at AT TIME ZONE 'UTC')::date AS reached_on, a.name, b.name AS "to", s.business,
           a.skipped OR b.skipped AS skipped, ceil(date_part('epoch', b.at - a.at) / 86400)::integer AS days,
           a.at, s.journeys
      FROM {SUMMARIES} s
     CROSS JOIN LATERAL unnest(s.names, s.instants, s.skips) a(name, at, skipped)
      JOIN LATERAL unnest(s.names, s.instants, s.skips) b(name, at, skipped) ON b.at >= a.at
"""
DIFFERENCES: Final = PAIRS.replace(
    "{SUMMARIES}",
    "(SELECT *, 1 AS journeys FROM fresh UNION ALL SELECT *, -1 FROM stale)",
)
# The counts change by the difference.
FOLD = SUMMARIES.fold(
    f""", counted AS (
        INSERT INTO milestone_counts (tenant_id, reached_on, name, "to", business, skipped, days, journeys)
        SELECT :tenant_id, reached_on, name, "to", business, skipped, days, sum(journeys) FROM ({DIFFERENCES}) d
         GROUP BY 2, 3, 4, 5, 6, 7 HAVING sum(journeys) <> 0 ORDER BY 2, 3, 4, 5, 6, 7
        ON CONFLICT (tenant_id, reached_on, name, "to", business, skipped, days)
           DO UPDATE SET journeys = milestone_counts.journeys + EXCLUDED.journeys
    )"""  # noqa: S608 - interpolates what is written here
)
# What a report reads: the counts of whole days of UTC; of the parts of days at both ends of its window the summaries;
# and of journeys that were touched since, what they count now without what they counted.
CELLS: Final = f"""
    SELECT d.name, d.business, d."to", d.days, sum(d.journeys) AS journeys
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
     GROUP BY 1, 2, 3, 4
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
SEEN: Final = f"""
    touched AS MATERIALIZED ({UNSEEN}),
    fresh AS MATERIALIZED ({fresh(OF_TOUCHED)}), stale AS MATERIALIZED ({SUMMARIES.stored(OF_TOUCHED)}),
    edges AS MATERIALIZED ({SUMMARIES.stored(EDGES)})
"""
# The numbers of the funnel by these, without groups and by business; a number is mature by the last journey that
# reached its first milestone.
SUMMED: Final[Mapping[str | None, Summed]] = {
    group: Summed(
        f"""
    WITH {SEEN}, counted AS (
        SELECT x.name, x.start, x.business, {key} AS key,
               coalesce(sum(c.journeys) FILTER (WHERE c."to" = x.start), 0) AS denominator,
               coalesce(sum(c.journeys) FILTER (
                   WHERE c."to" = x."to" AND (x.hours IS NULL OR c.days * 24 <= x.hours)), 0) AS numerator
          FROM ({CELLS}) c
          JOIN {{METRICS}} ON x.start = c.name AND (x.business IS NULL OR x.business = c.business)
               AND c."to" IN (x.start, x."to")
         GROUP BY 1, 2, 3, 4
    )
    SELECT c.name AS metric, c.key, c.denominator::bigint, c.numerator::bigint, latest.at AS latest_at
      FROM counted c
     CROSS JOIN LATERAL (
           SELECT m.reached_at AS at
             FROM milestones m JOIN journeys j ON j.tenant_id = :tenant_id AND j.id = m.journey_id
            WHERE {recorded("m")} AND m.name = c.start AND m.reached_at >= :start AND m.reached_at < :end
              AND coalesce(j.business = c.business, true) AND coalesce(j.business = c.key, true)
              AND j.id NOT IN ({GONE})
            ORDER BY m.reached_at DESC LIMIT 1
     ) latest
     WHERE c.denominator > 0 ORDER BY c.key NULLS FIRST, c.name LIMIT :limit
    """  # noqa: S608 - interpolates what is written here
    )
    for group, key in ((None, "NULL::text"), ("business", "c.business"))
}
VERIFY_SUMMARIES = SUMMARIES.wrong()
ALL: Final = "(SELECT *, 1 AS journeys FROM journey_summaries WHERE tenant_id = :tenant_id)"
VERIFY_COUNTS = text(
    f"""
    SELECT reached_on, name, "to", business, skipped, days, sum(journeys) AS stored, sum(expected) AS expected
      FROM (SELECT reached_on, name, "to", business, skipped, days, journeys, 0 AS expected FROM milestone_counts
             WHERE tenant_id = :tenant_id
            UNION ALL
            SELECT reached_on, name, "to", business, skipped, days, 0, journeys
              FROM ({PAIRS.replace("{SUMMARIES}", ALL)}) p
           ) c
     GROUP BY 1, 2, 3, 4, 5, 6 HAVING sum(journeys) <> sum(expected) ORDER BY 1, 2, 3, 4, 5, 6 LIMIT :limit
    """  # noqa: S608 - interpolates what is written here
)
