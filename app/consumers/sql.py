"""Statements over the consumers of one tenant."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, Text, func, literal, or_, select, true, update
from sqlalchemy import cast as as_type
from sqlalchemy.dialects.postgresql import insert

from app.database.tables import consumers, event_log
from app.database.transaction import Record, Records, Tx
from app.web.pages import Page

COUNTED: Final = 10_000


def _with_lag() -> Select[Any]:
    """Select consumers with how many of the next COUNTED events pass their filters, and the age of the first."""
    following = (
        select(event_log.c.type, event_log.c.lead_id, event_log.c.recorded_at)
        .where(event_log.c.tenant_id == consumers.c.tenant_id, event_log.c.position > consumers.c.position)
        .order_by(event_log.c.position)
        .limit(COUNTED)
        .correlate(consumers)
        .subquery()
    )
    types = consumers.c.types
    noun = func.split_part(following.c.type, ".", 1).concat(".*")
    named = or_(
        following.c.type == func.any(types), noun == func.any(types), as_type(literal("*"), Text) == func.any(types)
    )
    passing = (
        or_(types.is_(None), named),
        or_(consumers.c.lead_id.is_(None), following.c.lead_id == consumers.c.lead_id),
    )
    age = func.extract("epoch", func.clock_timestamp() - func.min(following.c.recorded_at))
    lag = (
        select(func.count().label("lag"), func.coalesce(func.greatest(age, 0), 0).label("lag_seconds"))
        .select_from(following)
        .where(*passing)
        .correlate(consumers)
        .lateral()
    )
    return select(consumers, lag.c.lag, lag.c.lag_seconds).select_from(consumers.join(lag, true()))


async def list_consumers(tx: Tx, tenant_id: UUID, page: Page) -> Records:
    return (await tx.execute(page.statement(_with_lag().where(consumers.c.tenant_id == tenant_id), consumers))).all()


async def shown_consumer(tx: Tx, tenant_id: UUID, name: str) -> Record | None:
    """A consumer with its lag."""
    rows = _with_lag().where(consumers.c.tenant_id == tenant_id, consumers.c.name == name)
    return (await tx.execute(rows)).one_or_none()


async def consumer(tx: Tx, tenant_id: UUID, name: str, *, lock: bool = False) -> Record | None:
    rows = select(consumers).where(consumers.c.tenant_id == tenant_id, consumers.c.name == name)
    return (await tx.execute(rows.with_for_update() if lock else rows)).one_or_none()


async def count(tx: Tx, tenant_id: UUID) -> int:
    rows = select(func.count()).select_from(consumers).where(consumers.c.tenant_id == tenant_id)
    return int((await tx.execute(rows)).scalar_one())


async def insert_consumer(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> bool:
    """False where there is one of this name."""
    statement = insert(consumers).values(tenant_id=tenant_id, **values).on_conflict_do_nothing()
    return (await tx.execute(statement.returning(consumers.c.id))).one_or_none() is not None


async def move(tx: Tx, tenant_id: UUID, consumer_id: UUID, values: Mapping[str, Any], now: datetime) -> None:
    """Set the place of a consumer whose row is locked."""
    await tx.execute(
        update(consumers)
        .where(consumers.c.tenant_id == tenant_id, consumers.c.id == consumer_id)
        .values(**values, version=consumers.c.version + 1, updated_at=now)
    )


async def delete_consumer(tx: Tx, tenant_id: UUID, consumer_id: UUID) -> None:
    await tx.execute(consumers.delete().where(consumers.c.tenant_id == tenant_id, consumers.c.id == consumer_id))
