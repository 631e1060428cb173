"""What healthy receivers notice of one that is down and one that answers after 29 seconds."""

from __future__ import annotations

import time
from dataclasses import dataclass

from benchmarks.bench import Bench
from benchmarks.figures import percentile
from benchmarks.processes import Failed, receiver
from benchmarks.rivals.events import Order
from benchmarks.rivals.latency import between
from benchmarks.rivals.systems import Kind, System, opened

WELL, SICK = ("well0", "well1"), ("down", "slow")
WARM, EVERY_SECONDS = 10, 0.2  # a pace that the slowest follows while all are well
START_SECONDS, STALLED_SECONDS = 120.0, 10.0


@dataclass(frozen=True, slots=True)
class Healthy:
    """p99 of the healthy in ms, alone and beside the sick; `missing` are deliveries that had not arrived at the end."""

    alone: float
    beside: float
    missing: int

    @property
    def change(self) -> float:
        return self.beside / self.alone


def measure(bench: Bench, kind: Kind) -> Healthy:
    """Five events a second to two receivers, then to these and the two."""
    count = bench.scale(100, 75)
    with receiver() as sink, opened(bench, kind, sink) as system:
        system.start()
        for name in WELL:
            system.subscribe(name)
        system.record(Order(0, WARM, every_seconds=EVERY_SECONDS))
        if system.until(WELL, WARM, START_SECONDS):
            raise Failed(f"{system.name} does not send: set SHOW=1 to see why")
        alone, _ = _p99(system, WARM, count)
        for name in SICK:
            system.subscribe(name)
        beside, missing = _p99(system, WARM + count, count)
    return Healthy(alone, beside, missing)


def _p99(system: System, first: int, count: int) -> tuple[float, int]:
    """p99 of these events at the healthy; what has not arrived at the end counts as if it arrived then."""
    system.record(Order(first, count, every_seconds=EVERY_SECONDS, timed=True))
    missing = system.until(WELL, first + count, STALLED_SECONDS)
    committed, now = system.committed(), time.time()
    waits: list[float] = []
    for name in WELL:
        arrived = system.arrived(name)
        waits += between(committed, {mark: arrived.get(mark, now) for mark in committed})[first - WARM :]
    return percentile(waits, 0.99) or 0.0, missing
