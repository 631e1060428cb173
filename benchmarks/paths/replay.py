"""A replay of many events to one subscription while live events go on, and what the live ones notice of it.

The replay is paused for half of the time, in turns, so that other load of the machine affects both halves alike.
"""

from __future__ import annotations

import time
from bisect import bisect
from collections.abc import Sequence
from typing import Any

from app import ids
from benchmarks.bench import Bench, wait_for_count
from benchmarks.figures import Line, Run, percentile, ratio_of
from benchmarks.paths.dead import RECORD, STALLED_SECONDS
from benchmarks.processes import Failed, Server, receiver

PENDING = "SELECT (count(*) = 0)::int FROM pending"
COMMITTED = """
    SELECT e.id, extract(epoch FROM pg_xact_commit_timestamp(e.xmin))::float8 AS at
      FROM event_log l JOIN events e ON e.tenant_id = l.tenant_id AND e.seq = l.event_seq WHERE l.position > $1
"""
LEADS, BATCH, CONCURRENCY = 1000, 1000, 16
LIVE, TOGETHER, EVERY_SECONDS, WINDOWS = 4_000, 5, 0.05, 20
NOT_COUNTED = 2  # windows before these: the first ones after the history was loaded are slower, of either kind
PERCENT = 10

Window = tuple[float, bool]  # when it began, and whether the replay was running in it


def measure(bench: Bench) -> list[Line]:
    """Target: every event once, and p99 of the live ones changes by less than 10 %."""
    count, live, dsn = bench.scale(200_000, 30_000), bench.scale(LIVE, LIVE // 4), bench.database.create("replay")
    with receiver() as subscriber, bench.service(dsn, "api,work,dispatch") as ours:
        tenant_id = bench.database.value(dsn, "SELECT id FROM tenants")
        history = [(tenant_id, first, BATCH, LEADS) for first in range(0, count, BATCH)]
        bench.database.paced(dsn, RECORD, history, 0.0)
        wait_for_count(bench.database, dsn, PENDING, 1)
        head = bench.database.value(dsn, "SELECT max(position) FROM event_log")
        path = _subscribe(ours, subscriber)
        replay = f"{path}/replays/{ours.call('POST', f'{path}/replays', {})['id']}"
        windows = []
        for n in range(-NOT_COUNTED, WINDOWS):
            if ours.call("GET", replay)["state"] == "done":
                raise Failed("the replay ended before the live events did: send more")
            ours.call("POST", f"{replay}/{'pause' if n % 2 else 'resume'}")
            time.sleep(1.5)  # it is followed within a second
            windows.append((time.time(), n % 2 == 0))
            first, last = (count + live * (n + each) // WINDOWS for each in (NOT_COUNTED, NOT_COUNTED + 1))
            of_window = range(first, last, TOGETHER)
            bench.database.paced(dsn, RECORD, [(tenant_id, at, TOGETHER, LEADS) for at in of_window], EVERY_SECONDS)
        ours.call("POST", f"{replay}/resume")
        before, began = int(ours.call("GET", replay)["sent"]), time.monotonic()
        shown = _until_done(ours, replay)
        rate = ratio_of(int(shown["sent"]) - before, time.monotonic() - began)
        times = subscriber.call("GET", "/times")
        rows = bench.database.run(dsn, COMMITTED, head)
        committed = {ids.show("event", row["id"]): float(row["at"]) for row in rows}
    if missing := count + len(committed) - len(times):
        raise Failed(f"{missing} events did not arrive")
    alone, beside = (_run(committed, times, windows[NOT_COUNTED:], kind) for kind in (False, True))
    return _lines(alone, beside, count, rate, int(shown["failed"]))


def _subscribe(ours: Server, subscriber: Server) -> str:
    body = {"url": f"http://127.0.0.1:{subscriber.port}/hook", "limits": {"concurrency": CONCURRENCY}}
    return f"/v1/subscriptions/{ours.call('POST', '/v1/subscriptions', body)['id']}"


def _until_done(ours: Server, replay: str) -> dict[str, Any]:
    """Wait until the replay is done; as it is then."""
    had, still_since = -1, time.monotonic()
    while (shown := ours.call("GET", replay))["state"] != "done":
        if shown["sent"] > had:
            had, still_since = shown["sent"], time.monotonic()
        if time.monotonic() > still_since + STALLED_SECONDS:
            raise Failed(f"the replay stopped at {had}")
        time.sleep(0.2)
    return dict(shown)


def _run(committed: dict[str, float], times: dict[str, float], windows: Sequence[Window], beside: bool) -> Run:
    """Of the live events that were committed in windows with the replay, or in those without: commit to receipt."""
    begins = [began for began, _ in windows]
    counted = {name: at for name, at in committed.items() if at >= begins[0]}
    of_kind = {name: at for name, at in counted.items() if windows[bisect(begins, at) - 1][1] == beside}
    waits = [times[name] - at for name, at in of_kind.items()]
    p50, p99 = ((percentile(waits, share) or 0.0) * 1e3 for share in (0.5, 0.99))
    return Run(len(waits), len(waits) / TOGETHER * EVERY_SECONDS, p50, p99, 0.0, 0.0, None)


def _lines(alone: Run, beside: Run, count: int, rate: float, failed: int) -> list[Line]:
    ratio, most = ratio_of(beside.p99_ms or 0.0, alone.p99_ms or 0.0), 1 + PERCENT / 100
    what, target = f"a replay of {count:,} events: {failed} failed", f"p99 < {most:.2f} times"
    return [
        Line("replay", "live events, while the replay is paused", alone),
        Line("replay", "live events beside it", beside, f"p99 {ratio:.2f} times", target, ratio < most),
        Line("replay", what, None, f"{rate:,.0f}/s without live events", "0 failed", not failed),
    ]
