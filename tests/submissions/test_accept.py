"""Group commit: every submission gets a result, a bad row fails alone, and none is left in the queue."""

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
from app.submissions.accept import MAX_BYTES, MAX_ROWS, SLOW_FLUSH_SECONDS, SMALL_FLUSH_ROWS, Committer
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


class Setup:
    """A committer, and a tenant with one source."""

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
    async def flushes_blocked(self) -> AsyncIterator[None]:
        """Blocks every flush until the end of the block; requires COUNT_FLUSHES."""
        async with self.engine.begin() as tx:
            await tx.execute(text("LOCK TABLE flushes IN SHARE MODE"))
            yield

    async def until_in_flight(self, rows: int) -> None:
        """Wait until the flushes that run have taken this many rows."""
        await until(lambda: self.committer.rows_in_flight == rows)

    async def flushes(self) -> list[int]:
        """The sizes of the flushes so far; requires COUNT_FLUSHES."""
        async with self.engine.connect() as tx:
            return list((await tx.execute(text("SELECT size FROM flushes ORDER BY n"))).scalars())


@pytest.fixture
async def setup(engine: Database) -> Setup:
    async with engine.begin() as tx:
        tenant_id = await create_tenant(tx, "acme", "waterfall", NOW)
        source_id = (await tx.execute(text("SELECT id FROM sources"))).scalar_one()
    return Setup(engine, tenant_id, source_id)


async def test_a_single_submission_is_written_at_once(setup: Setup) -> None:
    await setup.committer.accept(setup.row())
    assert await setup.count() == 1


async def test_submissions_that_arrive_during_a_flush_share_the_next_one(setup: Setup) -> None:
    await setup.run(COUNT_FLUSHES)
    setup.committer.flush_seconds = -1_000.0  # fast commits: one flush at a time
    async with setup.flushes_blocked():
        first = asyncio.create_task(setup.committer.accept(setup.row()))
        await setup.until_in_flight(1)
        others = asyncio.gather(*(setup.committer.accept(setup.row()) for _ in range(30)))
        await until(lambda: len(setup.committer.waiting) == 30)
    await asyncio.gather(first, others)
    assert await setup.flushes() == [1, 30]


async def test_a_second_flush_runs_concurrently_when_commits_are_slow(setup: Setup) -> None:
    await setup.run(COUNT_FLUSHES)
    setup.committer.flush_seconds = SLOW_FLUSH_SECONDS * 100
    waiting = []
    async with setup.flushes_blocked():
        for n in range(10):
            waiting.append(asyncio.create_task(setup.committer.accept(setup.row())))
            await setup.until_in_flight(min(n + 1, 2))
        await until(lambda: len(setup.committer.waiting) == 8)
        assert len(setup.committer.flushes) == 2
    await asyncio.gather(*waiting)
    assert sorted(await setup.flushes()) == [1, 1, 8]


async def test_no_second_flush_runs_beside_a_large_one(setup: Setup) -> None:
    await setup.run(COUNT_FLUSHES)
    setup.committer.flush_seconds = SLOW_FLUSH_SECONDS * 100
    async with setup.flushes_blocked():
        first = asyncio.gather(*(setup.committer.accept(setup.row()) for _ in range(SMALL_FLUSH_ROWS)))
        await setup.until_in_flight(SMALL_FLUSH_ROWS)
        late = [asyncio.create_task(setup.committer.accept(setup.row())) for _ in range(3)]
        await until(lambda: len(setup.committer.waiting) == 3)
        assert len(setup.committer.flushes) == 1
    await asyncio.gather(first, *late)
    assert await setup.flushes() == [SMALL_FLUSH_ROWS, 3]


