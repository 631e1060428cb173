"""Where the data lives: the server that was named, or the embedded one for as long as it is needed."""

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
from app.database.transaction import Database
from app.settings import CannotStart, Settings, load

if TYPE_CHECKING:
    from app.database.embedded import Server

T = TypeVar("T")
WATCH_SECONDS: Final = 1.0
logger = structlog.get_logger("baton.home")


@contextmanager
def database(settings: Settings) -> Iterator[Settings]:
    """The settings with `database_url` set. Raises CannotStart, whose text says what to do."""
    if not settings.embedded:
        yield settings
        return
    from app.database import embedded  # not loaded where a server was named

    say = partial(print, file=sys.stderr, flush=True)
    with embedded.start(settings.data_dir, bindir=settings.pg_bindir, say=say) as server, _watched(server):
        yield settings.model_copy(update={"database_url": server.url})


def on_database(data_dir: Path | None, work: Callable[[Database], Awaitable[T]]) -> T:
    """Does the work of one command."""

    async def run(url: str) -> T:
        async with opened(url) as engine:
            return await work(engine)

    with database(load(data_dir=data_dir)) as settings:
        return asyncio.run(run(settings.url))


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """A small pool for as long as a command needs it."""
    engine = make_engine(url, 2)
    try:
        yield engine
    finally:
        await engine.dispose()


@contextmanager
def _watched(server: Server) -> Iterator[None]:
    """Meanwhile a server that dies, as when memory runs out, is started again: nobody else would do it."""
    left = threading.Event()

    def watch() -> None:
        while not left.wait(WATCH_SECONDS):
            try:
                if server.revive():
                    logger.warning("postgresql_restarted")
            except (CannotStart, OSError) as error:
                logger.error("postgresql_not_restarted", error=str(error))

    watcher = threading.Thread(target=watch, name="postgresql-watch", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        left.set()
        watcher.join()
