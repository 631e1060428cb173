"""The database fixtures that other tests use, and the option `--cases`."""

import asyncpg
import pytest
from sqlalchemy import text

from app.database import migrate
from app.database.transaction import Database, Tx
from tests.conftest import some_cases


async def test_a_fresh_database_is_migrated_and_empty(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT version_num FROM alembic_version") == migrate.newest()
    assert await connection.fetchval("SELECT count(*) FROM tenants") == 0
    await connection.close()


async def test_two_tests_that_commit_do_not_see_each_other(engine: Database, dsn: str) -> None:
    async with engine.begin() as tx:
        await tx.execute(text("CREATE TABLE mine (n int)"))
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT to_regclass('mine')::text") == "mine"
    await connection.close()


async def test_the_tx_fixture_has_the_migrated_schema(tx: Tx) -> None:
    assert (await tx.execute(text("SELECT to_regclass('mine')"))).scalar_one() is None
    assert (await tx.execute(text("SELECT to_regclass('leads')::text"))).scalar_one() == "leads"
    await tx.execute(text("CREATE TABLE mine (n int)"))  # the next test fails if this is not rolled back


async def test_the_tx_fixture_is_rolled_back(tx: Tx) -> None:
    assert (await tx.execute(text("SELECT to_regclass('mine')"))).scalar_one() is None


async def test_the_tables_in_code_match_the_migrated_database(url: str) -> None:
    await migrate.differences(url)


@pytest.mark.parametrize(("most", "kept"), [(1, "0"), (2, "03"), (3, "024"), (4, "024"), (5, "01234"), (9, "01234")])
def test_every_test_is_run_and_of_its_cases_at_most_so_many(most: int, kept: str) -> None:
    names = ["test_one", *(f"test_table[{n}]" for n in range(5)), "test_other"]
    assert some_cases(names, most) == {"test_one", "test_other", *(f"test_table[{n}]" for n in kept)}
