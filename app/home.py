"""Where the data lives: the server that was named, or the embedded one for as long as it is needed."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from app.settings import Settings


@contextmanager
def database(settings: Settings) -> Iterator[Settings]:
    """The settings with `database_url` set. Raises CannotStart, whose text says what to do."""
    if not settings.embedded:
        yield settings
        return
    from app import embedded  # not loaded where a server was named

    with embedded.start(settings.data_dir, bindir=settings.pg_bindir, say=say) as server:
        yield settings.model_copy(update={"database_url": server.url})


def say(line: str) -> None:
    """A line for the person at the terminal."""
    print(line, file=sys.stderr, flush=True)
