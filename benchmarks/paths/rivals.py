"""Baton beside job queues and a webhook library of Python and PostgreSQL; prints the table of docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path

from benchmarks.bench import Bench
from benchmarks.figures import Line
from benchmarks.rivals import latency, outage, rate, sick
from benchmarks.rivals.environment import rival_python
from benchmarks.rivals.report import Results, conditions, lines, markdown
from benchmarks.rivals.systems import KINDS


def measure(bench: Bench) -> list[Line]:
    """Targets: twice the best rival's rate, a third of its WAL, healthy receivers that notice nothing of sick ones."""
    load = os.getloadavg()[0]
    rival_python()
    rates = {kind.name: rate.measure(bench, kind) for kind in KINDS}
    latencies = latency.measure(bench)
    healthy = {kind.name: sick.measure(bench, kind) for kind in KINDS}
    outages = outage.measure(bench)
    found = {
        name: Results(rates[name], latencies[name], healthy[name], outages[name]) for name in (k.name for k in KINDS)
    }
    date = time.strftime("%Y-%m-%d")
    print(markdown(found, conditions(date, _processor(), os.cpu_count() or 1, load, bench.quick)))
    return lines(found)


def _processor() -> str:
    named = [line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")]
    return f"{named[0].partition(': ')[2]}, " * bool(named) + f"Python {platform.python_version()}"
