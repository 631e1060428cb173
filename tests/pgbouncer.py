"""A real PgBouncer in transaction mode in front of a test's database, where the machine has one."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest

from app.database.connection import address
from app.settings import Settings
from tests.ports import reserved_port
from tests.waiting import until

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin:/usr/local/sbin")
CONFIGURATION = """
[databases]
* = {server}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = {mode}
default_pool_size = {size}
server_round_robin = 1
max_client_conn = 500
"""


@dataclass
class Pooler:
    """A running PgBouncer; `url` is the address of the database through it."""

    url: str
    configuration: Path
    user: str
    process: asyncio.subprocess.Process | None = None

    def settings(self, settings: Settings) -> Settings:
        """The same settings with the pooler in front of the database, and no other address."""
        return settings.model_copy(update={"database_url": self.url, "pooler": "transaction"})

    async def start(self) -> None:
        assert PROGRAM is not None
        user = self.user if os.getuid() == 0 else None
        quiet = asyncio.subprocess.DEVNULL
        self.process = await asyncio.create_subprocess_exec(
            PROGRAM, "-q", str(self.configuration), stdout=quiet, stderr=quiet, user=user
        )
        await until(self._answers, "PgBouncer answers")

    async def kill(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        await self.process.wait()

    async def _answers(self) -> bool:
        assert self.process is not None
        assert self.process.returncode is None, "PgBouncer ended"
        try:
            await (await asyncpg.connect(self.url.replace("+asyncpg", ""), statement_cache_size=0)).close()
        except (OSError, asyncpg.PostgresError):
            return False
        return True


@asynccontextmanager
async def pooler(dsn: str, size: int = 4, mode: str = "transaction") -> AsyncIterator[Pooler]:
    """PgBouncer with `size` connections to the server of this database."""
    behind = address(dsn)
    (place,) = behind.places
    assert place is not None
    host, port = place
    given = [f"{name}={value}" for name, value in behind.arguments.items() if name in ("user", "password")]
    owner = "nobody"
    if Path(host).is_dir() and stat.S_ISDIR(Path(host).stat().st_mode):
        owner = pwd.getpwuid(Path(host).stat().st_uid).pw_name  # nobody else reaches the folder of the socket
    with reserved_port() as own_port, tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)
        configuration = Path(folder, "pgbouncer.ini")
        server = " ".join([f"host={host} port={port}", *given])
        configuration.write_text(CONFIGURATION.format(server=server, port=own_port, size=size, mode=mode))
        configuration.chmod(0o644)
        url = f"postgresql+asyncpg://baton@127.0.0.1:{own_port}/{behind.arguments['database']}"
        made = Pooler(url, configuration, owner)
        await made.start()
        try:
            yield made
        finally:
            if made.process is not None and made.process.returncode is None:
                await made.kill()


with_pgbouncer = pytest.mark.skipif(
    PROGRAM is None, reason="this machine has no PgBouncer: install it to run this test"
)
