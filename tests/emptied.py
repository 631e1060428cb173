"""One database for the tests of a worker, emptied between them, which takes a fraction of the time of a new copy.

Sessions are ended, rows are deleted, sequences begin again, and the rows that migrations wrote are written again. What
else a test can leave (tables, columns, triggers, rights, settings, statistics of the planner) shows in the system
catalogs: then, and after MOST_USES tests or MOST_ROWS rows, whose remains would slow the next tests down, a new copy
takes its place.
"""

import asyncio
import io
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import asyncpg

from tests.databases import Databases
from tests.lending import Lender

MOST_USES, MOST_ROWS = 100, 5_000
FIRST_OID = 16384  # of what is not PostgreSQL's own

# Each change of the schema writes a row with a later xmin, or removes one.
CATALOGS = {
    "pg_attrdef": "oid",
    "pg_attribute": "attrelid",
    "pg_class": "oid",
    "pg_collation": "oid",
    "pg_constraint": "oid",
    "pg_db_role_setting": "setdatabase",
    "pg_default_acl": "oid",
    "pg_extension": "oid",
    "pg_index": "indexrelid",
    "pg_largeobject_metadata": "oid",
    "pg_namespace": "oid",
    "pg_policy": "oid",
    "pg_proc": "oid",
    "pg_publication": "oid",
    "pg_rewrite": "oid",
    "pg_statistic": "starelid",
    "pg_statistic_ext": "oid",
    "pg_trigger": "oid",
    "pg_type": "oid",
}
SCHEMA = " UNION ALL ".join(
    f"SELECT '{name}', count(*), sum(xmin::text::bigint) FROM {name} WHERE {key} >= {FIRST_OID}"
    for name, key in CATALOGS.items()
) + (
    " UNION ALL SELECT 'pg_database', 1, xmin::text::bigint FROM pg_database WHERE datname = current_database()"
    f" UNION ALL SELECT 'analyzed', count(*), sum(relpages + reltuples) FROM pg_class WHERE oid >= {FIRST_OID}"
)
WRITTEN = (
    "SELECT oid::regclass::text FROM pg_class"
    f" WHERE relkind = 'r' AND oid >= {FIRST_OID} AND pg_relation_size(oid) > 0 ORDER BY oid"
)
SEQUENCES = (
    "SELECT format('%I.%I', schemaname, sequencename), coalesce(last_value, start_value), last_value IS NOT NULL"
    " FROM pg_sequences"
)
END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
    " AND pid <> ALL ($1::int[])"
)


@dataclass(slots=True)
class Kept:
    """A database in use, with what it had when it was new."""

    dsn: str
    connection: asyncpg.Connection
    schema: list[Any]
    sequences: set[Any]
    rows: dict[str, bytes]
    uses: int = 1
    deleted: int = 0

    async def emptied(self, kept: list[int]) -> bool:
        """Make it as new; False if that is not possible or no longer worth it. The sessions `kept` are not ended."""
        try:
            while await self.connection.fetch(END_OTHERS, kept):
                await asyncio.sleep(0.001)
            if self.uses >= MOST_USES or await self.connection.fetch(SCHEMA) != self.schema:
                return False
            for (table,) in await self.connection.fetch(WRITTEN):
                deleted = await self.connection.execute(f"DELETE FROM {table}")  # "DELETE 3"
                self.deleted += 0 if table in self.rows else int(deleted.split()[1])
            for table, rows in self.rows.items():
                await self.connection.copy_to_table(table, source=io.BytesIO(rows))
            for name, value, called in self.sequences - set(await self.connection.fetch(SEQUENCES)):
                await self.connection.execute("SELECT setval($1::text::regclass, $2, $3)", name, value, called)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            return False  # the test ended this connection, or the server
        self.uses += 1
        return self.deleted <= MOST_ROWS


class Emptied:
    """The database of a worker, or rather one after another."""

    def __init__(self, server: Databases, lender: Lender) -> None:
        self._server, self._lender = server, lender
        self._stack = AsyncExitStack()
        self._kept: Kept | None = None

    async def dsn(self) -> str:
        """The address of the database for the next test: migrated and empty."""
        if self._kept is None or not await self._kept.emptied(self._lender.pids()):
            await self.close()
            self._kept = await self._new()
            self._lender.serves("emptied", self._kept.dsn)
        return self._kept.dsn

    async def close(self) -> None:
        await self._stack.aclose()
        self._kept = None

    async def _new(self) -> Kept:
        dsn = await self._stack.enter_async_context(self._server.clone())
        connection = await asyncpg.connect(dsn, server_settings={"session_replication_role": "replica"})
        self._stack.push_async_callback(connection.close, timeout=1)
        rows = {}
        for (table,) in await connection.fetch(WRITTEN):
            copy = io.BytesIO()
            await connection.copy_from_table(table, output=copy)
            rows[table] = copy.getvalue()
        schema = await connection.fetch(SCHEMA)
        return Kept(dsn, connection, schema, set(await connection.fetch(SEQUENCES)), rows)
