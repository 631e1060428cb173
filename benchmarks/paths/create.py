"""Create: POST /v1/leads with everything that processing does, answered at once."""

from __future__ import annotations

from benchmarks.bench import CONNECTIONS, Bench, alternating
from benchmarks.figures import Line, times
from benchmarks.load import Plan
from benchmarks.people import creations
from benchmarks.processes import Server, bare, load

PATH = "/v1/leads"
ROUNDS = 3


def measure(bench: Bench) -> list[Line]:
    """At least 40 % of the rate of a bare FastAPI route with one statement."""
    dsn = bench.database.create("creating")
    with bench.service(dsn, "api", "create") as ours, bare("upsert", dsn) as base:
        for server in (ours, base):
            load(bench.database, server, _plan(server, 300, 5))
        if bench.folder:
            bench.profile(ours, "create", lambda: load(bench.database, ours, _plan(ours, 4_000, 8)))
        seconds, count = bench.scale(4, 2), bench.scale(16_000, 7_000)
        mine, theirs = alternating(
            bench.database,
            (ours, [_plan(ours, count, seconds) for _ in range(ROUNDS)]),
            (base, [_plan(base, count, seconds) for _ in range(ROUNDS)]),
        )
    ratio = times(mine.rate, theirs.rate)
    return [
        Line("create", "POST /v1/leads", mine, f"{ratio:.2f} of its rate", "≥ 0.40 of the rate", ratio >= 0.4),
        Line("create", "bare FastAPI with a model, one statement", theirs),
    ]


def _plan(server: Server, count: int, seconds: float) -> Plan:
    return Plan(server.port, CONNECTIONS, seconds, creations(PATH, count), 201)
