"""Conversion: an SQL becomes account, contact and opportunity. Each lead once, with its own Idempotency-Key."""

from __future__ import annotations

from benchmarks.bench import Bench
from benchmarks.figures import Line
from benchmarks.paths.ready import Ready, make_ready
from benchmarks.people import lead_requests
from benchmarks.trips import round_trips

PATH = "/v1/leads/{id}/conversion"
BANT = {name: {"status": "confirmed", "value": "yes"} for name in ("budget", "need", "timing")}
ORDER = {
    "opportunity": {"amount": {"value": "12000.00", "currency": "EUR"}, "close_date": "2027-03-31"},
    "verification": {"note": "called, confirmed"},
}
WARM, COUNTED = 200, 28
TARGET_RATE, TARGET_US = 600, 2_400


def measure(bench: Bench) -> list[Line]:
    """Target: 600 a second at 32 connections, 2.4 ms of CPU in all, and at most 6 round trips."""
    count = bench.scale(1_500, 500)
    ready = make_ready(bench, "converting", count + WARM + COUNTED)
    _make_sql(bench, ready)
    requests = lead_requests(PATH, ready.shown(0, len(ready.leads)), ORDER, ready.ae, keys=True)
    trips, statements = round_trips(bench, ready.dsn, requests[:COUNTED])
    with bench.service(ready.dsn, "api", "conversion") as ours:
        bench.load(ours, requests[COUNTED : COUNTED + WARM], 201)
        # As after the first minutes of a service; before, there are no accounts, and statistics would say so.
        bench.database.run(ready.dsn, "VACUUM ANALYZE")
        run = bench.profile(ours, "conversion", lambda: bench.load(ours, requests[COUNTED + WARM :], 201))
    return [
        Line(
            "conversion",
            "account, contact and opportunity",
            run,
            f"{run.cpu_us:,.0f} µs in all",
            f"≥ {TARGET_RATE} a second, ≤ {TARGET_US:,} µs",
            run.rate >= TARGET_RATE and run.cpu_us <= TARGET_US,
        ),
        Line("conversion", " · ".join(statements), None, f"{trips:.1f} round trips", "≤ 6 round trips", trips <= 6),
    ]


def _make_sql(bench: Bench, ready: Ready) -> None:
    """Move the leads to stage SQL: accepted by the SDR, confirmed by the AE."""
    path, lead_ids = "/v1/leads/{id}/transitions", ready.shown(0, len(ready.leads))
    accept = lead_requests(path, lead_ids, {"action": "accept"}, ready.sdr)
    confirm = lead_requests(path, lead_ids, {"action": "confirm", "bant": BANT}, ready.ae)
    with bench.service(ready.dsn, "api") as server:
        for requests in (accept, confirm):
            bench.load(server, requests, 201)
