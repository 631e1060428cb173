"""The cases of the report of ideal customers: journeys that were won or lost, and what their leads had looked like."""

from __future__ import annotations

from typing import Final

from app.reports.rules_sql import PROFILE
from app.reports.sql import recorded

LEAST_CASES: Final = 5  # journeys that a value needs to be shown

# Journeys whose deal was won, or lost, in the window, and whether the lead was of the value when it reached the first
# milestone. A metric stands for all values of a kind that enough journeys have, or for the one that follows the kind.
IDEAL: Final = f"""
    WITH ended AS MATERIALIZED (
        SELECT e.journey_id, e.name, e.reached_at AS at, j.lead_id, j.business, seen.profile
          FROM (SELECT DISTINCT x.start, x."to" FROM {{METRICS}}) x
          JOIN milestones e ON {recorded("e")} AND e.name = x."to" AND e.reached_at >= :start AND e.reached_at < :end
          JOIN LATERAL (
               SELECT a.journey_id, a.recorded_at FROM milestones a
                WHERE {recorded("a")} AND a.journey_id = e.journey_id AND a.name = x.start
                LIMIT 1
          ) a ON true
          {PROFILE}
          JOIN journeys j ON j.tenant_id = :tenant_id AND j.id = e.journey_id
    ), had AS MATERIALIZED (
        SELECT e.journey_id, e.name, v.kind, v.value FROM ended e CROSS JOIN LATERAL (
               SELECT k.kind, k.value
                 FROM jsonb_each_text(e.profile - ARRAY['rules', 'personas', 'activities']) k(kind, value)
                WHERE k.value IS NOT NULL
               UNION ALL SELECT 'persona', jsonb_array_elements_text(e.profile -> 'personas')
               UNION ALL SELECT 'activity', jsonb_array_elements_text(e.profile -> 'activities')) v
    ), known AS MATERIALIZED (
        SELECT h.kind, h.value FROM had h GROUP BY h.kind, h.value
        HAVING count(*) >= {LEAST_CASES}
         UNION SELECT split_part(x.value, ':', 1), substr(x.value, strpos(x.value, ':') + 1) FROM {{METRICS}}
                WHERE x.value LIKE '%:%'
    )
    SELECT CASE WHEN x.value = v.kind THEN x.name || ':' || v.value ELSE x.name END AS metric,
           e.journey_id AS id, e.journey_id, e.lead_id, NULL::uuid AS opportunity_id, e.business, e.at,
           h.journey_id IS NOT NULL AS counted
      FROM {{METRICS}}
      JOIN known v ON x.value IN (v.kind, v.kind || ':' || v.value)
      JOIN ended e ON e.name = x."to"
      LEFT JOIN had h ON h.journey_id = e.journey_id AND h.name = e.name AND h.kind = v.kind AND h.value = v.value
"""  # noqa: S608 - interpolates only conditions that are written here
