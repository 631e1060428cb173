"""The processes of a run: PostgreSQL, and those of the service, which are started again whenever they end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import aiohttp

from app.commands.torture.ledger import Ledger
from app.database import embedded
from app.settings import CannotStart, encode_keys

ROLES: Final = {"api": 2, "work": 1, "dispatch": 3}  # how many processes have each role
SERVE: Final = (sys.executable, "-m", "app.commands.cli", "serve")
ADMIN_KEY: Final = "the-admin-key-of-a-torture-is-known-to-all"
READY_SECONDS: Final = 300.0
# What a process has printed once it works.
WORKS: Final = {"api": b"Application startup complete", "work": b"Stop with Ctrl-C", "dispatch": b"Stop with Ctrl-C"}
CANNOT_START: Final = 2  # the status of a process that found no database at its start
PACKAGE_PARENT: Final = Path(__file__).parents[3]


@dataclass(slots=True)
class Process:
    """One process of the service, on a port of its own."""

    name: str
    role: str
    port: int
    command: Sequence[str]
    environment: dict[str, str]
    log: Path
    running: subprocess.Popen[bytes] | None = None
    is_killed: bool = False
    is_stopped: bool = False
    _printed: int = 0

    def start(self) -> None:
        self.is_killed = self.is_stopped = False
        with self.log.open("ab") as output:
            self._printed = output.tell()
            self.running = subprocess.Popen(
                self.command, cwd=self.log.parent, env=self.environment, stdout=output, stderr=output
            )

    @property
    def works(self) -> bool:
        """Whether it runs, is not stopped, and has begun to work since its start."""
        if self.running is None or self.running.poll() is not None or self.is_stopped:
            return False
        return WORKS[self.role] in self.log.read_bytes()[self._printed :]

    def send(self, sent: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self.running is not None and self.running.poll() is None:
            self.is_killed = self.is_killed or sent == signal.SIGKILL
            self.is_stopped = sent == signal.SIGSTOP
            self.running.send_signal(sent)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@dataclass(slots=True)
class Services:
    """The processes of the service on one database."""

    server: embedded.Server
    ledger: Ledger
    processes: list[Process] = field(default_factory=list)

    @property
    def addresses(self) -> list[str]:
        """Where the API answers, while its processes run."""
        return [each.url for each in self.processes if each.role == "api"]

    def chosen(self, target: str, number: int) -> list[Process]:
        """The processes that the target of a fault names: one of a role, or every one of it."""
        candidates = [each for each in self.processes if each.role == target.removeprefix("every ")]
        return candidates if target.startswith("every ") else [candidates[number % len(candidates)]]

    async def keep_running(self) -> None:
        """Start each process again that ended. One that ended without being killed is a violation."""
        while True:
            for process in self.processes:
                if process.running is not None and (status := process.running.poll()) is not None:
                    if not process.is_killed and status != CANNOT_START:
                        self.ledger.note("wrong", text=f"{process.name} ended by itself with status {status}")
                    process.start()
            await asyncio.sleep(0.1)

    async def until_ready(self) -> None:
        """Wait until each process with the API is ready. Raises CannotStart."""
        waiting, ends = self.addresses, self.ledger.now + READY_SECONDS
        async with aiohttp.ClientSession() as session:
            while waiting := [each for each in waiting if not await _is_ready(session, each)]:
                if self.ledger.now > ends:
                    logs = self.processes[0].log.parent
                    raise CannotStart(f"the service is not ready within {READY_SECONDS:.0f} s: see the logs in {logs}")
                await asyncio.sleep(0.1)

    async def restart_database(self) -> None:
        """End PostgreSQL without a checkpoint, and start it again."""
        stop = [self.server.programs["pg_ctl"], "-D", str(self.server.data), "-m", "immediate", "-w", "stop"]
        await asyncio.to_thread(lambda: self.server.runner.run(stop, quiet=True))
        await asyncio.to_thread(self.server.restart_if_dead)

    def end(self) -> None:
        """Kill all processes."""
        for process in self.processes:
            if process.running is not None:
                process.running.kill()
                process.running.wait()


async def _is_ready(session: aiohttp.ClientSession, address: str) -> bool:
    try:
        async with session.get(f"{address}/readyz", timeout=aiohttp.ClientTimeout(total=2)) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


@contextmanager
def services(folder: Path, ledger: Ledger, command: Sequence[str] = SERVE) -> Iterator[Services]:
    """PostgreSQL, durable and migrated by `command`'s first process, and the processes of the service, in a folder."""
    with embedded.start(folder, notify=lambda _: None) as server:
        made = Services(server, ledger)
        try:
            names = [(role, number) for role, count in ROLES.items() for number in range(1, count + 1)]
            for (role, number), port in zip(names, _free_ports(len(names)), strict=True):
                environment, log = _environment(server, role, port), folder / f"{role}-{number}.log"
                made.processes.append(Process(f"{role} {number}", role, port, command, environment, log))
            yield made
        finally:
            made.end()


def _environment(server: embedded.Server, role: str, port: int) -> dict[str, str]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("BATON_")}
    return {
        **inherited,
        "PYTHONPATH": str(PACKAGE_PARENT),
        "BATON_DATABASE_URL": server.url,
        "BATON_SECRET_KEYS": encode_keys({"torture": bytes(32)}),
        "BATON_ADMIN_KEY": ADMIN_KEY,
        "BATON_ROLES": role,
        "BATON_PORT": str(port),
        "BATON_ALLOWED_TARGETS": "127.0.0.0/8",
        "BATON_DRAIN_SECONDS": "0",
        "BATON_POOL_SIZE": "5",
    }


def _free_ports(count: int) -> list[int]:
    """Ports that are free now, below those that the system gives to connections."""
    found: list[int] = []
    for port in range(20_000 + os.getpid() % 10_000, 32_000):
        with socket.socket() as listener, suppress(OSError):
            listener.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            return found
    raise CannotStart(f"fewer than {count} ports are free")
