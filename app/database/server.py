"""Which PostgreSQL is used: BATON_DATABASE_URL or the embedded one, which runs while it is needed."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import structlog

from app.database.engine import make_engine
from app.database.requirements import require
from app.database.transaction import Database
from app.settings import CannotStart, Settings, load

if TYPE_CHECKING:
    from app.database.embedded import Server

T = TypeVar("T")
CHECK_SECONDS: Final = 1.0
logger = structlog.get_logger("baton.database")


@contextmanager
def running_database(settings: Settings) -> Iterator[Settings]:
    """The settings with `database_url` set; without one, runs the embedded server. Raises CannotStart."""
    if not settings.embedded:
        yield settings
        return
    from app.database import embedded  # needed only without BATON_DATABASE_URL

    notify = partial(print, file=sys.stderr, flush=True)
    with embedded.start(settings.data_dir, bindir=settings.pg_bindir, notify=notify) as server, _supervised(server):
        ready = settings.model_copy(update={"database_url": server.url})
        ready._cluster = server.data
        yield ready


def run_on_database(data_dir: Path | None, work: Callable[[Database], Awaitable[T]]) -> T:
    """Run the work of one command on the database of the settings. Raises CannotStart if that cannot serve."""

    async def run(url: str) -> T:
        await require(url)
        async with open_database(url) as engine:
            return await work(engine)

    found = load(data_dir=data_dir)
    require_database(found)
    with running_database(found) as settings:
        return asyncio.run(run(settings.url))


def require_database(settings: Settings) -> None:
    """Raise CannotStart where the embedded PostgreSQL has no database in this directory, rather than make one."""
    if settings.embedded and not (settings.data_dir / "postgres").exists():
        raise CannotStart(f"there is no database in {settings.data_dir}: name its directory with --data-dir")


@asynccontextmanager
async def open_database(url: str) -> AsyncIterator[Database]:
    """A pool of two connections, for a command."""
    engine = make_engine(url, 2)
    try:
        yield engine
    finally:
        await engine.dispose()


@contextmanager
def _supervised(server: Server) -> Iterator[None]:
    """Restart the server if it dies during the block, for example by the OOM killer: nothing else supervises it."""
    stopping = threading.Event()

    def watch() -> None:
        while not stopping.wait(CHECK_SECONDS):
            try:
                if server.restart_if_dead():
                    logger.warning("postgresql_restarted")
            except (CannotStart, OSError) as error:
                logger.error("postgresql_not_restarted", error=str(error))

    watcher = threading.Thread(target=watch, name="postgresql-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        stopping.set()
        watcher.join()
