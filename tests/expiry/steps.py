"""Events of two partitions, the first of which may go."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import text

from app.database.transaction import Database
from app.events.across import PARTITION_ROWS
from app.events.record import NewEvent, record_events
from app.events.sequence import sequence
from app.expiry.drop import drop_due
from app.expiry.due import Periods
from app.ids import new_id, show
from tests.api import Api
from tests.webhooks.conftest import NOON

PERIODS = Periods(events=timedelta(days=30), attempts=timedelta(days=5000))
SECOND = PARTITION_ROWS + 1
TABLES = """
    SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^(events|event_log)_[0-9]+$' ORDER BY relname
"""


async def record(api: Api, *leads: UUID, type: str = "lead.updated") -> None:
    """One event of each lead, at NOON, with its position."""
    engine = api.app.state.engine
    for lead in leads or (new_id(),):
        news = [NewEvent(type, {"lead_id": show("lead", lead), "changed": []}, NOON, lead, 1)]
        async with engine.begin() as tx:
            await record_events(tx, api.tenant_id, news, NOON)
    while await sequence(engine):
        pass


async def fill(engine: Database) -> None:
    """The next events go into the second partitions."""
    await rows(engine, f"ALTER TABLE events ALTER seq RESTART WITH {SECOND}")
    await rows(engine, f"ALTER TABLE event_log ALTER position RESTART WITH {SECOND}")


async def drop(api: Api, days: float) -> int:
    """Drop what is due so many days after the events; how many partitions."""
    return await drop_due(api.app.state.engine, PERIODS, NOON + timedelta(days=days))


async def rows(engine: Database, sql: str, **values: Any) -> Any:
    async with engine.connect() as tx:
        return (await tx.execute(text(sql), values)).all()


async def tables(api: Api) -> set[str]:
    """The partitions of events and their log, attached or not."""
    return {row.relname for row in await rows(api.app.state.engine, TABLES)}
