"""Serve one lane while it is ours: read, send, write down, in turns; no transaction is open while anything is sent."""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import Row

from app import ids, metrics
from app.database.transaction import Database, Tx
from app.events.catalogue import OPERATIONAL
from app.events.record import NewEvent, record_events
from app.events.sql import event_of
from app.events.wake import Wake, within
from app.keyring import KeyRing
from app.webhooks import lane_sql
from app.webhooks.egress import Egress
from app.webhooks.lane import Changes, Item, Lane
from app.webhooks.receiver import Receiver
from app.webhooks.retry import Outcome, next_attempt

log = structlog.get_logger("baton.deliver")

FLUSH_SECONDS: Final = 0.25
POLL_SECONDS: Final = 1.0
ROOM, ROOM_WHEN_STARVED = 128, 2048

counted = functools.cache(metrics.DELIVERIES.labels)


class LaneLost(Exception):
    """Another process has the lane, or it is gone: nothing more may be sent or written."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that a lease lasts, between renewals, and that an idle lane is kept; lanes claimed in a turn."""

    lease: float = 30.0
    renew: float = 5.0
    idle: float = 30.0
    claim: int = 50


@dataclass(slots=True)
class DatabaseClock:
    """The database's time, carried on by our monotonic clock: leases and signatures must not trust this host's."""

    at: datetime
    since: float = field(default_factory=time.monotonic)

    def now(self) -> datetime:
        return self.at + timedelta(seconds=time.monotonic() - self.since)

    def set(self, at: datetime) -> None:
        self.at, self.since = at, time.monotonic()


@dataclass(frozen=True, slots=True)
class Tools:
    """What every lane of a process shares. `gate` keeps lanes from taking all connections of the pool."""

    engine: Database
    egress: Egress
    ring: KeyRing
    wake: Wake
    schedule: tuple[float, ...]
    pace: Pace
    gate: asyncio.Semaphore


