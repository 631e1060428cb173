"""Summaries of journeys: how they follow from milestones, and what reports read of them (docs/decisions/0089)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.reports.counts_sql import Counts
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
# Each milestone of a summary with itself and every later one.
COUNTS: Final = Counts(
    days="milestone_counts",
    months="milestone_months",
    on="reached_on",
    key='name "to" business skipped days',
    values="",
    sums="journeys",
    made="""
    SELECT (a.at AT TIME ZONE 'UTC')::date AS reached_on, a.name, b.name AS "to", s.business,
           a.skipped OR b.skipped AS skipped, ceil(date_part('epoch', b.at - a.at) / 86400)::integer AS days,
           a.at, s.journeys
      FROM {ROWS} s
     CROSS JOIN LATERAL unnest(s.names, s.instants, s.skips) a(name, at, skipped)
      JOIN LATERAL unnest(s.names, s.instants, s.skips) b(name, at, skipped) ON b.at >= a.at
    """,
)
FOLD = SUMMARIES.fold(COUNTS.fold())
CELLS: Final = f"""
    SELECT d.name, d.business, d."to", d.days, sum(d.journeys) AS journeys
      FROM ({COUNTS.seen()}) d
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
VERIFY_COUNTS = COUNTS.wrong("journey_summaries")
