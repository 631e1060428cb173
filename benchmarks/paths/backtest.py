"""Policies over many leads: a back-test of half a year, a shadow run, and evaluations after an activation."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from app.ids import new_id
from app.lifecycle.automatic import evaluate
from app.policy.facts import Activity, Facts
from app.policy.shipped import shipped
from benchmarks.bench import Bench, new_source
from benchmarks.cpu import Meter, memory_mib
from benchmarks.figures import Line, Run, ratio_of
from benchmarks.history import ACTIVITIES, fill_history
from benchmarks.people import form_fills
from benchmarks.processes import Failed, Server

LEADS, QUICK_LEADS = 100_000, 5_000
TARGET_SECONDS: Final = 120.0
GROWTH: Final = 1.10  # memory counts as flat up to this
LOOK_SECONDS, SETTLE_SECONDS = 0.5, 900.0
EVALUATIONS: Final = 5_000
CHANGED: Final = 1_000
DRAFT: Final = """
    INSERT INTO policies (tenant_id, id, number, name, state, origin, document, sha256, created_at, updated_at)
    SELECT tenant_id, gen_random_uuid(), number + 1, name, 'draft', 'tenant',
           jsonb_set(document, '{conditions,mql}', $1::jsonb), sha256, now(), now() FROM policies WHERE state = 'active'
"""
EASIER: Final = {"all": [{"fit": {"at_least": 40}}, {"engagement": {"at_least": 20}}]}
EVALUATED: Final = "SELECT count(*) FROM leads WHERE evaluate_at IS NULL OR evaluate_at > now()"
TOUCH: Final = """
    INSERT INTO event_log (tenant_id, event_seq, lead_id, order_key, type, recorded_at)
    SELECT tenant_id, 0, id, id, 'lead.updated', now() FROM leads LIMIT $1
