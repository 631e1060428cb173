"""Deliver events: claim lanes that have work, serve each in a task, renew their leases, and release them at the end."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import Final
from uuid import UUID

import structlog

from app import ids
from app.database.faults import DATABASE_ERRORS, error_fields
from app.database.transaction import Database, Record
from app.errors import SecretKeysMissing
from app.events.wake import Wake, within
from app.ids import new_id
from app.keyring import CannotOpen, KeyRing
from app.settings import Settings
from app.webhooks import across, lane_sql
from app.webhooks.egress import Egress
from app.webhooks.lane import Changes
from app.webhooks.lane_context import LaneContext, LaneKey, LaneLost, Timing
from app.webhooks.serve_lane import ServedLane
from app.webhooks.shared_log import SharedLog
from app.webhooks.targets import targets_of
from app.webhooks.write import Writer

log = structlog.get_logger("baton.deliver")

POLL_SECONDS: Final = 1.0
CLAIM_DELAY_SECONDS: Final = 0.003  # new lanes are claimed a little later: lanes that are already served go first
CLAIM_INTERVAL_SECONDS: Final = 0.02
WITHOUT_KEYS_SECONDS: Final = 10.0  # a lane whose secrets cannot be decrypted here is left to other processes
GIVEN_SECONDS: Final = 3.0  # as is one that another wanted: longer than it takes to claim it
STOP_SECONDS: Final = 22.0  # longer than a request may take
LANE_CONNECTIONS: Final = 4  # connections of the pool that lanes may use at the same time


class Dispatcher:
    """The lanes of one process. Processes coordinate only by the leases and fences in the database."""

    def __init__(self, context: LaneContext) -> None:
        self.context, self.owner = context, new_id()
        self.log, self.writer = SharedLog(context), Writer(context.engine, context.gate)
        self.lanes: dict[LaneKey, ServedLane] = {}
        self.left: dict[LaneKey, float] = {}  # lanes that are left to other processes, and until when
        self.rested: dict[LaneKey, tuple[int, int]] = {}  # lanes released with nothing waiting: next fence, position
        self.without_keys: dict[UUID, float] = {}
        self._serving: set[asyncio.Task[None]] = set()

    async def claim(self) -> int:
        """Claim lanes that have work and no valid lease, and serve them; how many lanes."""
        timing, asked_at = self.context.timing, time.monotonic()
        self.left = {lane: until for lane, until in self.left.items() if until > asked_at}
        excluded = [*self.lanes, *self.left]
        parked: dict[LaneKey, dict[UUID, int]] = defaultdict(dict)
        settled: dict[LaneKey, set[int]] = defaultdict(set)
        async with self.context.gate, self.context.engine.connect() as tx:
            rows = await across.claim_lanes(tx, self.owner, excluded, timing.lease, timing.claim)
            claimed = [(row.tenant_id, row.subscription_id, row.lane_no) for row in rows if not self._left_nothing(row)]
            if claimed:  # what their owners left, seen after the claim: nobody else adds to it now
                for lead in await across.parked(tx, claimed):
                    parked[lead.subscription_id, lead.lane_no][lead.order_key] = lead.rows
                for done in await across.settled_after(tx, claimed):
                    settled[done.subscription_id, done.lane_no].add(done.position)
        for row in rows:
            lane = ServedLane(self.context, self.writer, row)
            lane.open(parked[lane.key], settled[lane.key])
            lane.lease_end = asked_at + timing.lease
            self.lanes[lane.key] = lane
            serving = asyncio.create_task(self._serve(lane))
            self._serving.add(serving)
            serving.add_done_callback(self._serving.discard)
        if rows:
            await self.read_log()
        return len(rows)

    def _left_nothing(self, row: Record) -> bool:
        """Whether this process was the last one that had the lane, and released it with nothing waiting.

        Whoever else claims a lane, or changes what waits while nobody serves it, changes its fence.
        """
        return self.rested.pop((row.subscription_id, row.lane_no), None) == (row.fence, row.position)

    async def renew(self) -> None:
        """Extend every lease in one statement; a lane that is not returned is no longer ours. One that another process
        wants, since it serves fewer, is released."""
        held = list(self.lanes.values())
        if not held:
            return
        asked_at = time.monotonic()
        async with self.context.engine.begin() as tx:
            renewed = await across.renew_lanes(tx, self.owner, [lane.owned for lane in held], self._lease)
        row_of = {(row.subscription_id, row.lane_no): row for row in renewed}
        for lane in held:
            if (row := row_of.get(lane.key)) is None:
                lane.mark_lost()
                continue
            lane.renewed(asked_at + self._lease, row.now, row.version)
            if row.wanted:
                lane.given = True
                lane.stop()

    async def balance(self) -> None:
        """Ask for lanes of subscriptions of which another process serves at least two more."""
        now = time.monotonic()
        self.without_keys = {one: until for one, until in self.without_keys.items() if until > now}
        async with self.context.engine.begin() as tx:
            await across.want_lanes(tx, self.owner, list(self.without_keys))

    async def read_log(self) -> None:
        """Give every lane what is new in its log."""
        await self.log.read(list(self.lanes.values()))

    async def read_requests(self) -> None:
        """Tell the lanes for which something is asked: a retry of a delivery, or a replay of events."""
        lanes = [lane for lane in self.lanes.values() if not lane.lost]
        if not lanes:
            return
        async with self.context.gate, self.context.engine.connect() as tx:
            rows = await across.requested(tx, [lane.owned[:3] for lane in lanes])
        asked = {(row.subscription_id, row.lane_no): row for row in rows}
        for lane in lanes:
            if (row := asked.get(lane.key)) is not None:
                lane.request(deliveries=row.deliveries, replays=row.replays)

    async def stop(self) -> None:
        """Finish requests in flight, write their results and release every lane."""
        for lane in self.lanes.values():
            lane.stop()
        if self._serving:
            _, late = await asyncio.wait(self._serving, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        await self.writer.close()

    async def _serve(self, lane: ServedLane) -> None:
        try:
            await self._run(lane)
        except LaneLost:
            log.info("lane_lost", subscription_id=str(lane.subscription_id), fence=lane.fence)
        except DATABASE_ERRORS as fault:
            # The lease is kept: the next claim takes the lane again, with a new fence and the state in the database.
            log.warning("lane_failed", subscription_id=str(lane.subscription_id), error=type(fault).__name__)
            await asyncio.sleep(POLL_SECONDS)
        except Exception as error:
            log.error("lane_crashed", subscription_id=str(lane.subscription_id), **error_fields(error))
            await asyncio.sleep(POLL_SECONDS)
        finally:
            del self.lanes[lane.key]
            if lane.given:
                self.left[lane.key] = time.monotonic() + GIVEN_SECONDS

    async def _run(self, lane: ServedLane) -> None:
        try:
            await lane.run()
            if lane.lane.rests:
                self.rested[lane.key] = lane.fence + 1, lane.lane.position
        except CannotOpen as error:
            subscription = ids.show("subscription", lane.subscription_id)
            log.error("subscription_secrets_not_decrypted", subscription_id=subscription, kid=error.kid)
            self.left[lane.key] = self.without_keys[lane.subscription_id] = time.monotonic() + WITHOUT_KEYS_SECONDS
            await self._release_without_keys(lane)

    async def _release_without_keys(self, lane: ServedLane) -> None:
        """Set the subscription's reason, and release the lane for other processes."""
        async with self.context.gate, self.context.engine.begin() as tx:
            await lane.advance(tx, Changes(release=True))
            await lane_sql.set_reason(tx, lane.tenant_id, lane.subscription_id, SecretKeysMissing.code)

    @property
    def _lease(self) -> float:
        return self.context.timing.lease


