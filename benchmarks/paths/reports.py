"""Reports over three years of history: how long each takes for a month, a quarter and 13 months, and as of the past.

Reports of now that read summaries are also asked for as of an instant, which reads the records: the same answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

from app.database.engine import make_engine
from app.reports.summaries import rebuild
from benchmarks.bench import Bench, new_user
from benchmarks.database import as_url
from benchmarks.figures import Line
from benchmarks.lives import fill_lives
from benchmarks.processes import ADMIN_KEY, Failed, Server

GET = "GET /v1/reports/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\r\n"
NAMES = ("funnel", "velocity", "sources", "pipeline")
SUMMED = ("funnel", "velocity", "sources")  # which read summaries
WINDOWS = {"month": 30, "quarter": 91, "13 months": 396}
REPORT_MS, EVIDENCE_MS, PAST_MS = 100.0, 50.0, 1_000.0
TIMES = 30
SECONDS = 20.0  # for each line; a slow report is asked for less often


def measure(bench: Bench) -> list[Line]:
    """Target: 100 ms at the 99th percentile, 50 ms for a page of evidence, a second as of the past."""
    count = bench.leads or bench.scale(200_000, 10_000)
    dsn = bench.database.create("reports")
    with bench.service(dsn, "api") as server:
        for role in ("sdr", "ae", "manager"):
            new_user(server, role)
    policy_id, tenant_id = bench.database.run(dsn, "SELECT id, tenant_id FROM policies WHERE state = 'active'")[0]
    users = [row[0] for row in bench.database.run(dsn, "SELECT id FROM users ORDER BY id")]
    asyncio.run(fill_lives(dsn, tenant_id, policy_id, count, users))
    asyncio.run(_summarize(dsn, tenant_id))
    moves = bench.database.value(dsn, "SELECT count(*) FROM transitions")
    with bench.service(dsn, "api") as server:
        first, *others = [_line(bench, server, *asked) for asked in paths(datetime.now(UTC))]
    return [Line("reports", f"of {count:,} leads, {moves:,} transitions"), first, *others]


async def _summarize(dsn: str, tenant_id: UUID) -> None:
    """What `baton reports rebuild` does, since the rows were not written with events."""
    engine = make_engine(as_url(dsn))
    async for _ in rebuild(engine, tenant_id, datetime.now(UTC)):
        pass
    await engine.dispose()


def paths(now: datetime) -> Iterator[tuple[str, str, float | None]]:
    """What is asked for: its name, path and target in milliseconds, if it has one."""
    today, more = now.date(), {"as_of": now.isoformat()}
    for name, by in (*((name, {}) for name in NAMES), ("funnel", {"by": "source"})):
        what = " by ".join([name, *by.values()])
        for window, days in WINDOWS.items():
            yield f"{what}, {window}", _path(name, today, days, **by), REPORT_MS
            if name in SUMMED:
                yield f"{what}, {window}, by the records", _path(name, today, days, **by, **more), None
    for name, metric in (("funnel", "mql_to_sal"), ("velocity", "mql_to_sal"), ("sources", "sql")):
        key = {"key": "source7"} if name == "sources" else {}
        yield f"evidence of {name}, month", _path(f"{name}/evidence", today, 30, metric=metric, **key), EVIDENCE_MS
        yield f"evidence of {name}, quarter", _path(f"{name}/evidence", today, 91, metric=metric, **key), EVIDENCE_MS
    past = today - timedelta(days=365)
    for name in NAMES:
        path = _path(name, past, 91, as_of=f"{past.isoformat()}T00:00:00Z")
        yield f"{name}, quarter, as of a year ago", path, PAST_MS


def _path(name: str, to: date, days: int, **more: str) -> str:
    return f"{name}?{urlencode({'from': to - timedelta(days=days), 'to': to, **more})}"


def _line(bench: Bench, server: Server, what: str, path: str, target_ms: float | None) -> Line:
    request = GET.format(path=path, key=ADMIN_KEY).encode()
    target = "" if target_ms is None else f"p99 ≤ {target_ms:.0f} ms"
    try:
        bench.load(server, [request], 200, connections=1)
        run = bench.load(server, [request] * TIMES, 200, connections=1, seconds=SECONDS)
    except Failed as fault:
        return Line("reports", f"{what}: {fault}", target=target, met=None if target_ms is None else False)
    return Line("reports", what, run, target=target, met=None if target_ms is None else (run.p99_ms or 0) <= target_ms)
