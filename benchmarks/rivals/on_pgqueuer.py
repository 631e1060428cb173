"""`python -m benchmarks.rivals.on_pgqueuer install|work|record DSN`: a job for each event and receiver.

pgqueuer has no lock by which jobs of one lead would be sent in order.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

import asyncpg
import httpx
from pgqueuer import PgQueuer
from pgqueuer.db import AsyncpgDriver
from pgqueuer.executors import DatabaseRetryEntrypointExecutor
from pgqueuer.models import Context, Job
from pgqueuer.queries import Queries

from benchmarks.rivals.events import Event
from benchmarks.rivals.handler import IN_FLIGHT, MAX_ATTEMPTS, MAX_WAIT_SECONDS, new_client, send
from benchmarks.rivals.recorder import TIMED, take_orders

EXECUTOR = partial(
    DatabaseRetryEntrypointExecutor,
    max_attempts=MAX_ATTEMPTS,
    initial_delay=timedelta(seconds=1),
    max_delay=timedelta(seconds=MAX_WAIT_SECONDS),
)


async def install(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await Queries(AsyncpgDriver(connection)).install()
    await connection.close()


async def work(dsn: str) -> None:
    async with asyncpg.create_pool(dsn) as pool, new_client() as client:
        queue = PgQueuer.from_asyncpg_pool(pool, resources={"client": client})

        @queue.entrypoint("deliver", executor_factory=EXECUTOR)
        async def deliver(job: Job, context: Context) -> None:
            http = context.resources["client"]
            assert isinstance(http, httpx.AsyncClient)
            await send(http, **json.loads(job.payload or b""))

        await queue.run(batch_size=IN_FLIGHT // 2, max_concurrent_tasks=IN_FLIGHT)


def record(dsn: str) -> None:
    urls: list[str] = []
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(dsn))
        queries = Queries(AsyncpgDriver(connection))

        async def commit(events: Sequence[Event], timed: bool) -> None:
            jobs: list[bytes | None] = [
                json.dumps({"url": url, "event_id": f"evt_{event.mark}", "body": event.body}).encode()
                for event in events
                for url in urls
            ]
            async with connection.transaction():
                await queries.enqueue(["deliver"] * len(jobs), jobs, [0] * len(jobs))
                if timed:
                    await connection.execute(TIMED, [event.mark for event in events])

        take_orders(lambda events, timed: runner.run(commit(events, timed)), urls.append)


if __name__ == "__main__":
    verb, address = sys.argv[1:]
    if verb == "record":
        record(address)
    else:
        asyncio.run({"install": install, "work": work}[verb](address))
