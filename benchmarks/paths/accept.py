"""Accept: a signed form fill is checked and durable, then 202. Only the role `api` runs: nothing is processed."""

from __future__ import annotations

from functools import partial

from benchmarks.bench import CONNECTIONS, Bench, alternating, new_source
from benchmarks.figures import Line, Run, times
from benchmarks.people import fills
from benchmarks.processes import Server, bare


def measure(bench: Bench) -> list[Line]:
    """Throughput at least that of a bare route with one statement per request; PostgreSQL's CPU at most half of its."""

    def post(server: Server, path: str, count: int, seconds: float, connections: int = CONNECTIONS) -> Run:
        return bench.load(server, fills(path, count), 202, seconds=seconds, connections=connections)

    dsn = bench.database.create("accept")
    lines: list[Line] = []
    with bench.service(dsn, "api", "accept") as ours, bare("insert", dsn) as base:
        mine, theirs = partial(post, ours, new_source(ours)), partial(post, base, "/v1/ingest/bare")
        for warm in (mine, theirs):
            warm(500, 5)
        if bench.folder:
            bench.profile(ours, "accept", lambda: mine(20_000, 4))
        count, seconds = bench.scale(24_000, 10_000), bench.scale(4, 2)
        for connections in (CONNECTIONS,) if bench.quick else (CONNECTIONS, 8):
            runs = [partial(each, count, seconds, connections) for each in (mine, theirs)]
            lines += _lines(*alternating(*runs), connections)
    return lines


def _lines(mine: Run, theirs: Run, connections: int) -> list[Line]:
    faster, cheaper = times(mine.rate, theirs.rate), times(mine.pg_us, theirs.pg_us)
    return [
        Line(
            "accept",
            f"signed, durable, 202; {connections} connections",
            mine,
            f"{faster:.2f} of its rate, {cheaper:.2f} of its PostgreSQL",
            "≥ 1.00 of the rate, ≤ 0.50 of PostgreSQL",
            faster >= 1 and cheaper <= 0.5,
        ),
        Line("accept", "bare FastAPI, one asyncpg insert", theirs),
    ]
