"""A PostgreSQL for one run of the tests: one server, one migrated template, cheap clones of it.

The server is embedded, on a RAM disk, with fsync off; BATON_DATABASE_URL names another one (databases are made
there and dropped again), BATON_PG_BINDIR other binaries. Workers of pytest-xdist share the server.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg

from app.database import embedded, migrate
from app.database.binaries import EmbeddedError

PREFIX = "baton-test-"
HOME, URL, BINDIR = "BATON_TESTS_HOME", "BATON_TESTS_URL", "BATON_TESTS_BINDIR"
ROOM = 2_000_000_000
TRIES = 12


@dataclass(frozen=True, slots=True)
class Databases:
    """The server of this run; `address` is that of its maintenance database, for asyncpg."""

    address: str
    template: str

    def dsn(self, name: str) -> str:
        """The address of one database of the server, for asyncpg."""
        before, _, query = self.address.partition("?")
        return before.rpartition("/")[0] + "/" + name + ("?" + query if query else "")

    @contextlib.asynccontextmanager
    async def clone(self) -> AsyncIterator[str]:
        """A database of one's own, migrated and empty, and its address; dropped at the end."""
        name = f"{self.template}_{uuid4().hex[:12]}"
        await self._run(f'CREATE DATABASE "{name}" TEMPLATE "{self.template}"')
        try:
            yield self.dsn(name)
        finally:
            await self._drop(name)

    async def make_template(self) -> None:
        """Migrate the template, unless another worker already did."""
        if not await self._value("SELECT count(*) FROM pg_database WHERE datname = $1", self.template):
            await self._run(f'CREATE DATABASE "{self.template}_new"')
            await migrate.upgrade(as_url(self.dsn(f"{self.template}_new")))
            await self._run(f'ALTER DATABASE "{self.template}_new" RENAME TO "{self.template}"')

    async def drop_template(self) -> None:
        await self._drop(self.template)

    async def _drop(self, name: str) -> None:
        """PostgreSQL itself waits five seconds for sessions to end, which are not enough for a very busy machine."""
        statement = f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'
        for _ in range(TRIES):
            with contextlib.suppress(asyncpg.ObjectInUseError):
                return await self._run(statement)
        return await self._run(statement)

    async def _run(self, statement: str) -> None:
        connection = await asyncpg.connect(self.address)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    async def _value(self, question: str, *values: object) -> object:
        connection = await asyncpg.connect(self.address)
        try:
            return await connection.fetchval(question, *values)
        finally:
            await connection.close()


def as_url(dsn: str) -> str:
    """asyncpg's spelling of an address in SQLAlchemy's."""
    return "postgresql+asyncpg://" + dsn.partition("://")[2]


def open_run() -> int:
    """In the controlling process: choose a folder for this run, tell the workers, and hold what marks it as used.

    Settings of the person who runs the tests are taken out of the environment: only the server may be chosen.
    """
    chosen = {URL: os.environ.get("BATON_DATABASE_URL", ""), BINDIR: os.environ.get("BATON_PG_BINDIR", "")}
    for name in [name for name in os.environ if name.startswith("BATON_")]:
        del os.environ[name]
    sweep()
    home = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_fast_folder()))
    home.chmod(0o711)  # the server of root runs as another user
    mark = os.open(home / "new.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(mark, fcntl.LOCK_EX)
    (home / "new.lock").rename(home / "run.lock")  # held before the sweep of another run can see it
    os.environ.update({**chosen, HOME: str(home)})
    return mark


async def close_run(mark: int) -> None:
    """Drop what is left on a server that was named, and the folder."""
    home = Path(os.environ[HOME])
    if os.environ[URL]:
        await Databases(_plain(os.environ[URL]), _template(home)).drop_template()
    shutil.rmtree(home, ignore_errors=True)
    os.close(mark)


@contextlib.contextmanager
def joined() -> Iterator[Databases]:
    """In a worker: the server of this run, without its template yet."""
    home = Path(os.environ[HOME])
    if os.environ[URL]:
        yield Databases(_plain(os.environ[URL]), _template(home))
        return
    bindir = Path(os.environ[BINDIR]) if os.environ[BINDIR] else None
    with embedded.start(home, durable=False, bindir=bindir) as server:
        yield Databases(server.dsn, _template(home))


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Hold the lock of this run."""
    with Path(os.environ[HOME], "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def sweep() -> None:
    """Stop and remove what a killed run left behind."""
    for home in _fast_folder().glob(PREFIX + "*"):
        with contextlib.suppress(OSError, EmbeddedError), (home / "run.lock").open("r+b") as mark:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: that run is alive
            if (home / "postgres" / "postmaster.pid").exists():
                embedded.start(home, durable=False).stop()
            shutil.rmtree(home, ignore_errors=True)


def _fast_folder() -> Path:
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > ROOM:
        return memory
    return Path(tempfile.gettempdir())


def _plain(url: str) -> str:
    return "postgresql://" + url.partition("://")[2]


def _template(home: Path) -> str:
    return home.name.replace("-", "_").lower()
