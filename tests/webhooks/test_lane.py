"""The state of a lane against a small model: despite failures and crashes nothing is lost and order is kept."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal
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
    blocks: bool = False
    asked: dict[int, str] = field(default_factory=dict)
    asks: int = 0
    discarded: set[int] = field(default_factory=set)
    ever_dead: set[int] = field(default_factory=set)

    def open(self) -> Lane:
        settled = {position for position in {*self.rows, *self.delivered} if position > self.position}
        lane = Lane(self.position, dict(Counter(row.order_key for row in self.waiting())), settled)
        lane.dead_blocks = self.blocks
        return lane

    def waiting(self) -> list[RetryRow]:
        """The rows of parked leads, in the order of the log."""
        rows = sorted(self.rows.values(), key=lambda each: each.position)
        return [row for row in rows if row.state != "dead" or row.blocks]

    def ask(self) -> None:
        """Somebody asks for a retry of a dead delivery, or discards one that is dead or waits."""
        self.asks += 1
        row = self.chance.choice([*self.rows.values()])
        self.asked[row.position] = self.chance.choice(("retry", "discard")) if row.state == "dead" else "discard"

    def carry_out(self, lane: Lane) -> None:
        """As lane_sql.carry_out: nothing for leads that are changing, nor after the position."""
        keys = set()
        for position, asked in list(self.asked.items()):
            row = self.rows.get(position)
            if row is None:
                del self.asked[position]
            elif position <= self.position and row.order_key not in lane.changing:
                del self.asked[position]
                keys.add(row.order_key)
                if asked == "discard":
                    del self.rows[position]
                    self.discarded.add(position)
                elif row.state == "dead":
                    self.rows[position] = row._replace(state="retry", next_at=self.now, blocks=False)
        for key in keys:
            self.keep_order(key)
        lane.recount({key: sum(row.order_key == key for row in self.waiting()) for key in keys})

    def keep_order(self, key: UUID) -> None:
        """As lane_sql.KEEP_ORDER."""
        for n, row in enumerate(row for row in self.waiting() if row.order_key == key):
            state: Literal["retry", "held"] = "held" if n else "retry"
            if not row.blocks and row.state != state:
                self.rows[row.position] = row._replace(state=state, next_at=None if n else self.now)

    def read(self, lane: Lane) -> None:
        rows = [each for each in self.events if each.position > lane.read_to][: self.chance.choice((1, 5, 50))]
        if rows and len(lane.unsettled) < 128:
            lane.add(rows, rows[-1].position, 0.0)

    def due(self, lane: Lane) -> None:
        for row in sorted(self.rows.values(), key=lambda each: each.position):
            if row.state == "retry" and row.next_at is not None and row.next_at <= self.now:
                lane.add_due(self.events[row.position - 1], row.attempts, 0.0)

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
            self.keep_order(key)
        retries = Counter(row.order_key for row in self.rows.values() if row.state == "retry")
        assert max(retries.values(), default=0) <= 1, "one retry row per lead"
        self.ever_dead |= self.dead()

    def dead(self) -> set[int]:
        return {row.position for row in self.rows.values() if row.state == "dead"}


def simulate(seed: int, crash: float, blocks: bool = False, by_hand: float = 0) -> World:
    chance = random.Random(seed)
    keys = [new_id() for _ in range(chance.choice((1, 3, 30)))]
    world = World([event(n, chance.choice(keys)) for n in range(1, 400)], chance, blocks=blocks)
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
        if world.rows and world.asks < 200 and chance.random() < by_hand:
            world.ask()
            idle = 0
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
            elif world.asked:  # the events that arrive meanwhile are offered later, as in ServedLane
                world.write(writing)
                lane.written(writing)
                writing = None
                world.carry_out(lane)
                idle = 0
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


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("crash", [0, 0.01])
@pytest.mark.parametrize("blocks", [False, True])
def test_what_is_retried_and_discarded_by_hand_leaves_each_lead_in_order(seed: int, crash: float, blocks: bool) -> None:
    world = simulate(seed, crash, blocks, by_hand=0.02)
    first = list(dict.fromkeys(world.received))
    held = {row.position for row in world.rows.values() if row.state == "held"}
    settled = {*first, *world.dead(), *world.skipped, *world.discarded, *held}
    assert settled == {each.position for each in world.events}
    stopped = {row.order_key for row in world.rows.values() if row.blocks}
    assert {world.rows[position].order_key for position in held} <= stopped, "only leads behind a dead delivery wait"
    assert all(row.state in ("dead", "held") for row in world.rows.values())
    newest: dict[UUID, int] = {}
    for position in first:
        key = world.events[position - 1].order_key
        late = position < newest.get(key, 0)
        assert not late or (not blocks and position in world.ever_dead), "only after it was dead and its lead went on"
        newest[key] = max(position, newest.get(key, 0))


def test_after_a_release_the_next_owner_sends_nothing_twice() -> None:
    keys = [new_id() for _ in range(3)]
    lane = Lane(0)
    lane.add([event(1, keys[0]), event(2, keys[0]), event(3, keys[1]), event(4, keys[2])], 4, 0.0)
    items = [lane.take() for _ in range(3)]
    assert [item.event.position for item in items if item] == [1, 3, 4]
    delivered = items[1]
    assert delivered is not None
    lane.settle(delivered, Outcome(204), next_attempt(Outcome(204), 1, NOON, 0), NOON)
    changes = lane.collect(release=True)
    assert (changes.position, changes.retries) == (0, [])
    again = Lane(changes.position, already_settled={each.position for each in changes.attempts})
    again.add([event(1, keys[0]), event(2, keys[0]), event(3, keys[1]), event(4, keys[2])], 4, 0.0)
    assert [item.event.position for item in (again.take(), again.take()) if item] == [1, 4]


def test_a_lane_with_too_many_unwritten_results_sends_nothing_more() -> None:
    lane = Lane(0)
    lane.add([event(n, new_id()) for n in range(1, 101)], 100, 0.0)
    for _ in range(MAX_UNRECORDED):
        item = lane.take()
        assert item is not None
        lane.settle(item, Outcome(204), next_attempt(Outcome(204), 1, NOON, 0), NOON)
    assert lane.take() is None
    lane.written(lane.collect())
    assert lane.take() is not None