"""


def measure(bench: Bench) -> list[Line]:
    """Targets: the back-test within two minutes in flat memory; ingestion while leads are evaluated."""
    count = bench.scale(LEADS, QUICK_LEADS)
    dsn = bench.database.create("backtest")
    with bench.service(dsn, "api"):
        tenant_id = bench.database.value(dsn, "SELECT id FROM tenants")  # made at the first start
    active = bench.database.value(dsn, "SELECT id FROM policies")
    asyncio.run(fill_history(dsn, tenant_id, active, count))
    bench.database.run(dsn, DRAFT, json.dumps(EASIER))
    with bench.service(dsn, "api,work", "backtest") as ours:
        policies = ours.call("GET", "/v1/policies")["data"]
        draft = next(one["id"] for one in policies if one["state"] == "draft")
        lines = [_one_lead(), _backtest(bench, ours, draft, count), _shadow(bench, dsn, ours, draft)]
        return [*lines, *_evaluations(bench, dsn, ours)]


def _one_lead() -> Line:
    """One evaluation of a lead with ten activities, without the database."""
    policy, now = shipped("waterfall"), datetime.now(UTC)
    facts = Facts(
        fields={"job_title": "Director", "employees": 120, "industry": "software", "email": "a@b.example"},
        contactable=True,
        stage="inquiry",
        opened_at=now - timedelta(days=90),
        activities=tuple(
            Activity(new_id(), ("webinar", "visit", "case_study")[n % 3], "interest", at, at)
            for n, at in enumerate(now - timedelta(days=9 * n) for n in range(ACTIVITIES))
        ),
    )
    began = time.process_time()
    for _ in range(EVALUATIONS):
        evaluate(policy, facts, now)
    each = (time.process_time() - began) / EVALUATIONS * 1e6
    return Line("back-test", f"one evaluation of a lead with {ACTIVITIES} activities: {each:.0f} µs of CPU")


def _backtest(bench: Bench, ours: Server, draft: str, count: int) -> Line:
    meter, readings = Meter(ours.pid, bench.database.pid), list[float]()
    began = time.monotonic()
    path = "/v1/backtests/" + ours.call("POST", f"/v1/policies/{draft}/backtests", {})["id"]
    while (found := ours.call("GET", path))["state"] in ("queued", "running"):
        readings.append(memory_mib(ours.pid))
        time.sleep(LOOK_SECONDS)
        _check(began)
    if found["state"] != "done":
        raise Failed(f"the back-test is {found['state']}")
    seconds = time.monotonic() - began
    run, activities = meter.run(count, seconds=seconds), count * ACTIVITIES
    third = max(len(readings) // 3, 1)
    grown = ratio_of(max(readings[-third:], default=1), max(readings[:third], default=1))
    what = f"{count:,} leads, {activities:,} activities: {seconds:.0f} s, {activities / seconds:,.0f} activities/s"
    ratio = f"{found['candidate']['mql']:,} MQLs; {grown:.2f} × the memory of its first third"
    limit = TARGET_SECONDS * count / LEADS
    target = f"≤ {limit:.0f} s, ≤ {GROWTH:.2f} ×"
    return Line("back-test", what, run, ratio, target, seconds <= limit and grown <= GROWTH)


def _shadow(bench: Bench, dsn: str, ours: Server, draft: str) -> Line:
    """The cost of a shadow run for each change of a lead; what changes leads does nothing for it."""
    path = "/v1/backtests/" + ours.call("POST", f"/v1/policies/{draft}/shadow", {})["id"]
    _until(lambda: ours.call("GET", path)["progress"] == 1.0)
    reads = "SELECT log_position FROM backtests WHERE kind = 'shadow'"
    bench.database.run(dsn, TOUCH, CHANGED)
    last = bench.database.value(dsn, "SELECT max(position) FROM event_log")
    meter = Meter(ours.pid, bench.database.pid)
    _until(lambda: bench.database.value(dsn, reads) >= last)
    run = meter.run(CHANGED)
    ours.call("POST", path + "/cancel")
    return Line("back-test", f"shadow run: {CHANGED:,} changed leads looked at by the worker", run)


def _evaluations(bench: Bench, dsn: str, ours: Server) -> list[Line]:
    """All leads are due at once, while form fills are accepted: by time, so that many move, and after an activation."""
    ingest, rounds = new_source(ours), bench.scale(1_000, 200)
    _accept(bench, ours, ingest, 50)
    alone = _accept(bench, ours, ingest, rounds)
    lines = []
    for what in ("due by time, two thirds become MQLs", "again, as after an activation"):
        total = bench.database.value(dsn, "SELECT count(*) FROM leads WHERE stage IS NOT NULL")
        bench.database.run(dsn, "UPDATE leads SET evaluate_at = now() WHERE stage IS NOT NULL")
        meter, began, accepted = Meter(ours.pid, bench.database.pid), time.monotonic(), list[Run]()
        accepting = threading.Thread(target=lambda found=accepted: found.append(_accept(bench, ours, ingest, rounds)))
        accepting.start()
        _until(lambda total=total: bench.database.value(dsn, EVALUATED) >= total)
        run = meter.run(total, seconds=time.monotonic() - began)
        accepting.join()
        ratio = ratio_of(accepted[0].p99_ms or 0.0, alone.p99_ms or 0.0)
        run = replace(run, p50_ms=accepted[0].p50_ms, p99_ms=accepted[0].p99_ms)
        told = f"{total:,} leads, {what} (latencies are those of accept)"
        lines.append(Line("back-test", told, run, f"{ratio:.1f} × the p99 of accept alone", "≤ 2 ×", ratio <= 2))
    return lines


def _accept(bench: Bench, ours: Server, ingest: str, count: int) -> Run:
    return bench.load(ours, form_fills(ingest, count), 202, connections=1, pause=0.01)


def _until(is_so: Any) -> None:
    began = time.monotonic()
    while not is_so():
        _check(began)
        time.sleep(0.1)


def _check(began: float) -> None:
    if time.monotonic() - began > SETTLE_SECONDS:
        raise Failed(f"not finished after {SETTLE_SECONDS:.0f} s")
