"""The cases of the pipeline: opportunities that are open at the instant, and those that entered a stage in the window.

Columns beside those of `cases_sql.py`: owner_id and origin of the opportunity, the stage in which it is or which it
entered, amount and currency of what is open; of what entered a stage is_open (still in it) and seconds (until it moved
on, ended, or the instant).
"""

from __future__ import annotations

from typing import Final

from app.reports.times_sql import microseconds

# What metrics are about (`to` of their rows): of open ones how many there are, and how many have an amount; of those
# that entered a stage how long they took, and how many moved on.
COUNT, AMOUNT, TIME, SHARE = "count", "amount", "time", "share"

# An opportunity `o` as it was at the instant.
STATE: Final = """
    (SELECT * FROM opportunity_states s
      WHERE s.tenant_id = :tenant_id AND s.opportunity_id = o.id AND s.recorded_at <= :as_of
      ORDER BY s.version DESC LIMIT 1)
"""
SHARED: Final = """
           o.id AS opportunity_id, o.journey_id, o.origin_lead_id, s.business, s.owner_id,
           CASE WHEN o.origin_lead_id IS NULL THEN 'none' ELSE 'lead' END AS origin
"""
# The lead is looked up outside of the rows `o`, so that numbers that do not need it leave that out.
OF_LEAD: Final = """
    SELECT o.*, coalesce(j.lead_id, o.origin_lead_id) AS lead_id
      FROM ({ROWS}) o LEFT JOIN journeys j ON j.tenant_id = :tenant_id AND j.id = o.journey_id
"""
SPLIT: Final = "(x.business IS NULL OR c.business = x.business) AND (x.origin IS NULL OR c.origin = x.origin)"
_OPEN: Final = f"""
    SELECT {SHARED}, s.class, s.stage, s.stage_entered_at AS at, s.amount, s.currency
      FROM opportunities o CROSS JOIN LATERAL {{STATE}} s
     WHERE o.tenant_id = :tenant_id AND s.class NOT IN ('won', 'lost') AND s.archived_at IS NULL
"""  # noqa: S608 - interpolates only what is written here
_LATER: Final = """
    SELECT n.opportunity_id FROM opportunity_states n WHERE n.tenant_id = :tenant_id AND n.recorded_at > :as_of
"""
# Open ones: those that have not changed since as they are now, the others as they were. Every change of what is counted
# is kept as a state, by a trigger.
STANDING: Final = OF_LEAD.replace(
    "{ROWS}",
    f"""
    {_OPEN.replace("{STATE}", "(SELECT o.*)")} AND NOT EXISTS ({_LATER} AND n.opportunity_id = o.id)
    UNION ALL
    {_OPEN.replace("{STATE}", STATE)} AND o.id IN ({_LATER})
    """,
)
# Those that entered a stage count by the first time; what moved them on is a later stage, or that they are won.
ENTERED: Final = OF_LEAD.replace(
    "{ROWS}",
    f"""
    SELECT {SHARED}, c.to_stage AS stage, c.occurred_at AS at, moved_on.at AS moved_on_at,
           CASE WHEN s.class = 'lost' THEN s.stage_entered_at ELSE s.archived_at END AS ended_at
      FROM (SELECT DISTINCT x.start AS name, x.value::jsonb AS later FROM {{METRICS}}
             WHERE x."to" IN ('{TIME}', '{SHARE}')) g
      JOIN opportunity_transitions c ON c.tenant_id = :tenant_id AND c.to_stage = g.name
           AND c.occurred_at >= {{SINCE}} AND c.occurred_at < :end AND c.recorded_at <= :as_of
      JOIN opportunities o ON o.tenant_id = :tenant_id AND o.id = c.opportunity_id
     CROSS JOIN LATERAL {STATE} s
     CROSS JOIN LATERAL (
           SELECT min(n.occurred_at) AS at FROM opportunity_transitions n
            WHERE n.tenant_id = :tenant_id AND n.opportunity_id = c.opportunity_id AND n.seq > c.seq
              AND n.recorded_at <= :as_of
              AND (n.class = s.class OR n.class <> 'won') AND (n.class = 'won' OR g.later ? n.to_stage)
     ) moved_on
     WHERE NOT EXISTS (SELECT FROM opportunity_transitions b WHERE b.tenant_id = :tenant_id
                          AND b.opportunity_id = c.opportunity_id AND b.to_stage = c.to_stage AND b.seq < c.seq)
    """,  # noqa: S608 - interpolates only what is written here
)

