"""Memory: an API process handles 100,000 requests: form fills, and one lead creation in fifty."""

from __future__ import annotations

from benchmarks.bench import Bench, combined, new_source
from benchmarks.cpu import memory_mib
from benchmarks.figures import Line, ratio_of
from benchmarks.people import form_fills, lead_creations

CHUNKS = 4
MAX_MIB = 150
GROWTH = 1.05


def measure(bench: Bench) -> list[Line]:
    """Target: under 150 MiB at the end, and no growth in the second half."""
    dsn, each = bench.database.create("memory"), bench.scale(25_000, 2_500)
    runs, measured = [], []
    with bench.service(dsn, "api") as ours:
        ingest = new_source(ours)
        for _ in range(CHUNKS):
            made = each // 50
            for requests, status in ((form_fills(ingest, each - made), 202), (lead_creations(made), 201)):
                runs.append(bench.load(ours, requests, status, seconds=120))
            measured.append(memory_mib(ours.pid))
    run = combined(runs)
    grown = ratio_of(measured[-1], measured[CHUNKS // 2 - 1])
    ends = " → ".join(f"{one:.0f}" for one in measured)
    met = measured[-1] < MAX_MIB and grown <= GROWTH
    return [
        Line(
            "memory",
            f"{run.count:,} requests; MiB after each quarter: {ends}",
            run,
            f"{grown:.2f} × in the second half",
            f"< {MAX_MIB} MiB, ≤ {GROWTH:.2f} ×",
            met,
        )
    ]
