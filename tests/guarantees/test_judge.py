"""The judge of a torture finds each fault that a ledger can show, names it, and finds none where there is none."""

from __future__ import annotations

import pytest

from app.commands.torture.judge import ON_THE_WIRE_SECONDS, RULES, UNRECORDED, checked, judge
from app.commands.torture.ledger import Entry
from tests.guarantees.ledgers import Run

LOST, PHANTOM, ORDER, REPEATS = list(RULES)[1:5]


def rules_of(entries: list[Entry]) -> list[str]:
    return [violation.rule for violation in judge(entries)]


def test_a_run_without_a_fault_has_no_violation() -> None:
    run = Run()
    assert judge(run.entries) == []
    assert list(checked(run.entries).values()) == [10, 20, 20, 20, 0, 20, 10, 0, 0]


def test_an_acknowledged_change_that_no_event_has_is_found() -> None:
    run = Run()
    run.note("acknowledged", 3, key="lead_1@99")
    [violation] = judge(run.entries)
    assert violation.rule == "acknowledged is committed"
    assert "lead_1@99" in violation.text


@pytest.mark.parametrize("position", [1, 6, 10], ids=["the first", "one in the middle", "the last"])
def test_a_lost_event_is_found_whichever_it_is(position: int) -> None:
    [violation] = judge(Run().without("received", to="two", position=position))
    assert violation.rule == LOST
    assert violation.text.startswith(f"two: evt_{position} ")


def test_an_event_that_was_received_and_never_taken_is_lost() -> None:
    run = Run()
    refused = [
        {**one, "taken": False} if one.get("position") == 4 and one.get("to") == "one" else one for one in run.entries
    ]
    assert rules_of(refused) == [LOST]


def test_a_dead_delivery_is_not_lost_and_a_dead_one_of_another_subscription_does_not_count() -> None:
    run = Run()
    run.entries = run.without("received", to="two", position=4)
    run.note("dead", 900, to="one", position=4)
    assert rules_of(run.entries) == [LOST]
    run.note("dead", 900, to="two", position=4)
    assert judge(run.entries) == []


def test_an_event_that_only_a_replay_sent_is_lost() -> None:
    run = Run()
    run.entries = run.without("received", to="one", position=4)
    run.take("one", 4, 20, replay="rpl_1")
    run.replay(4, 4)
    assert rules_of(run.entries) == [LOST]


@pytest.mark.parametrize("taken", [True, False])
def test_an_event_that_was_sent_and_is_not_in_the_log_is_found(taken: bool) -> None:
    run = Run()
    run.take("one", 11, 20, taken=taken)
    assert rules_of(run.entries) == [PHANTOM]


def test_two_events_of_a_lead_that_were_taken_in_the_wrong_order_are_found() -> None:
    run = Run()
    third = next(one for one in run.entries if one["what"] == "received" and one["position"] == 3)
    run.entries.remove(third)
    run.take("one", 3, 20)
    assert rules_of(run.entries) == [ORDER]


def test_the_order_counts_within_a_lead_and_a_subscription_and_for_what_was_taken() -> None:
    run = Run()
    third = next(one for one in run.entries if one["what"] == "received" and one["position"] == 3)
    later = [one for one in run.entries if one is not third]
    later.insert(later.index(next(one for one in later if one["what"] == "received" and one["position"] == 5)), third)
    assert judge(later) == [], "after one of another lead"
    run.take("one", 1, 0.5, taken=False)
    assert judge(run.entries) == [], "a request that was not taken may come late"


def test_a_dead_delivery_that_is_taken_late_is_not_out_of_order() -> None:
    run = Run()
    run.entries = run.without("received", to="one", position=3)
    run.note("dead", 900, to="one", position=3)
    run.take("one", 3, 20)
    assert judge(run.entries) == []


def test_an_event_that_is_taken_twice_without_a_disturbance_is_found() -> None:
    run = Run()
    run.take("one", 9, 12)
    [violation] = judge(run.entries)
    assert violation.rule == REPEATS
    assert "evt_9" in violation.text


