"""Where journeys come from and how far they came: a derived table, and what reports read of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import TextClause

from app.database.transaction import Records, Tx
from app.reports.cases_sql import funnel_numbers
from app.reports.counts_sql import Counts
from app.reports.derived_sql import OF_TOUCHED, UNSEEN, Derived
from app.reports.parameters import MOST_SUMMED, ORIGINS
from app.reports.report import Summed
from app.reports.sources_sql import CAMPAIGNS, CONVERTED, DEAL, SHARES, numbers_of
from app.reports.sql import PAST, first_of, whole
from app.reports.times_sql import MILESTONES, cohort


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


# What is counted of a journey: by business and by each member of both touches how far those got that have it, and what
# they won. An amount has a currency; `cell` stands for what may be too long for an index.
MEMBERS: Final = ("business", *(f"{touch}_{member}" for touch in ("first", "last") for member in ORIGINS))
COUNTS: Final = Counts(
    days="origin_counts",
    months="origin_months",
    on="opened_on",
    key="member cell",
    values="key converted reached currency",
    sums="journeys amount",
    made=f"""
    SELECT r.*, sha256(convert_to((r.key, r.converted, r.reached, r.currency)::text, 'UTF8')) AS cell
      FROM (SELECT (s.opened_at AT TIME ZONE 'UTC')::date AS opened_on, g.member, g.key, s.converted, s.reached,
                   CASE WHEN s.amount IS NOT NULL THEN s.currency END AS currency, s.opened_at AS at, s.journeys,
                   CASE WHEN s.currency IS NOT NULL THEN coalesce(s.amount, 0) ELSE 0 END * s.journeys AS amount
              FROM {{ROWS}} s
             CROSS JOIN LATERAL (VALUES {", ".join(f"('{one}', s.{one})" for one in MEMBERS)}) g(member, key)) r
    """,  # noqa: S608
)
# For each group of reports what is counted, and its key.
GROUPS: Final[Mapping[str | None, tuple[str, str]]] = {
    None: ("business", "NULL::text"),
    "business": ("business", "d.key"),
    **{name: (f"first_{name}", "d.key") for name in ORIGINS},
    **{f"last_{name}": (f"last_{name}", "d.key") for name in ORIGINS},
}


def _counted(member: str, key: str) -> str:
    """SQL of journeys that began in the window, by what the numbers differ in."""
    return f"""
        SELECT {key} AS key, d.converted, d.reached, d.currency, sum(d.journeys) AS journeys, sum(d.amount) AS amount
          FROM ({COUNTS.seen(f"d.member = '{member}'")}) d GROUP BY 1, 2, 3, 4 HAVING sum(d.journeys) > 0
    """  # noqa: S608


JOURNEYS: Final = Derived(
    "journey_origins",
    "journey_id",
    "opened_at business first_source first_medium first_campaign last_source last_medium last_campaign"
    " amount currency converted reached",
    journey_origins,
)
FOLD, VERIFY = JOURNEYS.fold(COUNTS.fold()), JOURNEYS.wrong()
VERIFY_COUNTS = COUNTS.wrong(JOURNEYS.table)
EDGES: Final = f"""
    SELECT {JOURNEYS.columns} FROM {JOURNEYS.table} o
     WHERE o.tenant_id = :tenant_id AND o.journey_id NOT IN ({OF_TOUCHED})
       AND (o.opened_at >= :start AND o.opened_at < LEAST((:first_day)::timestamp AT TIME ZONE 'UTC', :end)
            OR o.opened_at < :end AND o.opened_at >= GREATEST((:last_day)::timestamp AT TIME ZONE 'UTC', :start))
"""  # noqa: S608
SEEN: Final = f"""
    touched AS MATERIALIZED ({UNSEEN}),
    fresh AS MATERIALIZED (SELECT {JOURNEYS.columns} FROM ({journey_origins(OF_TOUCHED)}) made),
    stale AS MATERIALIZED ({JOURNEYS.stored(OF_TOUCHED)}), edges AS MATERIALIZED ({EDGES})
"""  # noqa: S608
# The numbers of sources by a group: as NUMBERS in sources_sql.py.
SUMMED: Final[Mapping[str | None, Summed]] = {
    group: Summed(f"WITH {SEEN}" + numbers_of(_counted(of, key))) for group, (of, key) in GROUPS.items()
}


def _milestones(key: str) -> str:
    """SQL of all milestones as of now, with the key of their journeys."""
    join = "LEFT JOIN {} f ON f.journey_id = d.journey_id"
    stored = f"{join.format(JOURNEYS.table)} AND f.tenant_id = :tenant_id"
    return MILESTONES.seen(f", {key} AS key", stored, join.format(f"({journey_origins(OF_TOUCHED)})"))


# The numbers of the funnel by the first touch: as FUNNEL_NUMBERS in cases_sql.py, of rows of milestones.
FUNNEL: Final[Mapping[str | None, Summed]] = {
    name: Summed(
        f"WITH touched AS MATERIALIZED ({UNSEEN})" + funnel_numbers(cohort(_milestones(f"f.first_{name}"), "m.key")),
        MOST_SUMMED,
    )
    for name in ORIGINS
}


@cache
def _shares_of(member: str, key: str, campaign: str) -> TextClause:
    """The statement of SHARES in sources_sql.py, of now."""
    cases = f"""
        , cases AS (
            SELECT {key.replace("d.key", f"d.{member}")} AS key, d.{campaign} AS campaign FROM ({JOURNEYS.seen()}) d
             WHERE d.opened_at >= :start AND d.opened_at < :end
        )
    """  # noqa: S608
    return whole(f"WITH touched AS MATERIALIZED ({UNSEEN}) {cases} {SHARES}").bindparams(CAMPAIGNS)


async def shares_of_now(
    tx: Tx, tenant_id: UUID, group: str | None, campaign: str, campaigns: Sequence[str], bound: Mapping[str, Any]
) -> Records:
    """As `shares_of`, of now, by the summaries and what they have not seen."""
    statement = _shares_of(*GROUPS[group], GROUPS[campaign][0])
    return (await tx.execute(statement, {"tenant_id": tenant_id, "campaigns": list(campaigns), **bound})).all()