class ServedLane:
    """One claimed lane. `run` ends when it is idle, paused, stopped or lost."""

    def __init__(self, tools: Tools, tenant_id: UUID, subscription_id: UUID, position: int, fence: int) -> None:
        self.tools, self.tenant_id, self.subscription_id, self.fence = tools, tenant_id, subscription_id, fence
        self.lane = Lane(position)
        self.poke = asyncio.Event()
        self.lease_end = 0.0
        self.halting = self.lost = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._reader: asyncio.Task[None] | None = None
        self._more = True
        self._retry_at: datetime | None = None
        self._fault: BaseException | None = None
        self._flushed = self._busy_at = time.monotonic()

    async def run(self) -> None:
        """Serve until done; LaneLost or a database error ends it at once, and nothing more is written."""
        try:
            await self._open()
            while not (self.halting and not self._tasks):
                self.poke.clear()
                await self._turn()
                await within(self._patience(), self.poke.wait())
            await self._flush(release=True)
        finally:
            self.lost = True
            tasks = [*self._tasks, *filter(None, [self._reader])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def halt(self) -> None:
        """Send nothing new, let what is in flight end, write everything down and let the lane go."""
        self.halting = True
        self.poke.set()

    def renewed(self, lease_end: float, now: datetime) -> None:
        self.lease_end = lease_end
        self.clock.set(now)
        self.poke.set()

    def lose(self) -> None:
        self.lost = True
        self.poke.set()

    def look(self) -> None:
        """There may be more in the log."""
        self._more = True
        self.poke.set()

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Tx]:
        async with self.tools.gate, self.tools.engine.connect() as tx:
            yield tx

    # --- turns

    async def _open(self) -> None:
        async with self._reading() as tx:
            await self._load(tx)
            self.lane.parked = await lane_sql.parked(tx, self.tenant_id, self.subscription_id)
            self.lane.done = await lane_sql.done(tx, self.tenant_id, self.subscription_id, self.lane.position)
            self._retry_at = self.clock.now() if self.lane.parked else None

    async def _load(self, tx: Tx) -> None:
        row = await lane_sql.receiver(tx, self.tenant_id, self.subscription_id)
        if row is None:
            raise LaneLost
        self.clock = DatabaseClock(row.now)
        self.receiver = Receiver.of(row, self.tenant_id, self.subscription_id, self.tools.ring)
        self.halting = self.halting or self.receiver.state != "active"

    async def _turn(self) -> None:
        if self._fault is not None:
            raise self._fault
        if self.lost:
            raise LaneLost
        if self._flush_due():
            await self._flush()
        if self.lane.rest_until or self.lane.gone:
            self.halting = True
        if not self.halting:
            await self._fill_due()
            self._fill_new()
            self._launch()
        self._rest_when_idle()

    def _flush_due(self) -> bool:
        waited = time.monotonic() - self._flushed >= FLUSH_SECONDS
        return self.lane.urgent or (waited and self.lane.to_write)

    async def _fill_due(self) -> None:
        """In turn with what is written down: a retry that is just being settled must not be read as due."""
        wait = self._retry_wait()
        if wait is None or wait > 0:
            return
        async with self._reading() as tx:
            rows, later = await lane_sql.read_due(tx, self.tenant_id, self.subscription_id, list(self.lane.busy))
            if await self._current(tx, rows) or not rows:
                self._retry_at = min(filter(None, (later, self.lane.next_kept)), default=None)
                for row in rows:
                    self.lane.due(event_of(row), row.attempts)

    def _retry_wait(self) -> float | None:
        """Seconds until retries are to be read; None while none is awaited, or enough stand ready to be sent."""
        if self._retry_at is None or self.halting or len(self.lane.ready) >= ROOM:
            return None
        return (self._retry_at - self.clock.now()).total_seconds()

    def _fill_new(self) -> None:
        """Read on while others are sent and written down."""
        starved = not self.lane.ready and self.lane.flying < self.receiver.limits.concurrency
        room = len(self.lane.unsettled) < (ROOM_WHEN_STARVED if starved else ROOM)
        if self._more and room and self._reader is None:
            self._reader = asyncio.create_task(self._read_on())
            self._reader.add_done_callback(self._ended)

    async def _read_on(self) -> None:
        self._more = False  # set again by whoever wakes us while we read
        patterns, after = self.receiver.patterns, self.lane.read_to
        async with self._reading() as tx:
            rows = await lane_sql.read_log(tx, self.tenant_id, self.subscription_id, after, patterns)
            current = await self._current(tx, rows)
        if current:
            events = [event_of(row) for row in rows if row.id is not None]
            self.lane.arrive([event for event in events if self.receiver.wants(event)], rows[-1].position)
        self._more = self._more or len(rows) == lane_sql.READ_ROWS

    async def _current(self, tx: Tx, rows: Sequence[Row[Any]]) -> bool:
        """Whether there are rows and they were read as the subscription is now; if it changed they are read again."""
        if rows and rows[0].version != self.receiver.version:
            await self._load(tx)
            self._more = True
            return False
        return bool(rows)

    def _launch(self) -> None:
        while self.lane.ready and len(self._tasks) < self.receiver.limits.concurrency and self._may_send():
            if len(self._tasks) >= self.lane.flying + len(self.lane.ready):
                break
            task = asyncio.create_task(self._send_on())
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._reader = None if task is self._reader else self._reader
        self._fault = self._fault or (None if task.cancelled() else task.exception())
        self.poke.set()

    def _rest_when_idle(self) -> None:
        if self.lane.busy or self.lane.to_write:
            self._busy_at = time.monotonic()
        elif not (self._more or self._reader) and time.monotonic() - self._busy_at > self.tools.pace.idle:
            self.halting = True  # looking again and finding nothing is no work

    def _patience(self) -> float:
        waits = [POLL_SECONDS]
        if self.lane.to_write:
            waits.append(self._flushed + FLUSH_SECONDS - time.monotonic())
        if (retry := self._retry_wait()) is not None:
            waits.append(retry)
        return max(min(waits), 0.001)

    # --- sending

    def _may_send(self) -> bool:
        # A request may take its whole time, and must end before another process can have the lane.
        ends = time.monotonic() + self.receiver.limits.timeout_seconds
        return not (self.halting or self.lost or self.lane.rest_until or self.lane.gone) and ends < self.lease_end

    async def _send_on(self) -> None:
        while self._may_send() and (item := self.lane.take()) is not None:
            outcome = await self._send(item)
            self._settle(item, outcome)
            if self.lane.urgent or not self.lane.ready:
                self.poke.set()

    async def _send(self, item: Item) -> Outcome:
        headers, body = self.receiver.request(item, self.clock.now())
        return await self.tools.egress.post(self.receiver.url, headers, body, self.receiver.limits.timeout_seconds)

    def _settle(self, item: Item, outcome: Outcome) -> None:
        now = self.clock.now()
        own = self.receiver.limits.retry_schedule
        schedule = tuple(own) if own is not None else self.tools.schedule
        decided = next_attempt(outcome, item.attempts + 1, now, random.random(), schedule)  # noqa: S311 - jitter
        self.lane.settle(item, outcome, decided, now)
        counted(outcome.error or "delivered").inc()
        if (at := getattr(decided, "at", None)) is not None:
            self._retry_at = min(at, self._retry_at or at)

    # --- writing down

    async def _flush(self, release: bool = False) -> None:
        now = self.clock.now()
        changes = self.lane.collect(release)
        async with self.tools.gate:
            if changes.simple:
                async with self.tools.engine.connect() as tx:
                    answer = await self._advance(tx, changes)
            else:
                async with self.tools.engine.begin() as tx:
                    answer = await self._advance(tx, changes)
                    await lane_sql.settle(tx, self.tenant_id, self.subscription_id, changes)
                    await self._tell(tx, changes, now)
        self.lane.written(changes)
        self._flushed = time.monotonic()
        if changes.dead or changes.gone:
            self.tools.wake.set("events")
        if changes.promoted:
            self._retry_at = now
        self.clock.set(answer.now)
        if answer.version != self.receiver.version and not release:
            async with self._reading() as tx:
                await self._load(tx)

    async def _advance(self, tx: Tx, changes: Changes) -> Row[tuple[int, datetime]]:
        answer = await lane_sql.advance(tx, self.tenant_id, self.subscription_id, self.fence, changes)
        if answer is None:
            raise LaneLost
        return answer

    async def _tell(self, tx: Tx, changes: Changes, now: datetime) -> None:
        """Operational events: of deliveries that died, and of the end of the subscription."""
        news = [
            NewEvent("delivery.dead", self._death(item, outcome), now)
            for item, outcome in changes.dead
            if not item.event.type.startswith(OPERATIONAL)
        ]
        if changes.gone and await lane_sql.disable(tx, self.tenant_id, self.subscription_id, "gone", now):
            data = {"subscription_id": self.receiver.subscription, "reason": "gone"}
            news.append(NewEvent("subscription.disabled", data, now))
        await record_events(tx, self.tenant_id, news, now)

    def _death(self, item: Item, outcome: Outcome) -> dict[str, object]:
        event = item.event
        return {
            "subscription_id": self.receiver.subscription,
            "event_id": ids.show("event", event.id),
            "event_type": event.type,
            "position": str(event.position),
            "lead_id": ids.shown("lead", event.lead_id),
            "attempts": item.attempts,
            "last_code": outcome.code,
            "last_error": outcome.error,
        }
