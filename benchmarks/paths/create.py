"""Create: POST /v1/leads, which normalises, matches and scores within the request."""

from __future__ import annotations

from benchmarks.bench import CONNECTIONS, Bench, alternating
from benchmarks.figures import Line, Run, ratio_of
from benchmarks.people import lead_creations, peer_creations
from benchmarks.processes import Server, bare

TARGET = 0.45


def measure(bench: Bench) -> list[Line]:
    """Target: 45 % of the rate of a bare FastAPI route with one statement; one connection alone, and a peer, beside."""

    def create(server: Server, count: int, seconds: float, connections: int = CONNECTIONS) -> Run:
        return bench.load(server, lead_creations(count), 201, seconds=seconds, connections=connections)

    dsn = bench.database.create("creating")
    with bench.service(dsn, "api", "create") as ours, bare("upsert", dsn) as base:
        for server in (ours, base):
            create(server, 300, 5)
        if bench.folder:
            bench.profile(ours, "create", lambda: create(ours, 4_000, 8))
        count, seconds = bench.scale(16_000, 7_000), bench.scale(4, 2)
        mine, baseline = alternating(lambda: create(ours, count, seconds), lambda: create(base, count, seconds))
        alone, baseline_alone = alternating(
            lambda: create(ours, count, seconds / 2, 1), lambda: create(base, count, seconds / 2, 1)
        )
    ratio, ratio_alone = ratio_of(mine.rate, baseline.rate), ratio_of(alone.p50_ms or 0, baseline_alone.p50_ms or 0)
    target = f"≥ {TARGET:.2f} of the rate"
    return [
        Line("create", "POST /v1/leads", mine, f"{ratio:.2f} of its rate", target, ratio >= TARGET),
        Line("create", "bare FastAPI with a model, one statement", baseline),
        Line("create", "one connection alone", alone, f"{ratio_alone:.1f} × its p50"),
        Line("create", "bare, one connection alone", baseline_alone),
        *_of_peer(bench, mine),
    ]


def _of_peer(bench: Bench, mine: Run) -> list[Line]:
    """The same people as flat JSON objects, sent to another system; its CPU is not measured."""
    if bench.peer is None:
        return []
    count, seconds = bench.scale(16_000, 7_000), bench.scale(12, 6)
    theirs = bench.load_peer(bench.peer, peer_creations(bench.peer.path, bench.peer.token, count), seconds)
    ratio = ratio_of(mine.rate, theirs.rate)
    return [Line("create", f"peer: POST {bench.peer.path}", theirs, f"ours is {ratio:.1f} × its rate")]