STANDING_CASES: Final = f"""
    SELECT x.name AS metric, c.opportunity_id AS id, c.journey_id, c.lead_id, c.opportunity_id, c.business, c.at,
           x."to" = '{COUNT}' OR c.amount IS NOT NULL AS counted, c.owner_id, c.origin, c.stage
      FROM ({STANDING}) c JOIN {{METRICS}} ON c.class = x.start AND {SPLIT}
     WHERE x."to" IN ('{COUNT}', '{AMOUNT}')
"""  # noqa: S608
ENTERED_CASES: Final = f"""
    SELECT x.name AS metric, c.opportunity_id AS id, c.journey_id, c.lead_id, c.opportunity_id, c.business, c.at,
           c.moved_on_at IS NOT NULL AS counted, c.owner_id, c.origin, c.stage
      FROM ({ENTERED}) c JOIN {{METRICS}} ON c.stage = x.start AND {SPLIT}
     WHERE x."to" IN ('{TIME}', '{SHARE}')
"""  # noqa: S608
# The numbers: what is counted is grouped once by what metrics and groups differ in, before there is a row for each.
_KEYED: Final = """
    SELECT f.*, {KEY} AS key FROM ({ROWS}) f {JOINS}
     WHERE NOT EXISTS (SELECT FROM gone g WHERE g.id = f.journey_id)
"""
_SETS: Final = "GROUP BY GROUPING SETS (({0}), ({0}, c.business), ({0}, c.origin))"
_OF_CELL: Final = "x.business IS NOT DISTINCT FROM c.business AND x.origin IS NOT DISTINCT FROM c.origin"
NUMBERS: Final = f"""
    , standing AS (
        SELECT c.key, c.class, c.business, c.origin, c.currency, count(*) AS count, count(c.amount) AS priced,
               sum(c.amount) AS amount, max(c.at) AS latest_at
          FROM ({_KEYED.replace("{ROWS}", STANDING)}) c {_SETS.format("c.key, c.class, c.currency")}
    ), entered AS (
        SELECT c.key, c.stage, c.business, c.origin, count(*) AS count, count(c.moved_on_at) AS moved_on,
               max(c.at) AS latest_at, array_agg(c.microseconds) FILTER (WHERE c.moved_on_at IS NOT NULL) AS reached,
               array_agg(c.microseconds) FILTER (WHERE c.moved_on_at IS NULL) AS censored,
               count(*) FILTER (WHERE c.moved_on_at IS NULL AND c.ended_at IS NULL) AS n_open
          FROM (SELECT k.*, {microseconds("coalesce(k.moved_on_at, k.ended_at, :as_of) - k.at")} AS microseconds
                  FROM ({_KEYED.replace("{ROWS}", ENTERED)}) k) c {_SETS.format("c.key, c.stage")}
    )
    SELECT x.name AS metric, c.key, sum(c.count)::bigint AS denominator,
           sum(CASE x."to" WHEN '{COUNT}' THEN c.count ELSE c.priced END)::bigint AS numerator,
           max(c.latest_at) AS latest_at, NULL::bigint[] AS reached, NULL::bigint[] AS censored, 0::bigint AS n_open,
           array_agg(c.amount) FILTER (WHERE c.priced > 0) AS amounts,
           array_agg(c.currency) FILTER (WHERE c.priced > 0) AS currencies
      FROM standing c JOIN {{METRICS}} ON x."to" IN ('{COUNT}', '{AMOUNT}') AND c.class = x.start AND {_OF_CELL}
     GROUP BY x.name, c.key
    UNION ALL
    SELECT x.name, c.key, c.count, c.moved_on, c.latest_at, CASE x."to" WHEN '{TIME}' THEN c.reached END,
           CASE x."to" WHEN '{TIME}' THEN c.censored END, c.n_open, NULL, NULL
      FROM entered c JOIN {{METRICS}} ON x."to" IN ('{TIME}', '{SHARE}') AND c.stage = x.start AND {_OF_CELL}
     ORDER BY key NULLS FIRST, metric LIMIT :limit
"""  # noqa: S608
