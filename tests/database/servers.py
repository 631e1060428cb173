"""PostgreSQL servers of a test's own: on TCP ports, with a password, and one as the synchronous standby of another."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from app.database.binaries import Binaries, Runner, binaries, runner_for
from tests.database.embedded.conftest import kill_all, processes_in
from tests.ports import reserved_port

USER, PASSWORD = "baton", "p@ss/w:rd?#%"
CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
wal_level = replica
wal_sender_timeout = 0
hot_standby = on
max_connections = 60
"""


@dataclass
class OwnServer:
    """One server; it may be stopped, killed and promoted."""

    folder: Path
    port: int
    programs: Binaries
    runner: Runner

    def tool(self, name: str, *arguments: str) -> None:
        done = self.runner.run([self.programs[name], *arguments], quiet=name == "pg_ctl", folder=self.folder.parent)
        assert done.returncode == 0, (name, done.stderr or self.log)

    @property
    def log(self) -> str:
        file = self.folder / "log"
        return file.read_text() if file.exists() else ""

    def configure(self, text: str) -> None:
        with (self.folder / "postgresql.conf").open("a") as file:
            file.write(f"{CONFIGURATION}port = {self.port}\n{text}\n")

    def start(self) -> None:
        self.tool("pg_ctl", "-D", str(self.folder), "-l", str(self.folder / "log"), "-w", "-t", "300", "start")

    def promote(self) -> None:
        self.tool("pg_ctl", "-D", str(self.folder), "-w", "-t", "300", "promote")

    def kill(self) -> None:
        """kill -9 of all its processes."""
        kill_all(processes_in(self.folder))


@contextmanager
def primary_and_standby(bindir: Path | None) -> Iterator[tuple[OwnServer, OwnServer]]:
    """A running primary that waits for its standby at each commit, and the standby, which is ready and in step."""
    root = Path(tempfile.mkdtemp(prefix="baton-servers-"))
    root.chmod(0o711)
    runner = runner_for(root / "primary")
    programs = next(binaries(runner, print, bindir))
    with reserved_port() as one, reserved_port() as two:
        servers = [
            OwnServer(root / name, port, programs, runner) for name, port in (("primary", one), ("standby", two))
        ]
        primary, standby = servers
        for server in servers:
            server.folder.mkdir(mode=0o700)
            if runner.switch_user:
                shutil.chown(server.folder, runner.uid, runner.gid)
        try:
            _make_primary(primary)
            _make_standby(primary, standby)
            yield primary, standby
        finally:
            for server in servers:
                with suppress(OSError):
                    server.kill()
            shutil.rmtree(root, ignore_errors=True)


def _make_primary(primary: OwnServer) -> None:
    password = primary.folder.parent / "password"
    password.write_text(PASSWORD)
    password.chmod(0o644)
    options = ("--auth=scram-sha-256", f"--pwfile={password}", "--encoding=UTF8", "--locale=C.UTF-8")
    primary.tool("initdb", "-D", str(primary.folder), f"--username={USER}", *options)
    primary.configure("")
    primary.start()


def _make_standby(primary: OwnServer, standby: OwnServer) -> None:
    source = f"host=127.0.0.1 port={primary.port} user={USER} password='{PASSWORD}'"
    arguments = ("-D", str(standby.folder), "-d", source, "--write-recovery-conf", "--checkpoint=fast", "--no-password")
    standby.tool("pg_basebackup", *arguments)
    standby.configure("")
    standby.start()
    primary.configure("synchronous_standby_names = '*'")
    primary.tool("pg_ctl", "-D", str(primary.folder), "reload")
