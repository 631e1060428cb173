"""Transition: a user accepts an MQL. Each lead moves once."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.figures import Line, Run, ratio_of
from benchmarks.paths.ready import Ready, make_ready
from benchmarks.people import lead_requests
from benchmarks.processes import Failed, bare
from benchmarks.trips import round_trips

PATH = "/v1/leads/{id}/transitions"
ACCEPT = {"action": "accept"}
WARM, COUNTED = 200, 28
TARGET_RATE = 1_200


def measure(bench: Bench) -> list[Line]:
    """Target: 1,200 a second, 3 times the CPU of a lock and one statement, and at most 4 round trips."""
    count = bench.scale(2_000, 700)
    ready = make_ready(bench, "moving", 2 * (count + WARM) + COUNTED)
    if len(ready.leads) < 2 * (count + WARM) + COUNTED:
        raise Failed(f"only {len(ready.leads)} leads became MQL")
    counted = lead_requests(PATH, ready.shown(0, COUNTED), ACCEPT, ready.sdr)
    trips, statements = round_trips(bench, ready.dsn, counted)
    mine, baseline = _runs(bench, ready, count)
    ratio = ratio_of(mine.cpu_us, baseline.cpu_us)
    return [
        Line(
            "transition",
            "accept by a person",
            mine,
            f"{ratio:.1f} × its CPU",
            f"≤ 3 × the CPU, ≥ {TARGET_RATE:,} a second",
            ratio <= 3 and mine.rate >= TARGET_RATE,
        ),
        Line("transition", "bare FastAPI, lock + one statement", baseline),
        Line("transition", " · ".join(statements), None, f"{trips:.1f} round trips", "≤ 4 round trips", trips <= 4),
    ]


def _runs(bench: Bench, ready: Ready, count: int) -> tuple[Run, Run]:
    first = COUNTED
    with bench.service(ready.dsn, "api", "transition") as ours:
        requests = lead_requests(PATH, ready.shown(first, first + WARM + count), ACCEPT, ready.sdr)
        bench.load(ours, requests[:WARM], 201)
        mine = bench.profile(ours, "transition", lambda: bench.load(ours, requests[WARM:], 201))
        first += WARM + count
    with bare("move", ready.dsn) as base:
        for size in (WARM, count):
            plain = [str(one) for one in ready.leads[first : first + size]]
            baseline = bench.load(base, lead_requests(PATH, plain, ACCEPT, ready.sdr), 201)
            first += size
    return mine, baseline
