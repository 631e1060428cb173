"""Replays whose dispatchers are killed: nothing is missed or out of order, few events are sent twice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text

from app import ids
from app.webhooks.replays import replay
from app.webhooks.replays.schemas import ReplayCreate
from app.webhooks.replays.window import share_of
from app.webhooks.schemas import Limits
from tests.webhooks.conftest import Got, Inbox, World, inbox
from tests.webhooks.test_crash import dispatcher

EVENTS, KILLS, CONCURRENCY, UNFLUSHED = 20_000, 3, 64, 64
LEADS = [ids.new_id() for _ in range(100)]
NEW = [ids.new_id() for _ in range(10)]


async def delayed(_: Got) -> int:
    await asyncio.sleep(0.004)
    return 204


async def until_ok(box: Inbox, count: int) -> None:
    await box.until(lambda box: len(box.ok) >= count)


async def test_killed_dispatchers_miss_nothing_of_a_replay_and_live_events_go_on(world: World) -> None:
    limits = Limits(timeout_seconds=20, concurrency=CONCURRENCY)
    async with inbox(delayed) as box, world.running(dispatchers=0):
        await world.record_many(LEADS, EVENTS // len(LEADS))
        await world.until_row("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pending)")
        subscription_id, _ = await world.subscribe(box.url, limits)
        async with world.engine.begin() as tx:
            created = (tx, world.tenant_id, subscription_id, ReplayCreate(), datetime.now(UTC))
            await replay.create(*created)
        live = 0
        for kill in range(1, KILLS + 1):
            async with dispatcher(world) as process:
                await until_ok(box, kill * EVENTS // (KILLS + 1))
                live += await world.record_many(NEW, 2)
                process.kill()
            async with world.engine.begin() as tx:
                await tx.execute(text("UPDATE lanes SET lease_until = now()"))
        async with dispatcher(world):
            done: Any = await world.until_row("SELECT * FROM replays WHERE state = 'done'")
            await world.until_row("SELECT 1 FROM lanes WHERE position = (SELECT max(position) FROM event_log)")
    replayed = [got for got in box.ok if "webhook-replay" in got.headers]
    assert len({got.id for got in replayed}) == EVENTS
    assert (done.sent, done.failed, done.position, done.ahead) == (EVENTS, 0, done.to_position, [])
    assert len(replayed) - EVENTS <= KILLS * (share_of(CONCURRENCY) + UNFLUSHED)
    assert len({got.id for got in box.ok if "webhook-replay" not in got.headers}) == live
    assert box.in_order()
    assert box.one_body_for_each_id()


async def test_a_dispatcher_that_lost_the_lane_writes_nothing_of_a_replay(world: World) -> None:
    answer = asyncio.Event()

    async def slow(_: Got) -> int:
        await answer.wait()
        return 204

    async with inbox(slow) as box, world.running():
        await world.record(LEADS[0])
        await world.until_row("SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM pending)")
        subscription_id, _ = await world.subscribe(box.url, Limits(timeout_seconds=20))
        async with world.engine.begin() as tx:
            created = (tx, world.tenant_id, subscription_id, ReplayCreate(), datetime.now(UTC))
            await replay.create(*created)
        await box.until(lambda box: len(box.got) == 1)
        async with world.engine.begin() as tx:  # another process claims it
            await tx.execute(
                text(
                    "UPDATE lanes SET fence = fence + 1, owner = gen_random_uuid(),"
                    " lease_until = now() + interval '1 hour'"
                )
            )
        answer.set()
        await asyncio.sleep(1.5)
        [row] = await world.rows("SELECT state, sent, position, after_position FROM replays")
        assert (row.state, row.sent, row.position) == ("running", 0, row.after_position)
        assert await world.rows("SELECT 1 FROM attempts") == []
