"""The cases of each report: one row for everything in a denominator, and whether it is in the numerator too.

Columns: metric, id (unique in a metric), journey_id, lead_id (of now), opportunity_id, business, at, counted. `sql.py`
adds the group and what merges have changed since, and counts these rows or pages through them. Statements with `{KEY}`
have the key of the group already, as the column `key`: they look it up once for each journey and not for each metric.
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


# Journeys that reached the first milestone of a metric in the window, with all that they reached and the key of their
# group. Each is read once for a milestone, and not for each metric.
COHORT: Final = f"""
    SELECT f.*, {{KEY}} AS key
      FROM (SELECT a.journey_id, a.name, a.reached_at, j.lead_id, j.business, n.names, n.instants
              FROM milestones a
              JOIN journeys j ON j.tenant_id = :tenant_id AND j.id = a.journey_id
             CROSS JOIN LATERAL (
                   SELECT array_agg(b.name) AS names, array_agg(b.reached_at) AS instants FROM milestones b
                    WHERE {recorded("b")} AND b.journey_id = a.journey_id
             ) n
             WHERE {recorded("a")} AND a.name IN (SELECT x.start FROM {{METRICS}})
               AND a.reached_at >= {{SINCE}} AND a.reached_at < :end {{ONCE}}) f {{JOINS}}
"""  # noqa: S608 - interpolates only conditions that are written here
# The second milestone of a metric, where it was reached after the first one.
SECOND: Final = """
    CROSS JOIN LATERAL (SELECT c.instants[array_position(c.names, x."to")] AS reached_at) s
    CROSS JOIN LATERAL (SELECT CASE WHEN s.reached_at >= c.reached_at THEN s.reached_at END AS reached_at) b
"""

# Whether they reached the second milestone within the horizon; the volume has no horizon.
FUNNEL: Final = f"""
    SELECT x.name AS metric, c.journey_id AS id, c.journey_id, c.lead_id, NULL::uuid AS opportunity_id, c.business,
           c.reached_at AS at,
           coalesce(b.reached_at <= c.reached_at + make_interval(hours => x.hours),
                    x.hours IS NULL AND b.reached_at IS NOT NULL) AS counted, c.key
      FROM ({COHORT}) c
      JOIN {{METRICS}} ON x.start = c.name AND (x.business IS NULL OR x.business = c.business) {SECOND}
"""  # noqa: S608 - interpolates only what is written here


def funnel_numbers(cohort: str) -> str:
    """SQL of the numbers of the funnel, of rows as those of COHORT.

    They are sums of how many journeys reached which milestone in how many days, begun ones included, so that no row is
    made for each metric: within a horizon of whole days are those of at most so many.
    """
    return f"""
    SELECT x.name AS metric, c.key, sum(c.journeys) FILTER (WHERE c."to" = x.start)::bigint AS denominator,
           coalesce(sum(c.journeys) FILTER (WHERE c."to" = x."to" AND (x.hours IS NULL OR c.days * 24 <= x.hours)), 0)
           ::bigint AS numerator, max(c.latest_at) FILTER (WHERE c."to" = x.start) AS latest_at
      FROM (SELECT c.name, c.business, c.key, n.name AS "to",
                   ceil(date_part('epoch', n.at - c.reached_at) / 86400) AS days, count(*) AS journeys,
                   max(c.reached_at) AS latest_at
              FROM ({cohort}) c CROSS JOIN LATERAL unnest(c.names, c.instants) n(name, at)
             WHERE n.at >= c.reached_at
             GROUP BY 1, 2, 3, 4, 5) c
      JOIN {{METRICS}} ON x.start = c.name AND (x.business IS NULL OR x.business = c.business)
           AND c."to" IN (x.start, x."to")
     GROUP BY x.name, c.key ORDER BY c.key NULLS FIRST, x.name LIMIT :limit
    """  # noqa: S608 - interpolates only what is written in this package


FUNNEL_NUMBERS: Final = funnel_numbers(f"{COHORT} WHERE NOT EXISTS (SELECT FROM gone g WHERE g.id = f.journey_id)")

# Closed stages other than that of conversion, and when a journey of `c` entered the one in which it is.
STAGES: Final = """
        SELECT p.id AS policy_id, s ->> 'name' AS stage
          FROM policies p CROSS JOIN jsonb_array_elements(p.document -> 'stages') s
         WHERE p.tenant_id = :tenant_id AND s ->> 'kind' NOT IN ('open', 'parked') AND s ->> 'order' IS NULL
