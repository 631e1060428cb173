"""Group commit: submissions that arrive during a flush are queued and written together by the next one.

There is no timer, and a batch of one is the same statement. When commits are slow and the flush in flight is small, a
second one may run concurrently: with commits of 2 ms, 8 senders would otherwise lose 45 % of their throughput by
waiting for two commits each. The end of each flush starts the next one if submissions wait, without an await in
between, so that no submission is left in the queue.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from typing import Final

from sqlalchemy.exc import DBAPIError

from app.database.faults import is_of_data, run_with_retries
from app.database.sqlstate import sqlstate
from app.database.transaction import Database
from app.errors import DatabaseUnavailable
from app.submissions import across
from app.submissions.received import Received

MAX_ROWS: Final = 200
MAX_BYTES: Final = 8 * 1024 * 1024
SLOW_FLUSH_SECONDS: Final = 0.002
SMALL_FLUSH_ROWS: Final = 12
SMOOTHING: Final = 0.2

Waiting = tuple[Received, "asyncio.Future[None]"]


class Committer:
    """Writes the submissions of all requests in this process. One per engine, used from one event loop."""

    def __init__(self, engine: Database) -> None:
        self.engine = engine
        self.waiting: deque[Waiting] = deque()
        self.flushes: set[asyncio.Task[None]] = set()
        self.rows_in_flight = 0
        self.flush_seconds = 0.0  # moving average

    async def accept(self, received: Received) -> None:
        """Returns once the submission is committed.

        Raises DatabaseUnavailable when it may not be: the sender retries.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append((received, done))
        self._start_flush()
        await done

    def _start_flush(self) -> None:
        """Starts a flush if submissions wait and the limit of concurrent flushes allows it; never awaits."""
        limit = 2 if self.flush_seconds > SLOW_FLUSH_SECONDS and self.rows_in_flight < SMALL_FLUSH_ROWS else 1
        if self.waiting and len(self.flushes) < limit:
            flush = asyncio.create_task(self._flush())
            self.flushes.add(flush)
            flush.add_done_callback(self._flush_done)

    def _flush_done(self, flush: asyncio.Task[None]) -> None:
        self.flushes.discard(flush)
        self._start_flush()

    async def _flush(self) -> None:
        batch = self._next_batch()
        self.rows_in_flight += len(batch)
        began = time.perf_counter()
        try:
            await self._write(batch)
        except BaseException as error:
            for _, done in batch:
                _fail(done, error)
            if not isinstance(error, Exception):
                raise
        finally:
            self.rows_in_flight -= len(batch)
        self.flush_seconds += SMOOTHING * (time.perf_counter() - began - self.flush_seconds)

    def _next_batch(self) -> list[Waiting]:
        batch: list[Waiting] = []
        size = 0
        while self.waiting and len(batch) < MAX_ROWS and (not batch or size < MAX_BYTES):
            received, done = self.waiting.popleft()
            size += len(received.body)
            if not done.cancelled():
                batch.append((received, done))
        return batch

    async def _write(self, batch: Sequence[Waiting]) -> None:
        """Inserts the batch in one statement; if a row is bad, each row separately, so that only that row fails."""
        if not batch:
            return
        try:
            await run_with_retries(lambda: across.insert_received(self.engine, [received for received, _ in batch]))
        except DBAPIError as error:
            if len(batch) == 1 or not is_of_data(error):
                raise
            for waiting in batch:
                await self._write_alone(waiting)
        else:
            for _, done in batch:
                if not done.done():
                    done.set_result(None)

    async def _write_alone(self, waiting: Waiting) -> None:
        try:
            await self._write([waiting])
        except Exception as error:
            _fail(waiting[1], error)


def _fail(done: asyncio.Future[None], error: BaseException) -> None:
    """Sets a new exception on each future: one exception raised in several tasks would mix their tracebacks."""
    if done.done():
        return
    if isinstance(error, DatabaseUnavailable) or not isinstance(error, Exception):
        done.set_exception(DatabaseUnavailable())
    else:
        done.set_exception(RuntimeError(f"a submission could not be stored: {type(error).__name__} {sqlstate(error)}"))
