"""The schema to its newest revision, once, however many processes ask at the same time."""

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
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

LOCK: Final = 0x6261746F6E  # "baton"
LOCK_NOT_AVAILABLE: Final = "55P03"
WAITS: Final = (1.0, 2.0, 4.0, 8.0, 16.0)


def configuration(connection: Connection | None = None) -> Config:
    """Alembic's configuration, silent; on this connection, or on that of the settings."""
    ini = Path(__file__).parents[2] / "alembic.ini"
    return Config(ini, stdout=io.StringIO(), output_buffer=io.StringIO(), attributes={"connection": connection})


@cache
def newest() -> str | None:
    """The newest revision that this code knows."""
    return ScriptDirectory.from_config(configuration()).get_current_head()


async def current(url: str) -> str | None:
    """The revision of a database; None where it has no schema yet."""
    async with _connected(url) as connection:
        if await connection.scalar(text("SELECT to_regclass('alembic_version')")) is None:
            return None
        revision: str | None = await connection.scalar(text("SELECT version_num FROM alembic_version"))
        return revision


async def upgrade(url: str) -> None:
    """Migrate to the newest revision under an advisory lock; where a table is busy, let go and try again five times."""
    async with _connected(url) as connection:
        while not await connection.scalar(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}):  # noqa: ASYNC110
            await asyncio.sleep(0.2)  # another process migrates; waiting inside PostgreSQL would be cut short
        await connection.commit()
        for wait in (*WAITS, None):
            try:
                await connection.run_sync(lambda inside: command.upgrade(configuration(inside), "head"))
                return
            except DBAPIError as error:
                if wait is None or getattr(error.orig, "sqlstate", None) != LOCK_NOT_AVAILABLE:
                    raise
                await connection.rollback()
                await asyncio.sleep(wait)


async def differences(url: str) -> None:
    """Raise alembic's CommandError where the tables in code and the migrated schema differ."""
    async with _connected(url) as connection:
        await connection.run_sync(lambda inside: command.check(configuration(inside)))


def statements() -> str:
    """The SQL of every revision from nothing to the newest, for a linter to read."""
    config = configuration()
    command.upgrade(config, "head", sql=True)
    assert isinstance(config.output_buffer, io.StringIO)
    return config.output_buffer.getvalue()


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[AsyncConnection]:
    engine = create_async_engine(url, poolclass=NullPool, connect_args={"timeout": 10})
    try:
        async with engine.connect() as connection:
            yield connection
    finally:
        await engine.dispose()
