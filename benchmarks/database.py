"""The PostgreSQL of one run: embedded, durable (fsync on), in a folder of its own that is removed at the end."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncpg

from app.database import embedded, migrate

TEMPLATE = "baton_template"


@dataclass(frozen=True, slots=True)
class Database:
    """A running server with a migrated template."""

    server: embedded.Server

    @property
    def pid(self) -> int:
        """The postmaster's process id."""
        return int((self.server.data / "postmaster.pid").read_text().split("\n", 1)[0])

    def create(self, name: str) -> str:
        """Create a migrated database, replacing an old one; its DSN for asyncpg."""
        return self.copy(name, TEMPLATE)

    def copy(self, name: str, template: str) -> str:
        """Create a copy of a database, replacing an old one; its DSN for asyncpg."""
        self.drop(name)
        self.run(self.server.dsn, f'CREATE DATABASE "{name}" TEMPLATE "{template}"')
        return self.server.dsn_of(name)

    def drop(self, name: str) -> None:
        """Drop a database, if there is one of this name, and end its connections."""
        self.run(self.server.dsn, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')

    def run(self, dsn: str, statement: str, *values: Any) -> list[Any]:
        """Run one statement and return its rows."""
        return asyncio.run(_run(dsn, statement, values))

    def paced(self, dsn: str, statement: str, rounds: Sequence[tuple[Any, ...]], seconds: float) -> None:
        """Run a statement once for each of the values, so many seconds apart, and wake the sequencer each time."""
        asyncio.run(_paced(dsn, statement, rounds, seconds))

    def value(self, dsn: str, query: str, *values: Any) -> Any:
        """The first value of the first row."""
        return self.run(dsn, query, *values)[0][0]

    def log_since(self, offset: int) -> str:
        """The server's log from this byte offset on."""
        return (self.server.data / "server.log").read_bytes()[offset:].decode(errors="replace")

    def log_size(self) -> int:
        return (self.server.data / "server.log").stat().st_size


async def _paced(dsn: str, statement: str, rounds: Sequence[tuple[Any, ...]], seconds: float) -> None:
    connection, began = await asyncpg.connect(dsn), time.monotonic()
    try:
        for n, values in enumerate(rounds):
            await asyncio.sleep(began + n * seconds - time.monotonic())
            await connection.execute(statement, *values)
            await connection.execute("SELECT pg_notify('baton_events', '')")
    finally:
        await connection.close()


async def _run(dsn: str, statement: str, values: tuple[Any, ...]) -> list[Any]:
    connection = await asyncpg.connect(dsn)
    try:
        return list(await connection.fetch(statement, *values))
    finally:
        await connection.close()


@contextmanager
def started() -> Iterator[Database]:
    """Run the server for the duration of the block, with commit timestamps, from which delivery times are measured."""
    folder = Path(tempfile.mkdtemp(prefix="baton-benchmark-"))
    folder.chmod(0o711)  # started by root, the server runs as another user, who must reach it
    try:
        with embedded.start(folder, notify=lambda _: None) as first:
            Database(first).run(first.dsn, "ALTER SYSTEM SET track_commit_timestamp = on")
        with embedded.start(folder, notify=lambda _: None) as server:
            database = Database(server)
            database.run(server.dsn, f'CREATE DATABASE "{TEMPLATE}"')
            asyncio.run(migrate.upgrade(as_url(server.dsn_of(TEMPLATE))))
            yield database
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def as_url(dsn: str) -> str:
    """An asyncpg DSN as a SQLAlchemy URL."""
    return "postgresql+asyncpg://" + dsn.partition("://")[2]
