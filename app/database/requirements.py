"""What Baton needs of a PostgreSQL and no session can set for itself; and database errors as messages for an operator.

Checked by `baton migrate`, `baton serve` and `baton doctor`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import asyncpg
from sqlalchemy.exc import DBAPIError

from app.database import migrate
from app.database.connection import Connector, ServerUnreachable
from app.database.sqlstate import sqlstate
from app.database.tables import metadata
from app.database.transaction import CommitOutcomeUnknown
from app.settings import PROGRAM, CannotStart

MINIMUM_VERSION: Final = 15
LOOK: Final = """
    SELECT current_setting('server_version_num')::integer / 10000 AS version,
           current_setting('server_encoding') AS encoding, current_database() AS database,
           current_user AS role, current_schema() AS schema,
           pg_is_in_recovery() AS standby, current_setting('transaction_read_only') = 'on' AS read_only,
           current_setting('session_replication_role') AS replication_role,
           coalesce(has_schema_privilege(current_schema(), 'CREATE'), false) AS may_create,
           ARRAY(SELECT relname::text FROM pg_class
                  WHERE relname = ANY($1) AND relkind IN ('r', 'p', 'v', 'm', 'f') AND pg_table_is_visible(oid)
                  ORDER BY relname) AS present,
           ARRAY(SELECT relname::text FROM pg_class
                  WHERE relname = ANY($1) AND relkind IN ('r', 'p') AND pg_table_is_visible(oid)
                    AND NOT pg_has_role(relowner, 'USAGE')
                  ORDER BY relname) AS not_owned,
           to_regclass('alembic_version') IS NOT NULL AS migrated
"""
NEED_URL: Final = "name another database in BATON_DATABASE_URL"
# By the beginning of the SQLSTATE; the first that fits.
EXPLAINED: Final = (
    ("28", "PostgreSQL refuses the login ({}): check the user and the password in BATON_DATABASE_URL"),
    ("3D000", "{}: create it, or " + NEED_URL),
    ("3F000", "{}: create a schema for the role and put it into its search_path"),
    ("42501", "the role lacks a right ({}): grant it, or let the role own the database or the schema"),
    (
        "42704",
        "PostgreSQL refuses a setting ({}): it must be version 15 or newer, and the address without such a parameter",
    ),
    ("42P01", f"{{}}: run `{PROGRAM} migrate`"),
    ("25006", "the database accepts no writes ({}): name its primary, or let the role write"),
    ("53100", "the disk of the database is full ({}): make room, then try again"),
    ("55P03", "another session holds a lock ({}): try again later"),
    ("57014", "it took too long ({}): try again later"),
    ("08", "the connection was lost ({}): try again"),
    ("53", "PostgreSQL lacks resources ({}): free some, or raise its limits"),
    ("57", "PostgreSQL is not ready ({}): try again in a moment"),
    ("58", "PostgreSQL cannot read or write its files ({}): see its log"),
    ("XX", "PostgreSQL has an internal error ({}): see its log"),
)


async def require(url: str) -> None:
    """Raises CannotStart, which says everything that must be changed."""
    try:
        connection = await Connector(url)()
        try:
            faults = await unmet(connection)
        finally:
            await connection.close()
    except (asyncpg.PostgresError, OSError) as error:
        raise CannotStart(explained(error) or str(error)) from error
    if faults:
        raise CannotStart("; ".join(faults))


async def unmet(connection: asyncpg.Connection) -> list[str]:
    """What this database lacks, each with the way out."""
    found = await connection.fetchrow(LOOK, list(metadata.tables))
    faults = [*_of_server(found), *_of_role(found)]
    if found["migrated"]:
        if faults:
            return faults
        revisions = [row[0] for row in await connection.fetch("SELECT version_num FROM alembic_version")]
        faults = [_unknown(found, revision) for revision in revisions if not migrate.knows(revision)]
    elif found["present"]:
        names = ", ".join(found["present"][:5])
        faults.append(
            f"{_place(found)} holds tables of another application with the names of ours ({names}): {NEED_URL}"
        )
    return faults


def _of_server(found: asyncpg.Record) -> Iterator[str]:
    database, role = found["database"], found["role"]
    if found["version"] < MINIMUM_VERSION:
        yield f"PostgreSQL {found['version']} is not supported: use version {MINIMUM_VERSION} or newer"
    if found["encoding"] != "UTF8":
        yield (
            f"database {database} has the encoding {found['encoding']}, which cannot hold every name: create one by "
            f"CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0, and {NEED_URL}"
        )
    if found["standby"]:
        yield "this server is a standby, which accepts no writes: name the primary in BATON_DATABASE_URL"
    elif found["read_only"]:
        yield (
            f"role {role} may only read in database {database}, because default_transaction_read_only is on: "
            f"ALTER ROLE {role} SET default_transaction_read_only = off, or the same for the database or the server"
        )
    if found["replication_role"] != "origin":
        yield f"session_replication_role of role {role} is not origin: ALTER ROLE {role} RESET session_replication_role"


def _of_role(found: asyncpg.Record) -> Iterator[str]:
    database, role, schema = found["database"], found["role"], found["schema"]
    if schema is None:
        yield (
            f"role {role} has no schema to create tables in: in database {database} "
            f"CREATE SCHEMA {role} AUTHORIZATION {role}, or correct the search_path of the role"
        )
    elif not found["may_create"]:
        yield (
            f"role {role} may not create tables in {_place(found)}: "
            f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {role}, or let it own the database"
        )
    if found["migrated"] and found["not_owned"]:
        yield (
            f"the tables of Baton in database {database} belong to another role: "
            f"give them to {role} (REASSIGN OWNED BY … TO {role}), or connect as their owner"
        )


def _unknown(found: asyncpg.Record, revision: str) -> str:
    return (
        f"{_place(found)} is at revision {revision}, which this release does not know: start the release that migrated "
        f"it, or, if that was another application, {NEED_URL}"
    )


def _place(found: asyncpg.Record) -> str:
    return f"schema {found['schema']} of database {found['database']}"


def explained(error: BaseException) -> str | None:
    """One sentence about an error of the database or of the connection to it; None for any other."""
    if isinstance(error, ServerUnreachable):
        return f"{error}: check BATON_DATABASE_URL, and that the server runs"
    if isinstance(error, CommitOutcomeUnknown):
        return "the connection was lost as the change was being stored: see whether it was, then try again"
    if not isinstance(error, DBAPIError | asyncpg.PostgresError):
        return None
    state = sqlstate(error)
    if "unsupported startup parameter" in _text(error):
        return f"the pooler at BATON_DATABASE_URL refuses a session ({_text(error)}): set BATON_POOLER=transaction"
    for start, words in EXPLAINED:
        if state.startswith(start):
            return words.format(_text(error))
    if isinstance(error, asyncpg.PostgresError):  # when connecting; of a statement it may be a fault of ours
        return f"PostgreSQL refuses the connection ({_text(error)}): check BATON_DATABASE_URL"
    return None


def _text(error: BaseException) -> str:
    """The message of PostgreSQL without its details, which may quote what was stored."""
    while not isinstance(error, asyncpg.PostgresError):
        inner = getattr(error, "orig", None) or error.__cause__
        if inner is None:
            break
        error = inner
    return str(error).partition("\n")[0]
