"""SQL of accounts, contacts and opportunities. The table is that of the kind of record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Boolean, Select, and_, func, literal_column, not_, or_, select, update
from sqlalchemy import insert as plain_insert
from sqlalchemy.dialects.postgresql import insert

from app.database.tables import conversions, milestones, opportunity_states, opportunity_transitions
from app.database.transaction import Record, Records, Tx
from app.pipeline.kinds import OPPORTUNITY, Kind
from app.web.pages import Page

# As the index of open opportunities has it.
OPEN: Final = literal_column("opportunities.class NOT IN ('won', 'lost')", Boolean)


async def insert_record(tx: Tx, tenant_id: UUID, kind: Kind, values: Mapping[str, Any]) -> Record | None:
    """The new row; None where a live record has one of its keys."""
    statement = insert(kind.table).values(tenant_id=tenant_id, **values).on_conflict_do_nothing()
    return (await tx.execute(statement.returning(kind.table))).one_or_none()


async def record_of(tx: Tx, tenant_id: UUID, kind: Kind, record_id: UUID, *, lock: bool = False) -> Record | None:
    statement = select(kind.table).where(kind.table.c.tenant_id == tenant_id, kind.table.c.id == record_id)
    return (await tx.execute(statement.with_for_update(key_share=True) if lock else statement)).one_or_none()


async def linkable_record(tx: Tx, tenant_id: UUID, kind: Kind, record_id: UUID) -> Record | None:
    """The record, which is not archived by the revert of a conversion before this transaction ends."""
    table = kind.table
    statement = select(table).where(table.c.tenant_id == tenant_id, table.c.id == record_id)
    return (await tx.execute(statement.with_for_update(key_share=True, read=True))).one_or_none()


async def update_record(tx: Tx, tenant_id: UUID, kind: Kind, record_id: UUID, values: Mapping[str, Any]) -> Record:
    """The updated row, its version incremented. The caller has locked it."""
    table = kind.table
    statement = (
        update(table)
        .where(table.c.tenant_id == tenant_id, table.c.id == record_id)
        .values(version=table.c.version + 1, **values)
        .returning(table)
    )
    return (await tx.execute(statement)).one()


async def holders(tx: Tx, tenant_id: UUID, kind: Kind, values: Mapping[str, Any], but: UUID | None = None) -> Records:
    """The live records that share a unique key with `values`, the record `but` excepted."""
    table = kind.table
    wanted = [table.c[key] == values[key] for key in kind.keys if values.get(key) is not None]
    if not wanted:
        return []
    statement = select(table).where(table.c.tenant_id == tenant_id, table.c.archived_at.is_(None), or_(*wanted))
    if but is not None:
        statement = statement.where(table.c.id != but)
    return (await tx.execute(statement.order_by(table.c.id))).all()


async def list_records(tx: Tx, tenant_id: UUID, kind: Kind, page: Page, filters: Mapping[str, Any]) -> Records:
    """`filters`: columns that must equal a value, and `archived`: list archived records (true) or live ones (false)."""
    await tx.plan_for_values()
    return (await tx.execute(page.statement(_filtered(tenant_id, kind, filters), kind.table))).all()


async def list_opportunities(tx: Tx, tenant_id: UUID, page: Page, filters: Mapping[str, Any], today: date) -> Records:
    """As `list_records`; `slipped` filters by whether an open one should have been closed before today."""
    table, slipped = OPPORTUNITY.table, filters["slipped"]
    rows = _filtered(tenant_id, OPPORTUNITY, {name: value for name, value in filters.items() if name != "slipped"})
    if slipped is not None:
        in_time = or_(not_(OPEN), table.c.close_date.is_(None), table.c.close_date >= today)
        rows = rows.where(and_(OPEN, table.c.close_date < today) if slipped else in_time)
    await tx.plan_for_values()
    return (await tx.execute(page.statement(rows, table))).all()


def _filtered(tenant_id: UUID, kind: Kind, filters: Mapping[str, Any]) -> Select[*tuple[Any, ...]]:
    table = kind.table
    rows = select(table).where(table.c.tenant_id == tenant_id)
    for name, value in filters.items():
        if name == "archived":
            rows = rows.where(table.c.archived_at.is_not(None) if value else table.c.archived_at.is_(None))
        elif value is not None:
            rows = rows.where(table.c[name] == value)
    return rows


async def insert_step(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> None:
    """Inserts a row of the opportunity's log."""
    await tx.execute(plain_insert(opportunity_transitions).values(tenant_id=tenant_id, **values))


async def steps_of(tx: Tx, tenant_id: UUID, opportunity_id: UUID) -> Records:
    """The log of an opportunity, oldest first, with the lead it came from."""
    log, table = opportunity_transitions, OPPORTUNITY.table
    statement = (
        select(log, table.c.origin_lead_id.label("lead_id"))
        .join(table, (table.c.tenant_id == log.c.tenant_id) & (table.c.id == log.c.opportunity_id))
        .where(log.c.tenant_id == tenant_id, log.c.opportunity_id == opportunity_id)
        .order_by(log.c.seq)
    )
    return (await tx.execute(statement)).all()


async def milestones_of(tx: Tx, tenant_id: UUID, journey_id: UUID | None) -> list[str]:
    """The milestones of a journey that are not voided; none without a journey."""
    if journey_id is None:
        return []
    owned = milestones.c.tenant_id == tenant_id, milestones.c.journey_id == journey_id
    return (await tx.execute(select(milestones.c.name).where(*owned, milestones.c.voided_at.is_(None)))).scalars()


async def is_taken_back(tx: Tx, tenant_id: UUID, opportunity_id: UUID, journey_id: UUID | None) -> bool:
    """Whether the conversion of this journey to the opportunity was reverted, and not made again."""
    of_journey = conversions.c.opportunity_id == opportunity_id, conversions.c.journey_id == journey_id
    statement = select(func.bool_and(conversions.c.reverted_at.is_not(None))).where(
        conversions.c.tenant_id == tenant_id, *of_journey
    )
    return bool((await tx.execute(statement)).scalar_one())


async def held_stage(tx: Tx, tenant_id: UUID, opportunity_id: UUID) -> str | None:
    """The last stage of an opportunity that was not a closed one."""
    log = opportunity_transitions
    statement = (
        select(log.c.to_stage)
        .where(log.c.tenant_id == tenant_id, log.c.opportunity_id == opportunity_id)
        .where(log.c["class"].not_in(("won", "lost")))
        .order_by(log.c.seq.desc())
        .limit(1)
    )
    return (await tx.execute(statement)).scalar_one_or_none()


async def states_of(tx: Tx, tenant_id: UUID, opportunity_id: UUID) -> Records:
    """What an opportunity was after each change, oldest first."""
    table = opportunity_states
    owned = table.c.tenant_id == tenant_id, table.c.opportunity_id == opportunity_id
    return (await tx.execute(select(table).where(*owned).order_by(table.c.version))).all()
