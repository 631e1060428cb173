"""Receivers that are down cost a probe now and then, and get everything, each lead in order, when they are back."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text

from app import ids, metrics
from app.web.pages import Page
from app.webhooks import across, sql, subscribe
from app.webhooks.breaker import Waits
from app.webhooks.schemas import Limits, SubscriptionPatch, show_subscription
from tests.waiting import until
from tests.webhooks.conftest import FAST, Got, World, inbox

LEADS = [ids.new_id() for _ in range(20)]
CONCURRENCY = 8
LIMITS = Limits(timeout_seconds=20, retry_schedule=[0.0] * 20, concurrency=CONCURRENCY)
PATIENT = replace(FAST, breaker=Waits(first_probe=3600, longest_probe=3600))  # no probe within the test
OPEN = "SELECT * FROM lanes WHERE breaker ->> 'state' = 'open' AND lease_until < now()"
PROBE_NOW = "UPDATE lanes SET due_at = now()"


async def total(world: World, table: str) -> int:
    return int((await world.rows(f"SELECT count(*) AS n FROM {table}"))[0].n)


async def run(world: World, sql: str) -> None:
    async with world.engine.begin() as tx:
        await tx.execute(text(sql))
    world.wake.set("log")


async def test_a_receiver_that_is_down_adds_no_row_and_no_request_beyond_its_probes(world: World) -> None:
    async with inbox(lambda _: 500) as box, inbox() as good, world.running(timing=PATIENT):
        await world.subscribe(box.url, LIMITS)
        await world.record_many(LEADS, 1)
        lane = await world.until_row(OPEN)
        await world.subscribe(good.url)
        sent, rows = len(box.got), await total(world, "delivery_retries")
        assert sent < 5 + CONCURRENCY
        count = await world.record_many(LEADS, 150)
        await good.until_received(count)
        assert len(box.got) == sent
        assert await total(world, "delivery_retries") == rows
        for probe in range(1, 4):
            await run(world, PROBE_NOW)
            await world.until_row(f"{OPEN} AND (breaker ->> 'probes')::int = {probe} AND due_at > now()")
            assert len(box.got) == sent + probe
        assert await total(world, "delivery_retries") == rows
        await world.until_row("SELECT 1 FROM lanes WHERE position = (SELECT max(position) FROM event_log)")
        [now] = await world.rows(OPEN)
        async with world.engine.connect() as tx:
            measured = {row.breaker: row for row in await across.count_lanes(tx)}
            shown = await sql.list_subscriptions(tx, world.tenant_id, Page(50, None))
    assert {state: row.subscriptions for state, row in measured.items()} == {"closed": 1, "open": 1}
    assert measured["open"].worst_seconds > measured["closed"].worst_seconds
    metrics.show_lanes(measured.values())
    for of in ("worst", "sum"):
        state = {"breaker": "open", "of": of}
        assert REGISTRY.get_sample_value("baton_delivery_lag_positions", state) == measured["open"].worst_positions
        assert REGISTRY.get_sample_value("baton_delivery_lag_seconds", state) == measured["open"].worst_seconds
    state_of = {each["breaker"]: each for each in map(show_subscription, shown)}
    assert state_of["closed"]["failing_since"] is None
    assert state_of["open"]["failing_since"] is not None
    assert state_of["open"]["lag"] >= count
    assert state_of["open"]["lag_seconds"] > 0
    assert now.position == lane.position
    assert await total(world, "attempts WHERE trigger = 'probe'") == 3


@pytest.mark.parametrize("dispatchers", [1, 2])
async def test_after_an_outage_everything_arrives_once_and_each_lead_in_order(world: World, dispatchers: int) -> None:
    down = True
    async with inbox(lambda _: 500 if down else 204) as box, world.running(dispatchers):
        await world.subscribe(box.url, LIMITS)
        count = await world.record_many(LEADS, 30)
        await world.until_row("SELECT 1 FROM lanes WHERE (breaker ->> 'probes')::int > 2")
        down = False
        await box.until_received(count)
        await world.until_row("SELECT 1 FROM lanes WHERE breaker = '{}'")
    assert len(box.ok) == count
    assert box.in_order()
    assert box.one_body_for_each_id()
    assert await world.states() == {}


async def test_the_first_request_after_an_outage_is_alone(world: World) -> None:
    down, running, most = True, 0, list[int]()

    async def answer(_: Got) -> int:
        nonlocal running
        if down:
            return 503
        running += 1
        most.append(running)
        await asyncio.sleep(0.01)
        running -= 1
        return 204

    timing = replace(FAST, breaker=Waits(first_probe=0.2, longest_probe=0.2, step=3600))
    async with inbox(answer) as box, world.running(timing=timing):
        await world.subscribe(box.url, LIMITS)
        count = await world.record_many(LEADS, 3)
        await world.until_row("SELECT 1 FROM lanes WHERE breaker <> '{}'")
        down = False
        await box.until_received(count)
        await world.until_row("SELECT 1 FROM lanes WHERE breaker ->> 'state' = 'half_open'")
    assert max(most) == 1
    assert box.in_order()


async def test_a_failed_probe_uses_up_no_attempt(world: World) -> None:
    down = True
    limits = LIMITS.model_copy(update={"retry_schedule": [0.0, 0.0, 0.0]})
    async with inbox(lambda _: 500 if down else 204) as box, world.running():
        await world.subscribe(box.url, limits)
        count = await world.record_many(LEADS, 2)
        await world.until_row("SELECT 1 FROM lanes WHERE (breaker ->> 'probes')::int > 8")
        down = False
        await box.until_received(count)
    assert await world.states() == {}
    assert box.in_order()


async def test_one_event_that_is_always_refused_does_not_keep_the_others_from_being_sent(world: World) -> None:
    poison = ids.show("lead", LEADS[0])
    async with inbox(lambda got: 500 if got.lead == poison else 204) as box, world.running():
        await world.subscribe(box.url, LIMITS)
        await world.record(LEADS[0])
        await world.until_row("SELECT 1 FROM lanes WHERE breaker ->> 'state' = 'open'")
        await world.record(*LEADS[1:])
        await box.until_received(len(LEADS) - 1)


@pytest.mark.parametrize("state", ["open", "half_open"])
async def test_the_next_owner_of_a_lane_finds_the_breaker_as_it_was(world: World, state: str) -> None:
    down = True
    async with inbox(lambda _: 500 if down else 204) as box, world.running(0), world.dispatcher() as first:
        first.context = replace(first.context, timing=replace(PATIENT, breaker=Waits(step=3600)))
        await world.subscribe(box.url, LIMITS)
        await world.record_many(LEADS, 2)
        await world.until_row("SELECT 1 FROM event_log HAVING count(*) = 40")
        await first.claim()
        await world.until_row(OPEN)
        await until(lambda: not first.lanes, "the lane is released")
        sent = len(box.got)
        if state == "half_open":
            down = False
            await run(world, PROBE_NOW)
            await first.claim()
            await world.until_row("SELECT 1 FROM lanes WHERE breaker ->> 'state' = 'half_open'")
            [lane] = first.lanes.values()
            lane.mark_lost()
            await until(lambda: not first.lanes, "the lane is lost")
            await run(world, "UPDATE lanes SET lease_until = '-infinity'")
        async with world.dispatcher() as second:
            second.context = first.context
            assert await second.claim() == (state == "half_open")
            served = list(second.lanes.values())
            await until(lambda: all(lane._opened for lane in served), "the lanes are open")
            for lane in served:
                assert lane.breaker.state == "half_open"
                assert lane._concurrency == 1
        assert (len(box.got) == sent) == (state == "open")


async def test_a_receiver_that_answers_some_and_fails_some_is_served_as_before(world: World) -> None:
    async with inbox(lambda got: 500 if got.attempt == 1 else 204) as box, world.running(timing=PATIENT):
        await world.subscribe(box.url, LIMITS.model_copy(update={"concurrency": 1}))
        count = await world.record_many(LEADS[:2], 20)
        await box.until_received(count)
    assert await total(world, "lanes WHERE breaker <> '{}'") == 0
    assert box.in_order()


async def test_slow_answers_reduce_the_requests_in_flight(world: World) -> None:
    release = asyncio.Event()

    async def answer(_: Got) -> int:
        if len(box.got) <= 4:
            return 504
        await release.wait()
        return 204

    async with inbox(answer) as box, world.running(0), world.dispatcher() as dispatcher:
        await world.subscribe(box.url, LIMITS)
        count = await world.record_many(LEADS, 3)
        await world.until_row(f"SELECT 1 FROM event_log HAVING count(*) = {count}")
        await dispatcher.claim()
        [lane] = dispatcher.lanes.values()
        await until(lambda: lane.breaker.allowed == 1, "one request is allowed")
        sent = len(box.got)
        await asyncio.sleep(0.3)
        assert len(box.got) == sent
        release.set()
        await box.until_received(count)
        await until(lambda: lane.breaker.allowed == CONCURRENCY, "the limit is allowed again")
    assert box.in_order()


async def test_a_new_url_is_tried_at_once(world: World) -> None:
    async with inbox(lambda _: 500) as box, inbox() as new, world.running(timing=PATIENT):
        subscription_id, _ = await world.subscribe(box.url, LIMITS)
        count = await world.record_many(LEADS, 2)
        await world.until_row(OPEN)
        async with world.context() as context:
            await subscribe.patch(context, subscription_id, SubscriptionPatch(url=new.url), None)
        await new.until_received(count)
    assert new.in_order()


async def test_a_receiver_that_was_taken_to_be_down_is_tried_at_once_when_it_is_resumed(world: World) -> None:
    down = True
    async with inbox(lambda _: 500 if down else 204) as box, world.running(timing=PATIENT):
        subscription_id, _ = await world.subscribe(box.url, LIMITS)
        count = await world.record_many(LEADS, 2)
        await world.until_row(OPEN)
        down = False
        async with world.context() as context:
            await subscribe.pause(context, subscription_id, None)
        async with world.context() as context:
            await subscribe.resume(context, subscription_id, None)
        await box.until_received(count)
    assert box.in_order()


async def test_eight_receivers_get_everything_beside_one_that_is_down_and_one_that_never_answers(world: World) -> None:
    """The two cost some rows and requests, however many events come, and get everything when they are back."""
    down, stuck = True, asyncio.Event()

    async def never(_: Got) -> int:
        await stuck.wait()
        return 204

    async with AsyncExitStack() as boxes, world.running(timing=PATIENT):
        well = [await boxes.enter_async_context(inbox()) for _ in range(8)]
        sick = [await boxes.enter_async_context(inbox(answer)) for answer in (lambda _: 503 if down else 204, never)]
        for box in (*well, *sick):
            limits = LIMITS.model_copy(update={"timeout_seconds": 1}) if box is sick[1] else LIMITS
            await world.subscribe(box.url, limits)
        count = await world.record_many(LEADS, 5)
        await world.until_row(f"SELECT 1 FROM ({OPEN}) l HAVING count(*) = 2")
        rows, requests = await total(world, "delivery_retries"), [len(box.got) for box in sick]
        assert all(sent < 5 + CONCURRENCY for sent in requests)
        assert rows <= 2 * 5 * (5 + CONCURRENCY), "five events of each lead that had a request"
        count += await world.record_many(LEADS, 95)
        for box in well:
            await box.until_received(count)
        assert [len(box.got) for box in sick] == requests
        assert await total(world, "delivery_retries") == rows
        assert await total(world, "attempts WHERE code IS NULL OR code = 503") == sum(requests)
        down = False
        stuck.set()
        await run(world, PROBE_NOW)
        for box in sick:
            await box.until_received(count)
        await world.until_row("SELECT 1 FROM delivery_retries HAVING count(*) = 0")
    assert all(box.in_order() for box in (*well, *sick))
    assert all(len(box.ok) == count for box in well)
