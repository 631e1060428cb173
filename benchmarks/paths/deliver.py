"""Delivery: throughput of a backlog to one subscriber, and the latency of single events on an idle service."""

from __future__ import annotations

import time

from app import ids
from benchmarks.bench import PROCESSED, Bench, new_source, wait_for_count
from benchmarks.cpu import Meter, peak_mib
from benchmarks.figures import Line, Run, per_operation_us, percentile, ratio_of
from benchmarks.people import form_fills, lead_creations
from benchmarks.processes import Failed, Server, process, receiver, start_and_read, wait_ready

LOGGED = "SELECT count(*) FROM event_log"
PENDING = "SELECT (count(*) = 0)::int FROM pending"
COMMITTED = (
    "SELECT id, extract(epoch FROM pg_xact_commit_timestamp(xmin))::float8 AS at FROM events WHERE recorded_at > $1"
)
IN_FLIGHT = 50
STALLED_SECONDS = 20.0


def measure(bench: Bench) -> list[Line]:
    """Target: 70 % of the rate of aiohttp alone; commit → receipt on an idle service p50 < 5 ms, p99 < 50 ms."""
    dsn = bench.database.create("delivering")
    base = _client_alone(bench.scale(20_000, 5_000))
    drained = _drained(bench, dsn, bench.scale(4_000, 800))
    ratio = ratio_of(drained.rate, base.rate)
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
    with receiver() as subscriber, process(["-m", "benchmarks.bare.post", str(subscriber.port), str(count)]) as client:
        wait_ready(client)
        result = start_and_read(client)
        return Run(
            count, result["seconds"], None, None, per_operation_us(result["cpu"], count), 0.0, peak_mib(client.pid)
        )


def _drained(bench: Bench, dsn: str, leads: int) -> Run:
    """Create and sequence the events first; then measure a subscription that starts at the earliest."""
    with bench.service(dsn, "api,work") as server:
        bench.load(server, form_fills(new_source(server), leads), 202)
        wait_for_count(bench.database, dsn, PROCESSED, leads)
    with receiver() as subscriber, bench.service(dsn, "api,dispatch", "delivery") as ours:
        wait_for_count(bench.database, dsn, PENDING, 1)
        wanted = bench.database.value(dsn, LOGGED)
        return bench.profile(ours, "delivery", lambda: _serve(bench, ours, subscriber, wanted))


def _serve(bench: Bench, ours: Server, subscriber: Server, wanted: int) -> Run:
    meter = Meter(ours.pid, bench.database.pid)
    _subscribe(ours, subscriber, "earliest")
    before, still_since = -1, time.monotonic()
    while (result := subscriber.call("GET", "/count"))["count"] < wanted:
        if result["count"] > before:
            before, still_since = result["count"], time.monotonic()
        if time.monotonic() > still_since + STALLED_SECONDS:
            raise Failed(f"deliveries stopped at {result['count']} of {wanted}")
        time.sleep(0.05)
    return meter.run(wanted, seconds=result["last"] - result["first"])


def _subscribe(server: Server, subscriber: Server, start: str) -> None:
    limits = {"concurrency": IN_FLIGHT}
    body = {"url": f"http://127.0.0.1:{subscriber.port}/hook", "types": ["*"], "start": start, "limits": limits}
    server.call("POST", "/v1/subscriptions", body)


def _idle(bench: Bench, dsn: str, count: int) -> Line:
    """Create leads one at a time with pauses; measures from PostgreSQL's commit timestamp to the receiver's clock."""
    with receiver() as subscriber, bench.service(dsn, "api,work,dispatch") as ours:
        for old in ours.call("GET", "/v1/subscriptions")["data"]:
            ours.call("DELETE", f"/v1/subscriptions/{old['id']}")
        _subscribe(ours, subscriber, "now")
        bench.load(ours, lead_creations(20), 201, connections=1, pause=0.05)
        time.sleep(1)
        began = bench.database.value(dsn, "SELECT now()")
        run = bench.load(ours, lead_creations(count), 201, connections=1, pause=0.05)
        time.sleep(2)
        received_at = subscriber.call("GET", "/times")
        rows = bench.database.run(dsn, COMMITTED, began)
    waits = [received_at[name] - row["at"] for row in rows if (name := ids.show("event", row["id"])) in received_at]
    if len(waits) < len(rows):
        raise Failed(f"{len(waits)} of {len(rows)} events were received")
    p50, p99 = ((percentile(waits, share) or 0.0) * 1e3 for share in (0.5, 0.99))
    result = Run(
        len(waits),
        run.seconds,
        p50,
        p99,
        ratio_of(run.app_us * count, len(waits)),
        ratio_of(run.pg_us * count, len(waits)),
    )
    met = p50 < 5 and p99 < 50
    return Line("delivery", "commit → receipt, one lead at a time, idle", result, "", "p50 < 5 ms, p99 < 50 ms", met)
