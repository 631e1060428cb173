"""Policies over many leads: a back-test of half a year, a shadow run, and evaluations after an activation."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Final

from app.ids import new_id
from app.lifecycle.automatic import evaluate
from app.policy.facts import Activity, Facts
from app.policy.shipped import shipped
from benchmarks.bench import Bench, new_source
from benchmarks.cpu import Meter, memory_mib
from benchmarks.figures import Line, Run, ratio_of
from benchmarks.history import fill_history
from benchmarks.people import form_fills
from benchmarks.processes import Failed, Server

LEADS, QUICK_LEADS = 5_000, 2_000
TARGET_PER_S: Final = 100_000 / 120  # leads: two minutes at full size
GROWTH: Final = 1.10  # memory counts as flat up to this
LOOK_SECONDS, SETTLE_SECONDS = 0.5, 900.0
EVALUATIONS: Final = 5_000
CHANGED: Final = 1_000
# `shipped`: it needs no approvals.
DRAFT: Final = """
    INSERT INTO policies (tenant_id, id, number, name, state, origin, document, sha256, created_at, updated_at)
    SELECT tenant_id, gen_random_uuid(), number + 1, name, 'draft', 'shipped',
           jsonb_set(document, '{conditions,mql}', $1::jsonb), sha256, now(), now() FROM policies WHERE state = 'active'
"""
EASIER: Final = {"all": [{"fit": {"at_least": 40}}, {"engagement": {"at_least": 20}}]}
# An activation is followed by one batch after the other of leads that become due.
UNFINISHED: Final = """
    SELECT (SELECT count(*) FROM leads WHERE evaluate_at <= now())
           + (SELECT count(*) FROM activations WHERE scheduled_at IS NULL)
"""
ALL_DUE: Final = "UPDATE leads SET evaluate_at = now() WHERE stage IS NOT NULL RETURNING 1"
CLOCKS_DUE: Final = """
    WITH late AS (
        UPDATE clock_runs SET due_at = now() WHERE met_at IS NULL AND stopped_at IS NULL AND breached_at IS NULL
        RETURNING tenant_id, lead_id
    )
    UPDATE leads l SET evaluate_at = now() FROM late
     WHERE l.tenant_id = late.tenant_id AND l.id = late.lead_id RETURNING 1
"""
TOUCH: Final = """
    INSERT INTO event_log (tenant_id, event_seq, lead_id, order_key, type, recorded_at)
    SELECT tenant_id, 0, id, id, 'lead.updated', now() FROM leads LIMIT $1
