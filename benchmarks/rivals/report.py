"""The results as a Markdown table, for docs/benchmarks.md, and what the targets say of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.figures import Line, Run, ratio_of
from benchmarks.rivals.latency import Latency
from benchmarks.rivals.outage import KILLS, Outage
from benchmarks.rivals.rate import Rate
from benchmarks.rivals.sick import Healthy

LEAST_RATE, MOST_WAL, MOST_CHANGE = 2.0, 1 / 3, 1.10
QUIET_LOAD = 0.25  # of a core, before the first process of the benchmark is started


@dataclass(frozen=True, slots=True)
class Results:
    """What was measured of one system."""

    rate: Rate
    latency: Latency
    healthy: Healthy
    outage: Outage


Row = tuple[str, Callable[[Results], str]]
ROWS: Sequence[Row] = (
    ("deliveries a second, of a backlog to one receiver", lambda one: f"{one.rate.per_second:,.0f}"),
    ("CPU of a delivery: sender + PostgreSQL, µs", lambda one: f"{one.rate.app_us:,.0f} + {one.rate.pg_us:,.0f}"),
    ("WAL of a delivery: recording it + making it, bytes", lambda one: _wal(one.rate)),
    ("commit → receipt, one event after another, p50 / p99, ms", lambda one: _hot(one.latency)),
    ("the same of the first event after 35 s of rest, median / slowest, ms", lambda one: _rested(one.latency)),
    ("p99 of two healthy receivers, alone, ms", lambda one: f"{one.healthy.alone:,.1f}"),
    ("the same beside one that is down and one that takes 29 s, ms", lambda one: _beside(one.healthy)),
    ("until all is delivered after the outage, s", lambda one: _drain(one.outage)),
    (f"{KILLS} × kill -9: events lost", lambda one: str(one.outage.lost)),
    ("not delivered at the end of the run, still waiting", lambda one: str(one.outage.late)),
    ("delivered more than once", lambda one: str(one.outage.repeats)),
    ("out of the order of their lead, over kills and outage", lambda one: str(one.outage.disorder)),
    ("out of the order of their lead, in the backlog", lambda one: str(one.rate.disorder)),
)


def _wal(one: Rate) -> str:
    return f"{one.recording_wal:,.0f} + {one.delivering_wal:,.0f} = {one.wal:,.0f}"


def _hot(one: Latency) -> str:
    return f"{one.p50:,.1f} / {one.p99:,.1f}"


def _rested(one: Latency) -> str:
    ordered = sorted(one.rested)
    return f"{ordered[len(ordered) // 2]:,.1f} / {ordered[-1]:,.1f}"


def _beside(one: Healthy) -> str:
    shown = f"{one.beside:,.1f} ({one.change:,.2f} ×)"
    return f"over {shown}, {one.missing} had not arrived" if one.missing else shown


def _drain(one: Outage) -> str:
    return f"over {one.limit:.0f}" if one.drain is None else f"{one.drain:.1f}"


def markdown(found: Mapping[str, Results], conditions: str) -> str:
    """One column for each system, under a line that says in which conditions they were measured."""
    outage = next(iter(found.values())).outage
    rows = [[what, *(show(one) for one in found.values())] for what, show in ROWS]
    head = [["", *found], ["---" for _ in ("", *found)]]
    table = "\n".join(f"| {' | '.join(row)} |" for row in [*head, *rows])
    return f"{conditions} Outage of {outage.seconds:.0f} s, {outage.events:,} events.\n\n{table}"


def conditions(date: str, machine: str, cores: int, load: float, quick: bool) -> str:
    """`load` is the load average before the run: whether others were working."""
    length = "the short run (`--quick`)" if quick else "the full run"
    state = f"**disturbed**: others were working, load {load:.1f} before it" if load > QUIET_LOAD else "quiet"
    return f"{date}, {cores} cores, {machine}; {length}, {state}."


def lines(found: Mapping[str, Results]) -> list[Line]:
    """Baton, the first, against the targets."""
    ours, *theirs = found.values()
    rate = ratio_of(ours.rate.per_second, max(one.rate.per_second for one in theirs))
    wal = ratio_of(ours.rate.wal, min(one.rate.wal for one in theirs))
    change = ours.healthy.change
    return [
        *(Line("rivals", f"{name}: a backlog to one receiver", _run(one)) for name, one in found.items()),
        _target("deliveries a second", f"{rate:.1f} × the best rival", f"≥ {LEAST_RATE:.0f} ×", rate >= LEAST_RATE),
        _target("WAL of a delivery", f"{wal:.2f} of the least", f"≤ {MOST_WAL:.2f}", wal <= MOST_WAL),
        _target("p99 beside the sick", f"{change:.2f} times", f"< {MOST_CHANGE:.2f} times", change < MOST_CHANGE),
        _target(
            "over kills and outage",
            f"{ours.outage.lost} lost, {ours.outage.disorder} out of order",
            "0 and 0",
            not ours.outage.lost and not ours.outage.disorder and not ours.rate.disorder,
        ),
    ]


def _run(one: Results) -> Run:
    rate = one.rate
    return Run(round(rate.per_second * 1000), 1000, one.latency.p50, one.latency.p99, rate.app_us, rate.pg_us)


def _target(what: str, ratio: str, target: str, met: bool) -> Line:
    return Line("rivals", what, None, ratio, target, met)
