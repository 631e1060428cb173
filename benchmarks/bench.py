"""What every path needs: the database, how long and how much to measure, and runs side by side with a baseline."""

from __future__ import annotations

import os
import pickle
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.cpu import Meter
from benchmarks.database import Database
from benchmarks.figures import Run
from benchmarks.layers import Profile, read_profile
from benchmarks.load import Plan
from benchmarks.people import SIGNING
from benchmarks.processes import Failed, Server, answer_of, process, service, wait_ready

CONNECTIONS = 32
ROUNDS = 3
SETTLE_SECONDS = 120.0


@dataclass(slots=True)
class Bench:
    """One run of the command. `folder` is where samples are kept while a path is profiled; None profiles nothing."""

    database: Database
    quick: bool
    folder: Path | None = None
    profiles: list[Profile] = field(default_factory=list)

    def scale(self, full: int, quick: int) -> int:
        """How many of something to do."""
        return quick if self.quick else full

    @contextmanager
    def service(self, dsn: str, roles: str, name: str = "") -> Iterator[Server]:
        """The product on a database; sampled where a `name` is given and profiles are wanted."""
        path = self.folder / name if self.folder and name else None
        with service(dsn, roles, path) as server:
            yield server

    def load(
        self,
        server: Server,
        requests: Sequence[bytes],
        status: int,
        *,
        connections: int = CONNECTIONS,
        seconds: float = 60.0,
        pause: float = 0.0,
    ) -> Run:
        """Sends the requests, each once, for at most so long, and measures. Failed when an answer was not as wanted."""
        with TemporaryDirectory() as folder:
            path = Path(folder, "plan")
            path.write_bytes(pickle.dumps(Plan(server.port, connections, seconds, requests, status, pause)))
            with process(["-m", "benchmarks.load", str(path)]) as client:
                wait_ready(client)
                meter = Meter(server.pid, self.database.pid)
                seen = answer_of(client)
                run = meter.run(seen.get("count", 0), seen.get("p50_ms"), seen.get("p99_ms"), seen.get("seconds"))
        if not run.count:
            raise Failed("the load saw no answer")
        if seen["faults"]:
            raise Failed(f"{seen['faults']} of {run.count} answers were not {status}; the first: {seen['first_fault']}")
        return run

    def profile(self, server: Server, name: str, work: Callable[[], Run]) -> Run:
        """Runs `work`; where profiles are wanted, the service's stack is sampled meanwhile and kept by layer."""
        if self.folder is None:
            return work()
        os.kill(server.pid, signal.SIGUSR1)
        time.sleep(0.2)
        run = work()
        os.kill(server.pid, signal.SIGUSR2)
        path = self.folder / name
        ends = time.monotonic() + 20
        while not path.exists() and time.monotonic() < ends:
            time.sleep(0.05)
        self.profiles.append(read_profile(path, name, run))
        return run


def alternating(ours: Callable[[], Run], base: Callable[[], Run]) -> tuple[Run, Run]:
    """Runs both in turn, so that a noisy machine disturbs both alike; ours and the baseline."""
    mine, theirs = zip(*[(ours(), base()) for _ in range(ROUNDS)], strict=True)
    return together(mine), together(theirs)


def together(runs: Sequence[Run]) -> Run:
    """Several runs as one: sums, CPU by count, and the median of each percentile."""
    count = sum(run.count for run in runs)
    return Run(
        count=count,
        seconds=sum(run.seconds for run in runs),
        p50_ms=median(run.p50_ms or 0.0 for run in runs),
        p99_ms=median(run.p99_ms or 0.0 for run in runs),
        app_us=sum(run.app_us * run.count for run in runs) / count,
        pg_us=sum(run.pg_us * run.count for run in runs) / count,
        peak_mib=max(run.peak_mib or 0.0 for run in runs),
    )


def new_source(server: Server) -> str:
    """A source of signed JSON; the path of its ingest address."""
    overrides = {"verify": [{"kind": "hmac", "header": "X-Signature", "secret": "signing"}]}
    body = {"name": "Benchmark", "preset": "generic", "overrides": overrides, "secrets": {"signing": SIGNING}}
    return f"/v1/ingest/{server.call('POST', '/v1/sources', body)['key']}"


def new_user(server: Server, role: str) -> str:
    """A person of the tenant; the id."""
    body = {"name": role, "email": f"{role}@example.com", "role": role, "time_zone": "UTC"}
    found: str = server.call("POST", "/v1/users", body)["id"]
    return found


def settled(database: Database, dsn: str, question: str, wanted: int) -> None:
    """Returns once the question's count is at least `wanted`."""
    ends = time.monotonic() + SETTLE_SECONDS
    while (found := database.value(dsn, question)) < wanted:
        if time.monotonic() > ends:
            raise Failed(f"only {found} of {wanted}: {question}")
        time.sleep(0.1)


PROCESSED = "SELECT count(*) FROM submissions WHERE state <> 'received'"
