"""What the paths share: database, service, load, profiling, and alternating runs with a baseline."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.cpu import Meter
from benchmarks.database import Database
from benchmarks.figures import Run
from benchmarks.layers import Profile, read_profile
from benchmarks.load import Plan
from benchmarks.people import SIGNING
from benchmarks.processes import Failed, Server, process, service, start_and_read, wait_ready

CONNECTIONS = 32
ROUNDS = 3
SETTLE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class Peer:
    """Another system on a local port, which creates a person by a POST with a bearer token."""

    port: int
    path: str
    token: str


@dataclass(slots=True)
class Bench:
    """One run of the command. `folder` holds the samples of a profiled path; None means no profiling.

    `leads` and `activities` of each are the size of the path `backtest`, `leads` also that of `reports`; 0 leads: as
    many as the path takes by itself.
    """

    database: Database
    quick: bool
    folder: Path | None = None
    peer: Peer | None = None
    leads: int = 0
    activities: int = 10
    profiles: list[Profile] = field(default_factory=list)

    def scale(self, full: int, quick: int) -> int:
        """The size of a run: `quick` with --quick, else `full`."""
        return quick if self.quick else full

    @contextmanager
    def service(self, dsn: str, roles: str, name: str = "") -> Iterator[Server]:
        """The service on a database; sampled if `name` is given and profiling is on."""
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
        """Send each request once, for at most `seconds`, and measure; another status than `status` raises Failed."""
        with _client(Plan(server.port, connections, seconds, requests, (status,), pause)) as client:
            meter = Meter(server.pid, self.database.pid)
            result = _checked(start_and_read(client))
            return meter.run(result["count"], result["p50_ms"], result["p99_ms"], result["seconds"])

    def load_peer(self, peer: Peer, requests: Sequence[bytes], seconds: float) -> Run:
        """The same load for another system, which may answer 200 or 201; without its CPU."""
        with _client(Plan(peer.port, CONNECTIONS, seconds, requests, (200, 201))) as client:
            result = _checked(start_and_read(client))
        return Run(result["count"], result["seconds"], result["p50_ms"], result["p99_ms"], 0, 0)

    def profile(self, server: Server, name: str, work: Callable[[], Run]) -> Run:
        """Run `work`; with profiling on, sample the service's stack meanwhile and add the profile."""
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


@contextmanager
def _client(plan: Plan) -> Iterator[subprocess.Popen[str]]:
    """A load generator that is ready to start."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "plan")
        path.write_bytes(pickle.dumps(plan))
        with process(["-m", "benchmarks.load", str(path)]) as client:
            wait_ready(client)
            yield client


def _checked(result: dict[str, Any]) -> dict[str, Any]:
    """The result of a load; Failed unless all responses had the status wanted."""
    if not result.get("count"):
        raise Failed("the load received no response")
    if result["faults"]:
        faults, count, first = result["faults"], result["count"], result["first_fault"]
        raise Failed(f"{faults} of {count} responses had another status; the first: {first}")
    return result


def alternating(ours: Callable[[], Run], bare: Callable[[], Run]) -> tuple[Run, Run]:
    """Run both in turns, so that noise on the machine affects both alike; returns ours and the baseline."""
    mine, baseline = zip(*[(ours(), bare()) for _ in range(ROUNDS)], strict=True)
    return combined(mine), combined(baseline)


def combined(runs: Sequence[Run]) -> Run:
    """Several runs as one: sums, CPU weighted by count, and the median of each percentile."""
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
    """Create a source that verifies an HMAC signature; returns the path of its ingest URL."""
    overrides = {"verify": [{"kind": "hmac", "header": "X-Signature", "secret": "signing"}]}
    body = {"name": "Benchmark", "preset": "generic", "overrides": overrides, "secrets": {"signing": SIGNING}}
    return f"/v1/ingest/{server.call('POST', '/v1/sources', body)['key']}"


def new_user(server: Server, role: str) -> str:
    """Create a user; returns the id."""
    body = {"name": role, "email": f"{role}@example.com", "role": role, "time_zone": "UTC"}
    found: str = server.call("POST", "/v1/users", body)["id"]
    return found


def wait_for_count(database: Database, dsn: str, query: str, wanted: int) -> None:
    """Wait until the query's count is at least `wanted`."""
    ends = time.monotonic() + SETTLE_SECONDS
    while (found := database.value(dsn, query)) < wanted:
        if time.monotonic() > ends:
            raise Failed(f"only {found} of {wanted} after {SETTLE_SECONDS:.0f} s: {query}")
        time.sleep(0.1)


PROCESSED = "SELECT count(*) FROM submissions WHERE state <> 'received'"
