"""Baton and its rivals behind one interface: a database, receivers, a recorder of events, and workers to be killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field

from benchmarks.bench import Bench
from benchmarks.cpu import cpu_seconds, tree
from benchmarks.database import TEMPLATE
from benchmarks.processes import Failed, Server, process, service, wait_ready
from benchmarks.rivals.environment import rival_python
from benchmarks.rivals.events import Order

INSTALL_SECONDS = 60.0
RECORDED = "CREATE TABLE recorded (mark text)"
COMMITTED = "SELECT mark, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS at FROM recorded"


@dataclass(frozen=True, slots=True)
class Kind:
    """What one system is: its module, how many workers it gets, and how many deliveries are still to be made."""

    name: str
    module: str
    waiting: str
    workers: int = 1

    @property
    def arguments(self) -> list[str]:
        return ["-m", f"benchmarks.rivals.{self.module}"]


BATON = Kind(
    "Baton",
    "on_baton",
    """SELECT (SELECT count(*) FROM lanes l JOIN event_log e USING (tenant_id)
                WHERE e.position > l.position AND e.type = 'lead.updated')
            + (SELECT count(*) FROM pending) + (SELECT count(*) FROM delivery_retries)""",
)
RIVALS = [
    Kind(
        "procrastinate",
        "on_procrastinate",
        "SELECT count(*) FROM procrastinate_jobs WHERE status IN ('todo', 'doing') AND task_name = 'deliver'",
    ),
    Kind("pgqueuer", "on_pgqueuer", "SELECT count(*) FROM pgqueuer"),
    Kind(
        "django-outbound-webhooks",
        "on_django",
        "SELECT count(*) FROM django_domain_events_deliveryrecord WHERE status IN ('pending', 'claimed', 'failed')",
        workers=4,
    ),
]
KINDS = [BATON, *RIVALS]


@dataclass(slots=True)
class System:
    """One system on a database of its own. `start` and `kill` its workers as often as needed."""

    kind: Kind
    bench: Bench
    dsn: str
    recorder: subprocess.Popen[str]
    receiver: Server
    stack: ExitStack = field(default_factory=ExitStack)
    workers: list[int] = field(default_factory=list)
    service: Server | None = None

    @property
    def name(self) -> str:
        return self.kind.name

    def start(self) -> None:
        if self.kind is BATON:
            self.service = self.stack.enter_context(service(self.dsn, "api,work,dispatch"))
            self.workers = [self.service.pid]
        else:
            arguments, python = [*self.kind.arguments, "work", self.dsn], rival_python()
            started = [self.stack.enter_context(process(arguments, None, python)) for _ in range(self.kind.workers)]
            self.workers = [one.pid for one in started]

    def kill(self) -> None:
        """SIGKILL for all processes of the workers."""
        for pid in {one for worker in self.workers for one in tree(worker)}:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.stack.close()

    def stop(self) -> None:
        """Let the workers end by themselves."""
        self.stack.close()

    def cpu_seconds(self) -> float:
        return sum(cpu_seconds(worker) for worker in self.workers)

    def path(self, name: str) -> str:
        """The receiver's path of this system."""
        return f"{self.kind.module}/{name}"

    def subscribe(self, name: str, in_flight: int | None = None) -> None:
        """Send all later events to a path of the receiver."""
        url = f"http://127.0.0.1:{self.receiver.port}/{self.path(name)}"
        if self.service is None:
            self.ask({"url": url})
            self.done()
        else:
            limits = {"limits": {"concurrency": in_flight}} if in_flight else {}
            body = {"url": url, "types": ["lead.updated"], "start": "now", **limits}
            self.service.call("POST", "/v1/subscriptions", body)

    def record(self, order: Order) -> None:
        self.ask(asdict(order))
        self.done()

    def ask(self, order: dict[str, object]) -> None:
        """Give the recorder an order, without waiting until it is carried out."""
        assert self.recorder.stdin is not None
        self.recorder.stdin.write(json.dumps(order) + "\n")
        self.recorder.stdin.flush()

    def done(self) -> None:
        """Wait until the recorder has carried out an order."""
        assert self.recorder.stdout is not None
        if self.recorder.stdout.readline() != "done\n":
            raise Failed(f"{self.name} could not record events: set SHOW=1 to see why")

    def committed(self) -> dict[str, float]:
        """When the timed events were committed, by mark."""
        return {row["mark"]: row["at"] for row in self.bench.database.run(self.dsn, COMMITTED)}

    def arrived(self, name: str) -> dict[str, float]:
        """When each event came to a path first, by mark, in this order."""
        return dict(self.receiver.call("GET", f"/times/{self.path(name)}")) if self._count(name) else {}

    def until(self, names: Sequence[str], count: int, seconds: float) -> int:
        """Wait until each of these paths has so many events, at most so long; how many are missing."""
        ends, wanted = time.monotonic() + seconds, count * len(names)
        while (got := sum(self._count(name) for name in names)) < wanted and time.monotonic() < ends:
            time.sleep(0.05)
        return wanted - got

    def _count(self, name: str) -> int:
        return int(self.receiver.call("GET", "/paths").get(self.path(name), 0))

    def waiting(self) -> int:
        return int(self.bench.database.value(self.dsn, self.kind.waiting))


@contextmanager
def opened(bench: Bench, kind: Kind, receiver: Server) -> Iterator[System]:
    """A system on a new database, its workers not started; at the end they are killed and the database dropped."""
    python = None if kind is BATON else rival_python()
    dsn = bench.database.copy(kind.module, TEMPLATE if kind is BATON else "template0")
    bench.database.run(dsn, RECORDED)
    if kind is not BATON:
        with process([*kind.arguments, "install", dsn], None, python) as installing:
            if installing.wait(INSTALL_SECONDS):
                raise Failed(f"{kind.name} could not be installed: set SHOW=1 to see why")
    try:
        with process([*kind.arguments, "record", dsn], None, python) as recorder:
            wait_ready(recorder)
            system = System(kind, bench, dsn, recorder, receiver)
            try:
                yield system
            finally:
                system.kill()
    finally:
        bench.database.drop(kind.module)  # else its autovacuum writes WAL while the next system is measured
