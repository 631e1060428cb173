"""A PostgreSQL that was set up otherwise: each command says in one sentence what cannot work, the rest works."""

import asyncio
import contextlib
import io
import os
import re
import sys
import traceback
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from unittest import mock
from uuid import uuid4

import asyncpg
import httpx
import pytest
from sqlalchemy.exc import DBAPIError

from app.commands.cli import main
from app.database import migrate
from app.database.connection import ServerUnreachable
from app.database.requirements import EXPLAINED, explained
from app.database.transaction import CommitOutcomeUnknown
from app.settings import Settings
from tests.api import running
from tests.databases import Databases, as_url
from tests.ports import reserved_port
from tests.submissions.sender import make_sender, person
from tests.submissions.sender import process as process_all

ROOT = Path(__file__).parents[2]
SECRET_KEYS = "k1:" + "A" * 43 + "="
COMMANDS = ("migrate", "doctor", "verify")


class Foreign:
    """A database and a role that somebody made; `run` executes a statement as the superuser in that database."""

    def __init__(self, server: Databases, name: str) -> None:
        self.server, self.name = server, name
        self.dsn = server.dsn(name)
        self.dsn_of_role = self.as_role(name)

    def as_role(self, role: str) -> str:
        scheme, _, rest = self.dsn.partition("://")
        return f"{scheme}://{role}@{rest.partition('@')[2]}"

    async def run(self, *statements: str, dsn: str | None = None) -> None:
        connection = await asyncpg.connect(dsn or self.dsn)
        try:
            for statement in statements:
                await connection.execute(statement.format(name=self.name))
        finally:
            await connection.close()


@asynccontextmanager
async def foreign(server: Databases, options: str = "", statements: Sequence[str] = ()) -> AsyncIterator[Foreign]:
    made = Foreign(server, "foreign_" + uuid4().hex[:12])
    await made.run(
        f'CREATE DATABASE "{made.name}" TEMPLATE template0 {options}', 'CREATE ROLE "{name}" LOGIN', dsn=server.address
    )
    try:
        # ALTER ROLE and ALTER DATABASE concern the whole server, and some of them not the database one is connected to.
        of_server = [each for each in statements if re.match("ALTER (ROLE|DATABASE)", each)]
        await made.run(*(each for each in statements if each not in of_server))
        await made.run(*of_server, dsn=server.address)
        yield made
    finally:
        await made.run(
            'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)', 'DROP ROLE IF EXISTS "{name}"', dsn=server.address
        )


async def run_command(command: str, url: str, **more: str) -> tuple[int, str]:
    """The exit status of one command and what it printed; `serve` as a process of its own, the others in a thread."""
    given = {"BATON_DATABASE_URL": url, "BATON_SECRET_KEYS": SECRET_KEYS, "BATON_PORT": "0", **more}
    if command != "serve":
        return await asyncio.to_thread(_run_here, command, given)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app.commands.cli", command),
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(ROOT), **given},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        printed, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, printed.decode()


def _run_here(command: str, settings: dict[str, str]) -> tuple[int, str]:
    printed = io.StringIO()
    of_tests = [name for name in os.environ if name.startswith("BATON_")]
    with (
        mock.patch.dict(os.environ, settings),
        mock.patch.object(sys, "argv", ["baton", command]),
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
    ):
        for name in of_tests:
            del os.environ[name]
        try:
            main()
        except SystemExit as end:
            return int(end.code or 0), printed.getvalue()
        except Exception:
            return 1, traceback.format_exc()
    return 0, printed.getvalue()


async def refusals(url: str, commands: Sequence[str] = COMMANDS) -> list[str]:
    """What each command says, one after the other; each fails, and none with a traceback."""
    said = []
    for command in commands:
        status, printed = await run_command(command, url)
        assert status in (1, 2), (command, printed)
        assert "Traceback" not in printed, printed
        (wrong,) = faults(printed)
        assert command == "doctor" or printed.count("\n") == 1, printed
        assert "Nothing is wrong" not in printed
        said.append(wrong)
    return said


def faults(printed: str) -> list[str]:
    """What a command calls wrong, except that the server of the tests is not durable."""
    lines = [line for line in printed.splitlines() if line.startswith(("baton: ", "wrong"))]
    return [line for line in lines if "can lose acknowledged changes" not in line]


OWNED = 'ALTER DATABASE "{name}" OWNER TO "{name}"'
LATIN1 = "ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C'"
SQL_ASCII = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"


