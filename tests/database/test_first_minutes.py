"""A new database has no statistics yet: what its plans read must not grow with its tables."""

from typing import Any

import pytest

from app.database.transaction import Database
from tests.database.test_generic_plans import generic_plan, statements
from tests.plans import nodes

pytestmark = pytest.mark.own_database

FOREIGN_KEYS = """
    SELECT t.relname, array_agg(a.attname::text ORDER BY k.place) AS columns
      FROM pg_constraint c JOIN pg_class t ON t.oid = c.confrelid, unnest(c.confkey) WITH ORDINALITY k(number, place),
           pg_attribute a
     WHERE c.contype = 'f' AND a.attrelid = c.confrelid AND a.attnum = k.number
     GROUP BY c.oid, t.relname ORDER BY 1
"""


async def test_no_table_of_a_new_database_is_taken_for_one_that_stays_empty(engine: Database) -> None:
    query = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
    async with engine.connect() as tx:
        counted = await tx.driver.fetch(f"{query} AND reltuples >= 0")
        assert [row[0] for row in counted] == []
        assert len(await tx.driver.fetch(query)) > 30


async def test_foreign_keys_of_a_new_database_are_checked_by_primary_key(engine: Database) -> None:
    async with engine.connect() as tx:
        keys = await tx.driver.fetch(FOREIGN_KEYS)
        assert {"leads", "journeys", "submissions", "users"} <= {row[0] for row in keys}
        by_table = {row[0]: await _indexes(tx.driver, row[0], row[1]) for row in keys}
    assert by_table == {table: [f"{table}_pkey"] for table in by_table}


async def _indexes(driver: Any, table: str, columns: list[str]) -> list[str]:
    """The indexes that find the row of a foreign key, by the statement with which PostgreSQL checks one."""
    wanted = " AND ".join(f"{column} = ${number}" for number, column in enumerate(columns, 1))
    await driver.execute(f"PREPARE checked AS SELECT 1 FROM ONLY {table} x WHERE {wanted} FOR KEY SHARE OF x")
    (row,) = await driver.fetch(f"EXPLAIN (FORMAT JSON) EXECUTE checked({', '.join(['NULL'] * len(columns))})")
    await driver.execute("DEALLOCATE checked")
    scans = (node for node in nodes(row[0][0]["Plan"]) if "Scan" in node["Node Type"])
    return [scan.get("Index Name", scan["Node Type"]) for scan in scans]


async def test_no_plan_of_a_new_database_reads_a_whole_table_that_grows(engine: Database) -> None:
    scanned = set()
    async with engine.connect() as tx:
        await tx.command("ANALYZE")  # the worst case: each table is known to have no rows
        for name, statement in statements():
            for node in nodes(await generic_plan(tx.driver, statement)):
                if node["Node Type"] == "Seq Scan":
                    scanned.add((name, node["Relation Name"]))
    assert scanned == {("app.consumers.across.COUNT", "consumers")}, "/metrics counts the few that there are"
