"""Three dispatchers on one database that are killed and suspended: what receivers see, and who may write."""

from __future__ import annotations

import asyncio
import random
import signal
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from sqlalchemy import text

from app import ids
from app.webhooks.schemas import Limits
from tests.guarantees.writes import forbidden, note_writes, owners
from tests.waiting import until
from tests.webhooks.conftest import RETRIES, Answer, Got, Inbox, World, inbox
from tests.webhooks.test_crash import LONG, SHORT, delayed, dispatcher

LEADS = [ids.new_id() for _ in range(12)]
SUBSCRIPTIONS, ROUNDS, KILLS = 4, 15, 3


@asynccontextmanager
async def inboxes(world: World, answer: Answer, limits: Limits) -> AsyncIterator[list[Inbox]]:
    """Receivers with a subscription each."""
    async with AsyncExitStack() as stack:
        boxes = [await stack.enter_async_context(inbox(answer)) for _ in range(SUBSCRIPTIONS)]
        for box in boxes:
            await world.subscribe(box.url, limits)
        yield boxes


async def start(stack: AsyncExitStack, world: World, lease: float) -> tuple[str, Process]:
    process = await stack.enter_async_context(dispatcher(world, lease))
    return f"dispatcher {process.pid}", process


async def owner_of_a_lane(world: World, running: Mapping[str, Process]) -> str:
    """One of the running processes, which has claimed a lane."""
    found: list[str] = []

    async def known() -> bool:
        found[:] = [name for name in (await owners(world)).values() if name in running]
        return bool(found)

    await until(known, "one of the processes has a lane")
    return found[0]


async def test_each_lead_stays_in_order_over_three_dispatchers_that_are_killed_while_answers_fail_and_stall(
    world: World,
) -> None:
    chance, killed = random.Random(14), asyncio.Event()
    stalled: set[str] = set()

    async def unreliable(got: Got) -> int:
        await asyncio.sleep(chance.uniform(0, 0.01))
        receiver = got.headers["webhook-subscription"]
        if receiver not in stalled and chance.random() < 0.05:
            stalled.add(receiver)
            await killed.wait()  # in flight when the process is killed, unless the timeout comes first
            stalled.discard(receiver)
        return 500 if chance.random() < 0.08 else 204

    await note_writes(world)
    limits = Limits(timeout_seconds=20, retry_schedule=RETRIES)
    async with inboxes(world, unreliable, limits) as boxes, world.running(dispatchers=0), AsyncExitStack() as stack:
        running = dict([await start(stack, world, LONG) for _ in range(3)])
        count = 0
        for kill in range(1, KILLS + 1):
            count += (added := await world.record_many(LEADS, ROUNDS))
            await boxes[kill % SUBSCRIPTIONS].until_received(count - added // 2)
            owner = await owner_of_a_lane(world, running)
            running.pop(owner).kill()
            killed.set()
            async with world.engine.begin() as tx:  # as if the lease of the killed process had expired
                await tx.execute(text("UPDATE lanes SET lease_until = now()"))
            running |= [await start(stack, world, LONG)]
            if kill < KILLS:
                killed.clear()
        for box in boxes:
            await box.until_received(count)
    assert all(box.in_order() for box in boxes)
    assert all(box.one_body_for_each_id() for box in boxes)
    assert any(len(box.got) > len(box.ok) for box in boxes), "some answers failed"
    assert await forbidden(world) == []


async def test_of_three_dispatchers_one_that_was_suspended_past_its_lease_writes_nothing_that_it_may_not(
    world: World,
) -> None:
    await note_writes(world)
    limits = Limits(timeout_seconds=4, retry_schedule=RETRIES)
    async with inboxes(world, delayed, limits) as boxes, world.running(dispatchers=0), AsyncExitStack() as stack:
        running: dict[str, Process] = dict([await start(stack, world, SHORT) for _ in range(3)])
        count = await world.record_many(LEADS, ROUNDS)
        await boxes[0].until_received(count // 3)
        suspended = await owner_of_a_lane(world, running)
        running[suspended].send_signal(signal.SIGSTOP)
        await until_owned_by_others(world, suspended)
        for box in boxes:
            await box.until_received(count)
        [continued] = await world.rows("SELECT clock_timestamp() AS at")
        running[suspended].send_signal(signal.SIGCONT)
        count += await world.record_many(LEADS, 3)
        await until_it_asked_again(world, suspended, continued.at)
        for box in boxes:
            await box.until_received(count)
        assert [process.returncode for process in running.values()] == [None] * 3
    assert await forbidden(world) == []
    assert all(box.in_order() for box in boxes)


async def until_owned_by_others(world: World, suspended: str) -> None:
    async def taken_over() -> bool:
        return suspended not in (await owners(world)).values()

    await until(taken_over, "others have claimed the lanes")


async def until_it_asked_again(world: World, name: str, since: Any) -> None:
    """Wait until each of the process's connections that it uses to claim and renew has been used since then."""

    async def asked() -> bool:
        used = await world.rows(
            "SELECT max(query_start) AS at FROM pg_stat_activity WHERE application_name = :name", name=name
        )
        return used[0].at is not None and (used[0].at - since).total_seconds() > SHORT / 6

    await until(asked, f"{name} asked the database again")
