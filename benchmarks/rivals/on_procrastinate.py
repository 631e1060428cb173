"""`python -m benchmarks.rivals.on_procrastinate install|work|record DSN`: a job for each event and receiver.

The job's lock is the receiver and the lead, so that those of one lead are sent in order. Jobs of a worker that died are
tried again by a periodic task, as procrastinate's documentation recommends.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

import procrastinate
import psycopg
from procrastinate.jobs import Job

from benchmarks.rivals.events import Event
from benchmarks.rivals.handler import IN_FLIGHT, MAX_ATTEMPTS, new_client, send, wait_seconds
from benchmarks.rivals.recorder import take_orders


class Retry(procrastinate.BaseRetryStrategy):
    """Waits 1, 2, 4 … 60 seconds."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> procrastinate.RetryDecision | None:
        if job.attempts >= MAX_ATTEMPTS:
            return None
        return procrastinate.RetryDecision(retry_in={"seconds": wait_seconds(job.attempts)})


def make_app(dsn: str) -> procrastinate.App:
    app, client = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=dsn)), new_client()

    @app.task(name="deliver", retry=Retry())
    async def deliver(url: str, event_id: str, body: str) -> None:
        await send(client, url, event_id, body)

    @app.periodic(cron="* * * * * */10")
    @app.task(name="retry_stalled", queueing_lock="retry_stalled")
    async def retry_stalled(timestamp: int) -> None:
        for job in await app.job_manager.get_stalled_jobs():
            await app.job_manager.retry_job(job)

    return app


async def install(dsn: str) -> None:
    async with make_app(dsn).open_async() as app:
        await app.schema_manager.apply_schema_async()


async def work(dsn: str) -> None:
    async with make_app(dsn).open_async() as app:
        await app.run_worker_async(concurrency=IN_FLIGHT)


def record(dsn: str) -> None:
    urls: list[str] = []
    app = make_app(dsn)
    with asyncio.Runner() as runner:
        connection = runner.run(_connected(dsn))

        async def commit(events: Sequence[Event], timed: bool) -> None:
            jobs = [_job(app, url, event) for event in events for url in urls]
            async with connection.transaction():
                await app.job_manager.batch_defer_jobs_async(jobs=jobs, connection=connection)
                if timed:
                    marks = [event.mark for event in events]
                    await connection.execute("INSERT INTO recorded SELECT unnest(%s::text[])", [marks])

        runner.run(app.open_async().__aenter__())
        take_orders(lambda events, timed: runner.run(commit(events, timed)), urls.append)


def _job(app: procrastinate.App, url: str, event: Event) -> Job:
    task = app.tasks["deliver"].configure(lock=f"{url} {event.lead}")
    return task.make_new_job(url=url, event_id=f"evt_{event.mark}", body=event.body)


async def _connected(dsn: str) -> psycopg.AsyncConnection:
    return await psycopg.AsyncConnection.connect(dsn, autocommit=True)


if __name__ == "__main__":
    verb, address = sys.argv[1:]
    if verb == "record":
        record(address)
    else:
        asyncio.run({"install": install, "work": work}[verb](address))
