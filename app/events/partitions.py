"""Create partitions in advance: without a partition for the next row every write fails.

Those whose time is over are dropped by app/expiry.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Final

from app.database.transaction import Database, Tx
from app.events import across

AHEAD: Final = 2
DAYS_AHEAD: Final = 14


async def create_partitions(engine: Database) -> int:
    """Create missing partitions, two ahead by rows and fourteen ahead by days; how many were created."""
    async with engine.begin() as tx:
        # One process at a time creates partitions; the sequencer's lock serves for that, too.
        if not await across.lock_sequencer(tx):
            return 0
        wanted = await missing(tx)
        for parent, name, first, end in wanted:
            await across.attach(tx, parent, name, first, end)
        return len(wanted)


async def missing(tx: Tx) -> list[tuple[str, str, str, str]]:
    """(parent, name, first, end) of each partition that should exist and does not."""
    existing, last = await across.partitions(tx), await across.last_numbers(tx)
    wanted = [
        _of_rows(table, n)
        for table in last
        for n in range(min(_numbers(existing[table])), last[table] // across.PARTITION_ROWS + AHEAD + 1)
    ]
    wanted += [_of_day(day) for day in await across.days_ahead(tx, DAYS_AHEAD)]
    return [each for each in wanted if each[1] not in existing[each[0]]]


async def room_left(tx: Tx) -> int:
    """How many more events fit into the existing partitions."""
    existing, last = await across.partitions(tx), await across.last_numbers(tx)
    return min((1 + max(_numbers(existing[table]))) * across.PARTITION_ROWS - last[table] for table in last)


def _numbers(names: Iterable[str]) -> list[int]:
    return [int(name.rpartition("_")[2]) for name in names]


def _of_rows(table: str, n: int) -> tuple[str, str, str, str]:
    first = 1 + n * across.PARTITION_ROWS
    return table, f"{table}_{n:05d}", str(first), str(first + across.PARTITION_ROWS)


def _of_day(day: str) -> tuple[str, str, str, str]:
    first = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
    return "attempts", f"attempts_{day}", first.isoformat(), (first + timedelta(days=1)).isoformat()
