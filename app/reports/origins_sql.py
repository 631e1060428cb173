"""Where journeys come from and how far they came: a derived table, and what reports read of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from app.reports.derived_sql import UNSEEN, Derived
from app.reports.parameters import ORIGINS
from app.reports.sources_sql import CONVERTED, COUNTED, DEAL
from app.reports.sql import PAST, first_of


def journey_origins(journeys: str) -> str:
    """SQL of these journeys with both touches of their leads, what they reached, and the amount that they won."""
    touches = ", ".join(
        f"touches.document #>> '{{{touch},{member}}}' AS {touch}_{member}"
        for touch in ("first", "last")
        for member in ORIGINS
    )
    return f"""
        WITH {PAST}
        SELECT j.id AS journey_id, j.opened_at, j.business, {touches}, deal.amount, deal.currency,
               {CONVERTED} <> '{{}}' AS converted,
               ARRAY(SELECT b.name FROM milestones b
                      WHERE b.tenant_id = :tenant_id AND b.journey_id = j.id AND b.recorded_at <= :as_of
                        AND (b.voided_at IS NULL OR b.voided_at > :as_of) ORDER BY b.name) AS reached
          FROM journeys j {first_of("j.id")}
          LEFT JOIN moved m ON m.row_id = j.id
          LEFT JOIN leads l ON l.tenant_id = :tenant_id AND l.id = coalesce(m.lead_id, j.lead_id)
          LEFT JOIN LATERAL (
               SELECT c.before -> 'attribution' AS document FROM lead_changes c
                WHERE c.tenant_id = :tenant_id AND c.lead_id = l.id AND c.recorded_at > :as_of
                  AND c.before -> 'attribution' IS NOT NULL ORDER BY c.version LIMIT 1
          ) past ON true
         CROSS JOIN LATERAL (
               SELECT coalesce(past.document, jsonb_build_object('first', l.first_touch, 'last', l.last_touch))
                      AS document
         ) touches {DEAL}
         WHERE j.tenant_id = :tenant_id AND j.id IN ({journeys}) AND opened.recorded_at <= :as_of
           AND NOT EXISTS (SELECT FROM gone g WHERE g.id = j.id)
    """  # noqa: S608 - the argument is written in this package, here and below


# The column of each group of reports.
GROUPS: Final[Mapping[str | None, str]] = {
    None: "NULL::text",
    "business": "o.business",
    **{name: f"o.first_{name}" for name in ORIGINS},
    **{f"last_{name}": f"o.last_{name}" for name in ORIGINS},
}
JOURNEYS: Final = Derived(
    "journey_origins",
    "journey_id",
    "opened_at business first_source first_medium first_campaign last_source last_medium last_campaign"
    " amount currency converted reached",
    journey_origins,
)
FOLD, VERIFY = JOURNEYS.fold(), JOURNEYS.wrong()
# The numbers of sources by a group: as SOURCES in sources_sql.py, counted before there is a row for each metric.
NUMBERS: Final[Mapping[str | None, str]] = {
    group: f"""
        WITH touched AS MATERIALIZED ({UNSEEN}), j AS (
            SELECT {key} AS key, o.converted, o.reached, o.currency, count(*) AS journeys, sum(o.amount) AS amount
              FROM {JOURNEYS.seen()} o WHERE o.opened_at >= :start AND o.opened_at < :end GROUP BY 1, 2, 3, 4
        )
        SELECT x.name AS metric, j.key, sum(j.journeys)::bigint AS denominator,
               coalesce(sum(j.journeys) FILTER (WHERE c.counted), 0)::bigint AS numerator,
               NULL::timestamptz AS latest_at, array_agg(j.amount) FILTER (WHERE c.counted) AS amounts,
               array_agg(j.currency) FILTER (WHERE c.counted) AS currencies
          FROM j CROSS JOIN {{METRICS}} CROSS JOIN LATERAL (SELECT {COUNTED} AS counted) c
         GROUP BY x.name, j.key ORDER BY j.key NULLS FIRST, x.name LIMIT :limit
    """  # noqa: S608
    for group, key in GROUPS.items()
}
