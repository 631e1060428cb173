"""Several lanes of one subscription: order for each lead while their number changes, processes that share them."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app import ids
from app.database.transaction import Database
from app.events.sequence import sequence
from app.webhooks import subscribe
from app.webhooks.across import OF_SHARE
from app.webhooks.by_hand import ask_dead
from app.webhooks.replays import replay
from app.webhooks.replays.schemas import ReplayCreate
from app.webhooks.schemas import Limits, SubscriptionPatch
from app.webhooks.shares import lane_of
from app.webhooks.sql import Wanted
from tests.api import Api
from tests.guarantees.writes import forbidden, note_writes, owners
from tests.waiting import until
from tests.webhooks.conftest import FAST, RETRIES, Got, World, inbox
from tests.webhooks.test_crash import LONG, SHORT, UNFLUSHED, delayed, dispatcher, duplicates
from tests.webhooks.test_replay_crash import until_ok
from tests.webhooks.test_resume import PATIENT

LEADS = [ids.new_id() for _ in range(24)]
PATH = "/v1/subscriptions"
LIMITS = Limits(timeout_seconds=20, retry_schedule=RETRIES)
ALL_DONE = (
    "SELECT 1 FROM lanes HAVING min(position) = (SELECT max(position) FROM event_log)"
    " AND NOT EXISTS (SELECT 1 FROM delivery_retries)"
)


async def change(world: World, subscription_id: UUID, **members: Any) -> None:
    async with world.context() as context:
        await subscribe.patch(context, subscription_id, SubscriptionPatch(**members), None)


async def expire(world: World) -> None:
    """As if the leases of processes that were killed had expired."""
    async with world.engine.begin() as tx:
        await tx.execute(text("UPDATE lanes SET lease_until = now()"))


def of_lane(number: int, lanes: int) -> list[UUID]:
    return [lead for lead in LEADS if lane_of(lead, lanes) == number]


def told(leads: Sequence[UUID]) -> set[str]:
    return {ids.show("lead", lead) for lead in leads}


async def test_each_lead_stays_in_order_while_the_number_changes_and_processes_are_killed(world: World) -> None:
    chance = random.Random(4)

    async def unreliable(_: Got) -> int:
        await asyncio.sleep(chance.uniform(0, 0.006))
        return 500 if chance.random() < 0.08 else 204

    await note_writes(world)
    numbers = [4, 1, 3]
    async with inbox(unreliable) as box, world.running(dispatchers=0), AsyncExitStack() as stack:
        subscription_id, secret = await world.subscribe(box.url, LIMITS)
        running = [await stack.enter_async_context(dispatcher(world)) for _ in range(2)]
        count = 0
        for turn, number in enumerate(numbers):
            count += (added := await world.record_many(LEADS, 12))
            await box.until_received(count - added // 2)
            await change(world, subscription_id, lanes=number)
            await box.until_received(count - added // 4)
            running.pop(0).kill()
            await expire(world)
            running.append(await stack.enter_async_context(dispatcher(world)))
            count += await world.record_many(LEADS, 3)
            assert (await world.rows("SELECT count(*) AS n FROM lanes"))[0].n == numbers[turn]
        await box.until_received(count)
        await world.until_row(ALL_DONE)
    assert box.in_order()
    assert box.one_body_for_each_id()
    assert box.all_verify(secret)
    assert len(box.got) > len(box.ok), "some answers failed"
    disturbed = len(numbers) * 2 * (LIMITS.concurrency + UNFLUSHED * max(numbers))
    assert duplicates(box) <= disturbed
    assert await forbidden(world) == []
    assert await world.states() == {}


async def test_a_process_that_was_suspended_while_the_number_changed_writes_nothing_when_it_continues(
    world: World,
) -> None:
    await note_writes(world)
    async with inbox(delayed) as box, world.running(dispatchers=0), AsyncExitStack() as stack:
        limits = Limits(timeout_seconds=4, retry_schedule=RETRIES)
        subscription_id, _ = await world.subscribe(box.url, limits, lanes=4)
        suspended = await stack.enter_async_context(dispatcher(world, SHORT))
        count = await world.record_many(LEADS, 20)
        await box.until_received(count // 3)
        suspended.send_signal(signal.SIGSTOP)
        await change(world, subscription_id, lanes=1)
        other = await stack.enter_async_context(dispatcher(world, LONG))
        await box.until_received(count)
        await change(world, subscription_id, lanes=4)
        await world.until_row(ALL_DONE)
        [before] = await world.rows("SELECT count(*) AS n FROM attempts")
        await asyncio.sleep(SHORT)
        suspended.send_signal(signal.SIGCONT)
        count += await world.record_many(LEADS, 5)
        await box.until_received(count)
        await world.until_row(ALL_DONE)
        [after] = await world.rows("SELECT count(*) AS n FROM attempts")
        assert (suspended.returncode, other.returncode) == (None, None)
    assert after.n - before.n >= 5 * len(LEADS)
    assert box.in_order()
    assert await forbidden(world) == []
    assert duplicates(box) <= 2 * (limits.concurrency + 4 * UNFLUSHED)


async def test_two_processes_share_the_lanes_of_one_subscription_and_one_takes_over_all_of_them(world: World) -> None:
    await note_writes(world)

    async def lanes_of_each() -> list[int]:
        names = [name for name in (await owners(world)).values() if name in running]
        return sorted(Counter(names).values())

    async with inbox(delayed) as box, world.running(dispatchers=0), AsyncExitStack() as stack:
        await world.subscribe(box.url, Limits(timeout_seconds=4, retry_schedule=RETRIES), lanes=4)
        count = await world.record_many(LEADS, 2)
        running = {}
        for process in [await stack.enter_async_context(dispatcher(world, SHORT)) for _ in range(2)]:
            running[f"dispatcher {process.pid}"] = process

        async def shared() -> bool:
            nonlocal count
            count += await world.record_many(LEADS, 1)
            return await lanes_of_each() == [2, 2]

        await until(shared, "each process serves two lanes")
        await box.until_received(count)
        name, killed = running.popitem()
        killed.kill()
        count += await world.record_many(LEADS, 5)
        await box.until_received(count)
        await world.until_row(ALL_DONE)
        assert await lanes_of_each() == [4]
        assert name not in (await owners(world)).values()
    assert box.in_order()
    assert await forbidden(world) == []


@pytest.mark.parametrize("number", [1, 2, 3])
async def test_what_the_other_lanes_have_sent_is_not_sent_again_after_a_change(world: World, number: int) -> None:
    go_on = asyncio.Event()
    slow, others = of_lane(0, 4)[0], [lead for lead in LEADS if lane_of(lead, 4) != 0]

    async def answer(got: Got) -> int:
        if got.lead == ids.show("lead", slow):
            await go_on.wait()
        return 204

    async with inbox(answer) as box, world.running():
        subscription_id, _ = await world.subscribe(box.url, LIMITS, lanes=4)
        await world.record(slow, slow)
        count = await world.record_many([*others, *of_lane(0, 4)[1:]], 8)
        await world.until_row(f"SELECT 1 FROM attempts HAVING count(*) = {count}")
        await change(world, subscription_id, lanes=number)
        await box.until(lambda box: len(box.got) == count + 2)  # the slow one again
        go_on.set()
        await world.until_row(ALL_DONE)
        await change(world, subscription_id, lanes=4)
        await world.record(*others)
        await box.until_received(count + 2 + len(others))
        await world.until_row(ALL_DONE)
    assert len(box.got) == count + 3 + len(others)
    assert box.in_order()


async def test_leads_that_wait_for_a_retry_go_on_in_order_in_their_new_lanes(world: World) -> None:
    down = set(told(LEADS[:6]))

    async with inbox(lambda got: 500 if got.lead in down else 204) as box, world.running():
        limits = Limits(timeout_seconds=20, retry_schedule=[0.0] + [0.4] * 19, concurrency=64)
        subscription_id, _ = await world.subscribe(box.url, limits)
        for number in (4, 2, 1):
            await world.record_many(LEADS, 4)
            await world.until_row("SELECT 1 FROM delivery_retries HAVING count(DISTINCT order_key) = 6")
            await change(world, subscription_id, lanes=number)
        down.clear()
        await world.until_row(ALL_DONE)
    assert len({got.id for got in box.ok}) == 12 * len(LEADS)
    assert box.in_order()


async def test_the_lanes_share_the_limit_of_requests_in_flight(world: World) -> None:
    async with inbox(delayed) as box, world.running(2):
        subscription_id, _ = await world.subscribe(
            box.url, Limits(timeout_seconds=20, concurrency=6, retry_schedule=RETRIES), lanes=4
        )
        count = await world.record_many(LEADS, 15)
        await box.until_received(count)
        assert box.max_in_flight <= 6
        await change(world, subscription_id, limits={"concurrency": 4, "timeout_seconds": 20})
        await world.until_row(ALL_DONE)
        box.max_in_flight = 0
        await box.until_received(count + await world.record_many(LEADS, 15))
    assert 1 < box.max_in_flight <= 4


async def test_a_replay_is_sent_whole_and_in_order_while_the_number_of_lanes_changes(world: World) -> None:
    async with inbox(delayed) as box, world.running(2):
        subscription_id, _ = await world.subscribe(box.url, LIMITS, lanes=4)
        count = await world.record_many(LEADS, 12)
        await world.until_row(ALL_DONE)
        async with world.engine.begin() as tx:
            await replay.create(tx, world.tenant_id, subscription_id, ReplayCreate(), datetime.now(UTC))
        for number, part in ((1, 4), (3, 2)):
            await until_ok(box, count + count // part)
            await change(world, subscription_id, lanes=number)
            await world.record_many(LEADS, 1)
        done: Any = await world.until_row("SELECT * FROM replays WHERE state = 'done'")
        await world.until_row(ALL_DONE)
    replayed = [got for got in box.ok if "webhook-replay" in got.headers]
    assert len({got.id for got in replayed}) == count == done.sent
    assert box.in_order()
    live = {got.id for got in box.ok if "webhook-replay" not in got.headers}
    assert len(live) == count + 2 * len(LEADS)


async def test_dead_deliveries_of_all_lanes_are_retried_by_hand_served_or_not(world: World) -> None:
    down = True
    async with inbox(lambda _: 400 if down else 204) as box:
        limits = Limits(timeout_seconds=20, retry_schedule=[0.0], concurrency=4)
        async with world.running():
            subscription_id, _ = await world.subscribe(box.url, limits, lanes=4, on_dead="block")
            await world.record_many(LEADS[:12], 2)
            await world.until_row("SELECT 1 FROM delivery_retries WHERE state = 'dead' HAVING count(*) = 12")
        down = False
        half = tuple(LEADS[:6])
        async with world.engine.begin() as tx:
            asked = await ask_dead(tx, world.tenant_id, subscription_id, Wanted("dead", lead_ids=half), "retry")
        assert asked == (6, False)
        async with world.running():
            await box.until_received(12)
            async with world.engine.begin() as tx:
                await ask_dead(tx, world.tenant_id, subscription_id, Wanted("dead"), "retry")
            await box.until_received(24)
            await world.until_row(ALL_DONE)
    assert box.in_order()


async def test_a_subscription_is_disabled_only_where_no_lane_has_had_a_success(world: World) -> None:
    failing, well = of_lane(0, 2), of_lane(1, 2)
    down = told(failing)
    async with (
        inbox(lambda got: 500 if got.lead in down else 204) as box,
        inbox() as other,
        world.running(timing=PATIENT),
    ):
        subscription_id, _ = await world.subscribe(box.url, LIMITS, lanes=2)
        await world.subscribe(other.url, types=["subscription.*"])
        await world.record_many([*failing, *well], 2)
        await box.until_received(2 * len(well))
        is_open = "SELECT * FROM lanes WHERE lane_count = 2 AND breaker ->> 'state' = 'open' AND lease_until < now()"
        await world.until_row(is_open)

        async def probe(number: int) -> None:
            """Let a probe out, as if the receiver had failed for six days, and wait until it is written."""
            async with world.engine.begin() as tx:
                since = "clock_timestamp() - interval '6 days'"
                await tx.execute(
                    text(
                        "UPDATE lanes SET due_at = now(), breaker = breaker || jsonb_build_object('since', "
                        f"{since}) WHERE breaker ->> 'state' = 'open'"
                    )
                )
            world.wake.set("log")
            await world.until_row(f"{is_open} AND (breaker ->> 'probes')::int = {number}")

        await probe(1)
        assert (await world.rows("SELECT state FROM subscriptions WHERE url = :url", url=box.url))[0].state == "active"
        async with world.engine.begin() as tx:
            await tx.execute(text("UPDATE lanes SET delivered_at = delivered_at - interval '6 days'"))
        await probe(2)
        row = await world.until_row(f"SELECT * FROM subscriptions WHERE state = 'disabled' AND url = '{box.url}'")
        assert (row.id, row.state_reason) == (subscription_id, "failing")
        await other.until(lambda box: box.got[-1:] != [] and box.got[-1].event["type"] == "subscription.disabled")


async def test_a_receiver_that_fails_for_all_lanes_is_told_of_once(world: World) -> None:
    down = True
    async with (
        inbox(lambda _: 500 if down else 204) as box,
        inbox() as other,
        world.running(timing=PATIENT),
    ):
        await world.subscribe(box.url, LIMITS.model_copy(update={"concurrency": 24}), lanes=2)
        await world.subscribe(other.url, types=["subscription.*"])
        count = await world.record_many(LEADS, 2)
        opened = "FROM lanes WHERE lane_count = 2 AND breaker ->> 'state' = 'open' AND lease_until < now()"
        await world.until_row(f"SELECT 1 {opened} HAVING count(*) = 2")
        async with world.engine.begin() as tx:
            since = "jsonb_build_object('since', clock_timestamp() - interval '2 hours')"
            await tx.execute(text(f"UPDATE lanes SET due_at = now(), breaker = breaker || {since}"))
        world.wake.set("log")
        await world.until_row(f"SELECT 1 {opened} AND (breaker ->> 'warned')::int = 1 HAVING count(*) = 2")
        down = False
        async with world.engine.begin() as tx:
            await tx.execute(text("UPDATE lanes SET due_at = now() WHERE lane_count = 2"))
        world.wake.set("log")
        await box.until_received(count)
        await world.until_row("SELECT 1 FROM lanes WHERE lane_count = 2 AND breaker = '{}' HAVING count(*) = 2")
        await other.until(lambda box: len(box.ok) >= 2)
        await world.until_row("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pending)")
    recorded = await world.rows("SELECT type FROM events WHERE type LIKE 'subscription.%' ORDER BY seq")
    assert [row.type for row in recorded] == ["subscription.failing", "subscription.recovered"]


async def test_a_subscription_with_several_lanes_is_paused_resumed_elsewhere_and_deleted(world: World) -> None:
    async with inbox() as box, world.running(2, FAST):
        subscription_id, _ = await world.subscribe(box.url, LIMITS, lanes=4)
        count = await world.record_many(LEADS, 3)
        await world.until_row(ALL_DONE)
        async with world.context() as context:
            await subscribe.pause(context, subscription_id, None)
        await world.until_row("SELECT 1 FROM lanes WHERE lease_until < now() HAVING count(*) = 4")
        await world.record_many(LEADS, 1)
        assert len(box.got) == count
        async with world.context() as context:
            await subscribe.resume(context, subscription_id, None, "1")
        await box.until(lambda box: len(box.ok) >= 2 * count + len(LEADS))
        await world.until_row(ALL_DONE)
        assert len(box.got) == 2 * count + len(LEADS)
        async with world.context() as context:
            await subscribe.delete(context, subscription_id, None)
        assert await world.rows("SELECT 1 FROM lanes") == []


async def test_statements_and_code_have_the_same_rule_of_shares(engine: Database) -> None:
    rule = OF_SHARE.format(key="key", lanes="lanes", lane_no="number")
    keys = [ids.new_id() for _ in range(50)]
    async with engine.connect() as tx:
        rows = await tx.execute(
            text(
                "SELECT key, lanes, number FROM unnest(CAST(:keys AS uuid[])) AS key, generate_series(1, 16) AS lanes,"
                f" generate_series(0, 15) AS number WHERE {rule}"
            ),
            {"keys": keys},
        )
        found = {(row.key, row.lanes): row.number for row in rows}
    assert found == {(key, lanes): lane_of(key, lanes) for key in keys for lanes in range(1, 17)}


@pytest.mark.parametrize("lanes", [0, 17, -1, 1.5, "4", True, [2], 10**30])
async def test_a_number_that_cannot_be_is_refused_by_name(api: Api, lanes: Any) -> None:
    made = await api.post(PATH, {"url": "http://127.0.0.1:9/hook"})
    for method, path, body in (("POST", PATH, {"url": made["url"]}), ("PATCH", f"{PATH}/{made['id']}", {})):
        answer = await api.call(method, path, {**body, "lanes": lanes})
        assert answer.status_code == 422, answer.text
        assert [error["field"] for error in answer.json()["errors"]] == ["lanes"]


async def test_lanes_need_a_request_in_flight_each(api: Api) -> None:
    refused = await api.post(PATH, {"url": "http://127.0.0.1:9/hook", "lanes": 9}, status=422)
    assert [(one["field"], one["code"]) for one in refused["errors"]] == [("lanes", "more_lanes_than_concurrency")]
    made = await api.post(PATH, {"url": "http://127.0.0.1:9/hook", "lanes": 4})
    assert made["lanes"] == 4
    for body, field in (({"lanes": 9}, "lanes"), ({"limits": {"concurrency": 3}}, "limits.concurrency")):
        answer = await api.call("PATCH", f"{PATH}/{made['id']}", body)
        assert answer.status_code == 422
        assert [one["field"] for one in answer.json()["errors"]] == [field]
    both = await api.call("PATCH", f"{PATH}/{made['id']}", {"lanes": 16, "limits": {"concurrency": 16}})
    assert (both.status_code, both.json()["lanes"], both.json()["version"]) == (200, 16, made["version"] + 1)
    same = await api.call("PATCH", f"{PATH}/{made['id']}", {"lanes": 16})
    assert same.json()["version"] == made["version"] + 1


async def test_the_lag_is_that_of_the_lane_that_is_furthest_behind(api: Api) -> None:
    made = await api.post(PATH, {"url": "http://127.0.0.1:9/hook", "lanes": 2})
    state = api.app.state
    world = World(state.engine, state.settings.database_url, state.settings, state.wake, tenant_id=api.tenant_id)
    await world.record_many(LEADS, 1)
    await sequence(world.engine)
    head, since = "(SELECT max(position) FROM event_log)", "2026-01-01T00:00:00Z"
    outage = f"jsonb_build_object('state', 'open', 'since', '{since}')"
    async with world.engine.begin() as tx:
        await tx.command(f"UPDATE lanes SET position = {head} WHERE lane_no = 0")
        await tx.command(f"UPDATE lanes SET breaker = {outage} WHERE lane_no = 1")
    shown = await api.get(f"{PATH}/{made['id']}")
    assert (shown["lag"], shown["breaker"]) == (len(LEADS), "open")
    assert shown["failing_since"].startswith("2026-01-01")
