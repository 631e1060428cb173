"""Many subscriptions of one tenant: when the last one has an event, cold, hot and after a rest; and their memory."""

from __future__ import annotations

import time

from benchmarks.bench import Bench
from benchmarks.cpu import Meter, memory_mib
from benchmarks.figures import Line, Run, percentile
from benchmarks.processes import Failed, Server, receiver

COUNTS = (1, 100, 500, 1000)
HOT_EVENTS = 5
REST_SECONDS = 35.0  # lanes without work are released after 30 seconds
STALLED_SECONDS = 60.0
LAST_SECONDS, ALONE_SECONDS = 1.0, 0.1
MAX_MIB = 60
COMMITTED = (
    "SELECT extract(epoch FROM max(pg_xact_commit_timestamp(xmin)))::float8 FROM events WHERE type = 'lead.captured'"
)


def measure(bench: Bench) -> list[Line]:
    """Target: the last of 1,000 within a second, a single one within 100 ms, 1,000 lanes in less than 60 MiB."""
    lines = []
    for count in COUNTS[:3] if bench.quick else COUNTS:
        lines += _of(bench, count)
    return lines


def _of(bench: Bench, count: int) -> list[Line]:
    dsn = bench.database.create("many")
    with receiver() as subscriber, bench.service(dsn, "api,work,dispatch", "many") as ours:
        _create_lead(ours)  # what the first request of a process loads is not the memory of a lane
        before = memory_mib(ours.pid)
        for _ in range(count):
            body = {"url": f"http://127.0.0.1:{subscriber.port}/hook", "types": ["lead.captured"], "start": "now"}
            ours.call("POST", "/v1/subscriptions", body)
        time.sleep(1)
        lines = [_line("cold", count, [_event(bench, dsn, ours, subscriber, count)])]
        lines.append(_line("hot", count, [_event(bench, dsn, ours, subscriber, count) for _ in range(HOT_EVENTS)]))
        grown = memory_mib(ours.pid) - before
        if bench.folder is None:
            time.sleep(REST_SECONDS)
            lines.append(_line("after a rest", count, [_event(bench, dsn, ours, subscriber, count)]))
    what = f"{count:,} served lanes: {grown:.0f} MiB"
    return [*lines, Line("many", what, None, "", f"< {MAX_MIB} MiB", grown < MAX_MIB)]


def _create_lead(ours: Server) -> None:
    number = time.monotonic_ns()
    ours.call("POST", "/v1/leads", {"fields": {"email": f"p{number}@acme.example"}})


def _event(bench: Bench, dsn: str, ours: Server, subscriber: Server, count: int) -> tuple[Run, list[float]]:
    """Create a lead and wait until each subscription has the event; the run, and the seconds from commit to receipt."""
    had = subscriber.call("GET", "/count")["count"]
    meter = Meter(ours.pid, bench.database.pid)
    _create_lead(ours)
    ends = time.monotonic() + STALLED_SECONDS
    while (got := subscriber.call("GET", "/count")["count"] - had) < count:
        if time.monotonic() > ends:
            raise Failed(f"{got} of {count} subscriptions got the event within {STALLED_SECONDS:.0f} s")
        time.sleep(0.05)
    time.sleep(0.5)  # what is written after the receipt is part of the cost
    committed = bench.database.value(dsn, COMMITTED)
    waits = [at - committed for at in subscriber.call("GET", "/arrivals")[had:]]
    return meter.run(count, seconds=max(waits)), waits


def _line(state: str, count: int, events: list[tuple[Run, list[float]]]) -> Line:
    """The worst event of several."""
    run, waits = max(events, key=lambda event: max(event[1]))
    half, last = percentile(waits, 0.5) or 0.0, max(waits)
    limit = ALONE_SECONDS if count == 1 else LAST_SECONDS
    what = f"{count:,} subscriptions, {state}: half after {half * 1e3:,.0f} ms, the last after {last * 1e3:,.0f} ms"
    return Line("many", what, run, "", f"the last < {limit * 1e3:,.0f} ms", last < limit)
