"""Workers killed three times, a receiver that is down for minutes: what is lost, late, repeated or out of order."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from benchmarks.bench import Bench
from benchmarks.processes import Server, receiver
from benchmarks.rivals.events import Order, disorder
from benchmarks.rivals.systems import KINDS, System, opened

PATHS = ("well", "down")
LEADS, EVERY_SECONDS = 20, 0.2
KILLS, KILL_EVERY_SECONDS = 3, 3.0


@dataclass(frozen=True, slots=True)
class Outage:
    """`drain` is seconds from the end of the outage to the last delivery, None if some had not arrived at the limit."""

    events: int
    seconds: float
    drain: float | None
    limit: float
    late: int
    lost: int
    repeats: int
    disorder: int


def measure(bench: Bench) -> dict[str, Outage]:
    """All systems at once: five events a second to two receivers, of which one is down at first."""
    seconds, limit = float(bench.scale(300, 60)), float(bench.scale(240, 60))
    count = round(seconds / EVERY_SECONDS)
    with ExitStack() as stack:
        sink = stack.enter_context(receiver())
        systems = [stack.enter_context(opened(bench, kind, sink)) for kind in KINDS]
        for system in systems:
            system.start()
            for name in PATHS:
                system.subscribe(name)
        began = time.time()
        for system in systems:
            system.ask(asdict(Order(0, count, LEADS, every_seconds=EVERY_SECONDS)))
        for _ in range(KILLS):
            time.sleep(KILL_EVERY_SECONDS)
            for system in systems:
                system.kill()
            for system in reversed(systems):  # Baton, for whose API this waits, last
                system.start()
        for system in systems:
            system.done()
        sink.call("GET", "/up")
        up = time.time()
        for system in systems:
            system.until(PATHS, count, up + limit - time.time())
        return {system.name: _judged(sink, system, count, up - began, up, limit) for system in systems}


def _judged(sink: Server, system: System, count: int, seconds: float, up: float, limit: float) -> Outage:
    """What has not arrived is late while the system still has it to deliver, and lost otherwise."""
    arrived = {name: system.arrived(name) for name in PATHS}
    missing, repeats = len(PATHS) * count - sum(map(len, arrived.values())), sink.call("GET", "/repeats")
    late = min(missing, system.waiting())
    return Outage(
        events=count,
        seconds=seconds,
        drain=max(arrived["down"].values()) - up if len(arrived["down"]) == count else None,
        limit=limit,
        late=late,
        lost=missing - late,
        repeats=sum(repeats.get(system.path(name), 0) for name in PATHS),
        disorder=sum(disorder(iter(times)) for times in arrived.values()),
    )
