"""Accept: one durable write, shared by all who arrive while the write before it is under way (group commit).

Arrivals queue while a flush is in flight, and the next flush takes them all: no timer, and a batch of one is the same
statement. When commits are slow and the flush in flight is small, a second one may fly beside it: with commits of 2 ms,
8 senders would else lose 45 % by waiting for two commits each. Between "the queue is empty" and "the flusher is idle"
there is no await, so no arrival is left waiting for a flush that nobody starts.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from sqlalchemy.exc import DBAPIError

from app.database.faults import run_with_retries
from app.database.transaction import Database, sqlstate
from app.errors import DatabaseUnavailable
from app.submissions import across
from app.submissions.received import Received

MOST_ROWS: Final = 200
MOST_BYTES: Final = 8 * 1024 * 1024
SLOW_SECONDS: Final = 0.002
FEW_ROWS: Final = 12
SMOOTHING: Final = 0.2
BAD_ROW: Final = ("22", "23")  # SQLSTATE classes of what a row itself can be wrong in: its data, its references

Waiting = tuple[Received, "asyncio.Future[None]"]


class Committer:
    """Writes submissions for everybody in this process. One for each engine, used from one event loop."""

    def __init__(self, engine: Database) -> None:
        self.engine = engine
        self.waiting: deque[Waiting] = deque()
        self.flights: set[asyncio.Task[None]] = set()
        self.aloft = 0  # rows in these flights
        self.pace = 0.0  # seconds that a flush takes, smoothed

    async def accept(self, received: Received) -> None:
        """Returns once the submission is committed. DatabaseUnavailable when it may not be: then send it again."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((received, done))
        self._launch()
        await done

    def _launch(self) -> None:
        """Starts a flush if there is work and room for one; never awaits."""
        room = 2 if self.pace > SLOW_SECONDS and self.aloft < FEW_ROWS else 1
        if self.waiting and len(self.flights) < room:
            flight = asyncio.create_task(self._fly())
            self.flights.add(flight)
            flight.add_done_callback(self._land)

    def _land(self, flight: asyncio.Task[None]) -> None:
        self.flights.discard(flight)
        self._launch()

    async def _fly(self) -> None:
        batch = self._take()
        self.aloft += len(batch)
        began = time.perf_counter()
        try:
            await self._flush(batch)
        except BaseException as error:
            for _, done in batch:
                _fail(done, error)
            if not isinstance(error, Exception):
                raise
        finally:
            self.aloft -= len(batch)
        self.pace += SMOOTHING * (time.perf_counter() - began - self.pace)

    def _take(self) -> list[Waiting]:
        batch: list[Waiting] = []
        size = 0
        while self.waiting and len(batch) < MOST_ROWS and (not batch or size < MOST_BYTES):
            received, done = self.waiting.popleft()
            size += len(received.body)
            if not done.cancelled():
                batch.append((received, done))
        return batch

    async def _flush(self, batch: Sequence[Waiting]) -> None:
        """One statement for all; where a row of it is bad, each row by itself, so that its neighbours are kept."""
        if not batch:
            return
        try:
            await run_with_retries(lambda: across.insert_received(self.engine, [received for received, _ in batch]))
        except DBAPIError as error:
            if len(batch) == 1 or not sqlstate(error).startswith(BAD_ROW):
                raise
            for waiting in batch:
                await self._alone(waiting)
        else:
            for _, done in batch:
                if not done.done():
                    done.set_result(None)

    async def _alone(self, waiting: Waiting) -> None:
        try:
            await self._flush([waiting])
        except Exception as error:
            _fail(waiting[1], error)


def _fail(done: asyncio.Future[None], error: BaseException) -> None:
    """Each who waits gets an exception of its own: one raised in several places would mix their tracebacks."""
    if done.done():
        return
    if isinstance(error, DatabaseUnavailable) or not isinstance(error, Exception):
        done.set_exception(DatabaseUnavailable())
    else:
        done.set_exception(RuntimeError(f"a submission could not be stored: {type(error).__name__} {sqlstate(error)}"))
