"""Group commit: everybody is answered, a bad row fails alone, and nobody waits for a flush that does not come."""

import asyncio
import hashlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import text

from app import ids
from app.database import engine as database
from app.database.engine import make_engine
from app.database.transaction import Database
from app.errors import DatabaseUnavailable
from app.submissions.accept import FEW_ROWS, MOST_BYTES, MOST_ROWS, SLOW_SECONDS, Committer
from app.submissions.received import Received
from app.tenants.create import create_tenant
from tests.waiting import TIMEOUT_SECONDS, until

NOW = datetime(2026, 8, 17, 9, tzinfo=UTC)
COUNT_FLUSHES = """
    CREATE TABLE flushes (n serial, size int);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO flushes (size) SELECT count(*) FROM fresh; RETURN NULL; END $$;
    CREATE TRIGGER note AFTER INSERT ON submissions REFERENCING NEW TABLE AS fresh
        FOR EACH STATEMENT EXECUTE FUNCTION note();
"""


class Desk:
    """A committer on an engine, and one source to write for."""

    def __init__(self, engine: Database, tenant_id: UUID, source_id: UUID) -> None:
        self.engine, self.tenant_id, self.source_id = engine, tenant_id, source_id
        self.committer = Committer(engine)

    def row(self, *, body: bytes = b"{}", headers: str = "{}") -> Received:
        sha256 = hashlib.sha256(body).hexdigest()
        return Received(self.tenant_id, ids.new_id(), self.source_id, "POST", "", headers, body, sha256, NOW)

    async def count(self, question: str = "SELECT count(*) FROM submissions") -> int:
        async with self.engine.connect() as tx:
            return int((await tx.execute(text(question))).scalar_one())

    async def run(self, script: str) -> None:
        async with self.engine.begin() as tx:
            await tx.command(script)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[None]:
        """Where COUNT_FLUSHES was run: no flush ends before the block does."""
        async with self.engine.begin() as tx:
            await tx.execute(text("LOCK TABLE flushes IN SHARE MODE"))
            yield

    async def flushes(self) -> list[int]:
        """The sizes of the flushes so far, where COUNT_FLUSHES was run."""
        async with self.engine.connect() as tx:
            return list((await tx.execute(text("SELECT size FROM flushes ORDER BY n"))).scalars())


@pytest.fixture
async def desk(engine: Database) -> Desk:
    async with engine.begin() as tx:
        tenant_id = await create_tenant(tx, "acme", "waterfall", NOW)
        source_id = (await tx.execute(text("SELECT id FROM sources"))).scalar_one()
    return Desk(engine, tenant_id, source_id)


async def test_one_arrival_is_written_at_once(desk: Desk) -> None:
    await desk.committer.accept(desk.row())
    assert await desk.count() == 1


async def test_who_arrives_during_a_flush_shares_the_next_one(desk: Desk) -> None:
    await desk.run(COUNT_FLUSHES)
    desk.committer.pace = -1_000.0  # fast commits: one flush at a time
    async with desk.held():
        first = asyncio.create_task(desk.committer.accept(desk.row()))
        await asyncio.sleep(0.01)
        others = asyncio.gather(*(desk.committer.accept(desk.row()) for _ in range(30)))
        await until(lambda: len(desk.committer.waiting) == 30)
    await asyncio.gather(first, others)
    assert await desk.flushes() == [1, 30]


async def test_a_second_flush_flies_when_commits_are_slow(desk: Desk) -> None:
    await desk.run(COUNT_FLUSHES)
    desk.committer.pace = SLOW_SECONDS * 100
    waiting = []
    async with desk.held():
        for _ in range(10):
            waiting.append(asyncio.create_task(desk.committer.accept(desk.row())))
            await asyncio.sleep(0.001)
        assert (len(desk.committer.flights), len(desk.committer.waiting)) == (2, 8)
    await asyncio.gather(*waiting)
    assert sorted(await desk.flushes()) == [1, 1, 8]


async def test_a_large_flush_flies_alone_however_slow_commits_are(desk: Desk) -> None:
    await desk.run(COUNT_FLUSHES)
    desk.committer.pace = SLOW_SECONDS * 100
    async with desk.held():
        crowd = asyncio.gather(*(desk.committer.accept(desk.row()) for _ in range(FEW_ROWS)))
        await asyncio.sleep(0.01)
        late = [asyncio.create_task(desk.committer.accept(desk.row())) for _ in range(3)]
        await asyncio.sleep(0.01)
        assert len(desk.committer.flights) == 1
    await asyncio.gather(crowd, *late)
    assert await desk.flushes() == [FEW_ROWS, 3]


