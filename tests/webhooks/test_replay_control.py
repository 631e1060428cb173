"""Replays that are paused, resumed and cancelled, limited by a rate, or whose receiver fails."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import text

from app import ids
from app.settings import Settings
from tests.api import Api, running
from tests.webhooks.conftest import Got
from tests.webhooks.replaying import Replaying, replaying, shown

A, B, C = (ids.new_id() for _ in range(3))
SOON = {"retry_schedule": [0, 0, 0, 0, 0, 0]}


@pytest.fixture
async def delivering(settings: Settings) -> AsyncIterator[Api]:
    async with running(settings, roles=("dispatch",)) as found:
        yield found


async def delivered(one: Replaying, count: int = 40) -> int:
    """Record events of one lead and wait until they are delivered live."""
    await one.world.record_many([A], count)
    await one.box.until_received(count)
    await one.until_written()
    return count


class Gate:
    """Answers the events of replays while it is open; the others at once."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, got: Got) -> int:
        if "webhook-replay" in got.headers:
            await self.open.wait()
        return 204


async def test_a_paused_replay_sends_nothing_until_it_is_resumed_and_then_the_rest_once(delivering: Api) -> None:
    async with replaying(delivering) as one:
        count = await delivered(one)
        made = await one.create(rate=20)
        await one.box.until(lambda _: len(one.replayed()) >= 5)
        assert (await one.change(made, "pause"))["state"] == "paused"
        assert (await one.change(made, "pause"))["state"] == "paused"
        await asyncio.sleep(2)  # within a second
        sent = len(one.replayed())
        await asyncio.sleep(1)
        paused = await one.get(made)
        assert len(one.replayed()) == sent == paused["sent"] < count
        assert paused["remaining"] == count - sent
        assert (await one.change(made, "resume"))["state"] == "pending"
        done = await one.until(made, state="done")
        assert (done["sent"], done["failed"], len(one.replayed())) == (count, 0, count)
        assert (await one.change(made, "resume", 409))["state"] == "done"


async def test_a_cancelled_replay_sends_nothing_more_and_cannot_go_on(delivering: Api) -> None:
    async with replaying(delivering) as one:
        count = await delivered(one)
        made = await one.create(rate=20)
        await one.box.until(lambda _: len(one.replayed()) >= 3)
        cancelled = await one.change(made, "cancel")
        assert cancelled["state"] == "cancelled"
        assert cancelled["finished_at"] is not None
        await asyncio.sleep(2)
        sent = len(one.replayed())
        assert ((await one.get(made))["sent"], (await one.get(made))["remaining"]) == (sent, 0)
        assert sent < count
        for verb in ("resume", "pause"):
            problem = await one.change(made, verb, 409)
            assert (problem["code"], problem["state"]) == ("state_conflict", "cancelled")
        assert (await one.change(made, "cancel"))["state"] == "cancelled"


async def test_a_replay_that_is_paused_lets_the_next_one_go_first(delivering: Api) -> None:
    async with replaying(delivering) as one:
        count = await delivered(one, 20)
        first, second = await one.create(rate=10), await one.create()
        await one.until(first, state="running")
        assert (await one.get(second))["state"] == "pending"
        await one.change(first, "pause")
        await one.until(second, state="done")
        assert (await one.get(first))["state"] == "paused"
        await one.change(first, "cancel")
        assert len(one.replayed(second)) == count


async def test_a_rate_is_not_exceeded(delivering: Api) -> None:
    async with replaying(delivering, limits={"concurrency": 64}) as one:
        count = await one.world.record_many([ids.new_id() for _ in range(20)], 1)
        await one.box.until_received(count)
        await one.until_written()
        start = time.monotonic()
        await one.until(await one.create(rate=10), state="done")
        assert time.monotonic() - start >= (count - 1) / 10


async def test_a_replay_has_a_fifth_of_the_requests_in_flight_and_live_events_the_rest(delivering: Api) -> None:
    gate = Gate()
    async with replaying(delivering, gate, limits={"concurrency": 10}) as one:
        leads = [ids.new_id() for _ in range(30)]
        await one.world.record_many(leads, 1)
        await one.box.until_received(30)
        await one.until_written()
        made = await one.create()
        await one.box.until(lambda box: box.in_flight == 2)
        await one.world.record_many(leads, 1)
        await one.box.until(lambda box: len(box.ok) == 60)
        assert len(one.replayed()) == one.box.in_flight == 2
        gate.open.set()
        done = await one.until(made, state="done")
    assert one.box.max_in_flight <= 10
    assert done["sent"] == 30, "not the events that were recorded after it was asked for"


async def test_a_replay_gets_on_while_live_events_never_cease(delivering: Api) -> None:
    async def signs() -> None:
        while True:
            delivering.app.state.wake.set("log")
            await asyncio.sleep(0.001)

    async with replaying(delivering) as one:
        count = await one.world.record_many([ids.new_id() for _ in range(40)], 2)
        await one.box.until_received(count)
        await one.until_written()
        busy = asyncio.create_task(signs())
        done = await one.until(await one.create(), state="done")
        busy.cancel()
    assert (done["sent"], done["failed"]) == (count, 0)


