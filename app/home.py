"""Where the data lives: the server that was named, or the embedded one for as long as it is needed."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import structlog

from app.settings import CannotStart, Settings

if TYPE_CHECKING:
    from app.embedded import Server

WATCH_SECONDS: Final = 1.0
logger = structlog.get_logger("baton.home")


@contextmanager
def database(settings: Settings) -> Iterator[Settings]:
    """The settings with `database_url` set. Raises CannotStart, whose text says what to do."""
    if not settings.embedded:
        yield settings
        return
    from app import embedded  # not loaded where a server was named

    with embedded.start(settings.data_dir, bindir=settings.pg_bindir, say=say) as server, _watched(server):
        yield settings.model_copy(update={"database_url": server.url})


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


def say(line: str) -> None:
    """A line for the person at the terminal."""
    print(line, file=sys.stderr, flush=True)
