"""The cases of the report on sources, and the costs of campaigns, each from when it was recorded on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ARRAY, Date, DateTime, Integer, Text, TextClause, Uuid, bindparam, insert, text

from app.database.tables.administration import campaign_costs
from app.database.transaction import Records, Tx
from app.ids import new_id
from app.reports.parameters import ORIGINS
from app.reports.sql import GROUPS, first_of, framed, of_lead, recorded

BEGUN: Final = f"""
    SELECT j.id, j.id AS journey_id, j.lead_id, j.business, j.opened_at FROM journeys j {first_of("j.id")}
     WHERE opened.recorded_at <= :as_of AND j.tenant_id = :tenant_id AND j.opened_at >= {{SINCE}} AND j.opened_at < :end
"""  # noqa: S608 - interpolates what is written here
# The conversions of a journey `j` that were not reverted, and its deal that is won, with the amount of its closing as
# in `WINS`.
CONVERTED: Final = """
    ARRAY(SELECT c.id FROM conversions c
           WHERE c.tenant_id = :tenant_id AND c.lead_id = j.lead_id AND c.journey_id = j.id
             AND c.recorded_at <= :as_of AND (c.reverted_at IS NULL OR c.reverted_at > :as_of))
"""
DEAL: Final = """
    LEFT JOIN LATERAL (
         SELECT o.id,
                CASE WHEN t.evidence ? 'business' THEN (t.evidence #>> '{amount,value}')::numeric
                     ELSE o.amount END AS amount,
                CASE WHEN t.evidence ? 'business' THEN t.evidence #>> '{amount,currency}'
                     ELSE o.currency END AS currency
           FROM opportunities o
          CROSS JOIN LATERAL (
                SELECT t.class, t.occurred_at, t.evidence FROM opportunity_transitions t
                 WHERE t.tenant_id = :tenant_id AND t.opportunity_id = o.id AND t.recorded_at <= :as_of
                 ORDER BY t.seq DESC LIMIT 1) t
          WHERE o.tenant_id = :tenant_id AND o.journey_id = j.id AND t.class = 'won'
          ORDER BY t.occurred_at, o.id LIMIT 1
    ) deal ON true
"""
COUNTED: Final = """
    CASE x.value WHEN 'journey' THEN true WHEN 'conversion' THEN j.converted ELSE x."to" = ANY(j.reached) END
"""
# Journeys that began in the window, with the milestones that they reached, and whether they have a conversion.
ORIGINS_OF_BEGUN: Final = f"""
    SELECT j.*, deal.id AS opportunity_id, deal.amount, deal.currency,
           ARRAY(SELECT b.name FROM milestones b
                  WHERE {recorded("b")} AND b.lead_id = j.lead_id AND b.journey_id = j.id) AS reached,
           {CONVERTED} <> '{{}}' AS converted
      FROM ({BEGUN}) j
      {DEAL} {{ONCE}}
"""  # noqa: S608 - interpolates what is written here
SOURCES: Final = f"""
    SELECT x.name AS metric, j.id, j.journey_id, j.lead_id, j.business, j.opened_at AS at,
           CASE x.value WHEN 'deal' THEN j.opportunity_id END AS opportunity_id,
           {COUNTED} AS counted
      FROM ({ORIGINS_OF_BEGUN}) j CROSS JOIN {{METRICS}}
"""  # noqa: S608 - interpolates what is written here


def numbers_of(counted: str) -> str:
    """The end of a statement: the numbers of journeys that are counted before there is a row for each metric."""
    return f"""
        , j AS ({counted})
        SELECT x.name AS metric, j.key, sum(j.journeys)::bigint AS denominator,
               coalesce(sum(j.journeys) FILTER (WHERE c.counted), 0)::bigint AS numerator,
               NULL::timestamptz AS latest_at, array_agg(j.amount) FILTER (WHERE c.counted) AS amounts,
               array_agg(j.currency) FILTER (WHERE c.counted) AS currencies
          FROM j CROSS JOIN {{METRICS}} CROSS JOIN LATERAL (SELECT {COUNTED} AS counted) c
         GROUP BY x.name, j.key ORDER BY j.key NULLS FIRST, x.name LIMIT :limit
    """  # noqa: S608 - the arguments are written in this package


NUMBERS: Final = numbers_of(
    f"""
    SELECT {{KEY}} AS key, f.converted, f.reached, f.currency, count(*) AS journeys, sum(f.amount) AS amount
      FROM ({ORIGINS_OF_BEGUN}) f {{JOINS}}
     WHERE NOT EXISTS (SELECT FROM gone g WHERE g.id = f.journey_id) GROUP BY 1, 2, 3, 4
    """  # noqa: S608 - interpolates what is written here
)

# The groups by the last touch; those by the first one are of every report.
LAST: Final[Mapping[str | None, tuple[str, str]]] = {
    f"last_{name}": of_lead(f"l.last_touch ->> '{name}'", "{attribution}", f"{{attribution,last,{name}}}")
    for name in ORIGINS
}
# How many of these journeys each group has of each campaign.
SHARES: Final = """
    SELECT key, campaign, count(*) AS journeys FROM cases WHERE campaign = ANY(:campaigns) GROUP BY key, campaign
"""
CAMPAIGNS: Final = bindparam("campaigns", type_=ARRAY(Text))
# Of each campaign and period the cost that was recorded last; one without an amount was taken back.
COSTS: Final = """
    SELECT c.* FROM (
        SELECT DISTINCT ON (c.campaign, c.from_on, c.to_on) c.* FROM campaign_costs c
         WHERE c.tenant_id = :tenant_id AND c.recorded_at <= :as_of AND c.from_on < :to_on AND c.to_on > :from_on {OF}
         ORDER BY c.campaign, c.from_on, c.to_on, c.recorded_at DESC, c.id DESC) c
     WHERE c.amount IS NOT NULL ORDER BY c.from_on DESC, c.to_on DESC, c.campaign LIMIT :limit
"""
COSTS_BINDS: Final = (
    bindparam("tenant_id", type_=Uuid),
    bindparam("as_of", type_=DateTime(timezone=True)),
    *(bindparam(name, type_=Date) for name in ("from_on", "to_on")),
    bindparam("limit", type_=Integer),
)
COSTS_OF_ALL = text(COSTS.replace("{OF}", "")).bindparams(*COSTS_BINDS)
COSTS_OF_ONE = text(
    COSTS.replace("{OF}", "AND md5(c.campaign) = md5(:campaign) AND c.campaign = :campaign")
).bindparams(*COSTS_BINDS, bindparam("campaign", type_=Text))
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")


@cache
def _shares_of(group: str | None, campaign: str) -> TextClause:
    """The statement of SHARES by a group, with the campaigns of the touch."""
    value, joins = LAST.get(campaign) or GROUPS[campaign]
    cases = f"SELECT f.*, {value} AS campaign FROM ({BEGUN}) f {joins}"  # noqa: S608 - made of the constants above
    return framed(cases, LAST.get(group) or GROUPS[group], SHARES).bindparams(CAMPAIGNS)


async def shares_of(
    tx: Tx, tenant_id: UUID, group: str | None, campaign: str, campaigns: Sequence[str], bound: Mapping[str, Any]
) -> Records:
    """Of these campaigns how many journeys that began in the window each group has, by its key."""
    values = {"tenant_id": tenant_id, "campaigns": list(campaigns), **bound}
    return (await tx.execute(_shares_of(group, campaign), values)).all()


async def costs_at(
    tx: Tx,
    tenant_id: UUID,
    from_on: date,
    to_on: date,
    as_of: datetime,
    campaign: str | None = None,
    limit: int | None = None,
) -> Records:
    """The costs of periods with a day from `from_on` to the one before `to_on` that held then, the latest first."""
    window = {"from_on": from_on, "to_on": to_on, "as_of": as_of, "limit": limit}
    if campaign is None:
        return (await tx.execute(COSTS_OF_ALL, {"tenant_id": tenant_id, **window})).all()
    return (await tx.execute(COSTS_OF_ONE, {"tenant_id": tenant_id, "campaign": campaign, **window})).all()


async def lock_costs(tx: Tx, tenant_id: UUID) -> None:
    """Lets one transaction at a time set costs of a tenant, so that no two periods of a campaign overlap."""
    await tx.execute(LOCK, {"name": f"costs:{tenant_id}"})


async def insert_cost(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> None:
    await tx.execute(insert(campaign_costs).values(tenant_id=tenant_id, id=new_id(), **values))
