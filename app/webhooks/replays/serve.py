"""Send the replays of one subscription, behind its live deliveries; the process that serves its first lane does it.

A replay shares the lane's lease, breaker and limit of requests in flight. It has a position of its own, which is
written with the lane's fence, so that a process that lost the lane writes nothing.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol
from uuid import UUID

from sqlalchemy import Row

from app import ids, metrics
from app.database.transaction import Record, Tx
from app.errors import PositionExpired
from app.events import across
from app.events.sql import event_of
from app.events.wake import within
from app.webhooks.accepted import accepted
from app.webhooks.lane import Changes, Item, Lane
from app.webhooks.lane_context import DatabaseClock, LaneContext
from app.webhooks.lane_reading import Memory
from app.webhooks.receiver import Receiver
from app.webhooks.replays import sql as replays_sql
from app.webhooks.replays.window import Turns, Window, share_of, waits_of
from app.webhooks.retry import Disable, Outcome, next_attempt, pause_until

FLUSH_AT, MOST_UNWRITTEN = 48, 64  # attempts whose results are written together, and with which nothing more is sent
FLUSH_SECONDS: Final = 0.5
LOOK_SECONDS: Final = 1.0  # between looks whether somebody paused or cancelled it


class Server(Protocol):
    """What a replay needs of the lane that is served (serve_lane.py)."""

    context: LaneContext
    tenant_id: UUID
    subscription_id: UUID
    lane: Lane
    receiver: Receiver
    clock: DatabaseClock

    @property
    def halted(self) -> bool: ...
    @property
    def spare(self) -> int: ...
    @property
    def schedule(self) -> Sequence[float]: ...
    def may_send(self) -> bool: ...
    def connection(self) -> AbstractAsyncContextManager[Tx]: ...
    async def wants(self, item: Item, memory: Memory) -> bool: ...
    async def send(self, item: Item, replay: str | None = None) -> Outcome: ...
    def note(self, item: Item, outcome: Outcome) -> None: ...
    async def advance(self, tx: Tx, changes: Changes) -> Record: ...
    async def load(self, tx: Tx) -> None: ...
    def reload(self) -> None: ...
    def request(self, *, deliveries: bool = False, replays: bool = False) -> None: ...


class ServedReplay:
    """The replays of one lane. `task` ends when there is none, or the lane is halted; `in_flight` are its requests."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.wakeup = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._fault: BaseException | None = None
        self._row: Row[Any]
        self._window: Window
        self._flushed_at = self._next_at = 0.0
        self._turns, self._signs = Turns(), 0
        self.task = asyncio.create_task(self._run())

    @property
    def in_flight(self) -> int:
        return len(self._tasks)

    async def _run(self) -> None:
        """Send one replay after the other. Raises LaneLost and errors of the database."""
        try:
            while not self.server.halted and (row := await self._begin()) is not None:
                if row.state == "running":
                    await self._serve(row)
        finally:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _begin(self) -> Row[Any] | None:
        """The next replay, for the subscription as it is now; one of which events are kept no more has failed."""
        server = self.server
        async with server.context.gate, server.context.engine.begin() as tx:
            row = await replays_sql.begin(tx, server.tenant_id, server.subscription_id)
            if row is not None and row.position + 1 < await across.first_position(tx):
                return await replays_sql.fail(tx, server.tenant_id, row.id, PositionExpired.code)
            if row is not None and row.version != server.receiver.version:
                await server.load(tx)
            return row

    async def _serve(self, row: Row[Any]) -> None:
        server, version, state = self.server, self.server.receiver.version, row.state
        window = self._window = Window(row.position, row.to_position, set(row.ahead))
        self._row, self._flushed_at = row, time.monotonic()
        while not (window.finished and not self._tasks):
            self.wakeup.clear()
            if self._fault is not None:
                raise self._fault
            if (gives_way := self._gives_way()) > 0:
                await within(gives_way, self.wakeup.wait())
                continue
            most = self._turns.take(time.monotonic())
            goes_on = not server.halted and state == "running" and server.receiver.version == version
            if goes_on:
                self._start(most)
            elif not self._tasks:
                break
            if self._flush_due:
                state = await self._flush()
            if goes_on and window.room:  # types or leads may leave little of what is read
                await self._read()
                self.wakeup.set()
            await within(self._wait_seconds(), self.wakeup.wait())
        await self._flush()

    def _gives_way(self) -> float:
        """Seconds for which live events go first; 0 when it is the replay's turn."""
        wake, now = self.server.context.wake, time.monotonic()
        if (signs := wake.generation("events") + wake.generation("log")) != self._signs:
            self._signs = signs
            self._turns.sign(now)
        return self._turns.wait(now)

    async def _read(self) -> None:
        server, window, read_at = self.server, self._window, time.monotonic()
        async with server.connection() as tx:
            wanted = replays_sql.range_of(self._row, window.read_to)
            rows, read_to = await replays_sql.read(tx, server.tenant_id, server.subscription_id, wanted)
            events = [event_of(row) for row in rows if row.id is not None]
            events = await accepted(tx, server.tenant_id, server.receiver, events)
        window.add(events, read_to, read_at)

    def _start(self, most: int) -> None:
        """Start requests: as many as the rate, the share of a replay and live deliveries leave, and `most`."""
        server = self.server
        most = min(self.in_flight + most, share_of(server.receiver.limits.concurrency))
        while self.in_flight < most and server.spare > 0 and server.may_send():
            if self._pause > 0 or self._window.unwritten >= MOST_UNWRITTEN:
                return
            if (item := self._window.take(server.clock.now())) is None:
                return
            server.lane.pace.take()
            if self._row.rate is not None:
                self._next_at = max(self._next_at, time.monotonic()) + 1 / self._row.rate
            task = asyncio.create_task(self._send(item))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    async def _send(self, item: Item) -> None:
        server, window = self.server, self._window
        if not await server.wants(item, window):
            window.drop(item)
            return
        outcome = await server.send(item, ids.show("replay", self._row.id))
        now = server.clock.now()
        server.note(item, outcome)
        server.lane.pause(pause_until(outcome, now))
        waits = waits_of(server.schedule)
        decided = next_attempt(outcome, item.attempts + 1, now, random.random(), waits)  # noqa: S311 - jitter
        window.settle(item, outcome, decided, now)
        metrics.REPLAYED.labels(outcome.label).inc()
        if isinstance(decided, Disable):
            server.lane.disable("gone")

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._fault = self._fault or (None if task.cancelled() else task.exception())
        self.wakeup.set()
        if self.server.lane.ready or self.server.halted:
            self.server.request()

    @property
    def _pause(self) -> float:
        """Seconds until the rate lets the next request out."""
        return self._next_at - time.monotonic()

    @property
    def _flush_due(self) -> bool:
        waited, unwritten = time.monotonic() - self._flushed_at, self._window.unwritten
        return unwritten >= FLUSH_AT or waited >= (FLUSH_SECONDS if unwritten else LOOK_SECONDS)

    def _wait_seconds(self) -> float:
        waits = [FLUSH_SECONDS]
        if (after := self._window.next_at(self.server.clock.now())) is not None and self.server.spare > 0:
            waits.append(max(after, self._pause))
        full = self.in_flight >= share_of(self.server.receiver.limits.concurrency)
        return FLUSH_SECONDS if full else max(min(waits), 0.001)

    async def _flush(self) -> str | None:
        """Write what was done; the state of the replay, which somebody may have changed."""
        server, progress = self.server, self._window.collect()
        finished = self._window.finished and not self._tasks
        async with server.context.gate, server.context.engine.begin() as tx:
            row = await server.advance(tx, Changes(position=server.lane.position, attempts=progress.attempts))
            state = await replays_sql.advance(tx, server.tenant_id, self._row.id, progress, finished)
            place = server.tenant_id, server.subscription_id
            dead = bool(progress.delivered) and await replays_sql.settle_dead(tx, *place, progress.delivered)
        if dead:
            server.request(deliveries=True)
        if row.version != server.receiver.version:  # paused, or changed
            server.reload()
        self._flushed_at = time.monotonic()
        return state
