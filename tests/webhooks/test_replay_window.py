"""Which events of a replay are sent next, and what is written of it; without a database."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import pytest

from app import ids
from app.events.envelope import Sequenced
from app.webhooks.lane import Item
from app.webhooks.replays.window import AT_ONCE, LIVE_SECONDS, ROOM, Turns, Window, share_of, waits_of
from app.webhooks.retry import Disable, Done, GiveUp, Next, Outcome, RetryAt

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
LATER = NOW + timedelta(seconds=30)
A, B, C = (ids.new_id() for _ in range(3))
OK, REFUSED = Outcome(204), Outcome(422)


def event(position: int, key: UUID) -> Sequenced:
    return Sequenced(position, ids.new_id(), "lead.updated", "{}", NOW, key, 1, key, ids.new_id(), 1, 1, 1, None)


def window(*keys: UUID, end: int | None = None) -> Window:
    made = Window(0, len(keys) if end is None else end)
    made.add([event(n, key) for n, key in enumerate(keys, start=1)], len(keys), 0.0)
    return made


def taken(made: Window, at: datetime = NOW) -> list[Item]:
    return list(iter(lambda: made.take(at), None))


def positions(items: list[Item]) -> list[int]:
    return [item.event.position for item in items]


def settle(made: Window, item: Item, decided: Next, outcome: Outcome = OK) -> None:
    made.settle(item, outcome, decided, NOW)


@pytest.mark.parametrize(("concurrency", "share"), [(1, 1), (4, 1), (5, 1), (9, 1), (10, 2), (64, 12)])
def test_a_replay_gets_a_fifth_of_the_requests_in_flight_and_at_least_one(concurrency: int, share: int) -> None:
    assert share_of(concurrency) == share


def turned(signs: set[int], milliseconds: int = 1000) -> dict[int, int]:
    """The milliseconds at which a replay that always has something to send had a turn, and how much it might start."""
    turns, taken = Turns(), {}
    for at in range(milliseconds):
        if at in signs:
            turns.sign(at / 1000)
        if not turns.wait(at / 1000):
            taken[at] = turns.take(at / 1000)
    return taken


def test_without_live_events_a_replay_waits_for_nothing() -> None:
    assert turned(set()) == dict.fromkeys(range(1000), 64)


def test_while_events_are_recorded_a_replay_starts_few_requests_at_a_time_and_waits_between() -> None:
    taken = turned({0}, 1000)
    assert set(taken.values()) == {AT_ONCE}
    assert len(taken) >= 45
    assert all(later - at >= 20 for at, later in pairwise(taken))


def test_a_second_after_the_last_live_event_a_replay_sends_as_much_as_before() -> None:
    taken = turned({100}, 1200)
    assert [most for at, most in taken.items() if at < 100 or at >= 100 + LIVE_SECONDS * 1000] == [64] * 200


def test_a_replay_starts_nothing_while_a_live_event_is_about_to_be_sent() -> None:
    signs = {at + after for at in range(0, 1000, 50) for after in (0, 4)}
    taken = turned(signs)
    assert not [at for at in taken if at % 50 < 9 and at > 0]
    assert len(taken) >= 1000 / 50 * 2


def test_a_replay_has_its_turn_however_many_live_events_there_are() -> None:
    taken = turned(set(range(1000)))
    assert len(taken) >= 24
    assert all(later - at <= 42 for at, later in pairwise(taken))


def test_the_waits_are_the_first_four_of_the_schedule_none_longer_than_30_seconds() -> None:
    assert waits_of([0, 5, 300, 29.5, 7200]) == (0, 5, 30, 29.5)
    assert waits_of([0, 30.1]) == (0, 30)
    assert waits_of([7]) == (7,)


def test_events_of_one_lead_are_sent_one_at_a_time_in_the_order_of_the_log() -> None:
    made = window(A, B, A, B, C)
    first = taken(made)
    assert positions(first) == [1, 2, 5]
    assert made.in_flight == 3
    settle(made, first[1], Done())
    assert positions(taken(made)) == [4]
    settle(made, first[0], Done())
    assert positions(taken(made)) == [3]


def test_the_position_is_before_the_first_event_that_is_not_handled_and_those_after_it_are_ahead() -> None:
    made = window(A, B, C)
    first, second, third = taken(made)
    settle(made, second, Done())
    progress = made.collect()
    assert (progress.position, progress.ahead, progress.delivered) == (0, [2], [2])
    settle(made, first, Done())
    progress = made.collect()
    assert (progress.position, progress.ahead, progress.delivered) == (2, [], [1])
    assert not made.finished
    settle(made, third, Done())
    assert (made.collect().position, made.finished) == (3, True)
    assert made.collect().delivered == []


def test_what_was_handled_before_a_restart_is_not_sent_again() -> None:
    made = Window(1, 5, {3, 4})
    made.add([event(n, A) for n in range(2, 6)], 5, 0.0)
    [item] = taken(made)
    assert item.event.position == 2
    settle(made, item, Done())
    [item] = taken(made)
    assert item.event.position == 5
    assert (made.collect().position, made.collect().ahead) == (4, [])


def test_a_delivery_that_fails_is_sent_again_when_it_is_due_and_the_later_ones_of_its_lead_wait() -> None:
    made = window(A, A, B)
    first, other = taken(made)
    settle(made, other, Done())
    settle(made, first, RetryAt(LATER), REFUSED)
    assert made.next_at(NOW) == 30
    assert taken(made, LATER - timedelta(microseconds=1)) == []
    again = taken(made, LATER)
    assert (positions(again), again[0].attempts) == ([1], 1)
    settle(made, again[0], Done())
    assert positions(taken(made)) == [2]
    assert [(row.position, row.n, row.trigger) for row in made.collect().attempts] == [
        (3, 1, "replay"),
        (1, 1, "replay"),
        (1, 2, "replay"),
    ]


def test_a_delivery_that_is_given_up_counts_as_failed_once_and_its_lead_goes_on() -> None:
    made = window(A, A)
    [first] = taken(made)
    settle(made, first, GiveUp(), REFUSED)
    progress = made.collect()
    assert (progress.failed, progress.delivered, progress.position) == (1, [], 1)
    assert positions(taken(made)) == [2]
    assert made.collect().failed == 0


def test_a_delivery_after_which_the_subscription_is_disabled_is_not_handled() -> None:
    made = window(A, B)
    [first, _] = taken(made)
    settle(made, first, Disable(), Outcome(410))
    progress = made.collect()
    assert (progress.position, progress.failed, progress.delivered) == (0, 0, [])
    assert positions(taken(made)) == [1]


def test_a_delivery_that_is_not_wanted_is_handled_without_an_attempt() -> None:
    made = window(A, A)
    [first] = taken(made)
    made.drop(first)
    progress = made.collect()
    assert (progress.position, progress.attempts, progress.failed, progress.delivered) == (1, [], 0, [])
    assert (positions(taken(made)), made.in_flight) == ([2], 1)


def test_no_more_is_read_than_there_is_room_for_nor_after_the_end() -> None:
    made = window(*[A] * (ROOM - 1), end=ROOM + 5)
    rooms = [made.room]
    made.add([event(ROOM, A)], ROOM, 0.0)
    rooms.append(made.room)
    [first] = taken(made)
    settle(made, first, Done())
    made.collect()
    rooms.append(made.room)
    made.read_to = made.end
    assert [*rooms, made.room] == [True, False, True, False]


def test_an_empty_window_is_finished_at_the_end_of_its_range_only() -> None:
    made = Window(3, 5)
    made.add([], 4, 0.0)
    assert (made.finished, made.next_at(NOW)) == (False, None)
    made.add([], 5, 0.0)
    assert made.finished
    assert (made.collect().position, made.unwritten) == (5, 0)


@pytest.mark.parametrize("handled", [ROOM - 2, ROOM - 1, ROOM, ROOM + 1, 2 * ROOM])
def test_after_a_restart_it_goes_on_however_many_events_after_the_first_open_one_were_handled(handled: int) -> None:
    made = Window(0, handled + 1, ahead=set(range(2, handled + 2)))
    sent = list[int]()
    while not made.finished:
        assert made.room or made.in_flight, "it waits for nothing"
        to = min(made.read_to + ROOM, made.end)
        made.add([event(n, ids.new_id()) for n in range(made.read_to + 1, to + 1)], to, 0.0)
        for item in taken(made):
            sent.append(item.event.position)
            settle(made, item, Done())
    assert sent == [1]
    assert (made.collect().position, made.collect().ahead) == (handled + 1, [])


@pytest.mark.parametrize("seed", range(12))
def test_a_replay_whose_process_is_killed_again_and_again_ends_and_sends_each_event_in_the_order_of_its_lead(
    seed: int,
) -> None:
    chance = random.Random(seed)
    keys = [ids.new_id() for _ in range(chance.choice([1, 5, 300]))]
    log = [event(n, chance.choice(keys)) for n in range(1, 1_201)]
    sent, made = list[Sequenced](), Window(0, len(log))
    in_flight, progress = list[Item](), made.collect()
    for _ in range(20_000):
        if made.finished:
            break
        if chance.random() < 0.01:  # killed: what was not written is sent again
            made, in_flight = Window(progress.position, len(log), set(progress.ahead)), []
        if made.room:
            to = min(made.read_to + ROOM, len(log))
            made.add(log[made.read_to : to], to, 0.0)
        if len(in_flight) < 8 and (item := made.take(NOW)) is not None:
            in_flight.append(item)
        elif in_flight:
            item = in_flight.pop(chance.randrange(1, len(in_flight)) if len(in_flight) > 1 else 0)  # the first is slow
            sent.append(item.event)
            settle(made, item, Done())
        if chance.random() < 0.1:
            progress = made.collect()
    assert made.finished
    assert {one.position for one in sent} == set(range(1, len(log) + 1))
    for key in keys:
        first = list(dict.fromkeys(one.position for one in sent if one.order_key == key))
        assert first == sorted(first)
