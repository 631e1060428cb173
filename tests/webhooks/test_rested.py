"""Lanes that had nothing to send for a while, and the first event after it."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pytest

from app import ids
from app.settings import Settings
from app.webhooks.deliver import Dispatcher
from app.webhooks.lane import Item, Lane
from app.webhooks.retry import Done, Outcome
from tests.api import running
from tests.plans import statements_of
from tests.waiting import until
from tests.webhooks.conftest import NOON, World, inbox
from tests.webhooks.test_dead_letters import PATH, Refusing, Story, world_of
from tests.webhooks.test_many import named
from tests.webhooks.test_replay_window import event

A, B = (ids.new_id() for _ in range(2))
LEFT = ("PARKED", "SETTLED_AFTER")  # the statements that read what the owner before left


async def recorded(world: World, *leads: UUID) -> None:
    """Record events, and wait until they have their positions."""
    await world.record(*leads)
    await world.until_row("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pending)")


async def released(dispatcher: Dispatcher) -> None:
    for served in dispatcher.lanes.values():
        served.stop()
    await until(lambda: not dispatcher.lanes, "all lanes are released")


async def test_a_lane_that_this_process_released_is_taken_up_without_asking_what_was_left(world: World) -> None:
    async with inbox() as box, world.running(0), world.dispatcher() as one, world.dispatcher() as other:
        await world.subscribe(box.url)
        asked = []
        for n, taking in enumerate((one, one, other, one, one), start=1):
            await recorded(world, A)
            with statements_of(world.engine) as ran:
                assert await taking.claim() == 1
            await box.until_received(n)
            asked.append([named(ran)[name] for name in LEFT])
            await released(taking)
    assert asked == [[1, 1], [0, 0], [1, 1], [1, 1], [0, 0]], "where another had it meanwhile, and at first"
    assert box.in_order()


async def test_what_is_retried_by_hand_while_a_lane_rests_is_sent_when_it_is_taken_up(settings: Settings) -> None:
    async with running(settings) as api, inbox(Refusing(1)) as box:
        made = await api.post(PATH, {"url": box.url, "limits": {"retry_schedule": [0]}})
        one = Story(api, world_of(api), box, made)
        async with one.world.running(0), one.world.dispatcher() as dispatcher:
            await recorded(one.world, A)
            await dispatcher.claim()
            [dead] = await one.until_states("dead")
            await released(dispatcher)
            assert dispatcher.rested, "a dead delivery does not wait"
            box.answer = lambda _: 204
            await one.do("retry", dead["position"])
            await recorded(one.world, A, B)
            await dispatcher.claim()
            await one.until_states()
            await box.until_received(3)
    assert one.versions(A) == [1, 2]


def lane_of(positions: Sequence[int], settled: Sequence[int], ahead: Sequence[int] = ()) -> Lane:
    """A lane that has read these positions, each of another lead, and settled some of them and written that."""
    lane = Lane(0, already_settled=set(ahead))
    lane.add([event(n, ids.new_id()) for n in positions], max(positions), 0.0)
    items: dict[int, Item] = {}
    while (item := lane.take()) is not None:
        items[item.event.position] = item
    for position in settled:
        lane.settle(items[position], Outcome(204), Done(), NOON)
    lane.written(lane.collect())
    return lane


@pytest.mark.parametrize(
    ("lane", "rests"),
    [
        (lane_of([1, 2], [2, 1]), True),
        (lane_of([1, 2], [2]), False),
        (lane_of([1, 2], [1]), False),
        (lane_of([1], [1], ahead=[3]), False),
        (lane_of([1, 2, 3], [1, 2], ahead=[3]), True),
        (Lane(0, {A: 1}), False),
    ],
)
def test_a_lane_rests_when_its_position_says_all_that_was_done(lane: Lane, rests: bool) -> None:
    assert lane.rests is rests


def test_a_lane_does_not_rest_while_something_is_not_written() -> None:
    lane = lane_of([1], [1])
    lane.add([], 5, 0.0)
    assert not lane.rests
    lane.written(lane.collect())
    assert lane.rests
