"""`baton doctor`: prints the environment, every setting with its origin, and problems with their remedies."""

import asyncio
import platform
import sys
from pathlib import Path

from pydantic import SecretStr
from rich.console import Console
from rich.table import Table

from app.database import migrate
from app.database.connection import Connector
from app.database.requirements import explained, unmet
from app.database.sealed import missing_keys, needed
from app.database.server import open_database, running_database
from app.keyring import KeyRing
from app.settings import PROGRAM, CannotStart, Settings, SettingsError, load, origins, unknown, with_secrets

SECRETS = ("admin_key", "secret_keys")
URLS = ("database_url", "listen_url")


def report(data_dir: Path | None) -> int:
    """Print the report; returns 0 if nothing is wrong, else 1."""
    console = Console(width=None if sys.stdout.isatty() else 120)
    try:
        settings = load(data_dir=data_dir)
    except SettingsError as error:
        console.print(f"[red]wrong[/]  {error}", highlight=False)
        return 1
    console.print(_settings_table(settings))
    found, faults = _examine(settings)
    facts = Table("component", "found", title="Environment", title_justify="left")
    for name, value in found:
        facts.add_row(name, value)
    console.print(facts)
    for fault in faults:
        console.print(f"[red]wrong[/]  {fault}", highlight=False, soft_wrap=True)
    if not faults:
        console.print("[green]Nothing is wrong.[/]")
    return 1 if faults else 0


def _settings_table(settings: Settings) -> Table:
    table = Table("setting", "value", "origin", title="Settings", title_justify="left")
    for name, origin in origins(settings).items():
        table.add_row(f"BATON_{name.upper()}", _shown(name, getattr(settings, name)), origin)
    return table


def _shown(name: str, value: object) -> str:
    """The value as text; secrets and the credentials in a URL are left out."""
    if name in SECRETS or isinstance(value, SecretStr):
        return "(set)" if value else ""
    if name in URLS and isinstance(value, str):
        return value.partition("://")[0] + "://…@" + value.rpartition("@")[2].partition("?")[0]
    if isinstance(value, tuple):
        return ",".join(f"{part:g}" if isinstance(part, float) else str(part) for part in value)
    return "" if value is None else str(value)


def _examine(settings: Settings) -> tuple[list[tuple[str, str]], list[str]]:
    """Facts about the environment as (name, value), and faults with what to do."""
    found = [("Python", f"{platform.python_version()} ({sys.executable})"), ("system", platform.platform())]
    faults = [f"{name} is not a setting: compare its spelling with the table above" for name in unknown()]
    if settings.env == "test":
        faults.append("BATON_ENV=test allows BATON_TEST_CLOCK to move the clock: unset it in production")
    if not settings.embedded and not settings.secret_keys:
        faults.append("BATON_SECRET_KEYS is required with BATON_DATABASE_URL: set it to kid:base64 of 32 bytes")
    where = f"embedded in {settings.data_dir.absolute()}" if settings.embedded else "BATON_DATABASE_URL"
    try:
        with running_database(settings) as ready:
            facts, of_database = asyncio.run(_examine_database(ready.url, where))
            of_database += asyncio.run(_examine_poolers(ready))
            if ("schema", str(migrate.newest())) in facts:
                of_database += asyncio.run(_examine_secrets(ready.url, settings))
    except CannotStart as error:
        return found, [*faults, str(error)]
    except Exception as error:
        reason = explained(error)
        if reason is None:
            raise
        return found, [*faults, reason]
    return found + facts, faults + of_database


async def _examine_database(url: str, where: str) -> tuple[list[tuple[str, str]], list[str]]:
    connection = await Connector(url)()
    try:
        shown = {name: str(await connection.fetchval(f"SHOW {name}")) for name in SHOWN_PARAMETERS}
        lacking = await unmet(connection)
    finally:
        await connection.close()
    found = [("PostgreSQL", f"{shown.pop('server_version')} ({where})"), *shown.items()]
    faults = lacking + [
        f"{name} is {shown[name]} in PostgreSQL, so a crash can lose acknowledged changes: switch it on"
        for name in DURABILITY
        if shown[name] in ("off", "local")
    ]
    if not lacking:
        revision = await migrate.current(url)
        found.append(("schema", str(revision)))
        if revision != migrate.newest():
            faults.append(
                f"the schema is not at {migrate.newest()}: run {PROGRAM} migrate (serve does it when embedded)"
            )
    return found, faults


async def _examine_poolers(settings: Settings) -> list[str]:
    """The faults of poolers where none is declared, and of an address for LISTEN that leads to another database."""
    here, pooled = await _identity(settings.url)
    faults = []
    if pooled and settings.pooler is None:
        faults.append(
            "BATON_DATABASE_URL leads to a pooler: set BATON_POOLER=transaction, which works in each of its modes"
        )
    if settings.listen_url is not None:
        there, pooled = await _identity(settings.listen_url)
        if there != here:
            faults.append("BATON_LISTEN_URL leads to another database than BATON_DATABASE_URL: name the same one")
        if pooled:
            faults.append("BATON_LISTEN_URL leads to a pooler, which forgets LISTEN: name PostgreSQL itself")
    return faults


async def _identity(url: str) -> tuple[tuple[str, ...], bool]:
    """What tells a database from others, and whether a pooler is in between: that one makes up its process ids."""
    connection = await Connector(url)()
    try:
        row = await connection.fetchrow(
            "SELECT pg_backend_pid() AS pid, current_database() AS name, pg_postmaster_start_time()::text AS started"
        )
        return (row["name"], row["started"]), row["pid"] != connection.get_server_pid()
    finally:
        await connection.close()


async def _examine_secrets(url: str, settings: Settings) -> list[str]:
    """The fault of keys that something is encrypted under and that are not there."""
    ring = KeyRing(with_secrets(settings, generate=False).secret_keys if settings.embedded else settings.secret_keys)
    async with open_database(url) as engine, engine.connect() as tx:
        missing = await missing_keys(tx, ring)
    return [needed(missing)] if missing else []


DURABILITY = ("fsync", "synchronous_commit", "full_page_writes")
SHOWN_PARAMETERS = ("server_version", "server_encoding", *DURABILITY, "data_checksums", "max_connections", "TimeZone")
