"""SQL of the forecast: opportunities as they were at an instant, and what people set for periods."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import BindParameter, Date, DateTime, Integer, Table, Text, Uuid, bindparam, insert, select, text
from sqlalchemy.dialects.postgresql import ARRAY, distinct_on

from app.database.tables import judgements, quotas, rates
from app.database.transaction import Record, Records, Tx
from app.forecast.periods import Period
from app.ids import new_id

INSTANTS: Final = [bindparam(name, type_=DateTime(timezone=True)) for name in ("starts_at", "ends_at", "as_of")]
DAYS: Final = [bindparam(name, type_=Date) for name in ("first_on", "end_on")]
CANDIDATES: Final = """
    SELECT opportunity_id FROM opportunity_states
     WHERE tenant_id = :tenant_id AND close_date >= :first_on AND close_date < :end_on
"""
LATEST: Final = """
    CROSS JOIN LATERAL (
        SELECT * FROM opportunity_states s
         WHERE s.tenant_id = :tenant_id AND s.opportunity_id = c.opportunity_id AND s.recorded_at <= :as_of
         ORDER BY s.version DESC LIMIT 1
    ) s
"""

# What counts in a period: open ones by their close date, won ones by when they were won, archived since or not.
DEALS: Final = f"""
    WITH candidates AS (
        {CANDIDATES}
        UNION
        SELECT opportunity_id FROM opportunity_states
         WHERE tenant_id = :tenant_id AND class = 'won'
           AND stage_entered_at >= :starts_at AND stage_entered_at < :ends_at
    ), deals AS (
        SELECT s.*, o.origin_lead_id, o.journey_id, o.policy_id
          FROM candidates c {LATEST}
          JOIN opportunities o ON o.tenant_id = s.tenant_id AND o.id = s.opportunity_id
         WHERE (:origin IS NULL OR (:origin = 'lead') = (o.origin_lead_id IS NOT NULL)) AND CASE s.class
               WHEN 'won' THEN s.stage_entered_at >= :starts_at AND s.stage_entered_at < :ends_at
               WHEN 'lost' THEN false
               ELSE s.archived_at IS NULL AND s.close_date >= :first_on AND s.close_date < :end_on END
    )
