"""The cases of the report on cohorts."""

from __future__ import annotations

from typing import Final

from app.reports.sql import METRICS, recorded

# Journeys that reached the milestone in the window, each in the cohort of that week or month of the tenant's time zone,
# which `value` of its metrics names by its first day; and whether they reached the next one within the hours of each.
COHORTS: Final = f"""
    WITH reached AS MATERIALIZED (
        SELECT a.journey_id, j.lead_id, j.business, a.reached_at, b.reached_at AS next_at,
               date_trunc(:per, a.reached_at AT TIME ZONE :zone)::date AS begins_on
          FROM milestones a
          JOIN journeys j ON j.tenant_id = :tenant_id AND j.id = a.journey_id
          LEFT JOIN milestones b ON {recorded("b")} AND b.lead_id = j.lead_id AND b.journey_id = a.journey_id
               AND b.name = (SELECT min(x."to") FROM {METRICS}) AND b.reached_at >= a.reached_at
         WHERE {recorded("a")} AND a.name = (SELECT min(x.start) FROM {METRICS})
           AND a.reached_at >= :start AND a.reached_at < :end
    )
    SELECT x.name AS metric, r.journey_id AS id, r.journey_id, r.lead_id, NULL::uuid AS opportunity_id, r.business,
           r.reached_at AS at,
           coalesce(r.next_at <= r.reached_at + make_interval(hours => x.hours), false) AS counted
      FROM {METRICS}
      JOIN reached r ON r.begins_on = x.value::date
"""  # noqa: S608 - interpolates what is written here
