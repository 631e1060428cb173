"""What a worker writes is dated once its transaction has begun, so that a report of now waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app import ids
from app.database.transaction import Database, Tx
from app.database.turn import Turn
from app.fetches.fetch import FetchContext, fetch_due
from app.journeys.refresh import refresh_due
from app.policies.due import activate_due, announce_reviews
from app.submissions.process import process_batch, process_one
from app.web.examples import POLICY
from tests.api import Api
from tests.fetches.provider import provider, record
from tests.fetches.test_fetch import RECORD, noticed, source_of
from tests.journeys.test_time import GOOD
from tests.policies.test_due import planned
from tests.reports.test_settled import PATHS, window
from tests.submissions.sender import make_sender, person

PAUSE = 0.05  # seconds before a transaction of a slow database begins


class Slow:
    """A database whose transactions begin late, as where all connections are in use.

    It notes when each had begun, by its number.
    """

    def __init__(self, api: Api) -> None:
        self.api, self.engine, self.begun = api, api.app.state.engine, dict[int, datetime]()

    def connect(self) -> Any:
        return self.engine.connect()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Tx]:
        await asyncio.sleep(PAUSE)
        async with self.engine.begin() as tx:
            began = self.api.now
            self.begun[int((await tx.execute(text("SELECT pg_current_xact_id()::text"))).scalar_one())] = began
            yield tx


async def recorded(api: Api) -> dict[UUID, tuple[int, datetime]]:
    """Of each event the number of its transaction, which is that of a savepoint where it has one, and its date."""
    statement = text("SELECT id, xmin::text AS number, recorded_at FROM events")
    async with api.app.state.engine.connect() as tx:
        return {row.id: (int(row.number), row.recorded_at) for row in await tx.execute(statement)}


async def processed(api: Api, slow: Any) -> Any:
    await (await make_sender(api)).post(person())
    return lambda: process_batch(slow, api.clock.now)


async def processed_alone(api: Api, slow: Any) -> Any:
    """The batch fails by one submission, so that each is processed by itself."""
    sender = await make_sender(api)
    for _ in range(3):
        await sender.post(person())
    await sender.post({"email": "broken@nordsoft.example"})
    async with api.app.state.engine.begin() as tx:
        await tx.command("ALTER TABLE leads ADD CHECK (fields ->> 'email' <> 'broken@nordsoft.example') NOT VALID")
    return lambda: process_batch(slow, api.clock.now)


async def refreshed(api: Api, slow: Any) -> Any:
    """A lead becomes an MQL when its negative points decay."""
    lead = await api.lead(**GOOD)
    await api.add_activity(lead, "unsubscribe", occurred_at=api.ago(days=20))
    for key in ("c1", "c2", "c3"):
        await api.add_activity(lead, "case_study", activity_key=key)
    api.clock.ahead += timedelta(days=10.1)
    return lambda: refresh_due(slow, api.clock.now)


async def activated(api: Api, slow: Any) -> Any:
    await planned(api, POLICY)
    api.clock.ahead += timedelta(hours=1, seconds=5)
    return lambda: activate_due(slow, api.clock.now)


async def announced(api: Api, slow: Any) -> Any:
    api.clock.ahead += timedelta(days=100)
    return lambda: announce_reviews(slow, api.clock.now)


WORKERS = (processed, processed_alone, refreshed, activated, announced)


async def check_dates(api: Api, slow: Slow, work: Callable[[], Awaitable[Any]]) -> None:
    """All that is recorded by the work is dated after its transaction had begun."""
    known = await recorded(api)
    assert await work()
    made = [found for one, found in (await recorded(api)).items() if one not in known]
    assert made, "nothing was recorded"
    for number, recorded_at in made:
        began = slow.begun[max(one for one in slow.begun if one <= number)]
        assert recorded_at >= began


@pytest.mark.parametrize("prepare", WORKERS)
async def test_what_a_worker_records_is_dated_when_its_transaction_has_begun(api: Api, prepare: Any) -> None:
    slow = Slow(api)
    await check_dates(api, slow, await prepare(api, slow))


async def test_a_fetched_record_is_dated_when_its_transaction_has_begun(api: Api) -> None:
    async with provider(record(RECORD)) as host:
        await noticed(await source_of(api, host))
        slow = Slow(api)
        context = FetchContext(slow, api.app.state.egress, api.app.state.keyring, (0, 1, 1))  # type: ignore[arg-type]
        await check_dates(api, slow, lambda: fetch_due(context, Turn(), api.clock.now))


async def test_reports_beside_workers_are_what_they_are_as_of_their_instant(api: Api) -> None:
    sender = await make_sender(api)
    sent = [(await sender.post(person(job_title="Director"))).json()["submission"]["id"] for _ in range(60)]
    slow, seen = Slow(api), list[tuple[str, Any]]()
    done = asyncio.Event()

    async def work(shares: list[str]) -> None:
        for one in shares:
            database: Database = slow  # type: ignore[assignment]
            assert await process_one(database, api.tenant_id, ids.read("submission", one), api.clock.now)

    async def read(path: str) -> None:
        while not done.is_set():
            seen.append((path, await api.get(path, params=window(path))))

    readers = [asyncio.create_task(read(path)) for path in PATHS[:4]]
    await asyncio.gather(*(work(sent[place::4]) for place in range(4)))
    done.set()
    await asyncio.gather(*readers)
    assert len({str(report["groups"]) for path, report in seen if path.endswith("sources")}) > 1
    for path, report in seen:
        again = await api.get(path, params={**window(path), "as_of": report["as_of"]})
        assert again == report, path