@pytest.mark.parametrize(
    ("at", "until", "explained"),
    [
        (9.0, 9.0, True),  # as the first one was taken
        (12.0, 12.0, True),  # as the second one was taken
        (12.1, 12.1, False),  # after both
        (9.0 - ON_THE_WIRE_SECONDS, 9.0 - ON_THE_WIRE_SECONDS, True),  # so long before the first that it was in flight
        (8.9 - ON_THE_WIRE_SECONDS, 8.9 - ON_THE_WIRE_SECONDS, False),
        (-50.0, 0.0, True),  # a process was suspended until then
    ],
)
def test_a_disturbance_explains_repeats_around_it_only(at: float, until: float, explained: bool) -> None:
    run = Run()
    run.take("one", 9, 12)
    run.disturb(at, until)
    assert rules_of(run.entries) == ([] if explained else [REPEATS])


@pytest.mark.parametrize("beyond", [0, 1, 3])
@pytest.mark.parametrize("lanes", [1, 2])
def test_a_disturbance_explains_as_many_repeats_as_are_in_flight_or_unwritten(beyond: int, lanes: int) -> None:
    run = Run(rounds=100, concurrency=2, lanes=lanes)
    room = 2 + lanes * UNRECORDED
    run.disturb(201)
    for position in range(200 - room - beyond + 1, 201):
        run.take("one", position, 202)
        run.take("two", position, 202) if position <= 200 - beyond else None
    assert len(rules_of(run.entries)) == beyond, "each subscription has the bound of its own"
    run.disturb(201.5)
    assert rules_of(run.entries) == [], "two disturbances explain twice as many"


def test_each_disturbance_explains_what_another_cannot() -> None:
    run = Run(rounds=100, concurrency=2)
    room = 2 + UNRECORDED
    for position in range(1, room + 1):
        run.take("one", position, 300)
    for position in range(100, 100 + room):
        run.take("one", position, 400)
    run.disturb(250)
    run.disturb(350)
    assert rules_of(run.entries) == []


def test_a_body_that_is_another_than_that_of_the_feed_is_told_once() -> None:
    run = Run()
    run.take("one", 1, 1.5, taken=False, body="changed")
    run.take("two", 1, 1.6, taken=False, body="changed")
    assert rules_of(run.entries) == ["one body, signed"]


def test_a_signature_that_does_not_verify_is_found() -> None:
    run = Run()
    run.take("one", 2, 1.5, taken=False, signed=False)
    assert rules_of(run.entries) == ["one body, signed"]


@pytest.mark.parametrize("what", ["fed", "stored", "committed"])
def test_an_event_that_the_reader_the_table_or_the_feed_lacks_is_found(what: str) -> None:
    assert "the feed is complete" in rules_of(Run().without(what, event="evt_5"))


def test_an_event_that_the_reader_got_twice_or_too_late_is_found() -> None:
    run = Run()
    run.note("fed", 20, event="evt_10")
    assert rules_of(run.entries) == ["the feed is complete"]
    late = Run()
    late.entries = late.without("fed", event="evt_5")
    late.note("fed", 20, event="evt_5")
    assert rules_of(late.entries) == ["the feed is complete"]


@pytest.mark.parametrize(("failed", "found"), [(0, True), (1, False)])
def test_a_replay_that_leaves_an_event_out_is_found_unless_it_counts_it_as_failed(failed: int, found: bool) -> None:
    run = Run()
    for position in (3, 4, 6):
        run.take("one", position, 20, replay="rpl_1")
    run.replay(3, 6, failed)
    assert rules_of(run.entries) == (["replays are complete"] if found else [])


def test_a_replay_is_in_order_for_itself_and_has_the_same_bound() -> None:
    run = Run()
    for position in (5, 3, 3):
        run.take("one", position, 20, replay="rpl_1")
    run.replay(3, 3)
    assert rules_of(run.entries) == [ORDER, REPEATS]


def test_a_replay_that_does_not_end_is_found() -> None:
    run = Run()
    run.replay(1, 1, state="running")
    assert rules_of(run.entries) == ["replays are complete"]


def test_what_the_run_itself_found_is_a_violation() -> None:
    run = Run()
    run.note("wrong", 5, text="PATCH /v1/leads/… answered 500")
    [violation] = judge(run.entries)
    assert violation.text == "PATCH /v1/leads/… answered 500"
