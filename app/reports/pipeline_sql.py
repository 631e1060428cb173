"""The cases of the pipeline: opportunities that are open at the instant, and those that entered a stage in the window.

Columns beside those of `cases_sql.py`: owner_id and origin of the opportunity, the stage in which it is or which it
entered, amount and currency of what is open; of what entered a stage is_open (still in it) and seconds (until it moved
on, ended, or the instant).
"""

from __future__ import annotations

from typing import Final

# An opportunity as it was at the instant.
STATE: Final = """
    CROSS JOIN LATERAL (
        SELECT * FROM opportunity_states s
         WHERE s.tenant_id = :tenant_id AND s.opportunity_id = c.opportunity_id AND s.recorded_at <= :as_of
         ORDER BY s.version DESC LIMIT 1
    ) s
    JOIN opportunities o ON o.tenant_id = :tenant_id AND o.id = c.opportunity_id
    LEFT JOIN journeys j ON j.tenant_id = :tenant_id AND j.id = o.journey_id
"""
SHARED: Final = """
           c.opportunity_id, o.journey_id, coalesce(j.lead_id, o.origin_lead_id) AS lead_id, s.business, s.owner_id,
           CASE WHEN o.origin_lead_id IS NULL THEN 'none' ELSE 'lead' END AS origin
"""
SPLIT: Final = "(x.business IS NULL OR c.business = x.business) AND (x.origin IS NULL OR c.origin = x.origin)"

# Open ones are those that are open now, as far as they were then, and those that have changed since and were open then.
# Those that entered a stage count by the first time; what moved them on is a later stage, or that they are won.
PIPELINE: Final = f"""
    WITH standing AS MATERIALIZED (
        SELECT {SHARED}, s.class, s.stage, s.stage_entered_at AS at, s.amount, s.currency
          FROM (SELECT id AS opportunity_id FROM opportunities
                 WHERE tenant_id = :tenant_id AND class NOT IN ('won', 'lost')
                UNION
                SELECT opportunity_id FROM opportunity_states WHERE tenant_id = :tenant_id AND recorded_at > :as_of) c
               {STATE}
         WHERE s.class NOT IN ('won', 'lost') AND s.archived_at IS NULL
    ), stages AS MATERIALIZED (
        SELECT DISTINCT x.start AS name, x.value::jsonb AS later FROM {{METRICS}} WHERE x."to" IS NULL
    ), entered AS MATERIALIZED (
        SELECT {SHARED}, c.to_stage AS stage, c.occurred_at AS at, moved_on.at AS moved_on_at,
               CASE WHEN s.class = 'lost' THEN s.stage_entered_at ELSE s.archived_at END AS ended_at
          FROM stages g
          JOIN opportunity_transitions c ON c.tenant_id = :tenant_id AND c.to_stage = g.name
               AND c.occurred_at >= :start AND c.occurred_at < :end AND c.recorded_at <= :as_of
               {STATE}
         CROSS JOIN LATERAL (
               SELECT min(n.occurred_at) AS at FROM opportunity_transitions n
                WHERE n.tenant_id = :tenant_id AND n.opportunity_id = c.opportunity_id AND n.seq > c.seq
                  AND n.recorded_at <= :as_of
                  AND (n.class = s.class OR n.class <> 'won') AND (n.class = 'won' OR g.later ? n.to_stage)
         ) moved_on
         WHERE NOT EXISTS (SELECT FROM opportunity_transitions b WHERE b.tenant_id = :tenant_id
                              AND b.opportunity_id = c.opportunity_id AND b.to_stage = c.to_stage AND b.seq < c.seq)
    )
    SELECT x.name AS metric, c.opportunity_id AS id, c.journey_id, c.lead_id, c.opportunity_id, c.business, c.at,
           x."to" = 'count' OR c.amount IS NOT NULL AS counted, c.owner_id, c.origin, c.stage, c.amount, c.currency,
           false AS is_open, NULL::numeric AS seconds
      FROM {{METRICS}} JOIN standing c ON c.class = x.start AND {SPLIT}
     WHERE x."to" IS NOT NULL
    UNION ALL
    SELECT x.name, c.opportunity_id, c.journey_id, c.lead_id, c.opportunity_id, c.business, c.at,
           c.moved_on_at IS NOT NULL, c.owner_id, c.origin, c.stage, NULL, NULL,
           c.moved_on_at IS NULL AND c.ended_at IS NULL,
           GREATEST(extract(epoch FROM coalesce(c.moved_on_at, c.ended_at, :as_of) - c.at), 0)
      FROM {{METRICS}} JOIN entered c ON c.stage = x.start AND {SPLIT}
     WHERE x."to" IS NULL
"""  # noqa: S608 - interpolates only what is written here
