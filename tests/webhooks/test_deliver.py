"""Delivery: every event reaches every subscription, signed, each lead in order; a failure delays only its own lead."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from app import ids
from app.webhooks import subscribe
from app.webhooks.lane_context import Timing
from app.webhooks.schemas import Limits, SubscriptionPatch
from tests.events.published import faults_of
from tests.webhooks.conftest import RETRIES, Got, World, inbox, verifies

LEADS = [ids.new_id() for _ in range(20)]
A, B, C = LEADS[:3]


async def test_an_event_arrives_signed_with_all_headers_and_its_attempt_is_recorded(world: World) -> None:
    async with inbox() as box, world.running():
        subscription_id, secret = await world.subscribe(box.url, headers={"X-Team": "sales"})
        await world.record(A)
        await box.until_received(1)
        await world.until_row("SELECT 1 FROM attempts")
    [got] = box.got
    assert verifies(secret, got)
    assert got.id == got.event["id"]
    assert got.headers["webhook-subscription"] == ids.show("subscription", subscription_id)
    assert (got.attempt, got.headers["x-team"]) == (1, "sales")
    assert got.headers["content-type"] == "application/json"
    assert got.headers["accept-encoding"] == "identity"
    assert got.headers["traceparent"].startswith("00-")
    [attempt] = await world.rows("SELECT n, code, error_kind, trigger, event_id, lead_id FROM attempts")
    assert (attempt.n, attempt.code, attempt.error_kind, attempt.trigger, attempt.lead_id) == (1, 204, None, "live", A)
    assert got.id == ids.show("event", attempt.event_id)
    [lane] = await world.rows("SELECT l.position, l.lease_until, e.position AS head FROM lanes l, event_log e")
    assert lane.position == lane.head
    assert await world.states() == {}


@pytest.mark.parametrize("keys", [{"new": bytes(32)}, {"test": bytes(32)}, None])
async def test_a_subscription_whose_secrets_cannot_be_decrypted_says_why_and_loses_nothing(
    world: World, keys: dict[str, bytes] | None
) -> None:
    right = world.settings
    async with inbox() as box:
        _, secret = await world.subscribe(box.url, headers={"X-Team": "sales"})
        if keys is None:  # the secret can be decrypted, the headers cannot
            await world.rows("UPDATE subscriptions SET headers = replace(headers, '.test.', '.gone.')")
        else:
            world.settings = right.model_copy(update={"secret_keys": keys})
        await world.record(A)
        async with world.running():
            row = await world.until_row("SELECT state, version FROM subscriptions WHERE state_reason IS NOT NULL")
            [lane] = await world.rows("SELECT position, lease_until < clock_timestamp() AS free FROM lanes")
        reasons = await world.rows("SELECT state_reason FROM subscriptions")
        assert (row.state, row.version, reasons[0].state_reason) == ("active", 2, "secret_keys_missing")
        assert (lane.position, lane.free, box.got) == (0, True, [])
        world.settings = right
        await world.rows("UPDATE subscriptions SET headers = replace(headers, '.gone.', '.test.')")
        async with world.running():
            await box.until_received(1)
            await world.until_row("SELECT 1 FROM subscriptions WHERE state = 'active' AND state_reason IS NULL")
    assert [(got.attempt, verifies(secret, got), got.headers["x-team"]) for got in box.got] == [(1, True, "sales")]


async def test_a_process_without_the_key_leaves_the_subscription_to_one_that_has_it(world: World) -> None:
    right = world.settings
    async with inbox() as box:
        await world.subscribe(box.url)
        world.settings = right.model_copy(update={"secret_keys": {"new": bytes(32)}})
        async with world.running():
            await world.record(A)
            await world.until_row("SELECT 1 FROM subscriptions WHERE state_reason = 'secret_keys_missing'")
            world.settings = right
            async with world.running():
                await world.record_many(LEADS, 5)
                await box.until_received(101)


async def test_many_events_of_many_leads_arrive_once_and_each_lead_in_order(world: World) -> None:
    async def delayed(_: Got) -> int:
        await asyncio.sleep(0.002)
        return 204

    async with inbox(delayed) as box, world.running():
        _, secret = await world.subscribe(box.url)
        count = await world.record_many(LEADS, 50)
        await box.until_received(count)
    assert len(box.got) == count
    assert box.in_order()
    assert box.all_verify(secret)
    assert 1 < box.max_in_flight <= 8
    assert (await world.rows("SELECT count(*) AS n FROM attempts"))[0].n == count


async def test_each_lead_stays_in_order_while_responses_fail_or_are_slow_at_random(world: World) -> None:
    chance = random.Random(7)

    async def unreliable(_: Got) -> int:
        await asyncio.sleep(chance.choice((0, 0, 0, 0.02)))
        return chance.choice((204, 204, 204, 204, 500))

    limits = Limits(timeout_seconds=20, retry_schedule=[0.05] * 20)
    async with inbox(unreliable) as box, world.running(dispatchers=2):
        _, secret = await world.subscribe(box.url, limits)
        count = await world.record_many(LEADS, 15)
        await box.until_received(count)
        assert len(box.got) > count
        assert len(box.ok) == count, "without a crash nothing is sent twice"
    assert box.in_order()
    assert box.one_body_for_each_id()
    assert box.all_verify(secret)
    assert await world.states() == {}


async def test_a_failed_delivery_delays_only_its_own_lead(world: World) -> None:
    broken = True

    def selective(got: Got) -> int:
        return 500 if broken and got.lead == ids.show("lead", A) else 204

    async with inbox(selective) as box, world.running():
        await world.subscribe(box.url, Limits(timeout_seconds=20, retry_schedule=RETRIES))
        await world.record(A, A, A, B, C, A, B, C, A)
        await box.until_received(4)
        await world.until_row("SELECT 1 FROM delivery_retries WHERE state = 'retry' AND attempts > 1")
        await world.until_row("SELECT 1 FROM delivery_retries WHERE state = 'held' HAVING count(*) = 4")
        assert await world.states() == {"retry": 1, "held": 4}
        assert {got.version for got in box.got if got.lead == ids.show("lead", A)} == {1}, "held events are not sent"
        broken = False
        await box.until_received(9)
    assert box.in_order()
    assert await world.states() == {}


async def test_of_many_retries_due_at_once_only_the_next_ones_are_in_memory(world: World) -> None:
    stuck = asyncio.Event()

    async def hang(_: Got) -> int:
        await stuck.wait()
        return 204

    async with inbox(hang) as box, world.running(dispatchers=0), world.dispatcher() as dispatcher:
        await world.subscribe(box.url, Limits(timeout_seconds=20))
        count = await world.record_many([ids.new_id() for _ in range(1_000)], 1)
        await world.until_row(f"SELECT 1 FROM event_log HAVING count(*) = {count}")
        async with world.context() as context:
            await context.tx.command(
                "INSERT INTO delivery_retries (tenant_id, subscription_id, position, order_key, event_id, attempts,"
                " next_at, state) SELECT l.tenant_id, s.id, l.position, l.order_key, e.id, 1, now(), 'retry'"
                " FROM event_log l JOIN events e ON e.seq = l.event_seq, subscriptions s"
            )
            await context.tx.command("UPDATE lanes SET position = (SELECT max(position) FROM event_log)")
        await dispatcher.claim()
        [served] = dispatcher.lanes.values()
        await box.until(lambda box: box.in_flight == 8)
        await asyncio.sleep(0.5)
        assert len(served.lane.busy) < 300
        stuck.set()
        await box.until_received(count)
    assert await world.states() == {}


async def test_a_delivery_is_dead_after_its_schedule_and_its_lead_continues(world: World) -> None:
    def selective(got: Got) -> int:
        return 422 if got.version == 1 and got.lead == ids.show("lead", A) else 204

    async with inbox(selective) as box, inbox() as other, world.running():
        subscription_id, _ = await world.subscribe(box.url, Limits(retry_schedule=[0, 0.05, 0.05]))
        await world.subscribe(other.url, types=["delivery.*"])
        await world.record(A, A, A)
        await box.until_received(2)
        await other.until_received(1)
        row = await world.until_row("SELECT * FROM delivery_retries WHERE state = 'dead'")
    assert (row.attempts, row.last_code, row.last_error) == (3, 422, None)
    assert [got.attempt for got in box.got if got.version == 1] == [1, 2, 3]
    assert [got.version for got in box.ok] == [2, 3], "a subscription gets no event about its own dead delivery"
    [dead] = other.ok
    assert dead.event["type"] == "delivery.dead"
    assert faults_of(dead.event) == []
    assert dead.event["data"] == {
        "subscription_id": ids.show("subscription", subscription_id),
        "event_id": box.got[0].id,
        "event_type": "lead.updated",
        "position": str(row.position),
        "lead_id": ids.show("lead", A),
        "attempts": 3,
        "last_code": 422,
        "last_error": None,
        "blocks": False,
    }


async def test_a_slow_lead_delays_no_other_and_deliveries_beyond_it_are_recorded(world: World) -> None:
    release = asyncio.Event()

    async def slow(got: Got) -> int:
        if got.lead == ids.show("lead", A):
            await release.wait()
        return 204

    async with inbox(slow) as box, world.running():
        await world.subscribe(box.url, Limits(timeout_seconds=20))
        await world.record(A, A)
        count = await world.record_many(LEADS[1:], 6)
        await box.until_received(count)
        await world.until_row(f"SELECT 1 FROM attempts HAVING count(*) = {count}")
        assert await world.states() == {}
        release.set()
        await box.until_received(count + 2)
    assert len(box.got) == count + 2
    assert await world.states() == {}


async def test_an_idle_lane_is_released_and_claimed_again_for_the_next_event(world: World) -> None:
    timing = Timing(lease=600, renew=1, idle=1.5)  # longer than the poll interval
    async with inbox() as box, world.running(timing=timing):
        await world.subscribe(box.url)
        await world.record(A)
        await box.until_received(1)
        await world.until_row("SELECT 1 FROM lanes WHERE lease_until < now()")
        await world.record(A)
        await box.until_received(2)
    assert len(box.got) == 2


async def test_a_paused_subscription_gets_nothing_until_resumed_and_then_everything(world: World) -> None:
    async with inbox() as box, world.running():
        subscription_id, _ = await world.subscribe(box.url)
        await world.record(A, B)
        await box.until_received(2)
        async with world.context() as context:
            await subscribe.pause(context, subscription_id, None)
        await world.until_row("SELECT 1 FROM lanes WHERE lease_until < now()")
        await world.record(A, B, C)
        await asyncio.sleep(0.3)
        assert len(box.got) == 2
        async with world.context() as context:
            await subscribe.resume(context, subscription_id, None)
        await box.until_received(5)
    assert len(box.got) == 5
    assert box.in_order()


async def test_a_pause_under_load_takes_effect_and_nothing_is_lost_or_sent_twice(world: World) -> None:
    paused = asyncio.Event()

    async def steady(_: Got) -> int:
        if len(box.got) > 50:
            await paused.wait()
        await asyncio.sleep(0.005)
        return 204

    async with inbox(steady) as box, world.running():
        subscription_id, _ = await world.subscribe(box.url)
        count = await world.record_many(LEADS, 40)
        await box.until(lambda box: box.in_flight == 8)
        async with world.context() as context:
            await subscribe.pause(context, subscription_id, None)
        paused.set()
        await world.until_row("SELECT 1 FROM lanes WHERE lease_until < now()")
        sent = len(box.got)
        assert sent < count
        await asyncio.sleep(0.1)
        assert len(box.got) == sent
        async with world.context() as context:
            await subscribe.resume(context, subscription_id, None)
        await box.until_received(count)
    assert len(box.got) == count
    assert box.in_order()


async def test_410_disables_at_once_and_a_resume_delivers_the_refused_event(world: World) -> None:
    gone = True
    async with inbox(lambda _: 410 if gone else 204) as box, inbox() as other, world.running():
        subscription_id, _ = await world.subscribe(box.url)
        await world.subscribe(other.url, types=["subscription.*"])
        await world.record(A)
        row = await world.until_row("SELECT state, state_reason FROM subscriptions WHERE state <> 'active'")
        assert (row.state, row.state_reason) == ("disabled", "gone")
        await world.record(A, B)
        await other.until_received(1)
        assert other.ok[0].event["type"] == "subscription.disabled"
        assert faults_of(other.ok[0].event) == []
        assert len(box.got) == 1
        gone = False
        async with world.context() as context:
            await subscribe.resume(context, subscription_id, None)
        await box.until_received(3)
    assert box.in_order()
    assert [got.version for got in box.ok if got.lead == ids.show("lead", A)] == [1, 2]


async def test_429_stops_the_whole_subscription_for_the_time_in_retry_after(world: World) -> None:
    busy = True

    def answer(_: Got) -> int | bytes:
        return b"HTTP/1.1 429 X\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n" if busy else 204

    async with inbox(answer) as box, world.running():
        await world.subscribe(box.url)
        await world.record(A)
        row = await world.until_row("SELECT due_at - now() AS wait FROM lanes WHERE due_at > now()")
        assert timedelta(minutes=59) < row.wait <= timedelta(hours=1)
        await world.record(B)
        await asyncio.sleep(0.2)
        assert len(box.got) == 1
        busy = False
        async with world.context() as context:
            await context.tx.command("UPDATE lanes SET due_at = now()")
            await context.tx.command("UPDATE delivery_retries SET next_at = now()")
        await box.until_received(2)


async def test_a_deleted_subscription_gets_no_further_attempt(world: World) -> None:
    arrived, release = asyncio.Event(), asyncio.Event()

    async def waits(_: Got) -> int:
        arrived.set()
        await release.wait()
        return 500

    async with inbox(waits) as box, world.running():
        subscription_id, _ = await world.subscribe(box.url, Limits(retry_schedule=[0] * 20))
        await world.record(A, A)
        await arrived.wait()
        async with world.context() as context:
            await subscribe.delete(context, subscription_id, None)
        release.set()
        await asyncio.sleep(1.5)
    assert len(box.got) == 1
    assert await world.states() == {}
    assert await world.rows("SELECT 1 FROM lanes") == []


async def test_the_next_attempt_of_an_old_delivery_goes_to_the_new_url(world: World) -> None:
    async with inbox(lambda _: 500) as old, inbox() as new, world.running():
        subscription_id, _ = await world.subscribe(old.url, Limits(timeout_seconds=20, retry_schedule=RETRIES))
        await world.record(A)
        await world.until_row("SELECT 1 FROM delivery_retries")
        async with world.context() as context:
            await subscribe.patch(context, subscription_id, SubscriptionPatch(url=new.url), None)
        await new.until_received(1)
    assert new.ok[0].id == old.got[0].id
    assert new.ok[0].attempt == old.got[-1].attempt + 1


@pytest.mark.parametrize("start", ["now", "earliest", "cursor"])
async def test_a_subscription_starts_at_the_requested_position(world: World, start: str) -> None:
    from app.events import cursors, sql

    async with inbox() as box, world.running():
        await world.record(A, A, A)
        third = await world.until_row("SELECT max(position) AS last FROM event_log HAVING count(*) = 3")
        async with world.engine.connect() as tx:
            second = await sql.at_or_before(tx, world.tenant_id, third.last - 1)
        assert second is not None
        place = sql.Place(second.position, second.id)
        position = cursors.write(place, cursors.Filters(types=("x.*",))) if start == "cursor" else start
        await world.subscribe(box.url, start=position)
        await world.record(A)
        expected = {"now": [4], "earliest": [1, 2, 3, 4], "cursor": [3, 4]}[start]
        await box.until_received(len(expected))
    assert [got.version for got in box.ok] == expected


async def test_only_events_that_pass_types_and_filter_are_sent_and_the_position_moves_past_the_others(
    world: World,
) -> None:
    async with inbox() as box, world.running():
        await world.subscribe(box.url, types=["lead.stage_changed"], filter={"action": ["qualify", "accept"]})
        for type_, action in (
            ("lead.updated", "qualify"),
            ("lead.stage_changed", "recycle"),
            ("lead.stage_changed", "accept"),
        ):
            await world.record(A, type=type_, action=action)
        await box.until_received(1)
        await world.record(A)
        await world.until_row("SELECT 1 FROM lanes WHERE position = (SELECT max(position) FROM event_log)")
    assert [got.event["data"]["action"] for got in box.got] == ["accept"]


async def test_a_thin_subscription_gets_ids_and_the_url_of_the_event(world: World) -> None:
    async with inbox() as box, world.running():
        await world.subscribe(box.url, mode="thin")
        await world.record(A)
        await box.until_received(1)
    event = box.ok[0].event
    assert event["data"] == {"lead_id": ids.show("lead", A)}
    assert event["url"] == f"/v1/events/{event['id']}"


async def test_a_receiver_that_hangs_does_not_delay_another(world: World) -> None:
    release = asyncio.Event()

    async def stuck(_: Got) -> int:
        await release.wait()
        return 204

    async with inbox(stuck) as dead, inbox() as good, world.running():
        await world.subscribe(dead.url, Limits(timeout_seconds=20))
        await world.subscribe(good.url)
        count = await world.record_many(LEADS, 6)
        await dead.until(lambda box: len(box.got) == 8)
        await good.until_received(count)
        assert len(dead.got) == 8
        release.set()
        await dead.until_received(count)


async def test_events_recorded_while_paused_need_no_rows_and_are_delivered_after_the_resume(world: World) -> None:
    async with inbox() as box, world.running():
        subscription_id, _ = await world.subscribe(box.url)
        async with world.context() as context:
            await subscribe.pause(context, subscription_id, None)
        await world.record_many(LEADS, 10)
        await world.until_row("SELECT 1 FROM event_log HAVING count(*) = 200")
        assert await world.states() == {}
        async with world.context() as context:
            await subscribe.resume(context, subscription_id, None)
        await box.until_received(200)


async def test_lost_database_connections_cause_only_a_bounded_number_of_duplicates(world: World) -> None:
    async with inbox() as box, world.running():
        await world.subscribe(box.url)
        count = await world.record_many(LEADS, 30)
        await box.until_received(100)
        await world.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            " AND datname = current_database()"
        )
        await box.until_received(count)
    assert box.in_order()
    assert box.one_body_for_each_id()
    assert sum(Counter(got.id for got in box.got).values()) - count <= 8 + 64


async def test_two_dispatchers_share_subscriptions_and_send_nothing_twice(world: World) -> None:
    boxes: list[Any] = []
    async with inbox() as one, inbox() as two, inbox() as three, world.running(dispatchers=2):
        boxes += [one, two, three]
        for box in boxes:
            await world.subscribe(box.url)
        count = await world.record_many(LEADS, 20)
        for box in boxes:
            await box.until_received(count)
    assert all(len(box.got) == count and box.in_order() for box in boxes)
