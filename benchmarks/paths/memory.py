"""Memory: an API process takes a hundred thousand requests; form fills, and one creation in fifty."""

from __future__ import annotations

from benchmarks.bench import Bench, new_source, together
from benchmarks.cpu import memory_mib
from benchmarks.figures import Line, times
from benchmarks.people import creations, fills

CHUNKS = 4
MOST_MIB = 150
GROWTH = 1.05


def measure(bench: Bench) -> list[Line]:
    """Under 150 MiB at the end, and no growth in the second half."""
    dsn, each = bench.database.create("memory"), bench.scale(25_000, 2_500)
    runs, held = [], []
    with bench.service(dsn, "api") as ours:
        ingest = new_source(ours)
        for _ in range(CHUNKS):
            made = each // 50
            for requests, status in ((fills(ingest, each - made), 202), (creations(made), 201)):
                runs.append(bench.load(ours, requests, status, seconds=120))
            held.append(memory_mib(ours.pid))
    run = together(runs)
    grown = times(held[-1], held[CHUNKS // 2 - 1])
    ends = " → ".join(f"{one:.0f}" for one in held)
    met = held[-1] < MOST_MIB and grown <= GROWTH
    return [
        Line(
            "memory",
            f"{run.count:,} requests; MiB after each quarter: {ends}",
            run,
            f"{grown:.2f} × in the second half",
            f"< {MOST_MIB} MiB, ≤ {GROWTH:.2f} ×",
            met,
        )
    ]
