"""The cases of each report: one row for everything in a denominator, and whether it is in the numerator too.

Columns: metric, id (unique in a metric), journey_id, lead_id (of now), opportunity_id, business, at, counted. `sql.py`
adds the group and what merges have changed since, and counts these rows or pages through them.
"""

from __future__ import annotations

from typing import Final

from app.reports.sql import recorded


def next_milestone() -> str:
    """SQL of the milestone x."to" that the journey of `a` reached after `a`; LIMIT keeps it a look-up by journey."""
    return f"""
           SELECT b.id, b.reached_at FROM milestones b
            WHERE {recorded("b")} AND b.journey_id = a.journey_id AND b.name = x."to"
              AND b.reached_at >= a.reached_at LIMIT 1
    """  # noqa: S608 - interpolates a condition that is written here


# Journeys that reached the first milestone of a metric in the window, and whether they reached its second one within
# the horizon; the volume has no horizon. A journey is read once, with all that it reached, and not for each metric.
FUNNEL: Final = f"""
    SELECT x.name AS metric, c.journey_id AS id, c.journey_id, c.lead_id, NULL::uuid AS opportunity_id, c.business,
           c.reached_at AS at,
           coalesce(b.reached_at <= c.reached_at + make_interval(hours => x.hours),
                    x.hours IS NULL AND b.reached_at IS NOT NULL) AS counted
      FROM (SELECT a.journey_id, a.name, a.reached_at, j.lead_id, j.business, n.names, n.instants
              FROM milestones a
              JOIN journeys j ON j.tenant_id = :tenant_id AND j.id = a.journey_id
             CROSS JOIN LATERAL (
                   SELECT array_agg(b.name) AS names, array_agg(b.reached_at) AS instants FROM milestones b
                    WHERE {recorded("b")} AND b.journey_id = a.journey_id AND b.reached_at >= a.reached_at
             ) n
             WHERE {recorded("a")} AND a.name IN (SELECT x.start FROM {{METRICS}})
               AND a.reached_at >= :start AND a.reached_at < :end {{ONCE}}) c
      JOIN {{METRICS}} ON x.start = c.name AND (x.business IS NULL OR x.business = c.business)
     CROSS JOIN LATERAL (SELECT c.instants[array_position(c.names, x."to")] AS reached_at) b
"""  # noqa: S608 - interpolates only conditions that are written here

# The same cohorts with the time until the second milestone. Whatever has not reached it is seen until the journey ended
# without it (the deal was lost, or the journey entered a closed stage other than that of conversion), else until now.
VELOCITY: Final = f"""
    WITH closed AS MATERIALIZED (
        SELECT p.id AS policy_id, s ->> 'name' AS stage
          FROM policies p CROSS JOIN jsonb_array_elements(p.document -> 'stages') s
         WHERE p.tenant_id = :tenant_id AND s ->> 'kind' NOT IN ('open', 'parked') AND s ->> 'order' IS NULL
    )
    SELECT x.name AS metric, a.journey_id AS id, a.journey_id, j.lead_id, NULL::uuid AS opportunity_id, j.business,
           a.reached_at AS at, b.id IS NOT NULL AS counted, b.id IS NULL AND ended.at IS NULL AS is_open,
           GREATEST(extract(epoch FROM coalesce(b.reached_at, ended.at, :as_of) - a.reached_at), 0) AS seconds
      FROM {{METRICS}}
      JOIN milestones a ON {recorded("a")} AND a.name = x.start AND a.reached_at >= :start AND a.reached_at < :end
      JOIN journeys j ON j.tenant_id = :tenant_id AND j.id = a.journey_id
           AND (x.business IS NULL OR j.business = x.business)
      LEFT JOIN LATERAL ({next_milestone()}) b ON true
      LEFT JOIN LATERAL (
           SELECT min(e.at) AS at FROM (
                  SELECT c.reached_at AS at FROM milestones c
                   WHERE {recorded("c")} AND c.journey_id = a.journey_id AND c.name = 'lost'
                  UNION ALL
                  SELECT t.occurred_at
                    FROM (SELECT * FROM transitions t WHERE t.tenant_id = :tenant_id AND t.journey_id = a.journey_id
                             AND t.recorded_at <= :as_of ORDER BY t.seq DESC LIMIT 1) t
                   WHERE EXISTS (SELECT FROM closed s WHERE s.policy_id = t.policy_id AND s.stage = t.to_stage)) e
      ) ended ON b.id IS NULL
"""  # noqa: S608 - interpolates only conditions that are written here

# Deals that were closed in the window and are closed still, of those that ever were qualified. Business and amount are
# those at the closing, which its row keeps; of deals that were closed before it kept them, those of now.
WINS: Final = """
    SELECT x.name AS metric, o.id, o.journey_id, coalesce(j.lead_id, o.origin_lead_id) AS lead_id,
           o.id AS opportunity_id, closing.business, t.occurred_at AS at, t.class = 'won' AS counted,
           closing.amount, closing.currency
      FROM {METRICS}
      JOIN opportunity_transitions t ON t.tenant_id = :tenant_id AND t.class IN ('won', 'lost')
           AND t.occurred_at >= :start AND t.occurred_at < :end AND t.recorded_at <= :as_of
      JOIN opportunities o ON o.tenant_id = :tenant_id AND o.id = t.opportunity_id
      CROSS JOIN LATERAL (
           SELECT coalesce(t.evidence ->> 'business', o.business) AS business,
                  CASE WHEN t.evidence ? 'business' THEN (t.evidence #>> '{amount,value}')::numeric
                       ELSE o.amount END AS amount,
                  CASE WHEN t.evidence ? 'business' THEN t.evidence #>> '{amount,currency}'
                       ELSE o.currency END AS currency
      ) closing
      LEFT JOIN journeys j ON j.tenant_id = :tenant_id AND j.id = o.journey_id
     WHERE (x.business IS NULL OR x.business = closing.business)
       AND EXISTS (SELECT FROM opportunity_transitions q WHERE q.tenant_id = :tenant_id
                      AND q.opportunity_id = t.opportunity_id AND q.seq < t.seq AND q.class = 'qualified')
       AND NOT EXISTS (SELECT FROM opportunity_transitions n WHERE n.tenant_id = :tenant_id
                          AND n.opportunity_id = t.opportunity_id AND n.seq > t.seq AND n.recorded_at <= :as_of)
"""
