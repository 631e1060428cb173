"""Wake-ups inside a process and between processes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from app.events.wake import TOPICS, Wake, within
from tests.waiting import TIMEOUT_SECONDS, until


@asynccontextmanager
async def running(*wakes: Wake) -> AsyncIterator[None]:
    stop = asyncio.Event()
    tasks = [asyncio.create_task(wake.run(stop)) for wake in wakes]
    yield
    stop.set()
    await asyncio.wait_for(asyncio.gather(*tasks), TIMEOUT_SECONDS)


async def woken(wake: Wake, topic: str, seen: int, seconds: float = TIMEOUT_SECONDS) -> bool:
    await wake.wait(topic, seen, seconds)  # type: ignore[arg-type]
    return wake.seen(topic) != seen  # type: ignore[arg-type]


async def test_a_flag_set_between_looking_and_waiting_is_not_missed() -> None:
    wake = Wake("postgresql://nowhere")
    seen = wake.seen("events")
    wake.set("events")
    assert await woken(wake, "events", seen, 0.01)
    assert not await woken(wake, "log", wake.seen("log"), 0.01)


async def test_everybody_who_waits_is_woken() -> None:
    wake = Wake("postgresql://nowhere")
    waiting = [asyncio.create_task(woken(wake, topic, 0)) for topic in ("submissions", "events") for _ in range(3)]
    await asyncio.sleep(0)
    wake.set()
    assert await asyncio.gather(*waiting) == [True] * 6


async def listening(*wakes: Wake) -> None:
    """Until these listen to every topic: each topic is raised once it is listened to, the last one last."""
    await until(lambda: all(wake.seen(TOPICS[-1]) for wake in wakes), "somebody listens")


async def test_another_process_is_woken_and_bursts_are_told_together(dsn: str) -> None:
    mine, theirs = Wake(dsn), Wake(dsn)
    heard: list[int] = []  # process ids of the servers' sessions that told
    watch = await asyncpg.connect(dsn)
    await watch.add_listener("baton_events", lambda _, pid, *__: heard.append(pid))
    async with running(mine, theirs):
        await listening(mine, theirs)
        seen, own = theirs.seen("events"), mine.seen("events")
        for _ in range(1000):
            mine.set("events")
        assert await woken(theirs, "events", seen)
        # What was told comes in order: after this one nothing of the burst is on its way any more.
        await watch.execute("SELECT pg_notify('baton_events', '')")
        await until(lambda: watch.get_server_pid() in heard and mine.seen("events") > own + 1000)
        assert mine.seen("events") == own + 1001, "a process does not wake itself twice"
    assert 1 <= len(heard) - 1 <= 3
    await watch.close()


async def test_a_lost_connection_is_made_again_and_its_silence_is_made_good(dsn: str) -> None:
    wake = Wake(dsn)
    async with running(wake):
        await listening(wake)
        seen = wake.seen("events")
        killer = await asyncpg.connect(dsn)
        await killer.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
        assert await woken(wake, "events", seen), "after a gap it looks again"
        seen = wake.seen("events")
        await killer.execute("SELECT pg_notify('baton_events', '')")
        assert await woken(wake, "events", seen)
        await killer.close()


async def test_within_says_whether_it_ended() -> None:
    assert await within(1, asyncio.sleep(0))
    assert not await within(0.01, asyncio.sleep(5))
