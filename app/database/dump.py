"""A copy of the embedded database as one stream, by the pg_dump and pg_restore of the server's own version."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from app.database.binaries import EmbeddedError
from app.database.embedded import Server, last_line


def dump(server: Server, into: IO[bytes]) -> None:
    """Write the database as of one instant, in pg_dump's custom format. Raises EmbeddedError."""
    with _tool(server, "pg_dump", "--format=custom", stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        shutil.copyfileobj(process.stdout, into)


def load(server: Server, source: IO[bytes]) -> None:
    """Restore what `dump` wrote into a new, empty server, wholly or not at all. Raises EmbeddedError."""
    with _tool(server, "pg_restore", "--exit-on-error", "--single-transaction", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        with suppress(BrokenPipeError):  # it ended early: its message says why
            shutil.copyfileobj(source, process.stdin)
            process.stdin.close()


@contextmanager
def _tool(server: Server, name: str, *options: str, **pipes: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A client program on the server's database, as the server's user: nobody else may open its socket."""
    program = server.programs[name]
    if not Path(program).is_file():
        raise EmbeddedError(
            f"there is no {name} in {server.programs.folder}: set BATON_PG_BINDIR to the bin directory of a complete "
            f"PostgreSQL {server.programs.major}"
        )
    with tempfile.TemporaryFile() as errors:
        command = [program, *options, f"--dbname={server.dsn}"]
        with server.runner.start(command, stderr=errors, **pipes) as process:
            yield process
        if process.returncode != 0:
            errors.seek(0)
            raise EmbeddedError(f"{name} failed: {last_line(errors.read().decode(errors='replace'))}")
