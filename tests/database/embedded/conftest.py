"""A data directory for each test, and processes that share its server."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import asyncpg
import pytest

from app.database import embedded

ROOT = Path(__file__).parents[3]
Start = Callable[..., embedded.Server]
Script = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def data_dir() -> Iterator[Path]:
    """A data directory that the server's user can reach; afterwards its processes are killed and it is removed."""
    parent = Path(tempfile.mkdtemp(prefix="baton-embedded-"))
    parent.chmod(0o711)
    yield parent / "data"
    kill_all(processes_in((parent / "data" / "postgres").resolve()))
    shutil.rmtree(parent, ignore_errors=True)


@pytest.fixture
def start(data_dir: Path) -> Iterator[Start]:
    """`embedded.start` on that folder; servers still running after the test are stopped."""
    servers: list[embedded.Server] = []

    def started(data_dir: Path = data_dir, **options: object) -> embedded.Server:
        servers.append(embedded.start(data_dir, **options))  # type: ignore[arg-type]
        return servers[-1]

    yield started
    for server in servers:
        server.stop()


@pytest.fixture
def script(data_dir: Path) -> Iterator[Script]:
    """Run Python code in a process of its own, with `data_dir` and `embedded` defined."""
    running: list[subprocess.Popen[str]] = []

    def run(body: str) -> "subprocess.Popen[str]":
        imports = (
            "import asyncio, asyncpg, os, signal, sys\nfrom pathlib import Path\nfrom app.database import embedded\n"
        )
        code = f"{imports}data_dir = Path({str(data_dir)!r})\n{body}"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes))  # type: ignore[call-overload]
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


async def fetch_value(server: embedded.Server, query: str) -> object:
    """The one value that a query returns."""
    connection = await asyncpg.connect(server.dsn)
    try:
        return await connection.fetchval(query)
    finally:
        await connection.close()


def processes_in(data: Path) -> list[int]:
    """The PostgreSQL processes that run in this data directory, the postmaster first (the others are its children)."""
    found = [int(p.name) for p in Path("/proc").glob("[0-9]*") if embedded._is_postgres_in(int(p.name), data)]
    return sorted(found, key=lambda pid: _parent_of(pid) in found)


def _parent_of(pid: int) -> int:
    """The parent of a process; 0 if it has ended."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])
    except OSError:
        return 0


def kill_all(pids: Iterable[int]) -> None:
    """kill -9. Some may have ended already: PostgreSQL's child processes exit when the postmaster dies."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