@pytest.mark.parametrize(
    ("options", "statements", "sentence"),
    [
        (LATIN1, [OWNED], r"encoding LATIN1.*ENCODING 'UTF8' TEMPLATE template0.*BATON_DATABASE_URL"),
        (SQL_ASCII, [OWNED], r"encoding SQL_ASCII.*ENCODING 'UTF8'"),
        ("", [OWNED, 'ALTER ROLE "{name}" SET default_transaction_read_only = on'], r"may only read.*ALTER ROLE"),
        ("", [OWNED, 'ALTER DATABASE "{name}" SET default_transaction_read_only = on'], r"may only read.*ALTER ROLE"),
        ("", [], r"may not create tables in schema public.*GRANT USAGE, CREATE ON SCHEMA public"),
        ("", [OWNED, "DROP SCHEMA public CASCADE"], r"no schema to create tables in.*CREATE SCHEMA"),
        ("", [OWNED, 'ALTER ROLE "{name}" SET search_path = nowhere'], r"no schema.*search_path"),
        ("", [OWNED, 'CREATE TABLE leads (id int)', 'CREATE VIEW users AS SELECT 1'],
         r"another application.*leads, users"),
        (
            "",
            [OWNED, "CREATE TABLE alembic_version (version_num text)", "INSERT INTO alembic_version VALUES ('9f3a')",
             'ALTER TABLE alembic_version OWNER TO "{name}"'],
            r"revision 9f3a, which this release does not know",
        ),
        (
            "",
            ["CREATE TABLE alembic_version (version_num text)", "CREATE TABLE leads (id int)",
             'GRANT CREATE ON SCHEMA public TO "{name}"', 'GRANT ALL ON leads, alembic_version TO "{name}"'],
            r"belong to another role.*REASSIGN OWNED",
        ),
        ("", [OWNED, 'ALTER ROLE "{name}" SET session_replication_role = replica'], r"session_replication_role"),
        ("", [OWNED, 'ALTER ROLE "{name}" NOLOGIN'], r"refuses the login.*BATON_DATABASE_URL"),
        ("", ['ALTER DATABASE "{name}" ALLOW_CONNECTIONS false'], r"not currently accepting connections"),
        ("", ['REVOKE CONNECT ON DATABASE "{name}" FROM PUBLIC'], r"lacks a right"),
        ("", [OWNED, 'ALTER ROLE "{name}" CONNECTION LIMIT 0'], r"lacks resources.*too many connections"),
    ],
)  # fmt: skip
async def test_a_database_that_cannot_serve_is_told_by_each_command_in_one_sentence_with_the_way_out(
    server: Databases, options: str, statements: list[str], sentence: str
) -> None:
    commands = (*COMMANDS, "serve") if "LATIN1" in options else COMMANDS
    async with foreign(server, options, statements) as made:
        for said in await refusals(made.dsn_of_role, commands):
            assert re.search(sentence, said), said


async def test_an_address_without_a_server_or_database_is_told_by_each_command_in_one_sentence(
    server: Databases,
) -> None:
    missing = Foreign(server, "missing_" + uuid4().hex[:12])
    for said in await refusals(missing.dsn):
        assert re.search(rf'database "{missing.name}" does not exist: create it', said)
    with reserved_port() as port:
        for hosts in (f"127.0.0.1:{port}", f"127.0.0.1:{port},127.0.0.1:{port}"):
            for said in await refusals(f"postgresql://me@{hosts}/baton", ("migrate", "doctor")):
                assert f"no PostgreSQL answers at 127.0.0.1:{port}" in said
    for said in await refusals("postgresql://me@h:5432x/baton"):
        assert "`h:5432x` is not a host and port" in said


UNUSUAL = {
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "standard_conforming_strings": "off",
    "DateStyle": "German",
    "IntervalStyle": "sql_standard",
    "TimeZone": "Pacific/Chatham",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "client_encoding": "SQL_ASCII",
    "statement_timeout": "1ms",
    "lock_timeout": "1ms",
    "idle_session_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
    "row_security": "off",
    "search_path": "elsewhere",
    "enable_seqscan": "off",
    "array_nulls": "off",
    "transform_null_equals": "on",
}


