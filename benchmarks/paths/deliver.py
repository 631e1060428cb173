"""Delivery: a backlog of events posted to one subscriber, and the way of single events when nothing else happens."""

from __future__ import annotations

import time

from app import ids
from benchmarks.bench import PROCESSED, Bench, new_source, settled
from benchmarks.cpu import Meter, peak_mib
from benchmarks.figures import Line, Run, per_operation_us, percentile, times
from benchmarks.people import creations, fills
from benchmarks.processes import Failed, Server, answer_of, process, receiver, wait_ready

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
            "delivery",
            f"a backlog to one subscriber, {IN_FLIGHT} in flight",
            drained,
            f"{ratio:.2f} of its rate",
            "≥ 0.70 of the rate",
            ratio >= 0.7,
        ),
        Line("delivery", "aiohttp alone, signed POSTs of 1 kB", base),
    ]
    return lines if bench.folder else [*lines, _idle(bench, dsn, bench.scale(200, 60))]


def _client_alone(count: int) -> Run:
    with receiver() as hears, process(["-m", "benchmarks.bare.post", str(hears.port), str(count)]) as client:
        wait_ready(client)
        seen = answer_of(client)
        return Run(count, seen["seconds"], None, None, per_operation_us(seen["cpu"], count), 0.0, peak_mib(client.pid))


def _drained(bench: Bench, dsn: str, leads: int) -> Run:
    """Events are made and sequenced first; then a subscription that starts at the earliest is served."""
    with bench.service(dsn, "api,work") as door:
        bench.load(door, fills(new_source(door), leads), 202)
        settled(bench.database, dsn, PROCESSED, leads)
    with receiver() as hears, bench.service(dsn, "api,dispatch", "delivery") as ours:
        settled(bench.database, dsn, PENDING, 1)
        wanted = bench.database.value(dsn, LOGGED)
        return bench.profile(ours, "delivery", lambda: _serve(bench, ours, hears, wanted))


def _serve(bench: Bench, ours: Server, hears: Server, wanted: int) -> Run:
    meter = Meter(ours.pid, bench.database.pid)
    _subscribe(ours, hears, "earliest")
    before, still_since = -1, time.monotonic()
    while (seen := hears.call("GET", "/count"))["count"] < wanted:
        if seen["count"] > before:
            before, still_since = seen["count"], time.monotonic()
        if time.monotonic() > still_since + STALLED_SECONDS:
            raise Failed(f"deliveries stopped at {seen['count']} of {wanted}")
        time.sleep(0.05)
    return meter.run(wanted, seconds=seen["last"] - seen["first"])


def _subscribe(server: Server, hears: Server, start: str) -> None:
    limits = {"concurrency": IN_FLIGHT}
    body = {"url": f"http://127.0.0.1:{hears.port}/hook", "types": ["*"], "start": start, "limits": limits}
    server.call("POST", "/v1/subscriptions", body)


def _idle(bench: Bench, dsn: str, count: int) -> Line:
    """One creation after another with pauses; from PostgreSQL's own commit time to the receiver's clock."""
    with receiver() as hears, bench.service(dsn, "api,work,dispatch") as ours:
        for old in ours.call("GET", "/v1/subscriptions")["data"]:
            ours.call("DELETE", f"/v1/subscriptions/{old['id']}")
        _subscribe(ours, hears, "now")
        bench.load(ours, creations(20), 201, connections=1, pause=0.05)
        time.sleep(1)
        began = bench.database.value(dsn, "SELECT now()")
        run = bench.load(ours, creations(count), 201, connections=1, pause=0.05)
        time.sleep(2)
        came = hears.call("GET", "/times")
        rows = bench.database.run(dsn, COMMITTED, began)
    waits = [came[name] - row["at"] for row in rows if (name := ids.show("event", row["id"])) in came]
    if len(waits) < len(rows):
        raise Failed(f"{len(waits)} of {len(rows)} events were received")
    p50, p99 = ((percentile(waits, share) or 0.0) * 1e3 for share in (0.5, 0.99))
    seen = Run(
        len(waits), run.seconds, p50, p99, times(run.app_us * count, len(waits)), times(run.pg_us * count, len(waits))
    )
    met = p50 < 5 and p99 < 50
    return Line("delivery", "commit → receipt, one lead at a time, idle", seen, "", "p50 < 5 ms, p99 < 50 ms", met)