async def test_a_flush_is_bounded_in_rows_and_in_bytes(desk: Desk) -> None:
    await desk.run(COUNT_FLUSHES)
    desk.committer.pace = -1_000.0
    await asyncio.gather(*(desk.committer.accept(desk.row()) for _ in range(MOST_ROWS + 50)))
    large = b"x" * (MOST_BYTES // 2)
    await asyncio.gather(*(desk.committer.accept(desk.row(body=large)) for _ in range(3)))
    assert await desk.flushes() == [MOST_ROWS, 50, 2, 1]


async def test_nobody_waits_for_a_flush_that_does_not_come(desk: Desk) -> None:
    chance = random.Random(7)

    async def sender(posts: int) -> None:
        for _ in range(posts):
            await desk.committer.accept(desk.row())
            for _ in range(chance.randrange(4)):  # arrive at every place of the flusher's cycle
                await asyncio.sleep(0)

    async with asyncio.timeout(TIMEOUT_SECONDS):
        await asyncio.gather(*(sender(40) for _ in range(25)))
    assert await desk.count() == 1_000
    assert not desk.committer.waiting


async def test_a_bad_row_fails_alone(desk: Desk) -> None:
    rows = [desk.row() for _ in range(5)]
    rows[2] = desk.row(headers='{"x": "\\u0000"}')  # jsonb cannot hold it
    answers = await asyncio.gather(*(desk.committer.accept(row) for row in rows), return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(None)] * 2 + [RuntimeError] + [type(None)] * 2
    assert await desk.count() == 4
    await desk.committer.accept(desk.row())


async def test_an_exception_reaches_everybody_who_waits(desk: Desk) -> None:
    await desk.run("ALTER TABLE submissions RENAME TO away")
    answers = await asyncio.gather(*(desk.committer.accept(desk.row()) for _ in range(20)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {RuntimeError}
    assert len({id(answer) for answer in answers}) == 20
    await desk.run("ALTER TABLE away RENAME TO submissions")
    await desk.committer.accept(desk.row())
    assert await desk.count() == 1


async def test_a_busy_database_is_a_503_for_everybody(url: str, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(database.SERVER_SETTINGS, "lock_timeout", "50ms")
    hurried = make_engine(url, 2)
    committer = Committer(hurried)
    async with desk.engine.begin() as tx:
        await tx.command("LOCK TABLE submissions IN ACCESS EXCLUSIVE MODE")
        answers = await asyncio.gather(*(committer.accept(desk.row()) for _ in range(3)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {DatabaseUnavailable}
    await hurried.dispose()


async def test_who_gives_up_does_not_take_the_others_along(desk: Desk) -> None:
    desk.committer.pace = -1_000.0
    first = asyncio.create_task(desk.committer.accept(desk.row()))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(desk.committer.accept(desk.row())) for _ in range(4)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    answers = await asyncio.gather(first, *waiting, return_exceptions=True)
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [False, False, True, False, False]
    assert await desk.count() == 4


async def test_a_flush_that_is_cancelled_tells_who_waits(desk: Desk) -> None:
    await desk.run(COUNT_FLUSHES)
    async with desk.held():
        waiting = asyncio.create_task(desk.committer.accept(desk.row()))
        await asyncio.sleep(0.005)
        for flight in desk.committer.flights:
            flight.cancel()
        with pytest.raises(DatabaseUnavailable):
            await waiting
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await desk.committer.accept(desk.row())


async def test_connections_that_died_are_replaced(desk: Desk) -> None:
    desk.committer.pace = SLOW_SECONDS * 100
    await asyncio.gather(*(desk.committer.accept(desk.row()) for _ in range(5)))
    await desk.count(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        " AND datname = current_database()"
    )
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await asyncio.gather(*(desk.committer.accept(desk.row()) for _ in range(5)))
    assert await desk.count() == 10


async def test_a_row_that_is_written_twice_is_there_once(desk: Desk) -> None:
    row = desk.row()
    await desk.committer.accept(row)
    await desk.committer.accept(row)
    assert await desk.count() == 1
