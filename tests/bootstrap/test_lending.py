"""An engine that a test gets from an earlier one has the statements that were planned, and nothing else of it."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from sqlalchemy import text

from app.database import engine as database
from app.database.engine import make_engine
from app.database.transaction import Database, Tx
from tests.databases import as_url
from tests.lending import MOST_KEPT, Lender

PID, PREPARED = "SELECT pg_backend_pid()", "SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT 7'"
SET_TIMEOUT = (  # PostgreSQL 17 has it
    "SELECT set_config('transaction_timeout', '7s', false)"
    " WHERE current_setting('server_version_num')::integer >= 170000"
)
SESSION = """
    SELECT name, setting FROM pg_settings WHERE name NOT IN ('application_name')
     UNION ALL SELECT 'role', current_user || session_user
     UNION ALL SELECT 'lock', count(*)::text FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()
     UNION ALL SELECT 'listening', count(*)::text FROM pg_listening_channels()
     UNION ALL SELECT 'cursors', count(*)::text FROM pg_cursors WHERE name = 'mine'
     UNION ALL SELECT 'temporary', count(*)::text FROM pg_class WHERE relname = 'mine'
"""


@pytest.fixture
async def lent(shared_dsn: str, long_timeouts: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lender]:
    """A lender of this test alone."""
    lender = Lender(asyncio.get_running_loop())
    lender.serves("tests", shared_dsn)
    monkeypatch.setattr(database, "create_async_engine", lender.engine)
    yield lender
    await lender.close()


async def value(engine: Database, sql: str) -> object:
    async with engine.connect() as tx:
        return await tx.driver.fetchval(sql)


@pytest.mark.parametrize(
    "left",
    [
        "SET work_mem = '7MB'",
        "SET default_transaction_read_only = on",
        SET_TIMEOUT,
        "SET ROLE pg_monitor",
        "SET SESSION AUTHORIZATION pg_monitor",
        "SELECT pg_advisory_lock(7)",
        "LISTEN mine",
        "DECLARE mine CURSOR WITH HOLD FOR SELECT 1",
        "CREATE TEMPORARY TABLE mine (n int)",
    ],
)
async def test_what_a_session_kept_is_gone_and_its_statements_are_not(lent: Lender, shared_dsn: str, left: str) -> None:
    first = make_engine(as_url(shared_dsn))
    async with first.connect() as tx:
        await tx.execute(text("SELECT 7"))
        new = set(await tx.driver.fetch(SESSION))
        pid = await tx.driver.fetchval(PID)
        await tx.driver.execute(left)
        if left != SET_TIMEOUT:
            assert set(await tx.driver.fetch(SESSION)) != new
    await first.dispose()
    second = make_engine(as_url(shared_dsn))
    async with second.connect() as tx:
        assert await tx.driver.fetchval(PID) == pid
        assert set(await tx.driver.fetch(SESSION)) == new
        assert await tx.driver.fetchval(PREPARED) == 1
    await second.dispose()


async def test_an_engine_in_use_is_lent_to_nobody_else(lent: Lender, shared_dsn: str) -> None:
    engines = [make_engine(as_url(shared_dsn)) for _ in range(2)]
    pids = [await value(engine, PID) for engine in engines]
    assert len(set(pids)) == 2
    for engine in engines:
        await engine.dispose()
    assert set(lent.pids()) == set(pids)


@pytest.mark.parametrize("other", ["size", "name", "timeout"])
async def test_an_engine_with_other_settings_is_another_one(
    lent: Lender, shared_dsn: str, monkeypatch: pytest.MonkeyPatch, other: str
) -> None:
    first = make_engine(as_url(shared_dsn))
    pid = await value(first, PID)
    await first.dispose()
    if other == "timeout":
        monkeypatch.setattr(database, "TRANSACTION_TIMEOUT", "7s")
    second = make_engine(as_url(shared_dsn), 7 if other == "size" else 10, "mine" if other == "name" else "baton")
    assert await value(second, PID) != pid
    await second.dispose()


async def test_an_engine_of_another_loop_is_not_kept(lent: Lender, shared_dsn: str) -> None:
    async def used() -> None:
        engine = make_engine(as_url(shared_dsn))
        assert await value(engine, PID)
        await engine.dispose()

    await asyncio.to_thread(asyncio.run, used())
    assert lent.pids() == []


async def test_a_lost_connection_is_not_lent(lent: Lender, shared_dsn: str) -> None:
    first = make_engine(as_url(shared_dsn))
    pid = await value(first, PID)
    connection = await asyncpg.connect(shared_dsn)
    await connection.fetchval("SELECT pg_terminate_backend($1, 10000)", pid)
    await connection.close()
    await first.dispose()
    second = make_engine(as_url(shared_dsn))
    assert await value(second, PID) != pid
    await second.dispose()


async def test_an_engine_whose_transaction_is_open_is_closed(lent: Lender, shared_dsn: str) -> None:
    first = make_engine(as_url(shared_dsn))
    async with first.begin() as tx:
        assert await tx.driver.fetchval(PID)
        await first.dispose()
        assert lent.pids() == []


async def test_of_many_connections_few_are_kept_and_the_first_is_the_first_again(lent: Lender, shared_dsn: str) -> None:
    first = make_engine(as_url(shared_dsn))
    held = [first.connect() for _ in range(MOST_KEPT + 2)]
    sessions: list[Tx] = [await each.__aenter__() for each in held]
    pids = [await each.driver.fetchval(PID) for each in sessions]
    for each in held:
        await each.__aexit__(None, None, None)
    await first.dispose()
    assert len(lent.pids()) == MOST_KEPT
    second = make_engine(as_url(shared_dsn))
    assert await value(second, PID) == pids[-1]
    await second.dispose()


async def test_engines_of_a_database_that_is_replaced_are_closed(lent: Lender, shared_dsn: str, server: object) -> None:
    first, other = make_engine(as_url(shared_dsn)), make_engine(as_url(shared_dsn), 1)
    pids = [await value(engine, PID) for engine in (first, other)]
    await first.dispose()
    lent.serves("tests", "postgresql://baton@/another")
    await other.dispose()
    assert lent.pids() == []
    connection = await asyncpg.connect(shared_dsn)
    while await connection.fetch("SELECT FROM pg_stat_activity WHERE pid = ANY ($1::int[])", pids):
        await asyncio.sleep(0.01)
    await connection.close()
