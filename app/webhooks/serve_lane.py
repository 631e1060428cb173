"""Serve one claimed lane: read the log, send, write results. No transaction is open during a request."""

from __future__ import annotations

import asyncio
import functools
import random
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any, Final
from uuid import UUID

import structlog
from sqlalchemy import Row

from app import metrics
from app.database.transaction import Record, Tx
from app.errors import SecretKeysMissing
from app.events.envelope import Sequenced
from app.events.sql import event_of
from app.events.wake import within
from app.webhooks import across, lane_sql
from app.webhooks.accepted import accepted
from app.webhooks.breaker import Breaker
from app.webhooks.lane import MOST_PARKED, SKIPPED, Changes, Item, Lane
from app.webhooks.lane_context import DatabaseClock, LaneContext, LaneKey, LaneLost
from app.webhooks.lane_reading import Memory, included, still_wanted
from app.webhooks.probe import probe
from app.webhooks.receiver import Receiver
from app.webhooks.record_changes import record_changes
from app.webhooks.replays.serve import ServedReplay
from app.webhooks.retry import Outcome, next_attempt
from app.webhooks.shares import Passed, Share
from app.webhooks.write import Writer

log = structlog.get_logger("baton.deliver")

FLUSH_SECONDS: Final = 0.25
POLL_SECONDS: Final = 1.0
# Unsettled events that are kept in memory; more while all of them wait for slow leads and nothing is ready to send.
READ_AHEAD, READ_AHEAD_WHEN_STARVED = 128, 2048
REQUESTS_AT_ONCE: Final = 256  # retries that are asked for follow each other in such numbers, between other events

delivery_counter = functools.cache(metrics.DELIVERIES.labels)


