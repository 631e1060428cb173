"""Accept → processed: mapped, normalised, matched, scored, decided, recorded. Roles `api` and `work`."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

from benchmarks.bench import PROCESSED, Bench, new_source, settled
from benchmarks.cpu import Meter, memory_mib
from benchmarks.figures import Line, Run, times
from benchmarks.people import fills
from benchmarks.processes import Server, bare

GROWTH = 1.10  # what flat allows


def measure(bench: Bench) -> list[Line]:
    """At most 8 times the CPU of a bare batch of the same rows; a backlog drains in flat memory."""
    dsn = bench.database.create("process")
    count = bench.scale(6_000, 1_500)
    with bench.service(dsn, "api,work", "process") as ours:
        ingest = new_source(ours)
        _sustained(bench, dsn, ours, ingest, 300)
        mine = bench.profile(ours, "process", lambda: _sustained(bench, dsn, ours, ingest, count))
    with bare("batch", dsn) as base:
        bench.load(base, fills("/bare", 500), 202)
        theirs = bench.load(base, fills("/bare", count), 202)
    ratio = times(mine.cpu_us, theirs.cpu_us)
    lines = [
        Line(
            "accept → processed",
            "sustained, until the last is processed",
            mine,
            f"{ratio:.1f} × its CPU",
            "≤ 8 × the CPU",
            ratio <= 8,
        ),
        Line("accept → processed", "bare ASGI, unnest batch of the same rows", theirs),
    ]
    return lines if bench.folder else [*lines, _backlog(bench)]


def _sustained(bench: Bench, dsn: str, server: Server, ingest: str, count: int) -> Run:
    before = bench.database.value(dsn, PROCESSED)
    requests = fills(ingest, count)
    meter = Meter(server.pid, bench.database.pid)
    seen = bench.load(server, requests, 202)
    settled(bench.database, dsn, PROCESSED, before + count)
    return meter.run(count, seen.p50_ms, seen.p99_ms)


def _backlog(bench: Bench) -> Line:
    """Ten thousand wait; they are processed while new ones come in."""
    dsn, count, more = bench.database.create("backlog"), bench.scale(10_000, 2_000), bench.scale(200, 50)
    with bench.service(dsn, "api") as door:
        ingest = new_source(door)
        bench.load(door, fills(ingest, count), 202)
    with bench.service(dsn, "api,work") as ours:
        meter = Meter(ours.pid, bench.database.pid)
        seen: list[Run] = []
        slow = fills(ingest, more)
        accepting = threading.Thread(
            target=lambda: seen.append(bench.load(ours, slow, 202, connections=1, pause=0.02)),
        )
        accepting.start()
        held = _watch(bench, dsn, ours, count)
        run = meter.run(count)
        accepting.join()
    run = replace(run, p50_ms=seen[0].p50_ms, p99_ms=seen[0].p99_ms, peak_mib=max(held))
    half = max(held[len(held) // 3 : 2 * len(held) // 3 + 1])
    grown = times(max(held[2 * len(held) // 3 :]), half)
    return Line(
        "accept → processed",
        f"backlog of {count:,} drained while accepting (latencies are those of accept)",
        run,
        f"{grown:.2f} × the memory of its middle third",
        f"flat: ≤ {GROWTH:.2f} ×",
        grown <= GROWTH,
    )


def _watch(bench: Bench, dsn: str, server: Server, count: int) -> list[float]:
    """Memory, looked at until all is processed."""
    held = []
    ends = time.monotonic() + 120
    while bench.database.value(dsn, PROCESSED) < count and time.monotonic() < ends:
        held.append(memory_mib(server.pid))
        time.sleep(0.2)
    return held or [memory_mib(server.pid)]
