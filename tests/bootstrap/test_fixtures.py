"""The ground other tests stand on."""

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from app import migrate


async def test_a_fresh_database_is_migrated_and_empty(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT version_num FROM alembic_version") == migrate.newest()
    assert await connection.fetchval("SELECT count(*) FROM tenants") == 0
    await connection.close()


async def test_two_tests_that_commit_do_not_see_each_other(engine: AsyncEngine, dsn: str) -> None:
    async with engine.begin() as tx:
        await tx.execute(text("CREATE TABLE mine (n int)"))
    connection = await asyncpg.connect(dsn)
    assert await connection.fetchval("SELECT to_regclass('mine')::text") == "mine"
    await connection.close()


async def test_a_transaction_of_a_test_sees_the_schema(tx: AsyncConnection) -> None:
    assert await tx.scalar(text("SELECT to_regclass('mine')")) is None
    assert await tx.scalar(text("SELECT to_regclass('leads')::text")) == "leads"
    await tx.execute(text("CREATE TABLE mine (n int)"))  # would make the next test fail if it stayed


async def test_it_is_rolled_back(tx: AsyncConnection) -> None:
    assert await tx.scalar(text("SELECT to_regclass('mine')")) is None


async def test_the_tables_in_code_are_the_tables_in_the_database(url: str) -> None:
    await migrate.differences(url)