class ServedLane:
    """One claimed lane. `run` ends when it is idle, paused, stopped or lost."""

    def __init__(self, context: LaneContext, writer: Writer, claimed: Record) -> None:
        self.context, self.writer, self._claimed = context, writer, claimed
        self.tenant_id, self.subscription_id, self.fence = claimed.tenant_id, claimed.subscription_id, claimed.fence
        self.share = Share(claimed.lane_no, claimed.lane_count, Passed.of(claimed.passed))
        self.key: LaneKey = (self.subscription_id, self.share.lane_no)
        self.owned: across.Owned = (self.tenant_id, *self.key, self.fence)
        self.place = self.tenant_id, self.subscription_id, self.share
        self.lane = Lane(claimed.position)
        self.breaker = Breaker(context.timing.breaker)
        self.wakeup = asyncio.Event()
        self.lease_end = 0.0
        self.stopping = self.lost = self.given = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._reader: asyncio.Task[None] | None = None
        self._unread = self._opened = self._changed = self._requested = self._replays = self._carrying_out = False
        self._replay: ServedReplay | None = None
        self._retry_at: datetime | None = None
        self._fault: BaseException | None = None
        self._flushed_at = self._busy_at = time.monotonic()

    async def run(self) -> None:
        """Serve until idle or stopped. At LaneLost and database errors it ends at once and writes nothing more."""
        try:
            if self._opened and self._claimed.state_reason is not None:
                async with self.connection() as tx:
                    await self._clear_reason(tx, self._claimed)
            if self._opened and self.breaker.state == "open" and self.may_send():
                await probe(self)
            while not (self.stopping and not self._tasks and self._replay is None):
                self.wakeup.clear()
                await self._step()
                await within(self._wait_seconds(), self.wakeup.wait())
            if self._requested:
                await self._carry_out()
            await self._flush(release=True)
        finally:
            self.lost = True
            tasks = [*self._tasks, *filter(None, [self._reader, self._replay.task if self._replay else None])]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def stop(self) -> None:
        """Send nothing new, finish requests in flight, write all results and release the lane."""
        self.stopping = True
        self.wakeup.set()

    def renewed(self, lease_end: float, now: datetime, version: int) -> None:
        """The lease was extended; the subscription is loaded again if `version` is not the one that was loaded."""
        self.lease_end = lease_end
        if self._opened:
            self.clock.set(now)
            self._changed = version != self.receiver.version
            self.wakeup.set()

    def mark_lost(self) -> None:
        self.lost = True
        self.wakeup.set()

    def open(self, parked: dict[UUID, int], settled: set[int]) -> None:
        """Take over the state that the previous owner left; `run` raises if the subscription cannot be read."""
        try:
            self.lane = Lane(self._claimed.position, parked, settled, most_parked=MOST_PARKED // self.share.lanes)
            self.breaker = Breaker.of(self._claimed.breaker, self.context.timing.breaker)
            self._use(self._claimed)
        except Exception as error:  # CannotOpen or any other: it is this lane's alone
            self._fault = error
            return
        self._requested, self._replays = self._claimed.requested, self._claimed.replaying
        self._retry_at = self.clock.now() if parked else None
        self._opened = True

    def check_log(self) -> None:
        """Read the log, which may have rows that no other lane of the tenant has read with this one."""
        self._unread = True
        self.wakeup.set()

    def reload(self) -> None:
        """Load the subscription again before anything else is read: it has changed."""
        self._changed = True
        self.check_log()

    def request(self, *, deliveries: bool = False, replays: bool = False) -> None:
        """Look soon: something is asked for deliveries of this subscription, or it has replays."""
        self._requested, self._replays = self._requested or deliveries, self._replays or replays
        self.wakeup.set()

    @property
    def takes(self) -> bool:
        """Whether events that were read for several lanes may be offered to this one now."""
        busy = self._changed or self.halted or self.lost or self._carrying_out or self._reader is not None
        return self._opened and not busy and not self.lane.full and len(self.lane.unsettled) < READ_AHEAD

    def offer(self, after: int, events: Sequence[Sequenced], read_to: int, more: bool, read_at: float) -> None:
        """Take the events after `after` up to `read_to`; a lane that is elsewhere in the log reads for itself."""
        if not self.takes or self.lane.read_to != after:
            self.check_log()
            return
        try:
            found = [event for event in self.share.only(events) if self.receiver.accepts(event)]
        except Exception as error:  # it ends this lane, and not the reading for the others
            self._fault = error
            self.wakeup.set()
            return
        self._add(found, read_to, read_at)
        self._unread = more
        if self.lane.ready or more:
            self.wakeup.set()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Tx]:
        async with self.context.gate, self.context.engine.connect() as tx:
            yield tx

    # --- main loop

    async def load(self, tx: Tx) -> None:
        row = await lane_sql.receiver(tx, self.tenant_id, self.subscription_id)
        if row is None:
            raise LaneLost
        self._use(row)
        await self._clear_reason(tx, row)

    def _use(self, row: Row[Any]) -> None:
        if row.lanes != self.share.lanes:
            raise LaneLost
        self.clock = DatabaseClock(row.now)
        self.receiver = Receiver.stored(row, *self.place[:2], self.context.ring).of_lane(self.share)
        self.lane.dead_blocks = self.receiver.on_dead == "block"
        self.lane.pace = self.context.pace(self.key, self.receiver.per_minute)
        self._changed, self._retry_at = False, self.clock.now()  # the change may have made retries due
        self.stopping = self.stopping or self.receiver.state != "active"

    async def _clear_reason(self, tx: Tx, row: Row[Any]) -> None:
        if row.state_reason == SecretKeysMissing.code:
            await lane_sql.set_reason(tx, self.tenant_id, self.subscription_id, None)

    async def _step(self) -> None:
        if self._fault is not None:
            raise self._fault
        if self.lost:
            raise LaneLost
        if self._flush_due():
            await self._flush()
        if self._changed:
            async with self.connection() as tx:
                await self.load(tx)
        self.breaker.advance(self.receiver.limits.concurrency, self.clock.now())
        self.stopping = self.halted
        if not self.stopping:
            await self._read_due()
            if self._requested and self._reader is None and not self._retries_due:
                await self._carry_out()
            self._start_reading()
            self._start_senders()
            self._start_replay()
            self._hold_back()
        if self._replay is not None:
            self._replay.wakeup.set()  # what is spare or wanted may have changed
        self._stop_when_idle()

    def _flush_due(self) -> bool:
        waited = time.monotonic() - self._flushed_at >= FLUSH_SECONDS
        return self.lane.urgent or self.breaker.changed or (waited and self.lane.unwritten)

    async def _read_due(self) -> None:
        """Read due retries. Never at the same time as a flush, which may be settling one of them."""
        wait = self._retry_wait()
        if wait is None or wait > 0:
            return
        read_at = time.monotonic()
        async with self.connection() as tx:
            rows, later = await lane_sql.read_due(tx, *self.place, self.lane.busy)
            if await self._current(tx, rows) or not rows:
                self._retry_at = min(filter(None, (later, self.lane.next_retry)), default=None)
                events = await included(tx, self.tenant_id, self.receiver, [event_of(row) for row in rows])
                for event, row in zip(events, rows, strict=True):
                    self.lane.add_due(event, row.attempts, read_at)

    @property
    def _retries_due(self) -> bool:
        return self._retry_at is not None and self._retry_at <= self.clock.now()

    async def _carry_out(self) -> None:
        """Retry or discard what is asked for. No event is added meanwhile, so that the counts of rows are right."""
        self._requested, self._carrying_out = False, True
        await self._flush()
        async with self.context.gate, self.context.engine.begin() as tx:
            await self.advance(tx, Changes(position=self.lane.position))
            changing = self.lane.changing
            done, rows = await lane_sql.carry_out(tx, *self.place, self.lane.position, changing, REQUESTS_AT_ONCE)
        self.lane.recount(rows)
        self._requested, self._carrying_out = self._requested or done == REQUESTS_AT_ONCE, False
        self._retry_at = self.clock.now()

    def _hold_back(self) -> None:
        """Open the breaker of a lane that can neither send nor read: too many deliveries wait for their retries."""
        if self.lane.full and not (self.halted or self.lane.busy or self._retries_due):
            self.breaker.hold_back(self.clock.now(), random.random())  # noqa: S311 - jitter
            self.lane.pause(self.breaker.probe_at)

    def _retry_wait(self) -> float | None:
        """Seconds until retries are to be read; None when there are none, or enough deliveries are ready to be sent."""
        if self._retry_at is None or self.stopping or len(self.lane.ready) >= READ_AHEAD:
            return None
        return (self._retry_at - self.clock.now()).total_seconds()

    def _start_reading(self) -> None:
        """Start reading the log in a task, so that sending and writing continue meanwhile."""
        starved = not self.lane.ready and self.lane.in_flight < self._concurrency
        room = len(self.lane.unsettled) < (READ_AHEAD_WHEN_STARVED if starved else READ_AHEAD)
        if self._unread and room and not self.lane.full and self._reader is None:
            self._reader = asyncio.create_task(self._read_log())
            self._reader.add_done_callback(self._task_done)

    async def _read_log(self) -> None:
        self._unread = False  # `check_log` sets it again while we read
        patterns, after, read_at = self.receiver.patterns, self.lane.read_to, time.monotonic()
        async with self.connection() as tx:
            rows = await lane_sql.read_log(tx, *self.place, after, patterns)
            current = await self._current(tx, rows)
            events = [event_of(row) for row in rows if row.id is not None] if current else []
            events = await accepted(tx, self.tenant_id, self.receiver, self.share.only(events))
        if current and not self.halted:  # else the events of parked leads would get rows
            self._add(events, rows[-1].position, read_at)
        self._unread = self._unread or len(rows) == lane_sql.rows_of(self.share)

    def _add(self, events: Sequence[Sequenced], read_to: int, read_at: float) -> None:
        """Add what was read, and send it at once: a flush that is under way does not delay it."""
        self.lane.add(events, read_to, read_at)
        self._start_senders()

    async def _current(self, tx: Tx, rows: Sequence[Row[Any]]) -> bool:
        """Whether there are rows and the subscription has not changed; else reload it, and the rows are read again."""
        if rows and rows[0].version != self.receiver.version:
            await self.load(tx)
            self._unread = True
            return False
        return bool(rows)

    def _start_senders(self) -> None:
        while self.lane.ready and len(self._tasks) < self._concurrency and self.may_send():
            if len(self._tasks) >= self.lane.in_flight + len(self.lane.ready):
                break
            task = asyncio.create_task(self._send_while_ready())
            self._tasks.add(task)
            task.add_done_callback(self._task_done)

    def _start_replay(self) -> None:
        if self._replays and self._replay is None:
            self._replays, self._replay = False, ServedReplay(self)
            self._replay.task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._replay = None if self._replay and task is self._replay.task else self._replay
        self._reader = None if task is self._reader else self._reader
        self._fault = self._fault or (None if task.cancelled() else task.exception())
        self.wakeup.set()

    def _stop_when_idle(self) -> None:
        if self.lane.busy or self.lane.unwritten or self._replay or self.breaker.state == "half_open":
            self._busy_at = time.monotonic()
        elif not (self._unread or self._reader) and time.monotonic() - self._busy_at > self.context.timing.idle:
            self.stopping = True  # reads that find nothing do not count as work

    def _wait_seconds(self) -> float:
        flush = self._flushed_at + FLUSH_SECONDS - time.monotonic() if self.lane.unwritten else None
        pace = (self.lane.pace.wait() if self.lane.ready or self._replay else 0) or None
        waits = [wait for wait in (POLL_SECONDS, flush, pace, self._retry_wait()) if wait is not None]
        return max(min(waits), 0.001)

    # --- sending

    @property
    def halted(self) -> bool:
        """Nothing more may be sent or read: the lane is to be released."""
        return bool(self.stopping or self.lane.wait_until or self.lane.disabled or self.breaker.state == "open")

    def may_send(self) -> bool:
        # A request may take its whole timeout, and must end before the lease: then another process may claim the lane.
        return self._ends_in_lease and not (self.stopping or self.lost or self.lane.wait_until or self.lane.disabled)

    @property
    def _ends_in_lease(self) -> bool:
        return time.monotonic() + self.receiver.limits.timeout_seconds < self.lease_end

    async def _send_while_ready(self) -> None:
        while self.may_send() and len(self._tasks) <= self._concurrency and (item := self.lane.take()) is not None:
            if await self.wants(item, self.lane):
                self._settle(item, await self.send(item))
            elif not item.stored and self.receiver.accepts(item.event):
                self.lane.drop(item)
            else:
                self.lane.skip(item, self.clock.now())
                delivery_counter(SKIPPED.error).inc()
            if self.lane.urgent or not self.lane.ready:
                self.wakeup.set()

    async def wants(self, item: Item, memory: Memory) -> bool:
        """Whether the receiver may be told of the event now. Raises LaneLost if there is no time left to send."""
        at = time.monotonic()
        if not (item.is_late(at) or self.receiver.purposes or self.receiver.lacks_lead(item.event)):
            return self.receiver.accepts(item.event)
        async with self.connection() as tx:
            wanted = await still_wanted(tx, self.tenant_id, self.receiver, item, memory, at)
        if not self._ends_in_lease:
            raise LaneLost
        return wanted

    async def send(self, item: Item, replay: str | None = None) -> Outcome:
        """Send a delivery, of a replay with its id."""
        return await self.context.egress.send(self.receiver.message(item, self.clock.now(), replay))

    @property
    def _concurrency(self) -> int:
        """How many live requests may be in flight; none before the receiver's rate lets the next one out."""
        allowed = self.breaker.concurrency(self.receiver.limits.concurrency, self.clock.now())
        return 0 if self.lane.pace.wait() else allowed - (self._replay.in_flight if self._replay else 0)

    @property
    def spare(self) -> int:
        """How many more requests of a replay may be sent now: none while live deliveries are ready."""
        return 0 if self.lane.ready else self._concurrency - self.lane.in_flight

    @property
    def schedule(self) -> Sequence[float]:
        """The waits before each attempt of a delivery."""
        custom = self.receiver.limits.retry_schedule
        return custom if custom is not None else self.context.schedule

    def note(self, item: Item, outcome: Outcome) -> None:
        """Count an attempt for the breaker, and pause the lane if it opens."""
        now, limit = self.clock.now(), self.receiver.limits.concurrency
        self.breaker.note(outcome, item.event.order_key, limit, now, random.random())  # noqa: S311 - jitter
        self.lane.pause(self.breaker.probe_at)

    def _settle(self, item: Item, outcome: Outcome) -> None:
        self.note(item, outcome)
        self.follow(item, outcome, self.clock.now())

    def follow(self, item: Item, outcome: Outcome, now: datetime) -> None:
        """Settle an attempt: the delivery is done, tried again later, or dead."""
        decided = next_attempt(outcome, item.attempts + 1, now, random.random(), self.schedule)  # noqa: S311 - jitter
        self.lane.settle(item, outcome, decided, now)
        delivery_counter(outcome.label).inc()
        if (at := getattr(decided, "at", None)) is not None:
            self._retry_at = min(at, self._retry_at or at)

    # --- writing

    async def _flush(self, release: bool = False) -> None:
        now = self.clock.now()
        changes = self.lane.collect(release, self.breaker.take_change(now, release))
        if changes.attempts_only:
            row = self._ours(await self.writer.write(self.owned, changes))
        else:
            async with self.context.gate, self.context.engine.begin() as tx:
                row = await self.advance(tx, changes)
                await lane_sql.write_retries(tx, self.tenant_id, self.subscription_id, changes)
                await record_changes(tx, *self.place, changes, now)
        self.lane.written(changes)
        self._flushed_at = time.monotonic()
        if changes.dead or changes.disabled or changes.breaker is not None:
            self.context.wake.set("events")
        if changes.promoted:
            self._retry_at = now
        self.clock.set(row.now)
        if row.version != self.receiver.version and not release:
            async with self.connection() as tx:
                await self.load(tx)

    async def advance(self, tx: Tx, changes: Changes) -> Record:
        """Write the lane's position and attempts. Raises LaneLost."""
        [row] = await across.advance_lanes(tx, [self.owned], [changes])
        return self._ours(row)

    def _ours(self, row: Record | None) -> Record:
        if row is None:
            raise LaneLost
        return row