async def test_a_flush_is_bounded_in_rows_and_in_bytes(setup: Setup) -> None:
    await setup.run(COUNT_FLUSHES)
    setup.committer.flush_seconds = -1_000.0
    await asyncio.gather(*(setup.committer.accept(setup.row()) for _ in range(MAX_ROWS + 50)))
    large = b"x" * (MAX_BYTES // 2)
    await asyncio.gather(*(setup.committer.accept(setup.row(body=large)) for _ in range(3)))
    assert await setup.flushes() == [MAX_ROWS, 50, 2, 1]


async def test_no_submission_is_left_in_the_queue(setup: Setup) -> None:
    rng = random.Random(7)

    async def sender(posts: int) -> None:
        for _ in range(posts):
            await setup.committer.accept(setup.row())
            for _ in range(rng.randrange(4)):  # arrive at different points of a flush
                await asyncio.sleep(0)

    async with asyncio.timeout(TIMEOUT_SECONDS):
        await asyncio.gather(*(sender(40) for _ in range(25)))
    assert await setup.count() == 1_000
    assert not setup.committer.waiting


async def test_a_bad_row_fails_alone(setup: Setup) -> None:
    rows = [setup.row() for _ in range(5)]
    rows[2] = setup.row(headers='{"x": "\\u0000"}')  # jsonb cannot hold it
    answers = await asyncio.gather(*(setup.committer.accept(row) for row in rows), return_exceptions=True)
    assert [type(answer) for answer in answers] == [type(None)] * 2 + [RuntimeError] + [type(None)] * 2
    assert await setup.count() == 4
    await setup.committer.accept(setup.row())


async def test_each_waiting_submission_gets_its_own_exception(setup: Setup) -> None:
    await setup.run("ALTER TABLE submissions RENAME TO away")
    answers = await asyncio.gather(*(setup.committer.accept(setup.row()) for _ in range(20)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {RuntimeError}
    assert len({id(answer) for answer in answers}) == 20
    await setup.run("ALTER TABLE away RENAME TO submissions")
    await setup.committer.accept(setup.row())
    assert await setup.count() == 1


async def test_a_busy_database_raises_database_unavailable_for_each_submission(
    url: str, setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(database.SERVER_SETTINGS, "lock_timeout", "50ms")
    short_timeout = make_engine(url, 2)
    committer = Committer(short_timeout)
    async with setup.engine.begin() as tx:
        await tx.command("LOCK TABLE submissions IN ACCESS EXCLUSIVE MODE")
        answers = await asyncio.gather(*(committer.accept(setup.row()) for _ in range(3)), return_exceptions=True)
    assert {type(answer) for answer in answers} == {DatabaseUnavailable}
    await short_timeout.dispose()


async def test_a_cancelled_submission_does_not_cancel_the_others(setup: Setup) -> None:
    setup.committer.flush_seconds = -1_000.0
    first = asyncio.create_task(setup.committer.accept(setup.row()))
    await asyncio.sleep(0)
    waiting = [asyncio.create_task(setup.committer.accept(setup.row())) for _ in range(4)]
    await asyncio.sleep(0)
    waiting[1].cancel()
    answers = await asyncio.gather(first, *waiting, return_exceptions=True)
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [False, False, True, False, False]
    assert await setup.count() == 4


async def test_a_cancelled_flush_raises_database_unavailable_for_its_submissions(setup: Setup) -> None:
    await setup.run(COUNT_FLUSHES)
    async with setup.flushes_blocked():
        waiting = asyncio.create_task(setup.committer.accept(setup.row()))
        await setup.until_in_flight(1)
        for flush in setup.committer.flushes:
            flush.cancel()
        with pytest.raises(DatabaseUnavailable):
            await waiting
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await setup.committer.accept(setup.row())


async def test_terminated_connections_are_replaced(setup: Setup) -> None:
    setup.committer.flush_seconds = SLOW_FLUSH_SECONDS * 100
    await asyncio.gather(*(setup.committer.accept(setup.row()) for _ in range(5)))
    await setup.count(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        " AND datname = current_database()"
    )
    async with asyncio.timeout(TIMEOUT_SECONDS):
        await asyncio.gather(*(setup.committer.accept(setup.row()) for _ in range(5)))
    assert await setup.count() == 10


async def test_a_row_that_is_written_twice_is_stored_once(setup: Setup) -> None:
    row = setup.row()
    await setup.committer.accept(row)
    await setup.committer.accept(row)
    assert await setup.count() == 1
