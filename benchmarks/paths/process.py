"""Accept → processed: a form fill is accepted, mapped, matched, scored and recorded. Roles `api` and `work`."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from benchmarks.bench import PROCESSED, Bench, new_source, wait_for_count
from benchmarks.cpu import Meter, memory_mib
from benchmarks.figures import Line, Run, ratio_of
from benchmarks.people import form_fills
from benchmarks.processes import Server, bare

GROWTH = 1.10  # memory counts as flat up to this


def measure(bench: Bench) -> list[Line]:
    """Target: 5 times the CPU of bare batches of the same rows; a backlog is processed in flat memory."""
    dsn = bench.database.create("process")
    count = bench.scale(6_000, 1_500)
    with bench.service(dsn, "api,work", "process") as ours:
        ingest = new_source(ours)
        _sustained(bench, dsn, ours, ingest, 300)
        mine = bench.profile(ours, "process", lambda: _sustained(bench, dsn, ours, ingest, count))
    with bare("batch", dsn) as base:
        bench.load(base, form_fills("/bare", 500), 202)
        baseline = bench.load(base, form_fills("/bare", count), 202)
    ratio = ratio_of(mine.cpu_us, baseline.cpu_us)
    lines = [
        Line(
            "accept → processed",
            "sustained, until the last is processed",
            mine,
            f"{ratio:.1f} × its CPU",
            "≤ 5 × the CPU",
            ratio <= 5,
        ),
        Line("accept → processed", "bare ASGI, unnest batch of the same rows", baseline),
    ]
    return lines if bench.folder else [*lines, _backlog(bench)]


def _sustained(bench: Bench, dsn: str, server: Server, ingest: str, count: int) -> Run:
    before = bench.database.value(dsn, PROCESSED)
    requests = form_fills(ingest, count)
    meter = Meter(server.pid, bench.database.pid)
    accepted = bench.load(server, requests, 202)
    wait_for_count(bench.database, dsn, PROCESSED, before + count)
    return meter.run(count, accepted.p50_ms, accepted.p99_ms)


def _backlog(bench: Bench) -> Line:
    """Process a backlog of 10,000 form fills while new ones are accepted."""
    dsn, count, more = bench.database.create("backlog"), bench.scale(10_000, 2_000), bench.scale(200, 50)
    with bench.service(dsn, "api") as server:
        ingest = new_source(server)
        bench.load(server, form_fills(ingest, count), 202)
    with bench.service(dsn, "api,work") as ours:
        meter = Meter(ours.pid, bench.database.pid)
        runs: list[Run] = []
        slow = form_fills(ingest, more)
        accepting = threading.Thread(
            target=lambda: runs.append(bench.load(ours, slow, 202, connections=1, pause=0.02)),
        )
        accepting.start()
        readings = _memory_until_processed(bench, dsn, ours, count)
        run = meter.run(count)
        accepting.join()
    run = replace(run, p50_ms=runs[0].p50_ms, p99_ms=runs[0].p99_ms, peak_mib=max(readings))
    middle = max(readings[len(readings) // 3 : 2 * len(readings) // 3 + 1])
    grown = ratio_of(max(readings[2 * len(readings) // 3 :]), middle)
    return Line(
        "accept → processed",
        f"backlog of {count:,} drained while accepting (latencies are those of accept)",
        run,
        f"{grown:.2f} × the memory of its middle third",
        f"flat: ≤ {GROWTH:.2f} ×",
        grown <= GROWTH,
    )


def _memory_until_processed(bench: Bench, dsn: str, server: Server, count: int) -> list[float]:
    """Memory readings until everything is processed."""
    readings = []
    ends = time.monotonic() + 120
    while bench.database.value(dsn, PROCESSED) < count and time.monotonic() < ends:
        readings.append(memory_mib(server.pid))
        time.sleep(0.2)
    return readings or [memory_mib(server.pid)]
