"""The database that tests of a worker share is as new for each of them, whatever the test before did."""

import asyncio
from typing import Any

import asyncpg
import pytest

from tests import emptied
from tests.databases import Databases
from tests.emptied import Emptied
from tests.lending import Lender

TENANTS = """
    INSERT INTO tenants (id, name, secret_salt, created_at) SELECT gen_random_uuid(), n, '', now()
      FROM generate_series(1, {}) n
"""
TENANT = TENANTS.format(1)
TABLES = "SELECT oid::regclass::text FROM pg_class WHERE relkind = 'r' AND oid >= 16384 ORDER BY oid"
SEQUENCES = "SELECT sequencename, last_value FROM pg_sequences ORDER BY 1"


async def content(dsn: str) -> dict[str, list[Any]]:
    """The rows of each table, and where the sequences are."""
    connection = await asyncpg.connect(dsn)
    tables = [table for (table,) in await connection.fetch(TABLES)]
    found = {table: await connection.fetch(f"SELECT * FROM {table}") for table in tables}
    found["sequences"] = await connection.fetch(SEQUENCES)
    await connection.close()
    return found


@pytest.fixture
async def shared(server: Databases) -> Any:
    found = Emptied(server, Lender(asyncio.get_running_loop()))
    yield found
    await found.close()


async def run(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    for statement in statements:
        await connection.execute(statement)
    await connection.close()


async def test_rows_are_deleted_and_those_of_migrations_are_back_and_sequences_begin_again(shared: Emptied) -> None:
    dsn = await shared.dsn()
    new = await content(dsn)
    sequence = new["sequences"][0][0]
    used = ["UPDATE sequencer SET scope = 7", "DELETE FROM alembic_version", f"SELECT nextval('{sequence}')", TENANT]
    for statements in ([TENANT], used[:1], used[1:2], used[2:3], used):
        await run(dsn, *statements)
        assert await content(dsn) != new
        assert await shared.dsn() == dsn
        assert await content(dsn) == new


@pytest.mark.parametrize(
    "left",
    [
        "CREATE TABLE mine (n int)",
        "ALTER TABLE leads ADD COLUMN mine int",
        "ALTER TABLE leads DROP COLUMN updated_at",
        "ALTER TABLE leads ALTER COLUMN version SET DEFAULT 7",
        "ALTER TABLE audit DISABLE TRIGGER ALL",
        "CREATE INDEX mine ON leads (updated_at)",
        "CREATE SCHEMA mine",
        "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "GRANT SELECT ON leads TO PUBLIC",
        "REVOKE CONNECT ON DATABASE {name} FROM PUBLIC",
        "ALTER DATABASE {name} SET work_mem = '8MB'",
        "ANALYZE leads",
        "TRUNCATE tenants CASCADE",
    ],
)
async def test_a_database_whose_schema_or_statistics_changed_is_not_used_again(shared: Emptied, left: str) -> None:
    dsn = await shared.dsn()
    await run(dsn, left.format(name=f'"{dsn.partition("?")[0].rpartition("/")[2]}"'))
    again = await shared.dsn()
    assert again != dsn
    with pytest.raises(asyncpg.InvalidCatalogNameError):
        await asyncpg.connect(dsn)


async def test_a_transaction_that_a_test_left_open_is_ended_and_its_locks_are_released(shared: Emptied) -> None:
    dsn = await shared.dsn()
    left = await asyncpg.connect(dsn)
    await left.execute("BEGIN")
    await left.execute(TENANT)
    await left.execute("LOCK TABLE leads")
    assert await shared.dsn() == dsn
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await left.fetchval("SELECT 1")


async def test_a_new_database_follows_one_whose_connection_was_ended(shared: Emptied) -> None:
    dsn = await shared.dsn()
    await run(
        dsn,
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )
    again = await shared.dsn()
    assert again != dsn
    await run(again, TENANT)


async def test_a_database_is_used_for_so_many_tests(shared: Emptied, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(emptied, "MOST_USES", 3)
    used = [await shared.dsn() for _ in range(7)]
    assert [used.index(dsn) for dsn in used] == [0, 0, 0, 3, 3, 3, 6]


@pytest.mark.parametrize(("rows", "kept"), [(9, True), (10, True), (11, False)])
async def test_a_database_is_used_until_so_many_rows_were_deleted(
    shared: Emptied, monkeypatch: pytest.MonkeyPatch, rows: int, kept: bool
) -> None:
    monkeypatch.setattr(emptied, "MOST_ROWS", 10)
    dsn = await shared.dsn()
    await run(dsn, TENANTS.format(rows))
    assert (await shared.dsn() == dsn) is kept
