"""The cases of the report of response: runs of clocks, and the contact attempts since the first run of a journey."""

from __future__ import annotations

from typing import Final

from app.reports.activities_sql import activities_of

# Runs that started in the window, as they were known at the instant: the first state of `past` that held longer, else
# the present one. Those that a correction had voided by then are left out.
_RUNS: Final = """
    SELECT r.id, r.journey_id, r.clock, r.started_at AS at, r.due_at, s.met_at, s.stopped_at, s.business_minutes,
           s.owner_id, s.team, j.lead_id, j.business
      FROM clock_runs r
      CROSS JOIN LATERAL jsonb_populate_record(r, coalesce(
           (SELECT p.state FROM jsonb_array_elements(r.past) WITH ORDINALITY p(state, n)
             WHERE (p.state ->> 'until')::timestamptz > :as_of ORDER BY p.n LIMIT 1), '{}')) s
      JOIN journeys j ON j.tenant_id = :tenant_id AND j.id = r.journey_id
     WHERE r.tenant_id = :tenant_id AND r.started_at >= :start AND r.started_at < :end AND r.recorded_at <= :as_of
       AND (r.voided_at IS NULL OR r.voided_at > :as_of)
"""
# A run that was stopped before it was due had nothing to wait for any more, and counts nowhere. Attempts count from the
# first run of a journey until the journey ended.
RESPONSE: Final = f"""
    WITH runs AS MATERIALIZED ({_RUNS})
    SELECT x.name AS metric, r.id, r.journey_id, r.lead_id, NULL::uuid AS opportunity_id, r.business, r.at,
           coalesce(r.met_at <= r.due_at, false) AS counted, r.owner_id, r.team, r.business_minutes AS minutes,
           r.met_at IS NULL AND r.stopped_at IS NULL AND r.due_at >= :as_of AS is_open, NULL::bigint AS attempts
      FROM {{METRICS}} JOIN runs r ON x.start IS NULL AND r.clock = x.value
           AND (r.met_at IS NOT NULL OR r.stopped_at IS NULL OR r.stopped_at > r.due_at)
    UNION ALL
    SELECT x.name, r.id, r.journey_id, r.lead_id, NULL, r.business, r.at,
           made.attempts > 0, r.owner_id, r.team, NULL, ended.at IS NULL, made.attempts
      FROM {{METRICS}}
      JOIN (SELECT DISTINCT ON (clock, journey_id) * FROM runs ORDER BY clock, journey_id, at, id) r
           ON x.start IS NOT NULL AND r.clock = x.value
      LEFT JOIN moved m ON m.row_id = r.journey_id
      LEFT JOIN LATERAL (
           SELECT t.occurred_at AS at
             FROM (SELECT * FROM transitions t WHERE t.tenant_id = :tenant_id AND t.journey_id = r.journey_id
                      AND t.recorded_at <= :as_of ORDER BY t.seq DESC LIMIT 1) t
             JOIN policies p ON p.tenant_id = :tenant_id AND p.id = t.policy_id
            WHERE EXISTS (SELECT FROM jsonb_array_elements(p.document -> 'stages') s
                           WHERE s ->> 'name' = t.to_stage AND s ->> 'kind' NOT IN ('open', 'parked'))
      ) ended ON true
      CROSS JOIN LATERAL (
           SELECT count(*) AS attempts FROM ({activities_of("coalesce(m.lead_id, r.lead_id)")}) a
            WHERE a.kind = 'contact_attempt' AND a.occurred_at >= r.at AND a.occurred_at <= coalesce(ended.at, :as_of)
      ) made
"""  # noqa: S608 - interpolates only what is written here
