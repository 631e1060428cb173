"""Accept: a signed form fill is verified and committed, then answered with 202. Nothing is processed."""

from __future__ import annotations

from functools import partial

from benchmarks.bench import CONNECTIONS, Bench, alternating, new_source
from benchmarks.figures import Line, Run, ratio_of
from benchmarks.people import form_fills
from benchmarks.processes import Server, bare


def measure(bench: Bench) -> list[Line]:
    """Target: the throughput of a bare route with one statement per request, and half of its PostgreSQL CPU."""

    def post(server: Server, path: str, count: int, seconds: float, connections: int = CONNECTIONS) -> Run:
        return bench.load(server, form_fills(path, count), 202, seconds=seconds, connections=connections)

    dsn = bench.database.create("accept")
    lines: list[Line] = []
    with bench.service(dsn, "api", "accept") as ours, bare("insert", dsn) as base:
        mine, baseline = partial(post, ours, new_source(ours)), partial(post, base, "/v1/ingest/bare")
        for warm in (mine, baseline):
            warm(500, 5)
        if bench.folder:
            bench.profile(ours, "accept", lambda: mine(20_000, 4))
        count, seconds = bench.scale(24_000, 10_000), bench.scale(4, 2)
        for connections in (CONNECTIONS,) if bench.quick else (CONNECTIONS, 8):
            runs = [partial(each, count, seconds, connections) for each in (mine, baseline)]
            lines += _lines(*alternating(*runs), connections)
    return lines


def _lines(mine: Run, baseline: Run, connections: int) -> list[Line]:
    faster, cheaper = ratio_of(mine.rate, baseline.rate), ratio_of(mine.pg_us, baseline.pg_us)
    return [
        Line(
            "accept",
            f"signed, durable, 202; {connections} connections",
            mine,
            f"{faster:.2f} of its rate, {cheaper:.2f} of its PostgreSQL",
            "≥ 1.00 of the rate, ≤ 0.50 of PostgreSQL",
            faster >= 1 and cheaper <= 0.5,
        ),
        Line("accept", "bare FastAPI, one asyncpg insert", baseline),
    ]
