"""Writes the results of many lanes together: those that come while a statement is under way go with the next one."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

from app.database.faults import is_of_data
from app.database.transaction import Database, Record
from app.webhooks import across
from app.webhooks.across import Owned
from app.webhooks.lane import Changes

TOGETHER: Final = 500


@dataclass(slots=True)
class Waiting:
    """What one lane wants written; `row` becomes its row, or None when the lane is no longer ours."""

    lane: Owned
    changes: Changes
    row: asyncio.Future[Record | None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Writer:
    """One per dispatcher. It writes only positions and attempts; other results need a transaction of their own."""

    def __init__(self, engine: Database, gate: asyncio.Semaphore) -> None:
        self.engine, self.gate = engine, gate
        self._waiting: list[Waiting] = []
        self._writing: asyncio.Task[None] | None = None

    async def write(self, lane: Owned, changes: Changes) -> Record | None:
        """Committed on return: version and now, or None when the lane is no longer ours."""
        waiting = Waiting(lane, changes)
        self._waiting.append(waiting)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_all())
        return await waiting.row

    async def close(self) -> None:
        """End a statement that is under way; nobody waits for it any more."""
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _write_all(self) -> None:
        while self._waiting:
            together, self._waiting = self._waiting[:TOGETHER], self._waiting[TOGETHER:]
            try:
                await self._write(together)
            except Exception as error:
                if is_of_data(error):  # of one of them: the others are not refused with it
                    for one in together:
                        await self._write_alone(one)
                else:
                    _fail(together, error)

    async def _write_alone(self, one: Waiting) -> None:
        try:
            await self._write([one])
        except Exception as error:
            _fail([one], error)

    async def _write(self, together: list[Waiting]) -> None:
        async with self.gate, self.engine.connect() as tx:
            rows = await across.advance_lanes(tx, [one.lane for one in together], [one.changes for one in together])
        for one, row in zip(together, rows, strict=True):
            if not one.row.done():  # its lane may have been cancelled
                one.row.set_result(row)


def _fail(together: list[Waiting], error: Exception) -> None:
    for one in together:
        if not one.row.done():
            one.row.set_exception(error)
