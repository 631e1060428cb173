"""Create: POST /v1/leads, which normalises, matches and scores within the request."""

from __future__ import annotations

from benchmarks.bench import Bench, alternating
from benchmarks.figures import Line, Run, ratio_of
from benchmarks.people import lead_creations
from benchmarks.processes import Server, bare


def measure(bench: Bench) -> list[Line]:
    """Target: 40 % of the rate of a bare FastAPI route with one statement."""

    def create(server: Server, count: int, seconds: float) -> Run:
        return bench.load(server, lead_creations(count), 201, seconds=seconds)

    dsn = bench.database.create("creating")
    with bench.service(dsn, "api", "create") as ours, bare("upsert", dsn) as base:
        for server in (ours, base):
            create(server, 300, 5)
        if bench.folder:
            bench.profile(ours, "create", lambda: create(ours, 4_000, 8))
        count, seconds = bench.scale(16_000, 7_000), bench.scale(4, 2)
        mine, baseline = alternating(lambda: create(ours, count, seconds), lambda: create(base, count, seconds))
    ratio = ratio_of(mine.rate, baseline.rate)
    return [
        Line("create", "POST /v1/leads", mine, f"{ratio:.2f} of its rate", "≥ 0.40 of the rate", ratio >= 0.4),
        Line("create", "bare FastAPI with a model, one statement", baseline),
    ]