async def test_a_role_with_unusual_settings_and_a_schema_of_its_own_works_through_every_command_and_the_service(
    server: Databases,
) -> None:
    changes = [f"ALTER ROLE \"{{name}}\" SET {name} = '{value}'" for name, value in UNUSUAL.items()]
    schema = 'CREATE SCHEMA elsewhere AUTHORIZATION "{name}"'
    async with foreign(server, "", [OWNED, schema, *changes]) as made:
        assert await run_command("migrate", made.dsn_of_role) == (
            0,
            f"The schema is at revision {migrate.newest()}.\n",
        )
        _, report = await run_command("doctor", made.dsn_of_role)
        assert faults(report) == []
        assert "(BATON_DATABASE_URL)" in report
        assert "embedded in" not in report
        async with running(_settings(made), roles=["work", "dispatch"]) as api:
            assert (await api.client.get("/readyz")).json()["status"] == "ready"
            sender = await make_sender(api)
            answer = await sender.post(person(name="Łukasz Żółć", message="C:\\temp\\'x' — 你好"))
            assert answer.status_code == 202
            await process_all(api)
            lead = await api.lead(full_name="Łukasz Żółć")
            assert (await api.reload(lead))["fields"]["full_name"] == "Łukasz Żółć"
            received = (await api.get("/v1/submissions"))["data"][0]
            assert received["received_at"].endswith("Z")
        status, printed = await run_command("verify", made.dsn_of_role)
        whole = (
            "2 journeys, 0 differ from their log.\n1 audit logs, 0 not whole."
            "\n1 tenants, the summaries of 0 differ from the milestones."
        )
        assert (status, printed.strip()) == (0, whole)


def _settings(made: Foreign, **more: Any) -> Settings:
    return Settings(env="test", database_url=as_url(made.dsn_of_role), secret_keys={"test": bytes(32)}, **more)


async def test_parallel_requests_of_a_role_with_serializable_transactions_are_all_answered(
    server: Databases,
) -> None:
    serializable = 'ALTER ROLE "{name}" SET default_transaction_isolation = serializable'
    async with foreign(server, "", [OWNED, serializable]) as made:
        await migrate.upgrade(as_url(made.dsn_of_role))
        async with running(_settings(made)) as api:

            async def client(number: int) -> list[httpx.Response]:
                return [
                    await api.call("POST", "/v1/leads", {"fields": {"email": f"p{number}-{n}@acme.example"}})
                    for n in range(25)
                ]

            answers = await asyncio.gather(*(client(number) for number in range(16)))
            assert {answer.status_code for each in answers for answer in each} == {201}


async def test_a_server_that_takes_no_writes_any_more_is_503_and_not_ready_until_it_does(server: Databases) -> None:
    async with foreign(server, "", [OWNED]) as made:
        await migrate.upgrade(as_url(made.dsn_of_role))
        async with running(_settings(made), roles=["work", "dispatch"]) as api:
            sender = await make_sender(api)
            await _set_read_only(made, "on")
            for answer in [
                await sender.post(person()),
                await api.call("POST", "/v1/leads", {"fields": {"email": "a@b.example"}}),
            ]:
                assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
                assert answer.headers["Retry-After"] == "1"
            assert (await api.call("GET", "/v1/leads")).status_code == 200
            assert "read_only" in (await api.client.get("/readyz")).json()["codes"]
            await _set_read_only(made, "off")
            assert (await sender.post(person())).status_code == 202
            assert (await api.client.get("/readyz")).status_code == 200


async def _set_read_only(made: Foreign, value: str) -> None:
    """For the sessions that begin from now on; those that are open are ended, as by a fail-over."""
    change = f'ALTER DATABASE "{{name}}" SET default_transaction_read_only = {value}'
    await made.run(change, dsn=made.server.address)
    await made.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '{name}' AND pid <> pg_backend_pid()"
    )


def test_every_kind_of_error_is_explained_in_one_line() -> None:
    errors = [
        error for error in _subclasses(asyncpg.PostgresError) if isinstance(getattr(error, "sqlstate", None), str)
    ]
    for error in errors:
        told = explained(error("the message\nand its details"))
        assert told is not None
        assert "(the message)" in told or told.startswith("the message: ")
        assert "\n" not in told
        of_statement = explained(DBAPIError("SELECT 1", None, error("the message")))
        assert of_statement == (told if error.sqlstate.startswith(tuple(start for start, _ in EXPLAINED)) else None)
    assert explained(ServerUnreachable("no PostgreSQL answers at h:1")) is not None
    assert explained(CommitOutcomeUnknown()) is not None
    assert explained(ValueError("a bug")) is None
    assert explained(FileNotFoundError("of another kind")) is None


def _subclasses(root: type[Any]) -> list[type[Any]]:
    return [each for child in root.__subclasses__() for each in (child, *_subclasses(child))]
