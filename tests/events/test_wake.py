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
    return wake.generation(topic) != seen  # type: ignore[arg-type]


async def test_a_topic_set_between_reading_the_counter_and_waiting_is_not_missed() -> None:
    wake = Wake("postgresql://nowhere")
    seen = wake.generation("events")
    wake.set("events")
    assert await woken(wake, "events", seen, 0.01)
    assert not await woken(wake, "log", wake.generation("log"), 0.01)


async def test_all_waiting_tasks_are_woken() -> None:
    wake = Wake("postgresql://nowhere")
    waiting = [asyncio.create_task(woken(wake, topic, 0)) for topic in ("submissions", "events") for _ in range(3)]
    await asyncio.sleep(0)
    wake.set()
    assert await asyncio.gather(*waiting) == [True] * 6


async def listening(*wakes: Wake) -> None:
    """Wait until these listen to every topic; a topic is triggered when listening to it starts."""
    await until(lambda: all(wake.generation(TOPICS[-1]) for wake in wakes), "all of them listen")


async def test_another_process_is_woken_and_a_burst_is_sent_as_few_notifications(dsn: str) -> None:
    mine, theirs = Wake(dsn), Wake(dsn)
    pids: list[int] = []  # PIDs of the backends that sent the notifications
    watch = await asyncpg.connect(dsn)
    await watch.add_listener("baton_events", lambda _, pid, *__: pids.append(pid))
    async with running(mine, theirs):
        await listening(mine, theirs)
        seen, own = theirs.generation("events"), mine.generation("events")
        for _ in range(1000):
            mine.set("events")
        assert await woken(theirs, "events", seen)
        # Notifications arrive in order: after this one none of the burst is still to come.
        await watch.execute("SELECT pg_notify('baton_events', '')")
        await until(lambda: watch.get_server_pid() in pids and mine.generation("events") > own + 1000)
        assert mine.generation("events") == own + 1001, "a process does not wake itself twice"
    assert 1 <= len(pids) - 1 <= 3
    await watch.close()


async def test_after_a_lost_connection_it_reconnects_and_wakes_everyone_once(dsn: str) -> None:
    wake = Wake(dsn)
    async with running(wake):
        await listening(wake)
        seen = wake.generation("events")
        admin = await asyncpg.connect(dsn)
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND query LIKE 'LISTEN%'"
        )
        assert await woken(wake, "events", seen), "reconnecting wakes, since notifications may have been lost"
        seen = wake.generation("events")
        await admin.execute("SELECT pg_notify('baton_events', '')")
        assert await woken(wake, "events", seen)
        await admin.close()


async def test_within_returns_whether_the_work_finished() -> None:
    assert await within(TIMEOUT_SECONDS, asyncio.sleep(0))
    assert not await within(0.01, asyncio.Event().wait())
