"""The books of a lane against a small model: whatever fails or crashes, nothing is lost and order holds."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from app.events.envelope import Sequenced
from app.ids import new_id
from app.webhooks.lane import MOST_UNCOVERED, Changes, Item, KeptRow, Lane
from app.webhooks.retry import Outcome, next_attempt

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
CONCURRENCY = 8
SCHEDULE = (0.0, 1.0, 1.0, 1.0)


def event(position: int, key: UUID) -> Sequenced:
    return Sequenced(position, UUID(int=position), "lead.updated", "{}", NOON, key, position, key, key, 1, 1, 1)


@dataclass
class World:
    """The database and the receiver, as a lane's owner sees them."""

    events: list[Sequenced]
    chance: random.Random
    position: int = 0
    rows: dict[int, KeptRow] = field(default_factory=dict)
    delivered: set[int] = field(default_factory=set)
    received: list[int] = field(default_factory=list)
    repeats: int = 0
    crashes: int = 0
    now: datetime = NOON

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
            lane.arrive(rows, rows[-1].position)

    def due(self, lane: Lane) -> None:
        for row in sorted(self.rows.values(), key=lambda each: each.position):
            if row.state == "retry" and row.next_at is not None and row.next_at <= self.now:
                lane.due(self.events[row.position - 1], row.attempts)

    def receive(self, item: Item) -> Outcome:
        code = self.chance.choice((204, 204, 204, 204, 500))
        if code == 204:
            self.received.append(item.event.position)
        return Outcome(code)

    def write(self, changes: Changes) -> None:
        self.position = changes.position
        self.delivered |= {each.position for each in changes.attempts if each.code == 204}
        for row in changes.kept:
            self.rows[row.position] = row
        for position in changes.dropped:
            self.rows.pop(position, None)
        for key in changes.promoted:
            held = [row for row in self.rows.values() if row.order_key == key and row.state == "held"]
            first = min(held, key=lambda each: each.position)
            assert not any(r.state == "retry" and r.order_key == key for r in self.rows.values()), "one turn at a time"
            self.rows[first.position] = KeptRow(
                first.position, key, first.event_id, first.lead_id, first.attempts, self.now, "retry"
            )

    def dead(self) -> set[int]:
        return {row.position for row in self.rows.values() if row.state == "dead"}


def play(seed: int, crash: float) -> World:
    chance = random.Random(seed)
    keys = [new_id() for _ in range(chance.choice((1, 3, 30)))]
    world = World([event(n, chance.choice(keys)) for n in range(1, 400)], chance)
    lane, flying = world.open(), list[Item]()
    writing: Changes | None = None
    idle = 0
    while idle < 800:
        idle += 1
        world.now += timedelta(seconds=0.2)
        action = chance.random()
        if action < 0.05:
            world.read(lane)
            if writing is None:
                world.due(lane)
        elif action < 0.45 and len(flying) < CONCURRENCY and (item := lane.take()) is not None:
            flying.append(item)
            idle = 0
        elif action < 0.9 and flying:
            item = flying.pop(chance.randrange(len(flying)))
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
            assert lane.uncovered + len(flying) < MOST_UNCOVERED + CONCURRENCY
            world.received += [item.event.position for item in flying if chance.random() < 0.5]
            if writing is not None and chance.random() < 0.5:
                world.write(writing)
            lane, flying, writing = world.open(), [], None
            world.crashes += 1
        world.now += timedelta(seconds=60) if idle > 50 else timedelta(0)
    return world


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("crash", [0, 0.01])
def test_nothing_is_lost_order_holds_and_repeats_are_few(seed: int, crash: float) -> None:
    world = play(seed, crash)
    first = list(dict.fromkeys(world.received))
    assert set(first) | world.dead() == {each.position for each in world.events}
    assert {row.state for row in world.rows.values()} <= {"dead"}
    newest: dict[UUID, int] = {}
    for position in first:
        key = world.events[position - 1].order_key
        late = position < newest.get(key, 0)
        assert not late or position in world.dead(), "only what was given up may come later, by a crash"
        newest[key] = max(position, newest.get(key, 0))
    repeats = len(world.received) - len(first)
    assert repeats <= world.crashes * (MOST_UNCOVERED + CONCURRENCY)


def test_a_release_leaves_nothing_to_be_sent_twice() -> None:
    keys = [new_id() for _ in range(3)]
    lane = Lane(0)
    lane.arrive([event(1, keys[0]), event(2, keys[0]), event(3, keys[1]), event(4, keys[2])], 4)
    items = [lane.take() for _ in range(3)]
    assert [item.event.position for item in items if item] == [1, 3, 4]
    done = items[1]
    assert done is not None
    lane.settle(done, Outcome(204), next_attempt(Outcome(204), 1, NOON, 0), NOON)
    changes = lane.collect(release=True)
    assert (changes.position, changes.kept) == (0, [])
    again = Lane(changes.position, done={each.position for each in changes.attempts})
    again.arrive([event(1, keys[0]), event(2, keys[0]), event(3, keys[1]), event(4, keys[2])], 4)
    assert [item.event.position for item in (again.take(), again.take()) if item] == [1, 4]


def test_a_lane_with_too_much_unwritten_sends_nothing_more() -> None:
    lane = Lane(0)
    lane.arrive([event(n, new_id()) for n in range(1, 101)], 100)
    for _ in range(MOST_UNCOVERED):
        item = lane.take()
        assert item is not None
        lane.settle(item, Outcome(204), next_attempt(Outcome(204), 1, NOON, 0), NOON)
    assert lane.take() is None
    lane.written(lane.collect())
    assert lane.take() is not None
