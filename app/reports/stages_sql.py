"""The cases of reports about stages: how long journeys were in one, and which stand in one still."""

from __future__ import annotations

from typing import Final

from app.reports.activities_sql import activities_of

# Journeys that entered the stage in the window, until they left it for another one. As many times as they entered it.
STAGE_TIMES: Final = """
    SELECT f.metric, f.id, f.journey_id, f.lead_id, NULL::uuid AS opportunity_id, f.business,
           f.at, f.left_at IS NOT NULL AS counted, f.left_at IS NULL AS is_open,
           GREATEST(extract(epoch FROM coalesce(f.left_at, :as_of) - f.at), 0) AS seconds, {KEY} AS key
      FROM (SELECT x.name AS metric, t.id, t.journey_id, j.lead_id, j.business, t.occurred_at AS at, n.at AS left_at
              FROM {METRICS}
              JOIN transitions t ON t.tenant_id = :tenant_id AND t.occurred_at >= {SINCE} AND t.occurred_at < :end
                   AND t.recorded_at <= :as_of AND t.to_stage = x.value AND t.from_stage IS DISTINCT FROM t.to_stage
              JOIN journeys j ON j.tenant_id = :tenant_id AND j.id = t.journey_id
              LEFT JOIN LATERAL (
                   SELECT n.occurred_at AS at FROM transitions n
                    WHERE n.tenant_id = :tenant_id AND n.journey_id = t.journey_id AND n.seq > t.seq
                      AND n.recorded_at <= :as_of AND n.to_stage <> t.to_stage ORDER BY n.seq LIMIT 1
              ) n ON true {ONCE}) f {JOINS}
"""

# Accounts or contacts that were made in the window, counted where nothing happened with them for as many hours: they
# are as old, no activity of a lead that was converted to them is dated in that time, and no deal of such a conversion
# moved. They are read in two parts, since live and archived ones have an index each.
_IDLE: Final = """
    SELECT x.name AS metric, r.id, NULL::uuid AS journey_id, NULL::uuid AS lead_id, NULL::uuid AS opportunity_id,
           NULL::text AS business, r.created_at AS at,
           r.created_at <= since.at AND NOT EXISTS (
               SELECT FROM conversions c LEFT JOIN moved m ON m.row_id = c.journey_id
                WHERE c.tenant_id = :tenant_id AND c.{record}_id = r.id AND c.recorded_at <= :as_of
                  AND (c.reverted_at IS NULL OR c.reverted_at > :as_of)
                  AND (EXISTS (SELECT FROM ({activities}) a WHERE a.occurred_at > since.at AND a.occurred_at <= :as_of)
                       OR EXISTS (SELECT FROM opportunity_transitions o
                                   WHERE o.tenant_id = :tenant_id AND o.opportunity_id = c.opportunity_id
                                     AND o.occurred_at > since.at AND o.recorded_at <= :as_of))) AS counted
      FROM {METRICS}
      CROSS JOIN LATERAL (SELECT :as_of - make_interval(hours => x.hours) AS at) since
      JOIN (SELECT id, created_at FROM {record}s WHERE tenant_id = :tenant_id AND archived_at IS NULL
               AND created_at >= :start AND created_at < :end AND created_at <= :as_of
            UNION ALL
            SELECT id, created_at FROM {record}s WHERE tenant_id = :tenant_id AND archived_at IS NOT NULL
               AND created_at >= :start AND created_at < :end AND created_at <= :as_of) r ON x.name = 'idle_{record}s'
"""
# Journeys that entered, in the window, the stage in which they stand, counted where they do so for as many days: more
# than the number before the hyphen, at most the one after it.
_STANDING: Final = """
    SELECT x.name AS metric, s.id, s.journey_id, s.lead_id, NULL::uuid AS opportunity_id, s.business, s.at,
           coalesce(s.days > NULLIF(split_part(x.value, '-', 1), '')::integer, true)
           AND coalesce(s.days <= NULLIF(split_part(x.value, '-', 2), '')::integer, true) AS counted
      FROM (SELECT t.id, t.journey_id, t.to_stage, j.lead_id, j.business, t.occurred_at AS at,
                   extract(epoch FROM :as_of - t.occurred_at) / 86400 AS days
              FROM transitions t JOIN journeys j ON j.tenant_id = :tenant_id AND j.id = t.journey_id
             WHERE t.tenant_id = :tenant_id AND t.occurred_at >= :start AND t.occurred_at < :end
               AND t.recorded_at <= :as_of
               AND NOT EXISTS (SELECT FROM transitions n WHERE n.tenant_id = :tenant_id
                                  AND n.journey_id = t.journey_id AND n.seq > t.seq AND n.recorded_at <= :as_of)) s
      JOIN {METRICS} ON x.start = s.to_stage
"""
AGEING: Final = " UNION ALL ".join(
    [
        _STANDING,
        *(
            _IDLE.replace("{record}", record).replace("{activities}", activities_of("coalesce(m.lead_id, c.lead_id)"))
            for record in ("account", "contact")
        ),
    ]
)
