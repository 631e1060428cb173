"""The databases of one test run: one server, one migrated template database, and cheap clones of it.

The server is embedded, on a RAM disk, with fsync off. BATON_DATABASE_URL selects another server (databases are created
there and dropped again), BATON_PG_BINDIR other PostgreSQL programs. pytest-xdist workers share the server.
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
FOLDER, URL, BINDIR = "BATON_TESTS_HOME", "BATON_TESTS_URL", "BATON_TESTS_BINDIR"
MIN_FREE_BYTES = 2_000_000_000
DROP_TRIES = 12


@dataclass(frozen=True, slots=True)
class Databases:
    """The server of this run; `address` is the asyncpg DSN of its maintenance database.

    embedded: whether it belongs to the tests, which are then its superuser, and fsync is off.
    """

    address: str
    template: str
    embedded: bool = False

    def dsn(self, name: str) -> str:
        """The asyncpg DSN of one database of the server."""
        before, _, query = self.address.partition("?")
        return before.rpartition("/")[0] + "/" + name + ("?" + query if query else "")

    @contextlib.asynccontextmanager
    async def clone(self, original: str | None = None) -> AsyncIterator[str]:
        """The DSN of a new database, which is dropped afterwards: migrated and empty, or a copy of an unused one."""
        name = f"{self.template}_{uuid4().hex[:12]}"
        strategy = "file_copy" if self.embedded else "wal_log"  # the former takes half as long where fsync is off
        async with self._connection() as connection:
            await connection.execute(
                f'CREATE DATABASE "{name}" TEMPLATE "{original or self.template}" STRATEGY {strategy}'
            )
            try:
                yield self.dsn(name)
            finally:
                await _drop(connection, name)

    async def make_template(self) -> None:
        """Create and migrate the template, unless another worker already did."""
        async with self._connection() as connection:
            if not await connection.fetchval("SELECT count(*) FROM pg_database WHERE datname = $1", self.template):
                await connection.execute(f'CREATE DATABASE "{self.template}_new"')
                await migrate.upgrade(as_url(self.dsn(f"{self.template}_new")))
                await connection.execute(f'ALTER DATABASE "{self.template}_new" RENAME TO "{self.template}"')

    async def drop_template(self) -> None:
        async with self._connection() as connection:
            await _drop(connection, self.template)

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        connection = await asyncpg.connect(self.address)
        try:
            yield connection
        finally:
            await connection.close()


async def _drop(connection: asyncpg.Connection, name: str) -> None:
    """Drop a database, with retries: PostgreSQL waits only five seconds for its sessions to end."""
    statement = f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)'
    for _ in range(DROP_TRIES):
        with contextlib.suppress(asyncpg.ObjectInUseError):
            await connection.execute(statement)
            return
    await connection.execute(statement)


def as_url(dsn: str) -> str:
    """SQLAlchemy's URL for an asyncpg DSN."""
    return "postgresql+asyncpg://" + dsn.partition("://")[2]


def start_run() -> int:
    """In the controlling process: make a folder for this run, pass it to the workers, and lock it as in use.

    BATON_* variables of the developer are removed from the environment: only the server can be chosen.
    """
    chosen = {URL: os.environ.get("BATON_DATABASE_URL", ""), BINDIR: os.environ.get("BATON_PG_BINDIR", "")}
    for name in [name for name in os.environ if name.startswith("BATON_")]:
        del os.environ[name]
    remove_killed_runs()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=_fast_folder()))
    folder.chmod(0o711)  # started by root, the server runs as another user
    lock = os.open(folder / "new.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (folder / "new.lock").rename(folder / "run.lock")  # already locked when another run's clean-up finds it
    os.environ.update({**chosen, FOLDER: str(folder)})
    return lock


async def end_run(lock: int) -> None:
    """Drop the template on an external server, and remove the folder."""
    folder = Path(os.environ[FOLDER])
    if os.environ[URL]:
        await Databases(_as_dsn(os.environ[URL]), _template_name(folder)).drop_template()
    shutil.rmtree(folder, ignore_errors=True)
    os.close(lock)


@contextlib.contextmanager
def server_of_run() -> Iterator[Databases]:
    """In a worker: the server of this run; its template may not exist yet."""
    folder = Path(os.environ[FOLDER])
    if os.environ[URL]:
        yield Databases(_as_dsn(os.environ[URL]), _template_name(folder))
        return
    bindir = Path(os.environ[BINDIR]) if os.environ[BINDIR] else None
    with embedded.start(folder, durable=False, bindir=bindir) as server:
        yield Databases(server.dsn, _template_name(folder), embedded=True)


@contextlib.contextmanager
def template_lock() -> Iterator[None]:
    """Lets one worker at a time make the template."""
    with Path(os.environ[FOLDER], "template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remove_killed_runs() -> None:
    """Stop the servers and remove the folders of runs that were killed."""
    for folder in _fast_folder().glob(PREFIX + "*"):
        with contextlib.suppress(OSError, EmbeddedError), (folder / "run.lock").open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # BlockingIOError: that run is still active
            if (folder / "postgres" / "postmaster.pid").exists():
                embedded.start(folder, durable=False).stop()
            shutil.rmtree(folder, ignore_errors=True)


def _fast_folder() -> Path:
    memory = Path("/dev/shm")
    if memory.is_dir() and os.access(memory, os.W_OK) and shutil.disk_usage(memory).free > MIN_FREE_BYTES:
        return memory
    return Path(tempfile.gettempdir())


def _as_dsn(url: str) -> str:
    return "postgresql://" + url.partition("://")[2]


def _template_name(folder: Path) -> str:
    return folder.name.replace("-", "_").lower()
