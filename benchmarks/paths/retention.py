"""Five million events over ninety days, of which thirty are kept, and their attempts: whether the disk stays flat."""

from __future__ import annotations

import json

from benchmarks.bench import Bench
from benchmarks.figures import Line, ratio_of
from benchmarks.processes import Failed, process

FLAT = 1.1
SETTLED = 0.4  # of the events; the first that are dropped are those of the first third


def measure(bench: Bench) -> list[Line]:
    """Target: from two fifths of the events on the size of all partitions changes by less than 10 %."""
    count, dsn = bench.scale(5_000_000, 200_000), bench.database.create("retention")
    with process(["-m", "benchmarks.retained", dsn, str(count)]) as child:
        assert child.stdout is not None
        text = child.stdout.read()
    if not text:
        raise Failed("the process that writes ended: see its error with SHOW=1")
    found = json.loads(text.splitlines()[-1])
    sizes = [size for written, size, _ in found["sizes"] if written > SETTLED * count]
    ratio = ratio_of(max(sizes), min(sizes))
    kept = found["sizes"][-1][2]
    what = f"{count:,} events: {min(sizes):,.0f} to {max(sizes):,.0f} MiB, {found['dropped']} partitions dropped"
    return [
        Line("retention", what, None, f"{ratio:.2f} times", f"< {FLAT:.2f} times", ratio < FLAT),
        Line("retention", f"slowest write of 5,000 events beside it: {found['slowest_ms']:,.0f} ms"),
        Line("retention", f"scores of versions whose events are gone: {kept:,.0f} MiB"),
    ]
