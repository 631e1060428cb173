"""A transaction commits or rolls back as a whole, and its connection returns to the pool outside of a transaction."""

import asyncio
import contextlib

import pytest
from sqlalchemy import Executable, bindparam, insert, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError, IntegrityError

from app.database.engine import make_engine
from app.database.faults import run_with_retries
from app.database.sqlstate import sqlstate
from app.database.tables import sequencer
from app.database.transaction import FOR_VALUES, Database, Tx, is_connection_lost

INSERT = text("INSERT INTO tried VALUES (:n)")
COUNT = text("SELECT count(*) FROM tried")


@pytest.fixture
async def database(engine: Database) -> Database:
    async with engine.begin() as tx:
        await tx.execute(text("CREATE TABLE tried (n integer PRIMARY KEY)"))
    return engine


async def count(database: Database) -> int:
    async with database.connect() as tx:
        return int((await tx.execute(COUNT)).scalar_one())


async def fail(tx: Tx) -> None:
    await tx.execute(INSERT, {"n": 1})
    raise ZeroDivisionError


async def test_a_block_that_raises_is_rolled_back_and_one_that_ends_is_committed(database: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with database.begin() as tx:
            await fail(tx)
    assert await count(database) == 0
    async with database.begin() as tx:
        await tx.execute(INSERT, {"n": 1})
        await tx.execute(INSERT, {"n": 2})
    assert await count(database) == 2


async def test_text_and_core_statements_share_one_transaction(database: Database) -> None:
    lock = select(sequencer.c.scope).with_for_update()
    async with database.begin() as tx:
        assert (await tx.execute(lock)).scalars() == [0]
        async with database.begin() as other:
            taken = text("SELECT 1 FROM sequencer FOR UPDATE SKIP LOCKED")
            assert (await other.execute(taken)).one_or_none() is None, "the row is held until the block ends"


async def test_a_savepoint_rolls_back_only_its_own_block(database: Database) -> None:
    async with database.begin() as tx:
        await tx.execute(INSERT, {"n": 1})
        with pytest.raises(IntegrityError):
            async with tx.savepoint(), tx.savepoint():
                await tx.execute(INSERT, {"n": 1})
        with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the block is what is tested
            async with tx.savepoint():
                async with tx.savepoint():
                    await tx.execute(INSERT, {"n": 2})
                raise ZeroDivisionError
        await tx.execute(INSERT, {"n": 3})
    assert await count(database) == 2


async def test_a_block_that_swallows_a_database_error_without_a_savepoint_is_not_committed(database: Database) -> None:
    with pytest.raises(RuntimeError, match="had failed"):  # noqa: PT012 - the block is what is tested
        async with database.begin() as tx:
            await tx.execute(INSERT, {"n": 1})
            with pytest.raises(IntegrityError):
                await tx.execute(INSERT, {"n": 1})
    assert await count(database) == 0


async def test_a_cancelled_block_returns_its_connection_outside_of_a_transaction(url: str) -> None:
    database = make_engine(url, 1)
    for seconds in (0, 0.001, 0.002, 0.005, 0.05):  # cancelled during BEGIN, the statement or ROLLBACK
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(seconds), database.begin() as tx:
                await tx.execute(text("SELECT pg_sleep(60)"))
        async with database.connect() as tx:
            assert not tx.driver.is_in_transaction()
            assert (await tx.execute(text("SELECT 1"))).scalar_one() == 1
    await database.dispose()


async def test_a_transaction_that_was_cancelled_twice_is_not_continued_by_the_next_user_of_its_connection(
    url: str,
) -> None:
    database = make_engine(url, 1)

    async def work() -> None:
        async with database.begin() as tx:
            await tx.execute(text("SELECT 1"))

    for steps in range(60):  # the second cancellation comes before the reply to ROLLBACK or BEGIN
        async with database.connect() as tx:
            await tx.execute(text("SELECT 1"))
        task = asyncio.create_task(work())
        for _ in range(steps // 6):
            await asyncio.sleep(0)
        task.cancel()
        for _ in range(1 + steps % 6):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        async with database.connect() as tx:
            await tx.execute(text("SELECT 1"))
            assert not tx.driver.is_in_transaction(), "what is written here would be lost"
    await database.dispose()


async def test_a_terminated_connection_is_reported_as_lost_and_the_next_one_works(database: Database) -> None:
    kill = text("SELECT pg_terminate_backend(:pid)")
    with pytest.raises(DBAPIError) as caught:  # noqa: PT012 - the block is what is tested
        async with database.begin() as tx:
            await tx.execute(INSERT, {"n": 1})
            async with database.connect() as other:
                await other.execute(kill, {"pid": tx.driver.get_server_pid()})
            await tx.execute(INSERT, {"n": 2})
    assert is_connection_lost(caught.value)
    assert await count(database) == 0


async def test_an_error_has_its_sqlstate_but_not_the_values(database: Database) -> None:
    async with database.connect() as tx:
        with pytest.raises(DBAPIError) as caught:
            await tx.execute(text("SELECT CAST(:word AS integer) / 0"), {"word": 4711})
    assert sqlstate(caught.value) == "22012"
    assert "4711" not in str(caught.value)


async def test_values_are_bound_by_name_in_any_order_and_json_as_json(tx: Tx) -> None:
    statement = text("SELECT CAST(:b AS text) AS b, :a AS a, CAST(:b AS text) AS again").bindparams(
        bindparam("a", type_=JSONB)
    )
    for values in ({"a": {"x": [1, None]}, "b": "two"}, {"b": "two", "a": {"x": [1, None]}}):
        row = (await tx.execute(statement, values)).one()
        assert (row.a, row.b, row.again) == ({"x": [1, None]}, "two", "two")


async def test_a_missing_value_is_an_error_and_not_null(tx: Tx) -> None:
    with pytest.raises(KeyError, match="b"):
        await tx.execute(text("SELECT CAST(:a AS text), CAST(:b AS text)"), {"a": "x"})


@pytest.mark.parametrize("statement", [INSERT, insert(sequencer).values(scope=1)], ids=["text", "core"])
async def test_a_connection_whose_server_accepts_no_writes_is_replaced(url: str, statement: Executable) -> None:
    database = make_engine(url, 1)
    async with database.connect() as tx:
        await tx.command("CREATE TABLE tried (n integer PRIMARY KEY)")
        await tx.command("SET default_transaction_read_only = on")
    with pytest.raises(DBAPIError) as caught:
        async with database.begin() as tx:
            await tx.execute(statement, {"n": 1} if statement is INSERT else None)
    assert sqlstate(caught.value) == "25006"
    async with database.begin() as tx:
        await tx.execute(INSERT, {"n": 1})
    assert await count(database) == 1
    await database.dispose()


async def test_a_transaction_whose_statement_was_prepared_before_a_migration_is_run_again(
    engine: Database, url: str
) -> None:
    """numeric(18, 2) to numeric, as in 0006_amounts: the rows stay where they are, prepared statements do not fit."""
    async with engine.begin() as tx:
        await tx.execute(text("CREATE TABLE amounts (amount numeric(18, 2))"))
        await tx.execute(text("INSERT INTO amounts VALUES (1.25)"))
    runs: list[str] = []

    async def read() -> list[str]:
        runs.append("read")
        async with engine.begin() as tx:
            return [str(amount) for amount in (await tx.execute(text("SELECT amount FROM amounts"))).scalars()]

    file = text("SELECT pg_relation_filenode('amounts')")
    assert await run_with_retries(read) == ["1.25"]
    migrating = make_engine(url)
    async with migrating.begin() as tx:
        before = (await tx.execute(file)).scalar_one()
        await tx.execute(text("ALTER TABLE amounts ALTER COLUMN amount TYPE numeric"))
        assert (await tx.execute(file)).scalar_one() == before
    await migrating.dispose()
    assert await run_with_retries(read) == ["1.25"]
    assert len(runs) == 3


@pytest.mark.parametrize("way", ["begin", "connect"])
@pytest.mark.parametrize("fails", [False, True])
async def test_planning_for_values_ends_with_the_connection(url: str, way: str, fails: bool) -> None:
    database = make_engine(url, 1)
    with contextlib.suppress(LookupError):
        async with getattr(database, way)() as tx:
            await tx.plan_for_values()
            assert {name: await tx.driver.fetchval(f"SHOW {name}") for name in FOR_VALUES} == FOR_VALUES
            if fails:
                raise LookupError
    async with database.connect() as tx:
        shown = {name: await tx.driver.fetchval(f"SHOW {name}") for name in FOR_VALUES}
        assert shown == {"plan_cache_mode": "force_generic_plan", "enable_seqscan": "off", "work_mem": "4MB"}
    await database.dispose()
