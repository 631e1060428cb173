"""Dispatchers that are killed, suspended or lose their lanes: nothing is lost or out of order, few duplicates."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from sqlalchemy import text

from app import ids
from app.webhooks import across
from app.webhooks.lane import Changes
from app.webhooks.schemas import Limits
from tests.waiting import TIMEOUT_SECONDS, until
from tests.webhooks.conftest import RETRIES, Got, Inbox, World, inbox

LEADS = [ids.new_id() for _ in range(20)]
LONG, SHORT = 600.0, 6.0  # seconds of a lease: one that does not expire during a test, and one that does
CONCURRENCY, UNFLUSHED = 8, 64
LIMITS = Limits(timeout_seconds=20, retry_schedule=RETRIES)
ALL_WRITTEN = (
    "SELECT 1 FROM lanes WHERE position = (SELECT max(position) FROM event_log)"
    " AND NOT EXISTS (SELECT 1 FROM delivery_retries)"
)


@asynccontextmanager
async def dispatcher(world: World, lease: float = LONG) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.webhooks.dispatcher", world.url, str(lease), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), TIMEOUT_SECONDS) == b"running\n"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def delayed(_: Got) -> int:
    await asyncio.sleep(0.004)
    return 204


def duplicates(box: Inbox) -> int:
    return len(box.ok) - len({got.id for got in box.ok})


async def test_killed_dispatchers_lose_nothing_and_keep_each_lead_in_order(world: World) -> None:
    kills = 2
    async with inbox(delayed) as box, world.running(dispatchers=0):
        _, secret = await world.subscribe(box.url, LIMITS)
        count = await world.record_many(LEADS, 40)
        for kill in range(1, kills + 1):
            async with dispatcher(world) as process:
                await box.until_received(kill * count // (kills + 1))
                process.kill()
            async with world.context() as context:
                await context.tx.execute(text("UPDATE lanes SET lease_until = now()"))
        async with dispatcher(world) as last:
            await box.until_received(count)
            await world.until_row(ALL_WRITTEN)
            last.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(last.wait(), TIMEOUT_SECONDS) == 0
    assert box.in_order()
    assert box.one_body_for_each_id()
    assert box.all_verify(secret)
    assert duplicates(box) <= kills * (CONCURRENCY + UNFLUSHED)
    assert await world.states() == {}


async def test_deliveries_beyond_a_slow_lead_are_not_repeated_after_a_kill(world: World) -> None:
    killed = asyncio.Event()

    async def slow(got: Got) -> int:
        if got.lead == ids.show("lead", LEADS[0]):
            await killed.wait()
        return 204

    async with inbox(slow) as box, world.running(dispatchers=0):
        await world.subscribe(box.url, LIMITS)
        await world.record(LEADS[0], LEADS[0])
        count = await world.record_many(LEADS[1:], 6)
        async with dispatcher(world) as process:
            await box.until_received(count)
            await world.until_row(f"SELECT 1 FROM attempts HAVING count(*) = {count}")
            process.kill()
        killed.set()
        async with world.context() as context:
            await context.tx.execute(text("UPDATE lanes SET lease_until = now()"))
        async with dispatcher(world):
            await box.until_received(count + 2)
            await world.until_row(ALL_WRITTEN)
    assert len(box.got) == count + 3, "two of the slow lead, and one that was in flight when the process was killed"


async def test_a_dispatcher_suspended_past_its_lease_writes_nothing_when_it_continues(world: World) -> None:
    async with inbox(delayed) as box, world.running(dispatchers=0):
        await world.subscribe(box.url, Limits(timeout_seconds=4, retry_schedule=RETRIES))
        count = await world.record_many(LEADS, 30)
        async with dispatcher(world, SHORT) as suspended:
            await box.until_received(count // 3)
            suspended.send_signal(signal.SIGSTOP)
            [before] = await world.rows("SELECT fence, owner FROM lanes")
            async with dispatcher(world) as other:
                await box.until_received(count)
                await world.until_row(ALL_WRITTEN)
                [after] = await world.rows("SELECT fence, owner FROM lanes")
                attempts = (await world.rows("SELECT count(*) AS n FROM attempts"))[0].n
                sent = len(box.got)
                suspended.send_signal(signal.SIGCONT)
                await asyncio.sleep(1.5)
                [still] = await world.rows("SELECT fence, owner FROM lanes")
                assert (await world.rows("SELECT count(*) AS n FROM attempts"))[0].n == attempts
                assert len(box.got) <= sent + CONCURRENCY, "only requests that were in flight already"
                assert after.fence > before.fence
                assert after.owner != before.owner
                assert (still.fence, still.owner) == (after.fence, after.owner)
                await world.record_many(LEADS, 1)
                await box.until_received(count + len(LEADS))
                assert other.returncode is None
    assert box.in_order()
    assert duplicates(box) <= CONCURRENCY + UNFLUSHED


async def test_a_lane_claimed_by_another_is_dropped_and_nothing_more_is_sent(world: World) -> None:
    claimed = asyncio.Event()

    async def until_claimed(got: Got) -> int:
        if len(box.got) > 100:
            await claimed.wait()
        return await delayed(got)

    async with inbox(until_claimed) as box, world.running(dispatchers=0), world.dispatcher() as loser:
        await world.subscribe(box.url, LIMITS)
        count = await world.record_many(LEADS, 30)
        await world.until_row(f"SELECT 1 FROM event_log HAVING count(*) = {count}")
        await loser.claim()
        await box.until_received(100)
        new_owner = ids.new_id()
        async with world.context() as context:
            await context.tx.execute(
                text("UPDATE lanes SET fence = fence + 1, owner = :new_owner, lease_until = now() + interval '1 hour'"),
                {"new_owner": new_owner},
            )
        claimed.set()
        await until(lambda: not loser.lanes, "the lane is dropped")
        sent = len(box.got)
        assert sent < count
        await asyncio.sleep(0.3)
        assert len(box.got) == sent
        [lane] = await world.rows("SELECT owner, position FROM lanes")
        assert lane.owner == new_owner


async def test_a_lane_has_one_owner_and_a_renewal_requires_the_current_fence(world: World) -> None:
    first, second = ids.new_id(), ids.new_id()
    async with inbox() as box, world.running(dispatchers=0):
        subscription_id, _ = await world.subscribe(box.url)
        await world.record(LEADS[0])
        await world.until_row("SELECT 1 FROM event_log")
    async with world.engine.begin() as tx:
        [lane] = await across.claim_lanes(tx, first, [], LONG, 10)
        assert lane.subscription_id == subscription_id
    async with world.engine.begin() as tx:
        assert await across.claim_lanes(tx, second, [], LONG, 10) == []
        assert await across.claim_lanes(tx, first, [(subscription_id, 0)], LONG, 10) == []
        lanes = [(world.tenant_id, subscription_id, 0, lane.fence)]
        assert len(await across.renew_lanes(tx, first, lanes, LONG)) == 1
        assert await across.renew_lanes(tx, second, lanes, LONG) == []
        assert await across.renew_lanes(tx, first, [(*lanes[0][:3], lane.fence - 1)], LONG) == []
    async with world.engine.begin() as tx:
        [again] = await across.claim_lanes(tx, first, [], LONG, 10)
        assert again.fence == lane.fence + 1


async def test_a_renewal_that_comes_after_the_release_does_not_take_the_lane_back(world: World) -> None:
    first, second = ids.new_id(), ids.new_id()
    async with inbox() as box, world.running(dispatchers=0):
        subscription_id, _ = await world.subscribe(box.url)
        await world.record(LEADS[0])
        await world.until_row("SELECT 1 FROM event_log")
    async with world.engine.begin() as tx:
        [lane] = await across.claim_lanes(tx, first, [], LONG, 10)
        lanes = [(world.tenant_id, subscription_id, 0, lane.fence)]
        assert await across.advance_lanes(tx, lanes, [Changes(release=True)]) != [None]
    async with world.engine.begin() as tx:
        assert await across.renew_lanes(tx, first, lanes, LONG) == []
        assert len(await across.claim_lanes(tx, second, [], LONG, 10)) == 1


async def test_a_lane_without_work_is_not_claimed(world: World) -> None:
    async with inbox() as box:
        await world.subscribe(box.url)
    async with world.engine.begin() as tx:
        assert await across.claim_lanes(tx, ids.new_id(), [], LONG, 10) == []
