"""The sequencer: gives each committed event its position in the log, once, and the events of one lead in order.

Rows visible in `pending` are committed. The lead's row lock makes sure that an event of a lead is committed before the
next one of that lead is written, so draining the visible rows in the order of `seq` keeps each lead's order. Positions
become visible in ascending order because one process at a time locks the sequencer's row until it commits.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

import structlog

from app.database.faults import DATABASE_ERRORS
from app.database.transaction import Database
from app.events import across, partitions
from app.events.wake import Wake, within

log = structlog.get_logger("baton.sequence")

POLL_SECONDS: Final = 1.0
BUSY_SECONDS: Final = 0.01
PARTITIONS_SECONDS: Final = 60.0


async def sequence(engine: Database) -> int | None:
    """Sequence one batch; how many events, or None when another process holds the sequencer's lock."""
    async with engine.connect() as tx:
        return await across.drain(tx)


async def sequence_forever(engine: Database, wake: Wake, stop: asyncio.Event) -> None:
    """Sequence and create partitions until `stop`; when the database is unavailable, try again every second."""
    partitions_at = 0.0
    while not stop.is_set():
        seen = wake.generation("events")
        if time.monotonic() >= partitions_at:
            await _create_partitions(engine)
            partitions_at = time.monotonic() + PARTITIONS_SECONDS
        try:
            count = await sequence(engine)
        except DATABASE_ERRORS as fault:
            log.warning("sequence_failed", error=type(fault).__name__)
            await within(POLL_SECONDS, stop.wait())
            continue
        if count:
            wake.set("log")
        if count is None:
            # The other process may have taken its snapshot before the event that woke us was committed.
            await within(BUSY_SECONDS, stop.wait())
        elif count < across.BATCH:
            await wake.wait("events", seen, POLL_SECONDS)


async def _create_partitions(engine: Database) -> None:
    """A failure is logged and tried again later; meanwhile events go into the existing partitions."""
    try:
        await partitions.create_partitions(engine)
    except DATABASE_ERRORS as fault:
        log.error("create_partitions_failed", error=type(fault).__name__)
