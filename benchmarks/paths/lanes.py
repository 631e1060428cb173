"""A backlog to one subscription with 1, 2 and 4 lanes, by one and by two dispatch processes."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import replace

from benchmarks.bench import PROCESSED, Bench, new_source, wait_for_count
from benchmarks.cpu import Meter
from benchmarks.figures import Line, Run, ratio_of
from benchmarks.paths.deliver import IN_FLIGHT, LOGGED, PENDING, STALLED_SECONDS
from benchmarks.people import form_fills
from benchmarks.processes import Failed, Server, receiver

SERVED = "SELECT count(DISTINCT owner) FROM lanes WHERE lease_until > now()"


def measure(bench: Bench) -> list[Line]:
    """No target: on two cores receiver, PostgreSQL and processes compete. What a lane costs is to be seen."""
    leads = bench.scale(6_000, 800)
    dsn = bench.database.create("lanes")
    with bench.service(dsn, "api,work") as server:
        bench.load(server, form_fills(new_source(server), leads), 202, connections=4, seconds=300)
        wait_for_count(bench.database, dsn, PROCESSED, leads)
    lines: list[Line] = []
    for processes in (1, 2):
        for lanes in (1, 2, 4):
            run, serving = _drained(bench, dsn, lanes, processes)
            first = lines[0].run if lines else run
            beside = f"{ratio_of(run.rate, first.rate if first else 0):.2f} of one lane, {serving} serving"
            lines.append(Line("delivery-lanes", f"{lanes} lanes, dispatch processes: {processes}", run, beside))
    return lines


def _drained(bench: Bench, dsn: str, lanes: int, processes: int) -> tuple[Run, int]:
    """A subscription that starts at the earliest; how many processes served its lanes at the end."""
    with ExitStack() as stack:
        subscriber = stack.enter_context(receiver())
        ours = [stack.enter_context(bench.service(dsn, "api,dispatch")) for _ in range(processes)]
        for old in ours[0].call("GET", "/v1/subscriptions")["data"]:
            ours[0].call("DELETE", f"/v1/subscriptions/{old['id']}")
        wait_for_count(bench.database, dsn, PENDING, 1)
        wanted = bench.database.value(dsn, LOGGED)
        meters = [Meter(each.pid, bench.database.pid) for each in ours]
        _subscribe(ours[0], subscriber, lanes)
        seconds = _until_received(subscriber, wanted)
        serving = bench.database.value(dsn, SERVED)
        runs = [meter.run(wanted, seconds=seconds) for meter in meters]
        return replace(runs[0], app_us=sum(run.app_us for run in runs)), serving


def _subscribe(server: Server, subscriber: Server, lanes: int) -> None:
    body = {"url": f"http://127.0.0.1:{subscriber.port}/hook", "start": "earliest", "lanes": lanes}
    server.call("POST", "/v1/subscriptions", {**body, "limits": {"concurrency": IN_FLIGHT}})


def _until_received(subscriber: Server, wanted: int) -> float:
    before, still_since = -1, time.monotonic()
    while (result := subscriber.call("GET", "/count"))["count"] < wanted:
        if result["count"] > before:
            before, still_since = result["count"], time.monotonic()
        if time.monotonic() > still_since + STALLED_SECONDS:
            raise Failed(f"deliveries stopped at {result['count']} of {wanted}")
        time.sleep(0.05)
    return float(result["last"] - result["first"])
