"""Which partitions are to be dropped now."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from app.database.transaction import Tx
from app.events.across import PARTITION_ROWS, partitions
from app.events.cursors import MAX_DISORDER
from app.expiry import across, sql
from app.settings import Settings
from app.tenants.across import tenant_ids

WAITING: Final = 2  # times the period: so long a partition is kept for what waits


@dataclass(frozen=True, slots=True)
class Periods:
    """For how long events and attempts are kept."""

    events: timedelta
    attempts: timedelta

    @classmethod
    def of(cls, settings: Settings) -> Periods:
        return cls(timedelta(days=settings.event_days), timedelta(days=settings.attempt_days))


@dataclass(frozen=True, slots=True)
class Partition:
    """`first` to before `end`: its positions, or `seq`; 0 of attempts."""

    table: Literal["event_log", "events", "attempts"]
    name: str
    end: int = 0

    @property
    def first(self) -> int:
        return self.end - PARTITION_ROWS


async def due(tx: Tx, periods: Periods, now: datetime) -> list[Partition]:
    """In the order in which they are to be dropped. The events of the log stay as long as the log has them."""
    names = await partitions(tx)
    logs = await _logs_due(tx, _by_rows("event_log", names["event_log"]), now - periods.events, periods.events)
    kept = _by_rows("event_log", names["event_log"])[len(logs)].first
    events = []
    for one in _by_rows("events", names["events"]):
        if not await _is_over(tx, one, now - periods.events) or await across.has_stragglers(tx, kept, one.end):
            break
        events.append(one)
    return [*logs, *events, *_days_due(names["attempts"], now - periods.attempts)]


async def _logs_due(tx: Tx, oldest: list[Partition], before: datetime, period: timedelta) -> list[Partition]:
    found: list[Partition] = []
    for one in oldest:
        if not await _is_over(tx, one, before):
            break
        if not await _is_over(tx, one, before - (WAITING - 1) * period) and await is_needed(tx, one):
            break
        found.append(one)
    return found


async def is_needed(tx: Tx, one: Partition) -> bool:
    """Whether something of some tenant waits for events of this partition of the log."""
    for tenant_id in await tenant_ids(tx):
        if await sql.waits(tx, tenant_id, one.end):
            return True
    return False


async def _is_over(tx: Tx, one: Partition, before: datetime) -> bool:
    """Whether all its events are older: the first one after it is. So none is written into it any more, either."""
    following = await across.first_at(tx, one.table, one.end)
    return following is not None and following <= before - MAX_DISORDER


def _by_rows(table: Literal["event_log", "events"], names: set[str]) -> list[Partition]:
    """The partitions of a table, the oldest first."""
    numbers = sorted((int(name.rpartition("_")[2]), name) for name in names)
    return [Partition(table, name, 1 + (number + 1) * PARTITION_ROWS) for number, name in numbers]


def _days_due(names: set[str], before: datetime) -> list[Partition]:
    ends = {name: datetime.strptime(name[-8:], "%Y%m%d").replace(tzinfo=UTC) + timedelta(days=1) for name in names}
    return [Partition("attempts", name) for name in sorted(names) if ends[name] <= before]
