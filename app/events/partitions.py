"""Partitions are made ahead of need: a missing one would stop every write."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from app.database.transaction import Database, Tx
from app.events import across

AHEAD: Final = 2
DAYS_AHEAD: Final = 14


async def keep_ahead(engine: Database) -> int:
    """Make what is missing of two partitions of rows and fourteen of days ahead; how many were made."""
    async with engine.begin() as tx:
        # The sequencer's lock elects one process; another one will look in its own turn.
        if not await across.elected(tx):
            return 0
        wanted = await missing(tx)
        for parent, name, first, end in wanted:
            await across.attach(tx, parent, name, first, end)
        return len(wanted)


async def missing(tx: Tx) -> list[tuple[str, str, str, str]]:
    """(parent, name, first, end) of each partition that should be there and is not."""
    there, last = await across.partitions(tx), await across.last_numbers(tx)
    wanted = [_of_rows(table, n) for table in last for n in range(last[table] // across.WIDTH + AHEAD + 1)]
    wanted += [_of_day(day) for day in await across.days_ahead(tx, DAYS_AHEAD)]
    return [each for each in wanted if each[1] not in there[each[0]]]


async def room_left(tx: Tx) -> int:
    """How many more events fit into the partitions that are there."""
    there, last = await across.partitions(tx), await across.last_numbers(tx)
    return min(len(there[table]) * across.WIDTH - last[table] for table in last)


def _of_rows(table: str, n: int) -> tuple[str, str, str, str]:
    first = 1 + n * across.WIDTH
    return table, f"{table}_{n:05d}", str(first), str(first + across.WIDTH)


def _of_day(day: str) -> tuple[str, str, str, str]:
    first = datetime.strptime(day, "%Y%m%d").replace(tzinfo=UTC)
    return "attempts", f"attempts_{day}", first.isoformat(), (first + timedelta(days=1)).isoformat()
