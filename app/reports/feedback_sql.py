"""The cases of the report on what sales did with MQLs."""

from __future__ import annotations

from typing import Final

from app.reports.sql import METRICS, recorded

# Journeys that became an MQL in the window, with what happened to them since. `tokens` names each step: into a stage
# (`to:`), by an action (`by:`), and the last one (`at:`), each also with its reason; metrics name what they count.
# `given_up_at`: the first step that the metric `given_up` names; `touched_at`: the first step of a person.
MQLS: Final = f"""
    SELECT a.journey_id, a.reached_at, j.lead_id, j.business, coalesce(m.lead_id, j.lead_id) AS of_lead,
           did.tokens, did.touched_at, did.given_up_at
      FROM milestones a
      JOIN journeys j ON j.tenant_id = :tenant_id AND j.id = a.journey_id
      LEFT JOIN moved m ON m.row_id = a.journey_id
      LEFT JOIN LATERAL (
           SELECT t.seq FROM transitions t
            WHERE t.tenant_id = :tenant_id AND t.journey_id = a.journey_id AND t.recorded_at = a.recorded_at
            ORDER BY t.evidence ? 'attribution' DESC, t.seq DESC LIMIT 1
      ) became ON true
      LEFT JOIN LATERAL (
           SELECT array_agg(s.token) AS tokens, min(s.occurred_at) FILTER (WHERE s.actor ->> 'kind' = 'human')
                  AS touched_at,
                  min(s.occurred_at) FILTER (WHERE s.token = ANY(string_to_array(
                      (SELECT x.value FROM {METRICS} WHERE x.name = 'given_up'), ' '))) AS given_up_at
             FROM (SELECT t.occurred_at, t.actor, v.token
                     FROM (SELECT t.*, lead(t.seq) OVER (ORDER BY t.seq) IS NULL AS is_last FROM transitions t
                            WHERE t.tenant_id = :tenant_id AND t.journey_id = a.journey_id
                              AND t.seq > coalesce(became.seq, 0) AND t.recorded_at <= :as_of) t
                    CROSS JOIN LATERAL (VALUES
                          ('to:' || t.to_stage), ('to:' || t.to_stage || ':' || t.reason_code),
                          ('by:' || t.action), ('by:' || t.action || ':' || t.reason_code),
                          (CASE WHEN t.is_last THEN 'at:' || t.to_stage END),
                          (CASE WHEN t.is_last THEN 'at:' || t.to_stage || ':' || t.reason_code END)) v(token)) s
      ) did ON true
     WHERE {recorded("a")} AND a.name = (SELECT min(x.start) FROM {METRICS})
       AND a.reached_at >= :start AND a.reached_at < :end
"""  # noqa: S608 - interpolates what is written here
# Contact attempts since then, of the lead that the journey was of at the instant: its own activities, without those
# that a merge has brought since, and those that a merge has taken away since.
TRIED: Final = """
    SELECT journey_id, array_agg(occurred_at) AS at FROM (
           SELECT q.journey_id, a.id, a.occurred_at FROM mqls q
             JOIN activities a ON a.tenant_id = :tenant_id AND a.lead_id = q.of_lead AND a.kind = 'contact_attempt'
                  AND a.occurred_at >= q.reached_at AND a.recorded_at <= :as_of
             LEFT JOIN moved o ON o.row_id = a.id
            WHERE o.lead_id IS NULL OR o.lead_id = q.of_lead
           UNION
           SELECT q.journey_id, a.id, a.occurred_at FROM mqls q
             JOIN moved o ON o.lead_id = q.of_lead
             JOIN activities a ON a.tenant_id = :tenant_id AND a.id = o.row_id AND a.kind = 'contact_attempt'
                  AND a.occurred_at >= q.reached_at AND a.recorded_at <= :as_of) a
     GROUP BY journey_id
"""
FEEDBACK: Final = f"""
    WITH mqls AS MATERIALIZED ({MQLS}), tried AS MATERIALIZED ({TRIED})
    SELECT x.name AS metric, q.journey_id AS id, q.journey_id, q.lead_id, NULL::uuid AS opportunity_id, q.business,
           q.reached_at AS at,
           (SELECT count(*) FROM unnest(tried.at) one WHERE one <= q.given_up_at) AS attempts,
           CASE x.name WHEN 'accepted' THEN EXISTS (
                SELECT FROM milestones b WHERE {recorded("b")} AND b.lead_id = q.lead_id
                   AND b.journey_id = q.journey_id AND b.name = x."to" AND b.reached_at >= q.reached_at)
           WHEN 'untouched' THEN q.reached_at + make_interval(hours => x.hours) <= LEAST(
                :as_of, q.touched_at, (SELECT min(one) FROM unnest(tried.at) one))
           ELSE coalesce(q.tokens && string_to_array(x.value, ' '), false) END AS counted
      FROM mqls q
     CROSS JOIN {METRICS}
      LEFT JOIN tried ON tried.journey_id = q.journey_id
"""  # noqa: S608 - interpolates what is written here

# Each rule whose points counted when the journey became an MQL: the case is in the group of each of them.
RULE: Final = (
    "counted.rule",
    f"""
    LEFT JOIN LATERAL (
         SELECT DISTINCT e ->> 'rule_id' AS rule
           FROM (SELECT t.evidence FROM milestones a
                   JOIN transitions t ON t.tenant_id = :tenant_id AND t.journey_id = a.journey_id
                        AND t.recorded_at = a.recorded_at AND t.evidence ? 'attribution'
                  WHERE {recorded("a")} AND a.lead_id = f.lead_id AND a.journey_id = f.journey_id
                  ORDER BY a.reached_at, t.seq LIMIT 1) t
          CROSS JOIN jsonb_array_elements(t.evidence -> 'entries') e
          WHERE (e ->> 'counts')::boolean AND (e ->> 'decayed_points')::numeric <> 0
    ) counted ON true
    """,  # noqa: S608 - interpolates a condition that is written here
)
