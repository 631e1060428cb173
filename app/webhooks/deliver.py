"""Deliver events: claim lanes that have work, serve each, renew their leases, and let them go at the end."""

from __future__ import annotations

import asyncio
import time
from typing import Final
from uuid import UUID

import structlog

from app.database.faults import DATABASE_ERRORS, error_fields
from app.database.transaction import Database
from app.events.wake import Wake, within
from app.ids import new_id
from app.keyring import CannotOpen, KeyRing
from app.settings import Settings
from app.webhooks import across
from app.webhooks.egress import Egress
from app.webhooks.serve_lane import LaneLost, Pace, ServedLane, Tools
from app.webhooks.targets import targets_of

log = structlog.get_logger("baton.deliver")

POLL_SECONDS: Final = 1.0
SERVED_FIRST_SECONDS: Final = 0.003  # lanes that are held already read and send before others are looked for
CLAIM_APART_SECONDS: Final = 0.02
STOP_SECONDS: Final = 22.0  # longer than a request may take
LANES_AT_WORK: Final = 4  # connections of the pool that lanes use at one time


class Dispatcher:
    """The lanes of one process. Another process needs no word of it: the leases and fences are in the database."""

    def __init__(self, tools: Tools) -> None:
        self.tools, self.owner = tools, new_id()
        self.lanes: dict[UUID, ServedLane] = {}
        self._serving: set[asyncio.Task[None]] = set()

    async def claim(self) -> int:
        """Take what has work and nobody's lease, and serve it; how many lanes."""
        pace, asked_at = self.tools.pace, time.monotonic()
        async with self.tools.gate, self.tools.engine.begin() as tx:
            rows = await across.claim_lanes(tx, self.owner, list(self.lanes), pace.lease, pace.claim)
        for row in rows:
            lane = ServedLane(self.tools, row.tenant_id, row.subscription_id, row.position, row.fence)
            lane.lease_end = asked_at + pace.lease
            self.lanes[row.subscription_id] = lane
            serving = asyncio.create_task(self._serve(lane))
            self._serving.add(serving)
            serving.add_done_callback(self._serving.discard)
        return len(rows)

    async def renew(self) -> None:
        """Prolong every lease in one statement; a lane that does not come back is another's."""
        held = list(self.lanes.values())
        if not held:
            return
        asked_at = time.monotonic()
        mine = [(lane.tenant_id, lane.subscription_id, lane.fence) for lane in held]
        async with self.tools.engine.begin() as tx:
            rows = {row.subscription_id: row.now for row in await across.renew_lanes(tx, self.owner, mine, self._lease)}
        for lane in held:
            if lane.subscription_id in rows:
                lane.renewed(asked_at + self._lease, rows[lane.subscription_id])
            else:
                lane.lose()

    def look(self) -> None:
        for lane in self.lanes.values():
            lane.look()

    async def end(self) -> None:
        """Let what is in flight end, write it down and let every lane go."""
        for lane in self.lanes.values():
            lane.halt()
        if self._serving:
            _, late = await asyncio.wait(self._serving, timeout=STOP_SECONDS)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    async def _serve(self, lane: ServedLane) -> None:
        try:
            await lane.run()
        except LaneLost:
            log.info("lane_lost", subscription_id=str(lane.subscription_id), fence=lane.fence)
        except (*DATABASE_ERRORS, CannotOpen) as fault:
            # The lease stays ours: the next claim takes the lane back, with a new fence and what is written down.
            log.warning("lane_failed", subscription_id=str(lane.subscription_id), error=type(fault).__name__)
            await asyncio.sleep(POLL_SECONDS)
        except Exception as error:
            log.error("lane_crashed", subscription_id=str(lane.subscription_id), **error_fields(error))
            await asyncio.sleep(POLL_SECONDS)
        finally:
            del self.lanes[lane.subscription_id]

    @property
    def _lease(self) -> float:
        return self.tools.pace.lease


async def dispatch_forever(
    engine: Database, settings: Settings, wake: Wake, stop: asyncio.Event, pace: Pace | None = None
) -> None:
    """Deliver until `stop`, then finish what is in flight (at most 22 s) and release every lane."""
    egress = Egress(targets_of(settings))
    gate = asyncio.Semaphore(LANES_AT_WORK)
    ring = KeyRing(settings.secret_keys)
    dispatcher = Dispatcher(Tools(engine, egress, ring, wake, settings.retry_schedule, pace or Pace(), gate))
    try:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(_claiming(dispatcher, wake, stop))
            tasks.create_task(_renewing(dispatcher, stop))
            tasks.create_task(_looking(dispatcher, wake, stop))
    finally:
        await dispatcher.end()
        await egress.close()


async def _looking(dispatcher: Dispatcher, wake: Wake, stop: asyncio.Event) -> None:
    while not stop.is_set():
        seen = wake.seen("log")
        dispatcher.look()
        await wake.wait("log", seen, POLL_SECONDS)


async def _claiming(dispatcher: Dispatcher, wake: Wake, stop: asyncio.Event) -> None:
    while not stop.is_set():
        seen = wake.seen("log")
        await within(SERVED_FIRST_SECONDS, stop.wait())
        try:
            await dispatcher.claim()
        except DATABASE_ERRORS as fault:
            log.warning("claim_failed", error=type(fault).__name__)
        await within(CLAIM_APART_SECONDS, stop.wait())
        await wake.wait("log", seen, POLL_SECONDS)


async def _renewing(dispatcher: Dispatcher, stop: asyncio.Event) -> None:
    while not await within(dispatcher.tools.pace.renew, stop.wait()):
        try:
            await dispatcher.renew()
        except DATABASE_ERRORS as fault:
            log.warning("renew_failed", error=type(fault).__name__)
