"""How long journeys take: two derived tables, and what velocity reads of them (docs/decisions/0096)."""

from __future__ import annotations

from typing import Final

from app.reports.cases_sql import CLOSED, ENDED, SECOND
from app.reports.derived_sql import GONE, UNSEEN, Derived
from app.reports.summaries_sql import fresh


def microseconds(interval: str) -> str:
    """SQL of the microseconds of an interval, at least 0. A double has them exactly for 280 years."""
    return f"GREATEST((date_part('epoch', {interval}) * 1000000)::bigint, 0)"


def milestone_times(journeys: str) -> str:
    """SQL of each milestone of these journeys, with all that they reached, and when they entered a closed stage."""
    return f"""
        WITH {CLOSED}
        SELECT c.journey_id, a.name, c.business, a.at AS reached_at, a.skipped, c.names, c.instants, c.skips,
               e.at AS ended_at
          FROM ({fresh(journeys)}) c
         CROSS JOIN LATERAL unnest(c.names, c.instants, c.skips) a(name, at, skipped) {ENDED}
    """  # noqa: S608 - the argument is written in this package, here and below


def stage_times(journeys: str) -> str:
    """SQL of each entry of these journeys into a stage, with the time until they left it for another; null before."""
    return f"""
        SELECT t.journey_id, t.seq, t.to_stage AS stage, t.occurred_at AS entered_at,
               CASE WHEN n.at IS NOT NULL THEN {microseconds("n.at - t.occurred_at")} END AS microseconds
          FROM transitions t
          LEFT JOIN LATERAL (
               SELECT n.occurred_at AS at FROM transitions n
                WHERE n.tenant_id = :tenant_id AND n.journey_id = t.journey_id AND n.seq > t.seq
                  AND n.recorded_at <= :as_of AND n.to_stage <> t.to_stage ORDER BY n.seq LIMIT 1
          ) n ON true
         WHERE t.tenant_id = :tenant_id AND t.journey_id IN ({journeys}) AND t.recorded_at <= :as_of
           AND t.from_stage IS DISTINCT FROM t.to_stage AND t.journey_id NOT IN ({GONE})
    """  # noqa: S608


MILESTONES: Final = Derived(
    "milestone_times",
    "journey_id name",
    "business reached_at skipped names instants skips ended_at",
    milestone_times,
)
STAGES: Final = Derived("stage_times", "journey_id seq", "stage entered_at microseconds", stage_times)
FOLD_MILESTONES, FOLD_STAGES = MILESTONES.fold(), STAGES.fold()
VERIFY_MILESTONES, VERIFY_STAGES = MILESTONES.wrong(), STAGES.wrong()


def cohort(rows: str, columns: str) -> str:
    """SQL of the rows of milestones that are asked for, as COHORT in cases_sql.py, of now."""
    return f"""
    SELECT m.journey_id, m.name, m.business, m.reached_at, m.names, n.instants, {columns}
      FROM ({rows}) m
     CROSS JOIN LATERAL (
           SELECT CASE WHEN :with_skipped OR NOT true = ANY(m.skips) THEN m.instants
                       ELSE ARRAY(SELECT CASE WHEN NOT o.skipped THEN o.at END
                                    FROM unnest(m.instants, m.skips) o(at, skipped)) END AS instants
     ) n
     WHERE m.name = ANY(ARRAY(SELECT x.start FROM {{METRICS}})) AND m.reached_at >= :start AND m.reached_at < :end
       AND (:with_skipped OR NOT m.skipped)
    """  # noqa: S608 - the arguments are written in this package


COHORT: Final = cohort(MILESTONES.seen(), "m.ended_at")
_MEASURED: Final = """
    count(*) AS denominator, count(*) FILTER (WHERE counted) AS numerator,
    array_agg(microseconds) FILTER (WHERE counted) AS reached,
    array_agg(microseconds) FILTER (WHERE NOT counted) AS censored, count(*) FILTER (WHERE is_open) AS n_open
"""
# The numbers of velocity: as VELOCITY in cases_sql.py and STAGE_TIMES in stages_sql.py say. Each time is made once, and
# counted for its pair of milestones and for that of its business.
TIMES: Final = f"""
    WITH touched AS MATERIALIZED ({UNSEEN}), pairs AS (
        SELECT x.start, x."to", c.business, b.reached_at IS NOT NULL AS counted,
               b.reached_at IS NULL AND c.ended_at IS NULL AS is_open,
               {microseconds("coalesce(b.reached_at, c.ended_at, :as_of) - c.reached_at")} AS microseconds
          FROM (SELECT c.name, c.business, c.reached_at, c.names, c.instants,
                       LEAST(c.instants[array_position(c.names, 'lost')], c.ended_at) AS ended_at
                  FROM ({COHORT}) c OFFSET 0) c
          JOIN (SELECT DISTINCT x.start, x."to" FROM {{METRICS}}) x ON x.start = c.name {SECOND}
    ), of_pairs AS (
        SELECT start, "to", business, {_MEASURED} FROM pairs
         GROUP BY GROUPING SETS ((start, "to"), (start, "to", business))
    ), of_stages AS (
        SELECT stage, {_MEASURED}
          FROM (SELECT s.stage, s.microseconds IS NOT NULL AS counted, s.microseconds IS NULL AS is_open,
                       coalesce(s.microseconds, {microseconds(":as_of - s.entered_at")}) AS microseconds
                  FROM ({STAGES.seen()}) s
                 WHERE s.stage = ANY(ARRAY(SELECT x.value FROM {{METRICS}}))
                   AND s.entered_at >= :start AND s.entered_at < :end) s
         GROUP BY stage
    )
    SELECT x.name AS metric, NULL::text AS key, n.denominator, n.numerator, NULL::timestamptz AS latest_at, n.reached,
           n.censored, n.n_open
      FROM (SELECT start, "to", business, NULL::text AS stage, denominator, numerator, reached, censored, n_open
              FROM of_pairs
            UNION ALL SELECT NULL, NULL, NULL, * FROM of_stages) n
      JOIN {{METRICS}} ON (x.start, x."to", x.business, x.value)
           IS NOT DISTINCT FROM (n.start, n."to", n.business, n.stage)
     ORDER BY x.name LIMIT :limit
"""  # noqa: S608