"""
CLOSED: Final = f"closed AS MATERIALIZED ({STAGES})"
ENDED: Final = """
    LEFT JOIN LATERAL (
         SELECT t.occurred_at AS at
           FROM (SELECT * FROM transitions t WHERE t.tenant_id = :tenant_id AND t.journey_id = c.journey_id
                    AND t.recorded_at <= :as_of ORDER BY t.seq DESC LIMIT 1) t
          WHERE EXISTS (SELECT FROM closed s WHERE s.policy_id = t.policy_id AND s.stage = t.to_stage)
    ) e ON true
"""
# The same cohorts with the time until the second milestone. Whatever has not reached it is seen until the journey ended
# without it (the deal was lost, or the journey entered a closed stage other than that of conversion), else until now.
VELOCITY: Final = f"""
    SELECT x.name AS metric, c.journey_id AS id, c.journey_id, c.lead_id, NULL::uuid AS opportunity_id, c.business,
           c.reached_at AS at, b.reached_at IS NOT NULL AS counted,
           b.reached_at IS NULL AND c.ended_at IS NULL AS is_open,
           GREATEST(extract(epoch FROM coalesce(b.reached_at, c.ended_at, :as_of) - c.reached_at), 0) AS seconds, c.key
      FROM (SELECT c.*, LEAST(c.instants[array_position(c.names, 'lost')], e.at) AS ended_at
              FROM ({COHORT}) c
              {ENDED} {{ONCE}}) c
      JOIN {{METRICS}} ON x.start = c.name AND (x.business IS NULL OR x.business = c.business) {SECOND}
"""  # noqa: S608 - interpolates only what is written here

# Deals that were closed in the window and are closed still, of those that ever were qualified. Business and amount are
# those at the closing, which its row keeps; of deals that were closed before it kept them, those of now.
WINS: Final = """
    SELECT x.name AS metric, o.id, o.journey_id, coalesce(j.lead_id, o.origin_lead_id) AS lead_id,
           o.id AS opportunity_id, closing.business, t.occurred_at AS at, t.class = 'won' AS counted,
           closing.amount, closing.currency
      FROM {METRICS}
      JOIN opportunity_transitions t ON t.tenant_id = :tenant_id AND t.class IN ('won', 'lost')
           AND t.occurred_at >= {SINCE} AND t.occurred_at < :end AND t.recorded_at <= :as_of
      JOIN opportunities o ON o.tenant_id = :tenant_id AND o.id = t.opportunity_id
      CROSS JOIN LATERAL (
           SELECT coalesce(t.evidence ->> 'business', o.business) AS business,
                  CASE WHEN t.evidence ? 'business' THEN (t.evidence #>> '{amount,value}')::numeric
                       ELSE o.amount END AS amount,
                  CASE WHEN t.evidence ? 'business' THEN t.evidence #>> '{amount,currency}'
                       ELSE o.currency END AS currency
      ) closing
      LEFT JOIN journeys j ON j.tenant_id = :tenant_id AND j.id = o.journey_id
     WHERE coalesce(closing.business = x.business, x.business IS NULL)
       AND EXISTS (SELECT FROM opportunity_transitions q WHERE q.tenant_id = :tenant_id
                      AND q.opportunity_id = t.opportunity_id AND q.seq < t.seq AND q.class = 'qualified')
       AND NOT EXISTS (SELECT FROM opportunity_transitions n WHERE n.tenant_id = :tenant_id
                          AND n.opportunity_id = t.opportunity_id AND n.seq > t.seq AND n.recorded_at <= :as_of)
"""
