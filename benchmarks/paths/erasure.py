"""Erase many people of one tenant, and look for their copies afterwards, while form fills are accepted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from app import ids
from benchmarks.bench import Bench, combined, new_source, new_user
from benchmarks.cpu import Meter
from benchmarks.figures import Line, Run, ratio_of
from benchmarks.people import form_fills, lead_creations, lead_requests
from benchmarks.processes import Failed, Server

PEOPLE, QUICK_PEOPLE = 10_000, 500
ERASING: Final = 2  # connections: the erasures of a tenant follow each other
FILLS: Final = 500  # of each measurement of accept
LONGEST_SECONDS: Final = 1_800.0
LEADS: Final = "SELECT id FROM leads ORDER BY id"
DUE: Final = "SELECT count(*) FROM erasures WHERE finished_at IS NULL AND erased_at <= now() - interval '1 minute'"
WAITING: Final = "SELECT count(*) FROM erasures WHERE finished_at IS NULL"


def measure(bench: Bench) -> list[Line]:
    """Target: p99 of accept at most doubled, in comparison with the same form fills alone."""
    count = bench.leads or bench.scale(PEOPLE, QUICK_PEOPLE)
    dsn = bench.database.create("erasure")
    with bench.service(dsn, "api,work,dispatch", "erasure") as ours:
        manager, ingest = new_user(ours, "manager"), new_source(ours)
        bench.load(ours, lead_creations(count), 201)
        lead_ids = [ids.show("lead", row[0]) for row in bench.database.run(dsn, LEADS)]
        requests = lead_requests("/v1/leads/{id}/erasure", lead_ids, {"reason": "benchmark"}, manager)
        _accept(bench, ours, ingest)
        alone = combined([_accept(bench, ours, ingest) for _ in range(3)])
        meter, began, erased = Meter(ours.pid, bench.database.pid), time.monotonic(), list[Run]()

        def erase() -> None:
            erased.append(bench.load(ours, requests, 202, connections=ERASING, seconds=LONGEST_SECONDS))

        erasing = threading.Thread(target=erase)
        erasing.start()
        beside = _accept_until(bench, ours, ingest, lambda: not erasing.is_alive())
        erasing.join()
        if not erased:
            raise Failed("the people could not be erased")
        run = meter.run(count, seconds=time.monotonic() - began)
        lines = [_line(f"{count:,} people erased", run, beside, alone)]
        while bench.database.value(dsn, WAITING) and not bench.database.value(dsn, DUE):
            time.sleep(0.5)  # their steps begin a minute later
        meter, began = Meter(ours.pid, bench.database.pid), time.monotonic()
        beside = _accept_until(bench, ours, ingest, lambda: bench.database.value(dsn, WAITING) == 0)
        run = meter.run(count, seconds=time.monotonic() - began)
        return [*lines, _line(f"copies of {count:,} people looked for", run, beside, alone)]


def _accept(bench: Bench, ours: Server, ingest: str) -> Run:
    return bench.load(ours, form_fills(ingest, FILLS), 202, connections=1, pause=0.01)


def _accept_until(bench: Bench, ours: Server, ingest: str, is_over: Callable[[], bool]) -> Run:
    runs, ends = [_accept(bench, ours, ingest)], time.monotonic() + LONGEST_SECONDS
    while not is_over():
        if time.monotonic() > ends:
            raise Failed(f"not finished after {LONGEST_SECONDS:.0f} s")
        runs.append(_accept(bench, ours, ingest))
    return combined(runs)


def _line(what: str, run: Run, beside: Run, alone: Run) -> Line:
    ratio = ratio_of(beside.p99_ms or 0.0, alone.p99_ms or 0.0)
    run = replace(run, p50_ms=beside.p50_ms, p99_ms=beside.p99_ms)
    told = f"{what} (latencies are those of accept)"
    return Line("erasure", told, run, f"{ratio:.1f} × the p99 of accept alone", "≤ 2 ×", ratio <= 2)
