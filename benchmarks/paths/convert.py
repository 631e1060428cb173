"""Conversion: an SQL becomes account, contact and opportunity. Every lead converts once, under a key of its own."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.figures import Line
from benchmarks.paths.ready import Ready, make_ready
from benchmarks.people import asks
from benchmarks.trips import round_trips

PATH = "/v1/leads/{id}/conversion"
BANT = {name: {"status": "confirmed", "value": "yes"} for name in ("budget", "need", "timing")}
ORDER = {
    "opportunity": {"amount": {"value": "12000.00", "currency": "EUR"}, "close_date": "2027-03-31"},
    "verification": {"note": "called, confirmed"},
}
WARM, COUNTED = 200, 28
WANTED = 1_000


def measure(bench: Bench) -> list[Line]:
    """1000 a second at 32 connections, and at most 6 round trips."""
    count = bench.scale(1_500, 500)
    ready = make_ready(bench, "converting", count + WARM + COUNTED)
    _make_sql(bench, ready)
    requests = asks(PATH, ready.shown(0, len(ready.leads)), ORDER, ready.ae, keys=True)
    trips, said = round_trips(bench, ready.dsn, requests[:COUNTED])
    with bench.service(ready.dsn, "api", "conversion") as ours:
        bench.load(ours, requests[COUNTED : COUNTED + WARM], 201)
        run = bench.profile(ours, "conversion", lambda: bench.load(ours, requests[COUNTED + WARM :], 201))
    return [
        Line("conversion", "account, contact and opportunity", run, "", f"≥ {WANTED:,} a second", run.rate >= WANTED),
        Line("conversion", " · ".join(said), None, f"{trips:.1f} round trips", "≤ 6 round trips", trips <= 6),
    ]


def _make_sql(bench: Bench, ready: Ready) -> None:
    """Accepted by the SDR, confirmed by the AE."""
    path, everybody = "/v1/leads/{id}/transitions", ready.shown(0, len(ready.leads))
    accept = asks(path, everybody, {"action": "accept"}, ready.sdr)
    confirm = asks(path, everybody, {"action": "confirm", "bant": BANT}, ready.ae)
    with bench.service(ready.dsn, "api") as server:
        for requests in (accept, confirm):
            bench.load(server, requests, 201)
    bench.database.run(ready.dsn, "VACUUM ANALYZE")
