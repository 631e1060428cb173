"""Migrates the schema to the newest revision; an advisory lock lets one process at a time do it."""

import asyncio
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from app.database.connection import Connector

ADVISORY_LOCK: Final = 0x6261746F6E  # "baton"
LOCK_NOT_AVAILABLE: Final = "55P03"
RETRY_DELAYS: Final = (1.0, 2.0, 4.0, 8.0, 16.0)


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's configuration without output; uses this connection, or one made from the settings."""
    config = Config(stdout=io.StringIO(), output_buffer=io.StringIO(), attributes={"connection": connection})
    config.set_main_option("script_location", str(_folder()).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _folder() -> Path:
    """The folder `migrations`: inside the package `app` where a wheel was installed, beside it in a checkout."""
    package = Path(__file__).parents[1]
    inside = package / "migrations"
    return inside if inside.is_dir() else package.with_name("migrations")


@cache
def newest() -> str | None:
    """The newest revision in this code."""
    return ScriptDirectory.from_config(configuration()).get_current_head()


def knows(revision: str) -> bool:
    """Whether the revision is one of this code."""
    return revision in {script.revision for script in ScriptDirectory.from_config(configuration()).walk_revisions()}


async def current(url: str) -> str | None:
    """The revision of a database; None where it has no schema yet."""
    async with _connected(url) as connection:
        if await connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
            return None
        revision: str | None = await connection.scalar(text("SELECT version_num FROM alembic_version"))
        return revision


async def upgrade(url: str) -> None:
    """Migrate to the newest revision; a lock time-out on a table is retried five times, with growing delays."""
    async with _connected(url) as connection:
        while not await connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": ADVISORY_LOCK}):  # noqa: ASYNC110
            await asyncio.sleep(0.2)  # another process migrates; pg_advisory_lock could hit a time-out of the server
        await connection.commit()
        for delay in (*RETRY_DELAYS, None):
            try:
                await connection.run_sync(lambda sync: command.upgrade(configuration(sync), "head"))
                return
            except DBAPIError as error:
                if delay is None or getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                    raise
                await connection.rollback()
                await asyncio.sleep(delay)


async def differences(url: str) -> None:
    """Raise Alembic's CommandError if the tables in code and the migrated schema differ."""
    async with _connected(url) as connection:
        await connection.run_sync(lambda sync: command.check(configuration(sync)))


def statements() -> dict[str, str]:
    """The SQL of each revision, for a linter: each is a transaction of its own."""
    revisions = ScriptDirectory.from_config(configuration()).walk_revisions()
    return {one.revision: _statements(f"{one.down_revision or 'base'}:{one.revision}") for one in revisions}


def _statements(revisions: str) -> str:
    config = configuration()
    command.upgrade(config, revisions, sql=True)
    assert isinstance(config.output_buffer, io.StringIO)
    return config.output_buffer.getvalue()


def migrating_engine(url: str) -> AsyncEngine:
    """Connections for migrations; their time-outs are set in migrations/env.py."""
    return create_async_engine("postgresql+asyncpg://", poolclass=NullPool, async_creator=Connector(url))


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AsyncConnection]:
    engine = migrating_engine(url)
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()
