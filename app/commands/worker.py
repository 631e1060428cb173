"""Background tasks of the roles `work` and `dispatch`; each ends when the stop event is set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, Final

import structlog

from app import metrics
from app.backtests.run import run_backtests
from app.confirmations.across import sweep_requests
from app.consumers.across import count_consumers
from app.database.faults import error_fields, run_with_retries
from app.database.turn import Turn
from app.erasure.steps import run_steps
from app.events import across
from app.events.sequence import sequence_forever
from app.events.wake import within
from app.expiry.drop import drop_due
from app.expiry.due import Periods
from app.fetches.fetch import FetchContext, fetch_due
from app.forecast.snapshot import take_snapshots
from app.imports.across import sweep_abandoned
from app.journeys.refresh import refresh_due
from app.leads.compare_again import compare_due
from app.likelihood.train import queue_due, train_next
from app.policies.due import activate_due, announce_reviews
from app.policies.schedule import schedule_leads
from app.problem import Problem
from app.reports.summaries import summarize_due
from app.retention.run import run_due
from app.settings import Role
from app.submissions.check import check_forever
from app.submissions.process import process_forever, process_lists_forever
from app.web import idempotency
from app.webhooks.across import count_lanes
from app.webhooks.deliver import dispatch_forever
from app.webhooks.event_facts import forget

log = structlog.get_logger("baton.worker")

POLL_SECONDS: Final = 1.0
SWEEP_SECONDS: Final = 300.0
RETAIN_SECONDS: Final = 60.0
DROP_SECONDS: Final = 600.0
SNAPSHOT_SECONDS: Final = 30.0
TRAIN_SECONDS: Final = 5.0
LEARN_SECONDS: Final = 3600.0
ABANDONED: Final = timedelta(hours=1)
LINK_KNOWN: Final = timedelta(days=30)  # after it has expired, so that whoever opens it late is told so
MEASURE_SECONDS: Final = 5.0
FORGET_SECONDS: Final = 10.0
GRACE_SECONDS: Final = 25.0  # longer than deliver.STOP_SECONDS, so that deliveries can finish

Work = Callable[[], Awaitable[Any]]


@asynccontextmanager
async def running(state: Any, roles: Sequence[Role]) -> AsyncIterator[None]:
    """Run the tasks of these roles until the block ends; then each task finishes its current batch and stops."""
    stop = asyncio.Event()
    jobs: list[Work] = [partial(state.wake.run, stop), partial(forget_forever, stop)]
    if roles:
        jobs.append(partial(measure_forever, state, stop))
    if "work" in roles:
        waiting = (process_forever, process_lists_forever, check_forever, fetch_forever)
        timed = (refresh_forever, compare_forever, policies_forever, backtest_forever, snapshots_forever, erase_forever)
        seldom = (summarize_forever, train_forever, learn_forever, sweep_forever, retention_forever)
        jobs += [partial(work, state, stop) for work in (*waiting, *timed, *seldom)]
    if "dispatch" in roles:
        jobs += [
            partial(sequence_forever, state.engine, state.wake, stop),
            partial(dispatch_forever, state.engine, state.settings, state.wake, stop),
            partial(drop_forever, state, stop),
        ]
    tasks = [asyncio.create_task(_restarting(work, stop)) for work in jobs]
    try:
        yield
    finally:
        stop.set()
        await _join(tasks)


async def _restarting(work: Work, stop: asyncio.Event) -> None:
    """Restart a task that ended with an unexpected exception, after logging it."""
    while not stop.is_set():
        try:
            await work()
        except Exception as error:
            log.error("work_ended", **error_fields(error))
            await within(POLL_SECONDS, stop.wait())


async def _join(tasks: list[asyncio.Task[None]]) -> None:
    _, late = await asyncio.wait(tasks, timeout=GRACE_SECONDS)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _in_turns(state: Any, stop: asyncio.Event, work: Callable[..., Awaitable[int]]) -> None:
    """Does batches of leads, tenants in turn, and wakes those who wait for their events."""
    turn = Turn()

    async def batch() -> int:
        done = await work(state.engine, state.clock.now, turn)
        if done:
            state.wake.set("events")
        return done

    await _repeat(POLL_SECONDS, stop, batch)


async def refresh_forever(state: Any, stop: asyncio.Event) -> None:
    """Evaluate leads whose state changes with time alone: decay steps, windows, wake-ups."""
    await _in_turns(state, stop, refresh_due)


async def compare_forever(state: Any, stop: asyncio.Event) -> None:
    """Compare leads once more that were written at the same time as others."""
    await _in_turns(state, stop, compare_due)


async def policies_forever(state: Any, stop: asyncio.Event) -> None:
    """Activate policies that are planned, tell of reviews, and schedule leads for evaluation by a new policy."""

    async def batch() -> int:
        clock = state.clock.now
        told = await activate_due(state.engine, clock) + await announce_reviews(state.engine, clock)
        if told:
            state.wake.set("events")
        return told + await schedule_leads(state.engine, clock())

    await _repeat(POLL_SECONDS, stop, batch)


async def fetch_forever(state: Any, stop: asyncio.Event) -> None:
    """Fetch the records that notifications name."""
    turn = Turn()
    context = FetchContext(state.engine, state.egress, state.keyring, state.settings.retry_schedule)

    async def batch() -> int:
        fetched = await fetch_due(context, turn, state.clock.now)
        if fetched:
            state.wake.set("events")
        return fetched

    await _repeat(POLL_SECONDS, stop, batch)


async def train_forever(state: Any, stop: asyncio.Event) -> None:
    """Train models that are asked for."""

    async def batch() -> int:
        return await train_next(state.engine, state.clock.now())

    await _repeat(TRAIN_SECONDS, stop, batch)


async def learn_forever(state: Any, stop: asyncio.Event) -> None:
    """Ask for a model where something new can be learned, of each tenant once a day."""

    async def batch() -> int:
        await queue_due(state.engine, state.clock.now())
        return 0

    await _repeat(LEARN_SECONDS, stop, batch)


async def backtest_forever(state: Any, stop: asyncio.Event) -> None:
    """Run back-tests and shadow runs of policies."""

    async def batch() -> int:
        return await run_backtests(state.engine, state.clock.now())

    await _repeat(POLL_SECONDS, stop, batch)


async def summarize_forever(state: Any, stop: asyncio.Event) -> None:
    """Keep the summaries that reports read."""

    async def batch() -> int:
        return await summarize_due(state.engine, state.clock.now())

    await _repeat(POLL_SECONDS, stop, batch)


async def erase_forever(state: Any, stop: asyncio.Event) -> None:
    """Look for copies of people who were erased."""

    async def batch() -> int:
        return await run_steps(state.engine, state.clock.now())

    await _repeat(POLL_SECONDS, stop, batch)


async def snapshots_forever(state: Any, stop: asyncio.Event) -> None:
    """Keep the open opportunities of each tenant as its week begins."""

    async def batch() -> int:
        return await take_snapshots(state.engine, state.clock.now())

    await _repeat(SNAPSHOT_SECONDS, stop, batch)


async def sweep_forever(state: Any, stop: asyncio.Event) -> None:
    """Delete old idempotent responses, lists that stopped arriving, and requests for consent that nobody answered."""

    async def batch() -> int:
        now = state.clock.now()
        async with state.engine.begin() as tx:
            responses, rows = await idempotency.sweep(tx, now), await sweep_abandoned(tx, now - ABANDONED)
            return responses + rows + await sweep_requests(tx, now - LINK_KNOWN)

    await _repeat(SWEEP_SECONDS, stop, batch)


async def retention_forever(state: Any, stop: asyncio.Event) -> None:
    """Remove what tenants have kept long enough."""

    async def batch() -> int:
        return await run_due(state.engine, state.clock.now())

    await _repeat(RETAIN_SECONDS, stop, batch)


async def forget_forever(stop: asyncio.Event) -> None:
    """Forget decoded events, so that no process has the data of a person for long who was erased."""

    async def batch() -> int:
        forget()
        return 0

    await _repeat(FORGET_SECONDS, stop, batch)


async def drop_forever(state: Any, stop: asyncio.Event) -> None:
    """Drop partitions of events and attempts whose time is over."""
    periods = Periods.of(state.settings)

    async def batch() -> int:
        return await drop_due(state.engine, periods, state.clock.now())

    await _repeat(DROP_SECONDS, stop, batch)


async def measure_forever(state: Any, stop: asyncio.Event) -> None:
    """Keep the metrics of events that wait up to date, also where `dispatch` does not run."""

    async def batch() -> int:
        async with state.engine.connect() as tx:
            metrics.PENDING.set(await across.count_pending(tx))
            metrics.show_lanes(await count_lanes(tx))
            metrics.show_consumers(await count_consumers(tx))
        return 0

    await _repeat(MEASURE_SECONDS, stop, batch)


async def _repeat(seconds: float, stop: asyncio.Event, batch: Callable[[], Awaitable[int]]) -> None:
    """Run batches until one finds no work, then wait; exceptions are logged and the batch is tried again."""
    while not stop.is_set():
        try:
            if await run_with_retries(batch):
                continue
        except Problem as problem:
            log.warning("work_waits", error=type(problem).__name__)
        except Exception as error:
            log.error("work_failed", **error_fields(error))
        await within(seconds, stop.wait())
