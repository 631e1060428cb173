"""The cases of the report of rules: journeys by what their leads looked like when they reached the first milestone.

The transition by which a journey reached it has that in its evidence (app/lifecycle/profile.py); journeys of which
nothing was kept, because an older release recorded them, are no cases.
"""

from __future__ import annotations

from typing import Final

from app.reports.cases_sql import next_milestone
from app.reports.sql import recorded

# What the lead of milestone `a` looked like when it reached that.
PROFILE: Final = """
    JOIN LATERAL (
         SELECT t.evidence -> 'profile' AS profile FROM transitions t
          WHERE t.tenant_id = :tenant_id AND t.journey_id = a.journey_id AND t.recorded_at = a.recorded_at
            AND t.evidence ? 'profile' ORDER BY t.seq DESC LIMIT 1
    ) seen ON true
"""

# Journeys that reached the first milestone in the window: where the rule or persona counted (the metric is named as its
# value), and where it did not. Counted are those that reached the second milestone within the horizon.
RULES: Final = f"""
    WITH reached AS MATERIALIZED (
        SELECT a.journey_id, j.lead_id, j.business, a.reached_at, b.reached_at AS second_at, seen.profile
          FROM (SELECT DISTINCT x.start, x."to" FROM {{METRICS}}) x
          JOIN milestones a ON {recorded("a")} AND a.name = x.start AND a.reached_at >= :start AND a.reached_at < :end
          {PROFILE}
          JOIN journeys j ON j.tenant_id = :tenant_id AND j.id = a.journey_id
          LEFT JOIN LATERAL ({next_milestone()}) b ON true
    )
    SELECT x.name AS metric, r.journey_id AS id, r.journey_id, r.lead_id, NULL::uuid AS opportunity_id, r.business,
           r.reached_at AS at,
           coalesce(r.second_at <= r.reached_at + make_interval(hours => x.hours), false) AS counted
      FROM {{METRICS}}
      JOIN reached r ON (x.name = x.value)
           = (r.profile -> (split_part(x.value, ':', 1) || 's') ? split_part(x.value, ':', 2))
"""  # noqa: S608 - interpolates only conditions that are written here
