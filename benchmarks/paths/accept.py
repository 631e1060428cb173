"""Accept: a signed form fill is checked and durable, then 202. Only the role `api` runs: nothing is processed."""

from __future__ import annotations

from benchmarks.bench import CONNECTIONS, Bench, alternating, new_source
from benchmarks.figures import Line, Run, times
from benchmarks.load import Plan
from benchmarks.people import fills
from benchmarks.processes import Server, bare, load

ROUNDS = 3


def measure(bench: Bench) -> list[Line]:
    """Throughput at least that of a bare route with one statement per request; PostgreSQL's CPU at most half of its."""
    dsn = bench.database.create("accept")
    lines: list[Line] = []
    with bench.service(dsn, "api", "accept") as ours, bare("insert", dsn) as base:
        ingest = new_source(ours)
        load(bench.database, ours, _plan(ours, ingest, 500, CONNECTIONS, 5))
        load(bench.database, base, _plan(base, "/v1/ingest/bare", 500, CONNECTIONS, 5))
        if bench.folder:
            bench.profile(
                ours, "accept", lambda: load(bench.database, ours, _plan(ours, ingest, 20_000, CONNECTIONS, 4))
            )
        for connections in (CONNECTIONS,) if bench.quick else (CONNECTIONS, 8):
            mine, theirs = _beside(bench, ours, ingest, base, connections)
            lines += _lines(mine, theirs, connections)
    return lines


def _beside(bench: Bench, ours: Server, ingest: str, base: Server, connections: int) -> tuple[Run, Run]:
    seconds, count = bench.scale(4, 2), bench.scale(24_000, 10_000)
    mine = [_plan(ours, ingest, count, connections, seconds) for _ in range(ROUNDS)]
    theirs = [_plan(base, "/v1/ingest/bare", count, connections, seconds) for _ in range(ROUNDS)]
    return alternating(bench.database, (ours, mine), (base, theirs))


def _plan(server: Server, path: str, count: int, connections: int, seconds: float) -> Plan:
    return Plan(server.port, connections, seconds, fills(path, count), 202)


def _lines(mine: Run, theirs: Run, connections: int) -> list[Line]:
    faster, cheaper = times(mine.rate, theirs.rate), times(mine.pg_us, theirs.pg_us)
    return [
        Line(
            "accept", f"signed, durable, 202; {connections} connections", mine,
            f"{faster:.2f} of its rate, {cheaper:.2f} of its PostgreSQL", "≥ 1.00 of the rate, ≤ 0.50 of PostgreSQL",
            faster >= 1 and cheaper <= 0.5,
        ),
        Line("accept", "bare FastAPI, one asyncpg insert", theirs),
    ]  # fmt: skip
