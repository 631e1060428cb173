"""Try a receiver that is taken to be down: one delivery that waits, by the lane whose breaker is open."""

from __future__ import annotations

import random
from contextlib import AbstractAsyncContextManager
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from app import metrics
from app.database.transaction import Tx
from app.webhooks.breaker import Breaker
from app.webhooks.lane import Item, Lane
from app.webhooks.lane_context import DatabaseClock
from app.webhooks.lane_reading import find_probe
from app.webhooks.receiver import Receiver
from app.webhooks.retry import GONE, Outcome
from app.webhooks.shares import Share


class Server(Protocol):
    """What a probe needs of the lane that is served (serve_lane.py)."""

    place: tuple[UUID, UUID, Share]
    lane: Lane
    breaker: Breaker
    receiver: Receiver
    clock: DatabaseClock

    def connection(self) -> AbstractAsyncContextManager[Tx]: ...
    async def send(self, item: Item) -> Outcome: ...
    def follow(self, item: Item, outcome: Outcome, now: datetime) -> None: ...


async def probe(served: Server) -> None:
    """Send one waiting delivery. If its receiver is back the lane is served, slowly at first, else released."""
    lane, breaker, limits = served.lane, served.breaker, served.receiver.limits
    assert breaker.outage is not None
    if lane.waits_for_pace(served.clock.now()):
        return
    async with served.connection() as tx:
        item = await find_probe(tx, *served.place, lane, served.receiver, breaker.outage.probes)
    if item is None:  # what waits is not accepted any more, or is behind a dead delivery
        breaker.start(served.clock.now())
        return
    outcome = await served.send(item)
    now = served.clock.now()
    back = breaker.note_probe(outcome, limits.concurrency, now, random.random())  # noqa: S311 - jitter
    if back or outcome.code == GONE:
        served.follow(item, outcome, now)
        return
    metrics.DELIVERIES.labels(outcome.label).inc()
    lane.fail_probe(item, outcome, now)
    lane.pause(breaker.probe_at)
    if breaker.failed_for(now) >= timedelta(days=limits.disable_after_days):
        lane.disable("failing")
