"""Publish to brokers: connections are made when they are needed, shared by all lanes of a process, closed when idle."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Final

from app.webhooks.brokers.connection import Connection, Dialer, fault_kind
from app.webhooks.brokers.kafka import connect_to_kafka
from app.webhooks.brokers.nats import connect_to_nats
from app.webhooks.credentials import Credentials
from app.webhooks.message import Message
from app.webhooks.retry import Outcome
from app.webhooks.sinks import Sink, sink_of

IDLE_SECONDS: Final = 60.0
CLOSE_SECONDS: Final = 2.0
FAULTS: Final = (OSError, EOFError, ValueError)

Place = tuple[str, bool, tuple[tuple[str, int], ...], Credentials | None]


@dataclass(slots=True, eq=False)
class Line:
    """A connection that is being made or stands, and how many messages are in flight on it.

    `retired`: it takes no more messages, and is closed after the last one.
    """

    opening: asyncio.Task[Connection]
    in_flight: int = 0
    used_at: float = field(default_factory=time.monotonic)
    retired: bool = False

    @property
    def usable(self) -> bool:
        if not self.opening.done():
            return True
        return not self.opening.cancelled() and self.opening.exception() is None and self.opening.result().usable

    def idle(self, now: float) -> bool:
        """Whether it was used by nothing for a minute; `now` is of the monotonic clock."""
        return not self.in_flight and now - self.used_at >= IDLE_SECONDS


class Brokers:
    """The connections of a process to brokers. Close it at the end."""

    def __init__(self, dialer: Dialer) -> None:
        self._dialer = dialer
        self._lines: dict[Place, Line] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._sweep_at: asyncio.TimerHandle | None = None

    async def send(self, message: Message) -> Outcome:
        """Send once, and wait for the acknowledgement. Errors are returned as an Outcome, not raised."""
        sink, began, connecting = sink_of(message.url), time.monotonic(), True
        line = self._line(sink, message.credentials)
        line.in_flight += 1
        try:
            async with asyncio.timeout(message.timeout_seconds):
                connection = await asyncio.shield(line.opening)
                connecting = False
                answer = await connection.publish(
                    sink.destination_of(message.tenant, message.lead, message.type), message
                )
            return Outcome(answer.code, answer.error, _ms(began), head=answer.head)
        except FAULTS as fault:
            self._retire(line)  # where one message got no answer, the next ones may get none either
            return Outcome(None, fault_kind(fault, connecting), _ms(began))
        finally:
            line.in_flight -= 1
            line.used_at = time.monotonic()
            if line.retired:
                self._retire(line)

    async def close(self) -> None:
        """Close every connection."""
        if self._sweep_at is not None:
            self._sweep_at.cancel()
        for line in list(self._lines.values()):
            self._retire(line, at_once=True)
        await asyncio.gather(*self._closing)

    def _line(self, sink: Sink, credentials: Credentials | None) -> Line:
        """A usable line to this broker with these credentials; a new one where there is none."""
        place = sink.kind, sink.tls, sink.hosts, credentials
        line = self._lines.get(place)
        if line is None or not line.usable:
            if line is not None:
                self._retire(line)
            line = self._lines[place] = Line(asyncio.create_task(self._connect(sink, credentials)))
            self._sweep_at = self._sweep_at or asyncio.get_running_loop().call_later(IDLE_SECONDS, self._sweep)
        return line

    async def _connect(self, sink: Sink, credentials: Credentials | None) -> Connection:
        connect = connect_to_kafka if sink.kind == "kafka" else connect_to_nats
        return await connect(sink, credentials, self._dialer)

    def _retire(self, line: Line, at_once: bool = False) -> None:
        """Give the line no more messages, and close it when none is in flight."""
        self._lines = {place: each for place, each in self._lines.items() if each is not line}
        line.retired = True
        if at_once or not line.in_flight:
            closing = asyncio.create_task(_close(line))
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def _sweep(self) -> None:
        now = time.monotonic()
        for line in [each for each in self._lines.values() if each.idle(now)]:
            self._retire(line)
        loop = asyncio.get_running_loop()
        self._sweep_at = loop.call_later(IDLE_SECONDS, self._sweep) if self._lines else None


async def _close(line: Line) -> None:
    line.opening.cancel()
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            await (await line.opening).close()
    except (asyncio.CancelledError, *FAULTS):
        return  # it was never made, or the broker does not take its end


def _ms(began: float) -> int:
    return round((time.monotonic() - began) * 1000)
