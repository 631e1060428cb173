"""What the lanes of a process share: connections, HTTP client, keys, times; and the clock of the database."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from app.database.transaction import Database
from app.events.wake import Wake
from app.keyring import KeyRing
from app.webhooks.breaker import Waits
from app.webhooks.egress import Egress
from app.webhooks.pace import Pace

LaneKey = tuple[UUID, int]  # a subscription, and the number of one of its lanes


class LaneLost(Exception):
    """Another process claimed the lane, or it was deleted: nothing more may be sent or written."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: length of a lease, between renewals, until an idle lane is released, and the waits of a breaker.

    `claim`: lanes per claim.
    """

    lease: float = 30.0
    renew: float = 5.0
    idle: float = 30.0
    claim: int = 500
    breaker: Waits = field(default_factory=Waits)


@dataclass(slots=True)
class DatabaseClock:
    """The database's time plus our monotonic clock: for leases and signatures this host's clock may be wrong."""

    at: datetime
    since: float = field(default_factory=time.monotonic)

    def now(self) -> datetime:
        return self.at + timedelta(seconds=time.monotonic() - self.since)

    def set(self, at: datetime) -> None:
        self.at, self.since = at, time.monotonic()


@dataclass(frozen=True, slots=True)
class LaneContext:
    """What the lanes of a process share. `gate` limits how many connections of the pool they use."""

    engine: Database
    egress: Egress
    ring: KeyRing
    wake: Wake
    schedule: tuple[float, ...]
    timing: Timing
    gate: asyncio.Semaphore
    paces: dict[LaneKey, Pace] = field(default_factory=dict)

    def pace(self, lane: LaneKey, per_minute: float | None) -> Pace:
        """The pace of a lane whose subscription has a rate: it goes on when the lane is released and claimed again."""
        if per_minute is None:
            return Pace()
        pace = self.paces.setdefault(lane, Pace())
        pace.per_minute = per_minute
        return pace
