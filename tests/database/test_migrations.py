"""Migrations run up, down and up again on a database with rows, and match the table definitions."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from app.database import migrate
from app.database.transaction import Database
from tests.api import Api


async def tables(engine: Database) -> Counter[str]:
    """The tables there are; partitions of a day without their day, which may end during the test."""
    async with engine.connect() as tx:
        rows = await tx.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        return Counter(re.sub(r"_\d{8}$", "", name) for name in rows.scalars() if name != "alembic_version")


def downgrade_to_base(connection: Connection) -> None:
    command.downgrade(migrate.configuration(connection), "base")


async def test_up_down_and_up_again_on_a_filled_database(api: Api) -> None:
    engine, url = api.app.state.engine, api.app.state.settings.database_url
    await api.mql()
    full = await tables(engine)
    async with engine.engine.connect() as connection:
        await connection.run_sync(downgrade_to_base)
    assert await tables(engine) == Counter()
    await migrate.upgrade(url)
    assert await tables(engine) == full
    await migrate.differences(url)  # raises when there are any


async def test_audit_rows_cannot_be_updated_or_deleted(api: Api) -> None:
    await api.user("sdr")
    for statement in ("UPDATE audit SET act = 'nothing'", "DELETE FROM audit"):
        async with api.app.state.engine.connect() as tx:
            with pytest.raises(DBAPIError, match="append-only"):
                await tx.execute(text(statement))


async def test_html_forms_that_exist_keep_the_trap_they_had(api: Api) -> None:
    engine, url = api.app.state.engine, api.app.state.settings.database_url
    chosen = {"spam": {"honeypot": ["item.fax"], "max_links": 3}}
    for name, preset, overrides in (
        ("old", "html-form", {}),
        ("links", "html-form", {"spam": {"max_links": 3}}),
        ("chosen", "html-form", chosen),
        ("json", "generic", {}),
    ):
        await api.post("/v1/sources", {"name": name, "preset": preset, "overrides": overrides})
    async with engine.engine.connect() as connection:
        await connection.run_sync(
            lambda one: command.downgrade(migrate.configuration(one), "0009_traps_of_html_forms-1")
        )
    await migrate.upgrade(url)
    async with engine.engine.connect() as connection:
        rows = dict((await connection.execute(text("SELECT name, overrides FROM sources"))).all())
    traps = ["item.website", "item._gotcha", "item.honeypot"]
    assert rows["old"] == {"spam": {"honeypot": traps}}
    assert rows["links"] == {"spam": {"honeypot": traps, "max_links": 3}}
    assert (rows["chosen"], rows["json"]) == (chosen, {})
