"""A process that is killed again and again while writers go on: its streams miss nothing and get nothing twice."""

from __future__ import annotations

import asyncio
import signal

import aiohttp

from app import ids
from app.events.partitions import create_partitions
from app.events.record import NewEvent, record_events
from app.events.sequence import sequence
from tests.api import Api
from tests.bootstrap.test_serve import Start, start  # noqa: F401
from tests.events.conftest import NOW
from tests.events.listening import Listener, Streams
from tests.waiting import until
from tests.web.test_gather_killed import KEYS

KILLS = 2


async def test_streams_of_a_killed_process_go_on_in_the_next_one_with_every_event_once(
    api: Api,
    dsn: str,
    start: Start,  # noqa: F811
) -> None:
    settings = {"BATON_DATABASE_URL": dsn, "BATON_SECRET_KEYS": KEYS, "BATON_ROLES": "api"}
    engine, tenant_id = api.app.state.engine, ids.read("tenant", (await api.get("/v1/me"))["tenant"]["id"])
    await create_partitions(engine)
    stop, written = asyncio.Event(), list[str]()

    async def write() -> None:
        while not stop.is_set():
            async with engine.begin() as tx:
                news = [NewEvent("lead.updated", {}, NOW, ids.new_id(), 1)] * 3
                written.extend(ids.show("event", each) for each in await record_events(tx, tenant_id, news, NOW))
            await sequence(engine)
            await asyncio.sleep(0.01)

    writer = asyncio.create_task(write())
    seen: list[list[str]] = [[] for _ in range(5)]
    last: list[str | None] = [None] * len(seen)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:

        async def until_further(listeners: list[Listener], goal: int) -> None:
            for mine, listener in zip(seen, listeners, strict=True):
                await until(lambda mine=mine, one=listener: len(mine) + len(one.events) >= goal)  # type: ignore[misc]

        for run in range(KILLS + 1):
            served = await asyncio.to_thread(start("serve", **settings).ready)
            each = Streams(session, served.address, api.key)
            listeners = [await each.open(last=place, after="earliest") for place in last]
            await until_further(listeners, len(written) + 20)
            if run == KILLS:
                stop.set()
                await writer
                await sequence(engine)
                await until_further(listeners, len(written))
            served.process.send_signal(signal.SIGKILL)
            for listener in listeners:
                await until(lambda one=listener: one.ended)  # type: ignore[misc]
            for number, listener in enumerate(listeners):
                seen[number] += [block.data["id"] for block in listener.events]
                last[number] = listener.last_id
    for mine in seen:
        ours = [event for event in mine if event in set(written)]
        assert sorted(ours) == sorted(written), "each once"