async def dispatch_forever(
    engine: Database, settings: Settings, wake: Wake, stop: asyncio.Event, timing: Timing | None = None
) -> None:
    """Deliver until `stop`, then finish what is in flight (at most 22 s) and release every lane."""
    egress = Egress(targets_of(settings))
    gate = asyncio.Semaphore(LANE_CONNECTIONS)
    ring = KeyRing(settings.secret_keys)
    dispatcher = Dispatcher(LaneContext(engine, egress, ring, wake, settings.retry_schedule, timing or Timing(), gate))
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_claim_lanes(dispatcher, wake, stop))
            tasks.create_task(_renew_leases(dispatcher, stop))
            tasks.create_task(_watch_log(dispatcher, wake, stop))
            tasks.create_task(_watch_requests(dispatcher, stop))
    finally:
        await dispatcher.stop()
        await egress.close()


async def _watch_log(dispatcher: Dispatcher, wake: Wake, stop: asyncio.Event) -> None:
    while not stop.is_set():
        seen = wake.generation("log")
        try:
            await dispatcher.read_log()
        except DATABASE_ERRORS as fault:
            log.warning("read_failed", error=type(fault).__name__)
        await wake.wait("log", seen, POLL_SECONDS)


async def _watch_requests(dispatcher: Dispatcher, stop: asyncio.Event) -> None:
    while not await within(POLL_SECONDS, stop.wait()):
        try:
            await dispatcher.read_requests()
        except DATABASE_ERRORS as fault:
            log.warning("requests_not_read", error=type(fault).__name__)


async def _claim_lanes(dispatcher: Dispatcher, wake: Wake, stop: asyncio.Event) -> None:
    while not stop.is_set():
        seen = wake.generation("log")
        if dispatcher.lanes:
            await within(CLAIM_DELAY_SECONDS, stop.wait())
        try:
            # Where nothing can be written down, each event would be sent again and again.
            if not await dispatcher.context.engine.storage_full() and await dispatcher.claim():
                continue  # there may be more than are claimed at once
        except DATABASE_ERRORS as fault:
            log.warning("claim_failed", error=type(fault).__name__)
        await within(CLAIM_INTERVAL_SECONDS, stop.wait())
        await wake.wait("log", seen, POLL_SECONDS)


async def _renew_leases(dispatcher: Dispatcher, stop: asyncio.Event) -> None:
    while not await within(dispatcher.context.timing.renew, stop.wait()):
        try:
            await dispatcher.renew()
            await dispatcher.balance()
        except DATABASE_ERRORS as fault:
            log.warning("renew_failed", error=type(fault).__name__)
