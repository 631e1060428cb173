"""A folder for a server of one test, and processes that share it."""

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

ROOT = Path(__file__).parents[2]
Start = Callable[..., embedded.Server]
Script = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def home() -> Iterator[Path]:
    """A data directory that the server's user can reach; afterwards nothing of it runs or stays."""
    parent = Path(tempfile.mkdtemp(prefix="baton-embedded-"))
    parent.chmod(0o711)
    yield parent / "data"
    kill_all(processes_in((parent / "data" / "postgres").resolve()))
    shutil.rmtree(parent, ignore_errors=True)


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """`embedded.start` on that folder; what a test leaves running is stopped."""
    servers: list[embedded.Server] = []

    def started(data_dir: Path = home, **options: object) -> embedded.Server:
        servers.append(embedded.start(data_dir, **options))  # type: ignore[arg-type]
        return servers[-1]

    yield started
    for server in servers:
        server.stop()


@pytest.fixture
def script(home: Path) -> Iterator[Script]:
    """Run a piece of Python in a process of its own, with `home` and `embedded` at hand."""
    running: list[subprocess.Popen[str]] = []

    def run(body: str) -> "subprocess.Popen[str]":
        before = (
            "import asyncio, asyncpg, os, signal, sys\nfrom pathlib import Path\nfrom app.database import embedded\n"
        )
        code = f"{before}home = Path({str(home)!r})\n{body}"
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, **pipes))  # type: ignore[call-overload]
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


async def ask(server: embedded.Server, question: str) -> object:
    """One value from the server."""
    connection = await asyncpg.connect(server.dsn)
    try:
        return await connection.fetchval(question)
    finally:
        await connection.close()


def processes_in(data: Path) -> list[int]:
    """Every process of PostgreSQL that is at home in this data, the postmaster first (the others are its children)."""
    found = [int(p.name) for p in Path("/proc").glob("[0-9]*") if embedded._is_postgres_in(int(p.name), data)]
    return sorted(found, key=lambda pid: _parent_of(pid) in found)


def _parent_of(pid: int) -> int:
    """The parent of a process; 0 when it has ended meanwhile."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()[1])
    except OSError:
        return 0


def kill_all(pids: Iterable[int]) -> None:
    """kill -9; one that has ended meanwhile is no fault: PostgreSQL's children end when the first one is dead."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
