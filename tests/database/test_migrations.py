"""The schema goes up, down and up again, also with rows in it, and is what the tables say."""

from __future__ import annotations

import pytest
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from app.database import migrate
from app.database.transaction import Database
from tests.api import Api


async def tables(engine: Database) -> set[str]:
    async with engine.connect() as tx:
        rows = await tx.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        return set(rows.scalars()) - {"alembic_version"}


def to_nothing(connection: Connection) -> None:
    command.downgrade(migrate.configuration(connection), "base")


async def test_up_down_and_up_again_on_a_filled_database(api: Api) -> None:
    engine, url = api.app.state.engine, api.app.state.settings.database_url
    await api.mql()
    full = await tables(engine)
    async with engine.engine.connect() as connection:
        await connection.run_sync(to_nothing)
    assert await tables(engine) == set()
    await migrate.upgrade(url)
    assert await tables(engine) == full
    await migrate.differences(url)  # raises when there are any


async def test_the_audit_can_only_grow(api: Api) -> None:
    await api.user("sdr")
    for statement in ("UPDATE audit SET act = 'nothing'", "DELETE FROM audit"):
        async with api.app.state.engine.connect() as tx:
            with pytest.raises(DBAPIError, match="append-only"):
                await tx.execute(text(statement))
