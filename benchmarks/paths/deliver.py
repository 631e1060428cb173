"""Delivery: a backlog of events posted to one subscriber, and the way of single events when nothing else happens."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

from app import ids
from benchmarks.bench import CONNECTIONS, PROCESSED, Bench, new_source, settled
from benchmarks.cpu import Meter, peak_mib
from benchmarks.figures import Line, Run, per_operation_us, percentile, times
from benchmarks.load import Plan
from benchmarks.people import creations, fills
from benchmarks.processes import Failed, Server, answer_of, free_port, load, process, wait_ready

LOGGED = "SELECT count(*) FROM event_log"
PENDING = "SELECT (count(*) = 0)::int FROM pending"
COMMITTED = (
    "SELECT id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS at FROM events WHERE recorded_at > $1"
)
IN_FLIGHT = 50
STALLED_SECONDS = 20.0


def measure(bench: Bench) -> list[Line]:
    """70 % of the chosen client's bare rate; commit → receipt when idle under 5 ms at the median and 50 ms at p99."""
    dsn = bench.database.create("delivering")
    base = _client_alone(bench.scale(20_000, 5_000))
    drained = _drained(bench, dsn, bench.scale(4_000, 800))
    ratio = times(drained.rate, base.rate)
    lines = [
        Line(
            "delivery", f"a backlog to one subscriber, {IN_FLIGHT} in flight", drained,
            f"{ratio:.2f} of its rate", "≥ 0.70 of the rate", ratio >= 0.7,
        ),
        Line("delivery", "aiohttp alone, signed POSTs of 1 kB", base),
    ]  # fmt: skip
    return lines if bench.folder else [*lines, _idle(bench, dsn, bench.scale(200, 60))]


def _client_alone(count: int) -> Run:
    port = free_port()
    with (
        process(["-m", "benchmarks.receiver", str(port)]) as running,
        process(["-m", "benchmarks.bare.post", str(port), str(count)]) as client,
    ):
        Server(running, port).wait("/count")
        wait_ready(client)
        seen = answer_of(client)
        return Run(count, seen["seconds"], None, None, per_operation_us(seen["cpu"], count), 0.0, peak_mib(client.pid))


def _drained(bench: Bench, dsn: str, leads: int) -> Run:
    """Events are made and sequenced first; then a subscription that starts at the earliest is served."""
    with bench.service(dsn, "api,work") as door:
        ingest = new_source(door)
        load(bench.database, door, Plan(door.port, CONNECTIONS, 60, fills(ingest, leads), 202))
        settled(bench.database, dsn, PROCESSED, leads)
    port = free_port()
    with process(["-m", "benchmarks.receiver", str(port)]) as running:
        receiver = Server(running, port)
        receiver.wait("/count")
        with bench.service(dsn, "api,dispatch", "delivery") as ours:
            settled(bench.database, dsn, PENDING, 1)
            wanted = bench.database.value(dsn, LOGGED)
            run = bench.profile(ours, "delivery", lambda: _serve(bench, ours, receiver, wanted))
    return run


def _serve(bench: Bench, ours: Server, receiver: Server, wanted: int) -> Run:
    meter = Meter(ours.pid, bench.database.pid)
    _subscribe(ours, receiver, "earliest")
    before, still_since = -1, time.monotonic()
    while (seen := _get(receiver, "/count"))["count"] < wanted:
        if seen["count"] > before:
            before, still_since = seen["count"], time.monotonic()
        if time.monotonic() > still_since + STALLED_SECONDS:
            raise Failed(f"deliveries stopped at {seen['count']} of {wanted}")
        time.sleep(0.05)
    spent = meter.spent()
    app, pg = (per_operation_us(part, wanted) for part in (spent.app, spent.pg))
    return Run(wanted, seen["last"] - seen["first"], None, None, app, pg, peak_mib(ours.pid))


def _subscribe(server: Server, receiver: Server, start: str) -> None:
    limits = {"concurrency": IN_FLIGHT}
    body = {"url": f"http://127.0.0.1:{receiver.port}/hook", "types": ["*"], "start": start, "limits": limits}
    server.call("POST", "/v1/subscriptions", body)


def _get(server: Server, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}{path}", timeout=10) as answer:
        return json.loads(answer.read())


def _idle(bench: Bench, dsn: str, count: int) -> Line:
    """One creation after another with pauses; from PostgreSQL's own commit time to the receiver's clock."""
    port = free_port()
    with process(["-m", "benchmarks.receiver", str(port)]) as running:
        receiver = Server(running, port)
        receiver.wait("/count")
        with bench.service(dsn, "api,work,dispatch") as ours:
            for old in ours.call("GET", "/v1/subscriptions")["data"]:
                ours.call("DELETE", f"/v1/subscriptions/{old['id']}")
            _subscribe(ours, receiver, "now")
            load(bench.database, ours, Plan(ours.port, 1, 60, creations("/v1/leads", 20), 201, pause=0.05))
            time.sleep(1)
            began = bench.database.value(dsn, "SELECT now()")
            run = load(bench.database, ours, Plan(ours.port, 1, 60, creations("/v1/leads", count), 201, pause=0.05))
            time.sleep(2)
            came = _get(receiver, "/times")
            rows = bench.database.rows(dsn, COMMITTED, began)
    waits = [came[name] - row["at"] for row in rows if (name := ids.show("event", row["id"])) in came]
    if len(waits) < len(rows):
        raise Failed(f"{len(waits)} of {len(rows)} events were received")
    p50, p99 = ((percentile(waits, share) or 0.0) * 1e3 for share in (0.5, 0.99))
    seen = Run(
        len(waits), run.seconds, p50, p99, times(run.app_us * count, len(waits)), times(run.pg_us * count, len(waits))
    )
    met = p50 < 5 and p99 < 50
    return Line("delivery", "commit → receipt, one lead at a time, idle", seen, "", "p50 < 5 ms, p99 < 50 ms", met)
