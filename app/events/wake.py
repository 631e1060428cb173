"""Wake-ups: a flag inside the process, and a hint to the others at most every 20 ms, after commit and never inside it.

A NOTIFY in the business transaction takes a database-wide lock until commit, so one task sends it on a connection of
its own. It carries nothing and may be lost: whoever waits looks again after a second at the latest.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, Literal, get_args

import asyncpg
import structlog

log = structlog.get_logger("baton.wake")

# submissions: something was received; events: something was written; log: something got its position.
Topic = Literal["submissions", "events", "log"]
TOPICS: Final[tuple[Topic, ...]] = get_args(Topic)
WRITTEN: Final[tuple[Topic, ...]] = ("submissions", "events")
APART_SECONDS: Final = 0.02
AGAIN_SECONDS: Final = 1.0
FAULTS: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)


class Wake:
    """Made once a process. Everything works without `run`; other processes then learn of it by looking."""

    def __init__(self, url: str) -> None:
        self._dsn = url.replace("postgresql+asyncpg://", "postgresql://", 1)
        self._generation: dict[Topic, int] = dict.fromkeys(TOPICS, 0)
        self._changed: dict[Topic, asyncio.Event] = {topic: asyncio.Event() for topic in TOPICS}
        self._untold: set[Topic] = set()
        self._to_tell = asyncio.Event()

    def set(self, *topics: Topic) -> None:
        """Say after a commit that there is work; without topics that anything may have been written."""
        for topic in topics or WRITTEN:
            self._raise(topic)
            self._untold.add(topic)
        self._to_tell.set()

    def seen(self, topic: Topic) -> int:
        """What to hand to `wait`: read it before looking for work, so that nothing between is missed."""
        return self._generation[topic]

    async def wait(self, topic: Topic, seen: int, seconds: float) -> None:
        """Return when the topic was set after `seen`, or after `seconds`."""
        if self._generation[topic] == seen:
            await within(seconds, self._changed[topic].wait())

    async def run(self, stop: asyncio.Event) -> None:
        """Tell other processes and listen to them until `stop`, which wakes everybody."""
        while not stop.is_set():
            try:
                await self._talk(stop)
            except FAULTS as fault:
                log.warning("wake_disconnected", error=type(fault).__name__)
                await within(AGAIN_SECONDS, stop.wait())
        for topic in TOPICS:
            self._raise(topic)

    async def _talk(self, stop: asyncio.Event) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=5, command_timeout=5)
        try:
            await self._listen(connection)
            while not stop.is_set() and not connection.is_closed():
                await first_of(self._to_tell.wait(), stop.wait())
                self._to_tell.clear()
                await self._tell(connection)
                await within(APART_SECONDS, stop.wait())
        finally:
            connection.terminate()

    async def _listen(self, connection: asyncpg.Connection) -> None:
        own = connection.get_server_pid()

        def hear(_: object, pid: int, channel: str, __: object) -> None:
            if pid != own:
                self._raise(_topic(channel))

        for topic in TOPICS:
            await connection.add_listener(_channel(topic), hear)
            self._raise(topic)  # what was said before we listened
        connection.add_termination_listener(lambda _: self._to_tell.set())

    async def _tell(self, connection: asyncpg.Connection) -> None:
        topics, self._untold = self._untold, set()
        for topic in topics:
            await connection.execute("SELECT pg_notify($1, '')", _channel(topic))

    def _raise(self, topic: Topic) -> None:
        self._generation[topic] += 1
        self._changed[topic].set()
        self._changed[topic] = asyncio.Event()


def _channel(topic: Topic) -> str:
    return f"baton_{topic}"


def _topic(channel: str) -> Topic:
    return next(topic for topic in TOPICS if _channel(topic) == channel)


async def within(seconds: float, work: Coroutine[Any, Any, Any]) -> bool:
    """Await `work` for at most `seconds`; whether it ended."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        return False
    return True


async def first_of(*works: Coroutine[Any, Any, Any]) -> None:
    """Return when one of them ends; the others are cancelled."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
