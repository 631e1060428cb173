"""The state of a lane against a small model: despite failures and crashes nothing is lost and order is kept."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.events.envelope import Sequenced
from app.ids import new_id
from app.webhooks.lane import MAX_UNRECORDED, Changes, Item, Lane, RetryRow
from app.webhooks.retry import Outcome, next_attempt

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CONCURRENCY = 8
SCHEDULE = (0.0, 1.0, 1.0, 1.0)


def event(position: int, key: UUID) -> Sequenced:
    return Sequenced(position, UUID(int=position), "lead.updated", "{}", NOON, key, position, key, key, 1, 1, 1)


@dataclass
class World:
    """A model of the database and the receiver."""

    events: list[Sequenced]
    chance: random.Random
    position: int = 0
    rows: dict[int, RetryRow] = field(default_factory=dict)
    delivered: set[int] = field(default_factory=set)
    received: list[int] = field(default_factory=list)
    repeats: int = 0
    crashes: int = 0
    now: datetime = NOON
    unwanted: set[int] = field(default_factory=set)
    skipped: set[int] = field(default_factory=set)
    sent_unwanted: int = 0

    def open(self) -> Lane:
        parked: dict[UUID, int] = {}
        for row in self.rows.values():
            if row.state != "dead":
                parked[row.order_key] = parked.get(row.order_key, 0) + 1
        return Lane(
            self.position, parked, {position for position in {*self.rows, *self.delivered} if position > self.position}
        )

    def read(self, lane: Lane) -> None:
        rows = [each for each in self.events if each.position > lane.read_to][: self.chance.choice((1, 5, 50))]
        if rows and len(lane.unsettled) < 128:
            lane.add(rows, rows[-1].position)

    def due(self, lane: Lane) -> None:
        for row in sorted(self.rows.values(), key=lambda each: each.position):
            if row.state == "retry" and row.next_at is not None and row.next_at <= self.now:
                lane.add_due(self.events[row.position - 1], row.attempts)

    def receive(self, item: Item) -> Outcome:
        code = self.chance.choice((204, 204, 204, 204, 500))
        self.sent_unwanted += item.event.position in self.unwanted
        if code == 204:
            self.received.append(item.event.position)
        return Outcome(code)

    def write(self, changes: Changes) -> None:
        self.position = changes.position
        self.delivered |= {each.position for each in changes.attempts if each.code == 204}
        self.skipped |= {each.position for each in changes.attempts if each.error == "skipped"}
        for row in changes.retries:
            self.rows[row.position] = row
        for position in changes.deleted:
            self.rows.pop(position, None)
        for key in changes.promoted:
            held = [row for row in self.rows.values() if row.order_key == key and row.state == "held"]
            first = min(held, key=lambda each: each.position)
            assert not any(r.state == "retry" and r.order_key == key for r in self.rows.values()), (
                "one retry row per lead"
            )
            self.rows[first.position] = RetryRow(
                first.position, key, first.event_id, first.lead_id, first.attempts, self.now, "retry"
            )

    def dead(self) -> set[int]:
        return {row.position for row in self.rows.values() if row.state == "dead"}


def simulate(seed: int, crash: float) -> World:
    chance = random.Random(seed)
    keys = [new_id() for _ in range(chance.choice((1, 3, 30)))]
    world = World([event(n, chance.choice(keys)) for n in range(1, 400)], chance)
    lane, in_flight = world.open(), list[Item]()
    writing: Changes | None = None
    idle = 0
    while idle < 800:
        idle += 1
        world.now += timedelta(seconds=0.2)
        if chance.random() < 0.002:  # the subscription is narrowed
            unsent = {*range(1, 400)} - set(world.received) - {item.event.position for item in in_flight}
            world.unwanted |= {position for position in unsent if chance.random() < 0.1}
        action = chance.random()
        if action < 0.05:
            world.read(lane)
            if writing is None:
                world.due(lane)
        elif action < 0.45 and len(in_flight) < CONCURRENCY and (item := lane.take()) is not None:
            idle = 0
            if item.event.position in world.unwanted:
                lane.skip(item, world.now)
            else:
                in_flight.append(item)
        elif action < 0.9 and in_flight:
            item = in_flight.pop(chance.randrange(len(in_flight)))
            outcome = world.receive(item)
            decided = next_attempt(outcome, item.attempts + 1, world.now, 0.0, SCHEDULE)
            lane.settle(item, outcome, decided, world.now)
            idle = 0
        elif action < 0.95:
            if writing is None:
                writing = lane.collect()
            else:
                world.write(writing)
                lane.written(writing)
                writing = None
        elif action < 0.95 + crash:
            assert lane.unrecorded + len(in_flight) < MAX_UNRECORDED + CONCURRENCY
            world.received += [item.event.position for item in in_flight if chance.random() < 0.5]
            if writing is not None and chance.random() < 0.5:
                world.write(writing)
            lane, in_flight, writing = world.open(), [], None
            world.crashes += 1
        world.now += timedelta(seconds=60) if idle > 50 else timedelta(0)
    return world


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("crash", [0, 0.01])
def test_nothing_is_lost_each_lead_is_in_order_and_repeats_are_bounded(seed: int, crash: float) -> None:
    world = simulate(seed, crash)
    first = list(dict.fromkeys(world.received))
    assert set(first) | world.dead() | world.skipped == {each.position for each in world.events}
    assert world.skipped <= world.unwanted
    assert world.sent_unwanted == 0
    assert {row.state for row in world.rows.values()} <= {"dead"}
    newest: dict[UUID, int] = {}
    for position in first:
        key = world.events[position - 1].order_key
        late = position < newest.get(key, 0)
        assert not late or position in world.dead(), "only a dead delivery may arrive out of order, after a crash"
        newest[key] = max(position, newest.get(key, 0))
    repeats = len(world.received) - len(first)
    assert repeats <= world.crashes * (MAX_UNRECORDED + CONCURRENCY)


def test_after_a_release_the_next_owner_sends_nothing_twice() -> None:
    keys = [new_id() for _ in range(3)]
    lane = Lane(0)
    lane.add([event(1, keys[0]), event(2, keys[0]), event(3, keys[1]), event(4, keys[2])], 4)
    items = [lane.take() for _ in range(3)]
    assert [item.event.position for item in items if item] == [1, 3, 4]
    delivered = items[1]
    assert delivered is not None
    lane.settle(delivered, Outcome(204), next_attempt(Outcome(204), 1, NOON, 0), NOON)
    changes = lane.collect(release=True)
    assert (changes.position, changes.retries) == (0, [])
    again = Lane(changes.position, already_settled={each.position for each in changes.attempts})
    again.add([event(1, keys[0]), event(2, keys[0]), event(3, keys[1]), event(4, keys[2])], 4)
    assert [item.event.position for item in (again.take(), again.take()) if item] == [1, 4]


def test_a_lane_with_too_many_unwritten_results_sends_nothing_more() -> None:
    lane = Lane(0)
    lane.add([event(n, new_id()) for n in range(1, 101)], 100)
    for _ in range(MAX_UNRECORDED):
        item = lane.take()
        assert item is not None
        lane.settle(item, Outcome(204), next_attempt(Outcome(204), 1, NOON, 0), NOON)
    assert lane.take() is None
    lane.written(lane.collect())
    assert lane.take() is not None
