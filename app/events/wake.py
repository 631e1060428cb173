"""Wake tasks that wait for work: by an asyncio.Event in this process, by NOTIFY (at most every 20 ms) in others.

NOTIFY inside the business transaction would take a database-wide lock until commit, so one task sends it after the
commit on its own connection. A notification has no payload and may be lost: every waiting task also polls each second.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, Literal, get_args

import asyncpg
import structlog

from app.database.connection import Connector

log = structlog.get_logger("baton.wake")

# submissions: a submission waits to be processed; checks: one waits for its bot check; events: an event was recorded;
# log: an event got its position.
Topic = Literal["submissions", "checks", "events", "log"]
TOPICS: Final[tuple[Topic, ...]] = get_args(Topic)
WRITTEN: Final[tuple[Topic, ...]] = ("submissions", "events")
NOTIFY_SECONDS: Final = 0.02
RECONNECT_SECONDS: Final = 1.0
POLLS_ONLY: Final = (
    "BATON_LISTEN_URL is not set: behind a pooler other processes are asked for new work each second; set it to the"
    " address of PostgreSQL itself to be told at once"
)
FAULTS: Final = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError)


class Wake:
    """One per process. Without `run` other processes are not notified and find new work by polling.

    `url` leads to PostgreSQL itself: a pooler forgets LISTEN. None where only a pooler is known.
    """

    def __init__(self, url: str | None) -> None:
        self._connect = Connector(url, {"application_name": "baton wake"}, command_timeout=5) if url else None
        self._generations: dict[Topic, int] = dict.fromkeys(TOPICS, 0)
        self._changed: dict[Topic, asyncio.Event] = {topic: asyncio.Event() for topic in TOPICS}
        self._unsent: set[Topic] = set()
        self._send = asyncio.Event()

    def set(self, *topics: Topic) -> None:
        """Call after a commit: wakes everyone who waits for `topics`, by default for submissions and events."""
        for topic in topics or WRITTEN:
            self._trigger(topic)
            self._unsent.add(topic)
        self._send.set()

    def generation(self, topic: Topic) -> int:
        """The counter to pass to `wait`; read it before querying for work, so that no wake-up in between is missed."""
        return self._generations[topic]

    async def wait(self, topic: Topic, seen: int, seconds: float) -> None:
        """Return when the topic was set after `seen` was read, or after `seconds`."""
        if self._generations[topic] == seen:
            await within(seconds, self._changed[topic].wait())

    async def run(self, stop: asyncio.Event) -> None:
        """Notify other processes and listen to them until `stop`; then wake every waiting task."""
        if self._connect is None:
            log.warning("wake_polls_only", reason=POLLS_ONLY)
            await stop.wait()
        while self._connect is not None and not stop.is_set():
            try:
                await self._run_connection(self._connect, stop)
            except FAULTS as fault:
                log.warning("wake_disconnected", error=type(fault).__name__)
                await within(RECONNECT_SECONDS, stop.wait())
        for topic in TOPICS:
            self._trigger(topic)

    async def _run_connection(self, connect: Connector, stop: asyncio.Event) -> None:
        connection = await connect()
        try:
            await self._listen(connection)
            while not stop.is_set() and not connection.is_closed():
                await first_of(self._send.wait(), stop.wait())
                self._send.clear()
                await self._notify(connection)
                await within(NOTIFY_SECONDS, stop.wait())
        finally:
            connection.terminate()

    async def _listen(self, connection: asyncpg.Connection) -> None:
        own = connection.get_server_pid()

        def on_notify(_: object, pid: int, channel: str, __: object) -> None:
            if pid != own:
                self._trigger(_topic(channel))

        for topic in TOPICS:
            await connection.add_listener(_channel(topic), on_notify)
            self._trigger(topic)  # notifications sent before we listened are lost
        connection.add_termination_listener(lambda _: self._send.set())

    async def _notify(self, connection: asyncpg.Connection) -> None:
        topics, self._unsent = self._unsent, set()
        for topic in topics:
            await connection.execute("SELECT pg_notify($1, '')", _channel(topic))

    def _trigger(self, topic: Topic) -> None:
        self._generations[topic] += 1
        self._changed[topic].set()
        self._changed[topic] = asyncio.Event()


def _channel(topic: Topic) -> str:
    return f"baton_{topic}"


def _topic(channel: str) -> Topic:
    return next(topic for topic in TOPICS if _channel(topic) == channel)


async def within(seconds: float, work: Coroutine[Any, Any, Any]) -> bool:
    """Await `work` for at most `seconds`; whether it finished in time."""
    try:
        async with asyncio.timeout(seconds):
            await work
    except TimeoutError:
        return False
    return True


async def first_of(*works: Coroutine[Any, Any, Any]) -> None:
    """Return when the first of them ends; cancel the others."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
