"""What is pure of the benchmark beside rivals: what is recorded, how it is judged, and the table."""

import json
from pathlib import Path

import pytest

from benchmarks.receiver import _name
from benchmarks.rivals import environment
from benchmarks.rivals.events import Event, Order, disorder
from benchmarks.rivals.handler import wait_seconds
from benchmarks.rivals.latency import Latency, between
from benchmarks.rivals.outage import Outage
from benchmarks.rivals.rate import Rate
from benchmarks.rivals.report import Results, conditions, lines, markdown
from benchmarks.rivals.sick import Healthy


def results(
    per_second: float = 100.0,
    wal: float = 900.0,
    beside: float = 10.0,
    drain: float | None = 7.0,
    lost: int = 0,
    late: int = 0,
) -> Results:
    return Results(
        Rate(per_second, wal - 100, 100.0, 200.0, 50.0, 0),
        Latency(2.0, 9.0, [5.0, 30.0, 4.0]),
        Healthy(10.0, beside, 0),
        Outage(1500, 300.0, drain, 240.0, late, lost, 12, 0),
    )


def test_leads_take_turns_and_the_versions_of_a_lead_follow_each_other() -> None:
    batches = list(Order(3, 5, leads=2, together=2).batches())
    assert [[event.mark for event in batch] for batch in batches] == [["1-2", "0-3"], ["1-3", "0-4"], ["1-4"]]


def test_an_event_is_disordered_if_a_later_one_of_its_lead_came_before_it() -> None:
    assert disorder(iter(["1-1", "2-1", "1-2", "2-2"])) == 0
    assert disorder(iter(["1-2", "2-1", "1-1", "1-3"])) == 1
    assert disorder(iter(["1-10", "1-9", "1-8"])) == 2


@pytest.mark.parametrize("body", [Event(7, 12).body, json.dumps({"data": Event(7, 12).data}, separators=(",", ":"))])
def test_the_receiver_knows_an_event_by_its_mark_whoever_sends_it(body: str) -> None:
    assert _name(b"POST / HTTP/1.1\r\nWebhook-Id: evt_1", body.encode()) == "7-12"


def test_without_a_mark_the_receiver_knows_an_event_by_its_webhook_id() -> None:
    assert _name(b"POST / HTTP/1.1\r\nWebhook-Id: evt_1\r\nHost: x", b'{"id":"evt_1"}') == "evt_1"
    assert _name(b"POST / HTTP/1.1\r\nHost: x", b"{}") == ""


def test_rivals_wait_twice_as_long_after_each_failure_and_at_most_a_minute() -> None:
    assert [wait_seconds(attempts) for attempts in (0, 1, 5, 6, 40)] == [1, 2, 32, 60, 60]


def test_times_are_from_commit_to_receipt_in_the_order_of_the_commits() -> None:
    committed, arrived = {"1-2": 11.0, "1-1": 10.0, "1-3": 12.0}, {"1-2": 11.25, "1-1": 10.5}
    assert between(committed, arrived) == [500.0, 250.0]


def test_the_targets_compare_with_the_best_rival_in_each_figure() -> None:
    met = {
        line.what: line.met
        for line in lines({"ours": results(200.0, 300.0), "fast": results(100.0, 990.0), "lean": results(1.0, 900.0)})
        if line.target
    }
    assert set(met.values()) == {True}
    missed = [
        lines({"ours": ours, "theirs": results()})
        for ours in (results(199.0, 300.0), results(200.0, 301.0), results(200.0, 300.0, 11.0))
    ]
    assert [[line.what for line in found if line.met is False] for found in missed] == [
        ["deliveries a second"],
        ["WAL of a delivery"],
        ["p99 beside the sick"],
    ]


def test_a_lost_event_misses_the_target_whatever_the_rate() -> None:
    found = lines({"ours": results(1e6, 1.0, lost=1), "theirs": results()})
    assert [line.what for line in found if line.met is False] == ["over kills and outage"]


def test_the_table_has_a_column_for_each_system_and_says_what_had_not_ended() -> None:
    text = markdown({"ours": results(1234.0), "theirs": results(drain=None, late=3)}, "Today.")
    assert text.startswith("Today. Outage of 300 s, 1,500 events.\n\n|  | ours | theirs |\n| --- | --- | --- |\n")
    assert "| deliveries a second, of a backlog to one receiver | 1,234 | 100 |" in text
    assert "| until all is delivered after the outage, s | 7.0 | over 240 |" in text
    assert "ms | 5.0 / 30.0 | 5.0 / 30.0 |" in text


@pytest.mark.parametrize(("load", "state"), [(0.1, "quiet"), (3.0, "**disturbed**")])
def test_a_run_beside_the_work_of_others_is_marked(load: float, state: str) -> None:
    assert state in conditions("2026-11-29", "a processor", 2, load, False)


def test_the_lock_has_hashes_and_no_address_of_a_registry() -> None:
    text = Path(environment.LOCK).read_text()
    packages = [line for line in text.splitlines() if "==" in line]
    assert len(packages) > 10
    assert text.count("--hash=sha256:") >= len(packages)
    assert "://" not in text