async def test_a_delivery_that_a_receiver_refuses_is_tried_four_times_and_the_others_go_on(delivering: Api) -> None:
    refused: set[str] = set()
    async with replaying(delivering, lambda got: 422 if got.id in refused else 204, limits=SOON) as one:
        await one.world.record(A, B, A, B)
        await one.box.until_received(4)
        await one.until_written()
        refused.add(one.live()[0].id)
        done = await one.until(await one.create(), state="done")
        assert (done["sent"], done["failed"]) == (3, 1)
        one.box.got[:] = one.replayed()
        assert [got.attempt for got in one.box.got if got.id in refused] == [1, 2, 3, 4]
        assert [got.version for got in one.box.ok if got.lead == shown(A)[0]][-1] == 2
        assert await one.world.states() == {}
        attempts = (await delivering.get(f"{one.path}/attempts"))["data"]
        assert [each["trigger"] for each in attempts].count("replay") == 7

        refused.clear()
        again = await one.until(await one.create(only="failed"), state="done")
        assert (again["sent"], again["failed"]) == (1, 0)
        problem = await one.create(status=422, only="failed")
        assert [(each["field"], each["code"]) for each in problem["errors"]] == [("only", "nothing_to_send")]


async def test_what_is_dead_is_replayed_and_then_dead_no_more_so_that_a_blocked_lead_goes_on(delivering: Api) -> None:
    refused = {1}
    limits = {"retry_schedule": [0, 0]}

    def answer(got: Got) -> int:
        return 422 if got.lead == shown(A)[0] and got.version in refused else 204

    async with replaying(delivering, answer, limits=limits, on_dead="block") as one:
        await one.world.record(A, B, A)
        await one.box.until_received(1)
        await one.world.until_row("SELECT 1 FROM delivery_retries WHERE blocks")
        await one.until_written()
        refused.clear()
        made = await one.create(only="failed")
        done = await one.until(made, state="done")
        assert done["sent"] == 1
        await one.box.until_received(3)
        assert [got.version for got in one.replayed()] == [1]
        await one.world.until_row("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM delivery_retries)")
        assert [got.version for got in one.box.ok if got.lead == shown(A)[0]] == [1, 2]


async def test_while_the_receiver_is_down_a_replay_stands_still_and_goes_on_when_it_is_back(delivering: Api) -> None:
    down = False
    async with replaying(delivering, lambda _: 500 if down else 204, limits={"retry_schedule": [0, 0]}) as one:
        leads = [ids.new_id() for _ in range(40)]
        await one.world.record_many(leads, 1)
        await one.box.until_received(40)
        await one.until_written()
        down = True
        made = await one.create()
        await one.world.until_row("SELECT 1 FROM lanes WHERE breaker ->> 'state' = 'open'")
        stood = await one.get(made)
        assert (stood["state"], stood["sent"]) == ("running", 0)
        down = False
        async with one.world.context() as context:
            await context.tx.execute(text("UPDATE lanes SET due_at = '-infinity'"))
        done = await one.until(made, state="done")
    assert done["sent"] + done["failed"] == 40
    assert done["failed"] < 5, "no more than failed before the breaker opened"


async def test_410_disables_the_subscription_and_the_replay_goes_on_when_it_is_resumed(delivering: Api) -> None:
    gone = False
    async with replaying(delivering, lambda _: 410 if gone else 204) as one:
        count = await delivered(one, 5)
        gone = True
        made = await one.create()
        await one.world.until_row("SELECT 1 FROM subscriptions WHERE state = 'disabled' AND state_reason = 'gone'")
        assert (await one.get(made))["sent"] == 0
        gone = False
        await delivering.post(f"{one.path}/resume", None, status=200)
        done = await one.until(made, state="done")
    assert (done["sent"], done["failed"]) == (count, 0)


async def test_a_replay_waits_while_its_subscription_is_paused(delivering: Api) -> None:
    async with replaying(delivering) as one:
        count = await delivered(one)
        made = await one.create(rate=20)
        await one.box.until(lambda _: len(one.replayed()) >= 3)
        await delivering.post(f"{one.path}/pause", None, status=200)
        await one.world.until_row("SELECT 1 FROM lanes WHERE lease_until = '-infinity'")
        sent = len(one.replayed())
        await asyncio.sleep(1.5)
        assert (await one.get(made))["state"] == "running"
        assert len(one.replayed()) == sent < count
        await delivering.post(f"{one.path}/resume", None, status=200)
        done = await one.until(made, state="done")
    assert (done["sent"], len(one.replayed())) == (count, count)


async def test_a_replay_of_a_deleted_subscription_ends_with_it(delivering: Api) -> None:
    async with replaying(delivering) as one:
        await delivered(one)
        made = await one.create(rate=20)
        await one.box.until(lambda _: len(one.replayed()) >= 3)
        await delivering.call("DELETE", one.path)
        await asyncio.sleep(2)
        sent = len(one.replayed())
        await asyncio.sleep(1)
        assert len(one.replayed()) == sent
        assert (await delivering.call("GET", f"{one.path}/replays/{made['id']}")).status_code == 404