"""  # noqa: S608 - made of the constants above
OF_DEALS: Final[list[BindParameter[Any]]] = [*INSTANTS, *DAYS, bindparam("origin", type_=Text)]

SUMMED = text(
    f"""
    {DEALS}
    SELECT d.owner_id, d.forecast_category, d.probability, d.currency, count(*) AS count, sum(d.amount) AS amount,
           array_agg(DISTINCT p.number) AS policy_versions
      FROM deals d JOIN policies p ON p.tenant_id = :tenant_id AND p.id = d.policy_id
     GROUP BY d.owner_id, d.forecast_category, d.probability, d.currency
    """  # noqa: S608 - made of the constants above
).bindparams(*OF_DEALS)

NOBODY: Final = UUID(int=0)  # stands for no owner
EVIDENCE = text(
    f"""
    {DEALS}
    SELECT d.*, j.number AS journey_no
      FROM (SELECT * FROM deals
             WHERE (:owners IS NULL OR coalesce(owner_id, :nobody) = ANY(:owners)) AND opportunity_id > :after
             ORDER BY opportunity_id LIMIT :limit) d
      LEFT JOIN journeys j ON j.tenant_id = :tenant_id AND j.id = d.journey_id
     ORDER BY d.opportunity_id
    """  # noqa: S608 - made of the constants above
).bindparams(
    *OF_DEALS,
    bindparam("owners", type_=ARRAY(Uuid)),
    bindparam("nobody", type_=Uuid),
    bindparam("after", type_=Uuid),
    bindparam("limit", type_=Integer),
)

THEN_AND_NOW = text(
    f"""
    WITH candidates AS (SELECT DISTINCT opportunity_id FROM ({CANDIDATES}) found)
    SELECT s.*, r.opportunity_id IS NOT NULL AS was_open, r.owner_id AS old_owner_id,
           r.forecast_category AS old_category, r.amount AS old_amount, r.currency AS old_currency,
           r.close_date AS old_close_date
      FROM candidates c {LATEST}
      LEFT JOIN snapshot_rows r ON r.tenant_id = :tenant_id AND r.at = :since AND r.opportunity_id = c.opportunity_id
     ORDER BY s.opportunity_id
    """  # noqa: S608 - made of the constants above
).bindparams(
    bindparam("as_of", type_=DateTime(timezone=True)), bindparam("since", type_=DateTime(timezone=True)), *DAYS
)

MANAGERS = text(
    """
    SELECT DISTINCT ON (user_id) user_id, manager_id FROM reporting_lines
     WHERE tenant_id = :tenant_id AND recorded_at <= :as_of ORDER BY user_id, recorded_at DESC, id DESC
    """
)
KEEP_SNAPSHOT = text(
    """
    INSERT INTO snapshots (tenant_id, at, week, recorded_at) VALUES (:tenant_id, :at, :week, :now)
    ON CONFLICT (tenant_id, at) DO NOTHING RETURNING at
    """
)
KEEP_SNAPSHOT_ROWS = text(
    """
    INSERT INTO snapshot_rows
           (tenant_id, at, opportunity_id, stage, forecast_category, amount, currency, close_date, owner_id)
    SELECT s.tenant_id, :at, s.opportunity_id, s.stage, s.forecast_category, s.amount, s.currency, s.close_date,
           s.owner_id
      FROM (SELECT DISTINCT ON (opportunity_id) * FROM opportunity_states
             WHERE tenant_id = :tenant_id AND recorded_at <= :at ORDER BY opportunity_id, version DESC) s
     WHERE s.class NOT IN ('won', 'lost') AND s.archived_at IS NULL
    """
).bindparams(bindparam("at", type_=DateTime(timezone=True)))
SNAPSHOTS = text("SELECT at, week FROM snapshots WHERE tenant_id = :tenant_id ORDER BY at DESC LIMIT :limit")
# A calendar that was changed begins the week at another instant than the one at which it was kept.
SNAPSHOT_OF = text(
    """
    SELECT at FROM snapshots WHERE tenant_id = :tenant_id AND (at = :at OR week = :week AND at <= :as_of)
     ORDER BY at = :at DESC, at DESC LIMIT 1
    """
).bindparams(*(bindparam(name, type_=DateTime(timezone=True)) for name in ("at", "as_of")))


async def sums_of(tx: Tx, tenant_id: UUID, period: Period, as_of: datetime, origin: str | None) -> Records:
    """The opportunities that count in the period, counted and added up for each owner; `origin` lead or none."""
    await tx.plan_for_values()
    bound = {"tenant_id": tenant_id, "as_of": as_of, "origin": origin, **_bounds(period)}
    return (await tx.execute(SUMMED, bound)).all()


async def evidence_of(
    tx: Tx,
    tenant_id: UUID,
    period: Period,
    as_of: datetime,
    origin: str | None,
    owners: Collection[UUID | None] | None,
    after: UUID | None,
    limit: int,
) -> Records:
    """A page of the opportunities that count in the period, by id; of these owners (None: of nobody), or of all."""
    listed = None if owners is None else [one or NOBODY for one in owners]
    bound = {"tenant_id": tenant_id, "as_of": as_of, "origin": origin, **_bounds(period)}
    page = {"owners": listed, "nobody": NOBODY, "after": after or NOBODY, "limit": limit}
    await tx.plan_for_values()
    return (await tx.execute(EVIDENCE, {**bound, **page})).all()


async def then_and_now(tx: Tx, tenant_id: UUID, period: Period, since: datetime, as_of: datetime) -> Records:
    """Opportunities that ever had a close date in the period, as they are now and as the snapshot has them."""
    await tx.plan_for_values()
    bounds = {"first_on": period.first_on, "end_on": period.end_on}
    values = {"tenant_id": tenant_id, "since": since, "as_of": as_of, **bounds}
    return (await tx.execute(THEN_AND_NOW, values)).all()


def _bounds(period: Period) -> dict[str, Any]:
    names = ("first_on", "end_on", "starts_at", "ends_at")
    return {name: getattr(period, name) for name in names}


async def managers_at(tx: Tx, tenant_id: UUID, as_of: datetime) -> dict[UUID, UUID | None]:
    """Who reported to whom at that instant."""
    rows = await tx.execute(MANAGERS, {"tenant_id": tenant_id, "as_of": as_of})
    return {row.user_id: row.manager_id for row in rows}


async def insert_quota(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> None:
    await tx.execute(insert(quotas).values(tenant_id=tenant_id, id=new_id(), **values))


async def insert_rates(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> None:
    await tx.execute(insert(rates).values(tenant_id=tenant_id, id=new_id(), **values))


async def insert_judgement(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> None:
    await tx.execute(insert(judgements).values(tenant_id=tenant_id, id=new_id(), **values))


async def rates_at(tx: Tx, tenant_id: UUID, as_of: datetime) -> Record | None:
    """The rates that held at that instant."""
    known = select(rates).where(rates.c.tenant_id == tenant_id, rates.c.recorded_at <= as_of)
    latest = known.order_by(rates.c.recorded_at.desc(), rates.c.id.desc()).limit(1)
    return (await tx.execute(latest)).one_or_none()


async def quotas_at(tx: Tx, tenant_id: UUID, period: str, as_of: datetime) -> Records:
    """The quotas of a period that held at that instant, by user; those that were taken back have no amount."""
    return await _latest_by_user(tx, tenant_id, quotas, period, as_of)


async def judgements_at(tx: Tx, tenant_id: UUID, period: str, as_of: datetime) -> Records:
    """The last judgement of each person in a period until that instant."""
    return await _latest_by_user(tx, tenant_id, judgements, period, as_of)


async def _latest_by_user(tx: Tx, tenant_id: UUID, table: Table, period: str, as_of: datetime) -> Records:
    known = table.c.tenant_id == tenant_id, table.c.period == period, table.c.recorded_at <= as_of
    latest = table.c.user_id, table.c.recorded_at.desc(), table.c.id.desc()
    statement = select(table).ext(distinct_on(table.c.user_id)).where(*known).order_by(*latest)
    return (await tx.execute(statement)).all()


async def judgements_of(tx: Tx, tenant_id: UUID, period: str, user_id: UUID, limit: int) -> Records:
    """The judgements of a person in a period, newest first."""
    table = judgements
    of_person = table.c.tenant_id == tenant_id, table.c.period == period, table.c.user_id == user_id
    newest = table.c.recorded_at.desc(), table.c.id.desc()
    return (await tx.execute(select(table).where(*of_person).order_by(*newest).limit(limit))).all()


async def keep_snapshot(tx: Tx, tenant_id: UUID, at: datetime, week: str, now: datetime) -> bool:
    """Keeps the open opportunities as they were at that instant; False where that was done before."""
    values = {"tenant_id": tenant_id, "at": at}
    if not (await tx.execute(KEEP_SNAPSHOT, {**values, "week": week, "now": now})).all():
        return False
    await tx.execute(KEEP_SNAPSHOT_ROWS, values)
    return True


async def snapshots_of(tx: Tx, tenant_id: UUID, limit: int) -> Records:
    """The snapshots of a tenant, newest first."""
    return (await tx.execute(SNAPSHOTS, {"tenant_id": tenant_id, "limit": limit})).all()


async def snapshot_of(tx: Tx, tenant_id: UUID, week: Period, as_of: datetime) -> datetime | None:
    """The instant of the snapshot of a week: as it begins by the calendar, else the last one of its name."""
    values = {"tenant_id": tenant_id, "at": week.starts_at, "week": week.name, "as_of": as_of}
    return (await tx.execute(SNAPSHOT_OF, values)).scalar_one_or_none()
