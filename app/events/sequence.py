"""Give each committed event its place: nothing skipped, nothing twice, the events of one lead in order.

Whatever is visible in `pending` is committed; an event of a lead was committed before the next of that lead could be
written (the lead's row lock), so draining what is visible in the order of `seq` can never put the later one first.
Positions become visible in order because one process at a time holds the sequencer's row until it commits.
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
UPKEEP_SECONDS: Final = 60.0


async def sequence(engine: Database) -> int | None:
    """Sequence one batch; how many events, or None when another process is at it."""
    async with engine.connect() as tx:
        return await across.drain(tx)


async def sequence_forever(engine: Database, wake: Wake, stop: asyncio.Event) -> None:
    """Sequence until `stop`, and keep partitions ahead; a database that is away is waited for."""
    upkeep_at = 0.0
    while not stop.is_set():
        seen = wake.seen("events")
        if time.monotonic() >= upkeep_at:
            await _keep_ahead(engine)
            upkeep_at = time.monotonic() + UPKEEP_SECONDS
        try:
            count = await sequence(engine)
        except DATABASE_ERRORS as fault:
            log.warning("sequence_failed", error=type(fault).__name__)
            await within(POLL_SECONDS, stop.wait())
            continue
        if count:
            wake.set("log")
        if count is None:
            # Its snapshot may be older than the event we were woken for.
            await within(BUSY_SECONDS, stop.wait())
        elif count < across.BATCH:
            await wake.wait("events", seen, POLL_SECONDS)


async def _keep_ahead(engine: Database) -> None:
    """What cannot be made now is needed later; meanwhile events go into the partitions that are there."""
    try:
        await partitions.keep_ahead(engine)
    except DATABASE_ERRORS as fault:
        log.error("partitions_not_made", error=type(fault).__name__)
