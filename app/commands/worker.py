"""The work beside the API: what each role does, as tasks that end when they are told to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final

import structlog

from app.database.faults import error_fields, run_with_retries
from app.errors import Problem
from app.events.sequence import sequence_forever
from app.events.wake import within
from app.journeys.refresh import refresh_due
from app.settings import Role
from app.submissions.process import process_forever
from app.web import idempotency
from app.webhooks.deliver import dispatch_forever

log = structlog.get_logger("baton.worker")

LOOK_SECONDS: Final = 1.0
SWEEP_SECONDS: Final = 300.0
GRACE_SECONDS: Final = 25.0  # longer than deliveries take to end

Work = Callable[[], Awaitable[Any]]


@asynccontextmanager
async def running(state: Any, roles: Sequence[Role]) -> AsyncIterator[None]:
    """Runs the work of these roles until the block ends; then each task finishes what it holds and stops."""
    stop = asyncio.Event()
    works: list[Work] = [partial(state.wake.run, stop)]
    if "work" in roles:
        works += [partial(work, state, stop) for work in (process_forever, refresh_forever, sweep_forever)]
    if "dispatch" in roles:
        works += [
            partial(sequence_forever, state.engine, state.wake, stop),
            partial(dispatch_forever, state.engine, state.settings, state.wake, stop),
        ]
    tasks = [asyncio.create_task(_guarded(work, stop)) for work in works]
    try:
        yield
    finally:
        stop.set()
        await _finish(tasks)


async def _guarded(work: Work, stop: asyncio.Event) -> None:
    """A fault that nobody thought of ends the work: it is logged, and the work begun anew."""
    while not stop.is_set():
        try:
            await work()
        except Exception as error:
            log.error("work_ended", **error_fields(error))
            await within(LOOK_SECONDS, stop.wait())


async def _finish(tasks: list[asyncio.Task[None]]) -> None:
    _, late = await asyncio.wait(tasks, timeout=GRACE_SECONDS)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def refresh_forever(state: Any, stop: asyncio.Event) -> None:
    """Evaluates leads that time alone has changed: decay steps, windows, wake-ups."""

    async def batch() -> int:
        looked = await refresh_due(state.engine, state.clock.now())
        if looked:
            state.wake.set("events")
        return looked

    await _every(LOOK_SECONDS, stop, batch)


async def sweep_forever(state: Any, stop: asyncio.Event) -> None:
    """Deletes idempotent answers that are older than seven days."""

    async def batch() -> int:
        async with state.engine.begin() as tx:
            return await idempotency.sweep(tx, state.clock.now())

    await _every(SWEEP_SECONDS, stop, batch)


async def _every(seconds: float, stop: asyncio.Event, batch: Callable[[], Awaitable[int]]) -> None:
    """Batches until one finds nothing, again and again; a database that is away is waited for, a fault is logged."""
    while not stop.is_set():
        try:
            if await run_with_retries(batch):
                continue
        except Problem as problem:
            log.warning("work_waits", error=type(problem).__name__)
        except Exception as error:
            log.error("work_failed", **error_fields(error))
        await within(seconds, stop.wait())
