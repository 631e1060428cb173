"""Overload: creates at five times the capacity, while health, and a read of another tenant, are asked as always."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.bench import Bench
from benchmarks.figures import Line
from benchmarks.flood import Flood, Stream
from benchmarks.people import lead_creations
from benchmarks.processes import ADMIN_KEY, Server, process, start_and_read, wait_ready

TIMES = 5
PROBES = 20.0  # a second, of each kind


def measure(bench: Bench) -> list[Line]:
    """Targets: 99.9 % of all answers within 3 s, of health and reads within 1 s; 70 % of the capacity is served."""
    dsn = bench.database.create("overloaded")
    with bench.service(dsn, "api") as server:
        bench.load(server, lead_creations(500), 201, seconds=5)
        capacity = bench.load(server, lead_creations(12_000), 201, seconds=bench.scale(8, 4)).rate
        seconds = bench.scale(30, 10)
        lead = server.call("POST", "/v1/leads", {"fields": {"email": "read@me.example"}})["id"]
        key = server.call("POST", "/v1/tenants", {"name": "other"})["key"]["secret"]
        flood = Flood(
            server.port,
            seconds,
            [
                Stream("creates", capacity * TIMES, lead_creations(int(capacity * TIMES * seconds) + 1)),
                Stream("health", PROBES, [_get("/healthz")]),
                Stream("reads", PROBES, [_get(f"/v1/leads/{lead}", ADMIN_KEY)]),
                Stream("other tenant", PROBES, [_get("/v1/me", key)]),
            ],
        )
        found = _run(server, flood)
    creates = found["creates"]
    served = creates["statuses"].get("201", 0) / seconds
    lines = [
        Line(
            "overload",
            f"creates, {TIMES} × {capacity:.0f}/s: {_statuses(creates)}; p99.9 {creates['p99.9']:.0f} ms,"
            f" max {creates['p100']:.0f}",
            None,
            f"{served / capacity:.2f} of the capacity served",
            "≥ 0.70; p99.9 ≤ 3 s",
            served >= 0.7 * capacity and creates["p99.9"] <= 3_000,
        )
    ]
    for name in ("health", "reads", "other tenant"):
        one = found[name]
        what = f"{name}: {_statuses(one)}; p50 {one['p50']:.0f} ms, p99 {one['p99']:.0f}, max {one['p100']:.0f}"
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
