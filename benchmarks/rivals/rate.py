"""A backlog to one receiver: deliveries a second, WAL and CPU for each, and the order of each lead."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.bench import Bench
from benchmarks.cpu import cpu_seconds
from benchmarks.figures import per_operation_us, ratio_of
from benchmarks.processes import Failed, Server, receiver
from benchmarks.rivals.events import Order, disorder
from benchmarks.rivals.systems import BATON, Kind, System, opened

IN_FLIGHT = 50
START_SECONDS, DRAIN_SECONDS, SETTLE_SECONDS = 120.0, 300.0, 1.0
WAL = "SELECT (pg_current_wal_insert_lsn() - '0/0')::float8"


@dataclass(frozen=True, slots=True)
class Rate:
    """Bytes of WAL and CPU are for each delivery."""

    per_second: float
    recording_wal: float
    delivering_wal: float
    app_us: float
    pg_us: float
    disorder: int

    @property
    def wal(self) -> float:
        return self.recording_wal + self.delivering_wal


def measure(bench: Bench, kind: Kind) -> Rate:
    """Record more than a rival sends in the time; measured from the first receipt to the last, or until it is over.

    Baton sends all: it writes the whole backlog into the log at once, which is part of the WAL of these deliveries.
    """
    seconds = DRAIN_SECONDS if kind is BATON else bench.scale(15, 6)
    count = bench.scale(80_000, 20_000) if kind is BATON else bench.scale(6_000, 2_000)
    bench.database.run(bench.database.server.dsn, "CHECKPOINT")  # so that no page is written as a whole again
    with receiver() as sink, opened(bench, kind, sink) as system:
        _subscribe(system)
        before = _wal(system)
        system.record(Order(0, count, together=100))
        recorded = _wal(system) - before
        return _drained(system, sink, count, seconds, recorded / count)


def _subscribe(system: System) -> None:
    if system.kind is BATON:  # its API makes subscriptions; what is recorded while it is stopped is the backlog
        system.start()
        system.subscribe("hook", IN_FLIGHT)
        system.stop()
    else:
        system.subscribe("hook")


def _drained(system: System, sink: Server, count: int, seconds: float, recording_wal: float) -> Rate:
    before = _wal(system)
    system.start()
    used, pg_used = system.cpu_seconds(), cpu_seconds(system.bench.database.pid)
    ends = time.monotonic() + START_SECONDS
    while not (seen := sink.call("GET", "/count"))["count"]:
        if time.monotonic() > ends:
            raise Failed(f"{system.name} sent nothing within {START_SECONDS:.0f} s")
        time.sleep(0.05)
    ends = time.monotonic() + seconds
    while (seen := sink.call("GET", "/count"))["count"] < count and time.monotonic() < ends:
        time.sleep(0.05)
    used, pg_used = system.cpu_seconds() - used, cpu_seconds(system.bench.database.pid) - pg_used
    if seen["count"] == count:
        time.sleep(SETTLE_SECONDS)  # what is written after the receipt is part of the cost
    sent = seen["count"]
    return Rate(
        ratio_of(sent, seen["last"] - seen["first"]),
        recording_wal,
        (_wal(system) - before) / sent,
        per_operation_us(used, sent),
        per_operation_us(pg_used, sent),
        disorder(iter(system.arrived("hook"))),
    )


def _wal(system: System) -> float:
    return float(system.bench.database.value(system.dsn, WAL))
