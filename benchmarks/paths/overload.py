"""Overload: five times the capacity is sent, while health, a read, and another tenant's requests come as always."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.bench import Bench, new_source
from benchmarks.figures import Line
from benchmarks.flood import Flood, Stream
from benchmarks.people import form_fills, lead_creations
from benchmarks.processes import ADMIN_KEY, Server, process, start_and_read, wait_ready

TIMES = 5
MOST = 5_000.0  # requests a second that the client can send
PROBES = 20.0  # a second, of each kind


def measure(bench: Bench) -> list[Line]:
    """Targets: 99.9 % of all answers within 3 s, of health and reads within 1 s; 70 % of the capacity is served."""
    dsn = bench.database.create("overloaded")
    with bench.service(dsn, "api") as server:
        lead = server.call("POST", "/v1/leads", {"fields": {"email": "read@me.example"}})["id"]
        key = server.call("POST", "/v1/tenants", {"name": "other"})["key"]["secret"]
        probes = [
            Stream("health", PROBES, [_get("/healthz")]),
            Stream("reads", PROBES, [_get(f"/v1/leads/{lead}", ADMIN_KEY)]),
            Stream("other tenant", PROBES, [_get("/v1/me", key)]),
        ]
        path = new_source(server)
        return [
            *_flood(bench, server, "creates", 201, lead_creations, probes),
            *_flood(bench, server, "form fills", 202, lambda count: form_fills(path, count), probes),
        ]


def _flood(
    bench: Bench, server: Server, name: str, status: int, make: Callable[[int], list[bytes]], probes: list[Stream]
) -> list[Line]:
    bench.load(server, make(500), status, seconds=5)
    capacity = bench.load(server, make(24_000), status, seconds=bench.scale(8, 3)).rate
    seconds, rate = bench.scale(30, 8), min(capacity * TIMES, MOST)
    found = _run(server, Flood(server.port, seconds, [Stream(name, rate, make(int(rate * seconds) + 1)), *probes]))
    flood = found[name]
    served = flood["statuses"].get(str(status), 0) / seconds
    lines = [
        Line(
            "overload",
            f"{name}, {rate:.0f} a second: {_statuses(flood)}; p99.9 {flood['p99.9']:.0f} ms, max {flood['p100']:.0f}",
            None,
            f"{served / capacity:.2f} of {capacity:.0f}/s served",
            "≥ 0.70; p99.9 ≤ 3 s",
            served >= 0.7 * capacity and flood["p99.9"] <= 3_000,
        )
    ]
    for probe in probes:
        one = found[probe.name]
        what = f"{probe.name}: {_statuses(one)}; p50 {one['p50']:.0f} ms, p99 {one['p99']:.0f}, max {one['p100']:.0f}"
        lines.append(Line("", what, None, "", "p99.9 ≤ 1 s", one["p99.9"] <= 1_000))
    return lines


def _statuses(one: dict[str, Any]) -> str:
    named = ", ".join(f"{count} × {status}" for status, count in sorted(one["statuses"].items()))
    return named if not one["missing"] else f"{named}, {one['missing']} × unanswered"


def _get(path: str, key: str | None = None) -> bytes:
    bearer = f"Authorization: Bearer {key}\r\n" if key else ""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{bearer}\r\n".encode()


def _run(server: Server, flood: Flood) -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        path = Path(folder, "flood")
        path.write_bytes(pickle.dumps(flood))
        with process(["-m", "benchmarks.flood", str(path)]) as client:
            wait_ready(client)
            return dict(json.loads(json.dumps(start_and_read(client))))
