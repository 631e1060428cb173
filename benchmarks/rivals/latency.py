"""From commit to receipt of single events: one after another, and after a rest in which a system could lie down."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks.bench import Bench
from benchmarks.figures import percentile
from benchmarks.processes import Failed, receiver
from benchmarks.rivals.events import Order
from benchmarks.rivals.systems import KINDS, System, opened

WARM, EVERY_SECONDS = 20, 0.2  # a pace that the slowest follows
REST_SECONDS = 35.0  # Baton releases lanes without work after 30
STALLED_SECONDS = 120.0
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds; `rested` has those of the first event after each rest."""

    p50: float
    p99: float
    rested: Sequence[float]


def measure(bench: Bench) -> dict[str, Latency]:
    """All systems run at once, so that they rest together; their events are recorded in turns."""
    count, rests = bench.scale(20, 8), bench.scale(3, 1)
    with ExitStack() as stack:
        sink = stack.enter_context(receiver())
        systems = [stack.enter_context(opened(bench, kind, sink)) for kind in KINDS]
        for system in systems:
            system.start()
            system.subscribe("hook")
        for system in systems:
            _waits(system, 0, WARM)
        hot, rested = ({system.name: list[float]() for system in systems} for _ in range(2))
        for n in range(ROUNDS):
            for system in systems:
                hot[system.name] += _waits(system, WARM + n * count, count)
        for n in range(rests):
            time.sleep(REST_SECONDS)
            for system in systems:
                rested[system.name] += _waits(system, WARM + ROUNDS * count + n, 1)
    return {name: Latency(_share(waits, 0.5), _share(waits, 0.99), rested[name]) for name, waits in hot.items()}


def _waits(system: System, first: int, count: int) -> list[float]:
    """Record events one at a time, and wait for their receipts; milliseconds from commit to receipt of each."""
    system.record(Order(first, count, every_seconds=EVERY_SECONDS, timed=True))
    if missing := system.until(["hook"], first + count, STALLED_SECONDS):
        raise Failed(f"{system.name}: {missing} of {first + count} events did not arrive")
    return between(system.committed(), system.arrived("hook"))[first:]


def between(committed: Mapping[str, float], arrived: Mapping[str, float]) -> list[float]:
    """Milliseconds from commit to receipt, in the order of the commits."""
    ordered = sorted(committed, key=committed.__getitem__)
    return [(arrived[mark] - committed[mark]) * 1e3 for mark in ordered if mark in arrived]


def _share(waits: Sequence[float], share: float) -> float:
    return percentile(waits, share) or 0.0