"""


def measure(bench: Bench) -> list[Line]:
    """Targets: 100,000 leads in two minutes and flat memory; ingestion while leads are evaluated."""
    count = bench.leads or bench.scale(LEADS, QUICK_LEADS)
    dsn = bench.database.create("backtest")
    with bench.service(dsn, "api"):
        tenant_id = bench.database.value(dsn, "SELECT id FROM tenants")  # made at the first start
    active = bench.database.value(dsn, "SELECT id FROM policies")
    asyncio.run(fill_history(dsn, tenant_id, active, count, bench.activities))
    bench.database.run(dsn, DRAFT, json.dumps(EASIER))
    with bench.service(dsn, "api,work", "backtest") as ours:
        policies = ours.call("GET", "/v1/policies")["data"]
        draft = next(one["id"] for one in policies if one["state"] == "draft")
        lines = [_one_lead(bench.activities), _backtest(bench, ours, draft, count), _shadow(bench, dsn, ours, draft)]
        return [*lines, *_evaluations(bench, dsn, ours, draft)]


def _one_lead(activities: int) -> Line:
    """One evaluation of a lead, without the database."""
    policy, now = shipped("waterfall"), datetime.now(UTC)
    facts = Facts(
        fields={"job_title": "Director", "employees": 120, "industry": "software", "email": "a@b.example"},
        contactable=True,
        stage="inquiry",
        opened_at=now - timedelta(days=90),
        activities=tuple(
            Activity(new_id(), ("webinar", "visit", "case_study")[n % 3], "interest", at, at)
            for n, at in enumerate(now - timedelta(days=9 * n) for n in range(activities))
        ),
    )
    began = time.process_time()
    for _ in range(EVALUATIONS):
        evaluate(policy, facts, now)
    each = (time.process_time() - began) / EVALUATIONS * 1e6
    return Line("back-test", f"one evaluation of a lead with {activities} activities: {each:.0f} µs of CPU")


def _backtest(bench: Bench, ours: Server, draft: str, count: int) -> Line:
    readings = list[float]()

    def work() -> Run:
        meter, began = Meter(ours.pid, bench.database.pid), time.monotonic()
        path = "/v1/backtests/" + ours.call("POST", f"/v1/policies/{draft}/backtests", {})["id"]
        while (found := ours.call("GET", path))["state"] in ("queued", "running"):
            readings.append(memory_mib(ours.pid))
            time.sleep(LOOK_SECONDS)
            _check(began)
        if found["state"] != "done":
            raise Failed(f"the back-test is {found['state']}")
        return meter.run(count, seconds=time.monotonic() - began)

    run, activities = bench.profile(ours, "backtest", work), count * bench.activities
    third = max(len(readings) // 3, 1)
    grown = ratio_of(max(readings[-third:], default=1), max(readings[:third], default=1))
    what = (
        f"{count:,} leads, {activities:,} activities: {run.seconds:.0f} s, {activities / run.seconds:,.0f} activities/s"
    )
    target = f"≥ {TARGET_PER_S:.0f} leads/s, ≤ {GROWTH:.2f} ×"
    ratio = f"{grown:.2f} × the memory of its first third"
    return Line("back-test", what, run, ratio, target, run.rate >= TARGET_PER_S and grown <= GROWTH)


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


def _evaluations(bench: Bench, dsn: str, ours: Server, draft: str) -> list[Line]:
    """Many leads are due at once, while form fills are accepted: by time, after an activation, and by their clocks."""
    ingest, rounds = new_source(ours), bench.scale(1_000, 200)
    _accept(bench, ours, ingest, 50)
    alone = _accept(bench, ours, ingest, rounds)

    def measured(what: str, make_due: Callable[[], int]) -> Line:
        meter, began, accepted, total = Meter(ours.pid, bench.database.pid), time.monotonic(), list[Run](), make_due()
        accepting = threading.Thread(target=lambda: accepted.append(_accept(bench, ours, ingest, rounds)))
        accepting.start()
        _until(lambda: bench.database.value(dsn, UNFINISHED) == 0)
        run = meter.run(total, seconds=time.monotonic() - began)
        accepting.join()
        ratio = ratio_of(accepted[0].p99_ms or 0.0, alone.p99_ms or 0.0)
        run = replace(run, p50_ms=accepted[0].p50_ms, p99_ms=accepted[0].p99_ms)
        told = f"{total:,} {what} (latencies are those of accept)"
        return Line("back-test", told, run, f"{ratio:.1f} × the p99 of accept alone", "≤ 2 ×", ratio <= 2)

    def activated() -> int:
        ours.call("POST", f"/v1/policies/{draft}/activation")
        leads: int = bench.database.value(dsn, "SELECT count(*) FROM leads")
        return leads

    return [
        measured("leads due by time, two thirds become MQLs", lambda: len(bench.database.run(dsn, ALL_DUE))),
        measured("leads after an activation", activated),
        measured("clocks due, all breached", lambda: len(bench.database.run(dsn, CLOCKS_DUE))),
    ]


def _accept(bench: Bench, ours: Server, ingest: str, count: int) -> Run:
    return bench.load(ours, form_fills(ingest, count), 202, connections=1, pause=0.01)


def _until(is_so: Callable[[], bool]) -> None:
    began = time.monotonic()
    while not is_so():
        _check(began)
        time.sleep(LOOK_SECONDS)


def _check(began: float) -> None:
    if time.monotonic() - began > SETTLE_SECONDS:
        raise Failed(f"not finished after {SETTLE_SECONDS:.0f} s")
