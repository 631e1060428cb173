"""A database of the first release, with rows, is migrated; all of it is then read, searched, verified and changed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import asyncpg
from alembic import command
from sqlalchemy import Connection, text

from app.database import migrate
from app.database.transaction import Database
from app.events.sequence import sequence
from app.journeys.verify import verify
from app.submissions.process import process_batch
from tests.api import Api, running
from tests.conversion.steps import converted, sql_lead
from tests.databases import Databases, as_url

TABLES = text(
    "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace"
    " AND NOT relispartition AND relname NOT IN ('alembic_version', 'sequencer') ORDER BY relname"
)
SEQUENCES = {"events": "seq", "event_log": "position"}


def to_first_release(connection: Connection) -> None:
    command.downgrade(migrate.configuration(connection), "base")
    command.upgrade(migrate.configuration(connection), "0001")


async def copy_rows(source: Database, target: str) -> dict[str, int]:
    """Copies what the tables of the first release have a column for; the number of rows of each table."""
    connection = await asyncpg.connect(target)
    await connection.execute("SET session_replication_role = replica")  # rows are copied in any order
    tables = [row[0] for row in await connection.fetch(TABLES.text)]
    counts = {}
    async with source.connect() as tx:
        for table in tables:
            rows = (await tx.execute(text(f"SELECT coalesce(jsonb_agg(t), '[]')::text FROM {table} t"))).scalar_one()
            values = f"SELECT * FROM jsonb_populate_recordset(null::{table}, $1)"
            done = await connection.execute(f"INSERT INTO {table} OVERRIDING SYSTEM VALUE {values}", rows)
            counts[table] = int(done.rsplit(" ", 1)[1])
    for table, column in SEQUENCES.items():
        await connection.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', '{column}'), (SELECT max({column}) FROM {table}))"
        )
    await connection.close()
    return counts


async def make_history(api: Api) -> list[str]:
    """Leads, a submission, a conversion, a subscription and their events; the paths of all that can be read."""
    ae = await api.user("ae")
    first = await sql_lead(api, ae, email="zoe@lodz.example", first_name="Zoë", company="Łódź Spółka")
    made = await converted(api, first, ae)
    second = await api.mql(email="anna@nordsoft.example", company="Nordsoft")
    source = await api.post("/v1/sources", {"name": "Form", "preset": "generic"})
    await api.client.post(f"/v1/ingest/{source['key']}", json={"email": "mara@acme.example", "company": "Acme"})
    await process_batch(api.app.state.engine, lambda: datetime.now(UTC))
    await api.client.post(f"/v1/ingest/{source['key']}", json={"email": "waits@acme.example"})
    hook = await api.post("/v1/subscriptions", {"url": "https://example.com/hook", "types": ["lead.*"]})
    while await sequence(api.app.state.engine):
        pass
    paths = [f"/v1/{name}" for name in ("leads", "accounts", "contacts", "opportunities", "submissions", "users")]
    paths += [f"/v1/subscriptions/{hook['id']}", f"/v1/sources/{source['id']}", "/v1/events?limit=200"]
    for lead in (first, second):
        parts = ("", "/transitions", "/timeline", "/journeys", "/activities", "/score", "/eligibility")
        paths += [f"/v1/leads/{lead['id']}{part}" for part in parts]
    return [*paths, f"/v1/leads/{first['id']}/conversion", f"/v1/accounts/{made['account']['id']}"]


async def answers(api: Api, paths: list[str], key: str) -> dict[str, Any]:
    found, of_now = {}, ("as_of", "lag_seconds")
    for path in paths:
        answer = await api.call("GET", path, key=key)
        assert answer.status_code == 200, (path, answer.text)
        found[path] = without_clocks({name: value for name, value in answer.json().items() if name not in of_now})
    return found


def without_clocks(value: Any) -> Any:
    """The answer without `sla`: the first release started no clocks."""
    if isinstance(value, dict):
        return {name: without_clocks(member) for name, member in value.items() if name != "sla"}
    return [without_clocks(one) for one in value] if isinstance(value, list) else value


async def test_a_database_of_the_first_release_is_migrated_with_all_its_rows(api: Api, server: Databases) -> None:
    paths = await make_history(api)
    before = await answers(api, paths, api.key)
    async with server.clone() as old:
        engine = migrate.migrating_engine(as_url(old))
        async with engine.connect() as connection:
            await connection.run_sync(to_first_release)
        await engine.dispose()
        counts = await copy_rows(api.app.state.engine, old)
        for table in ("leads", "submissions", "submission_items", "event_log", "conversions", "subscriptions", "lanes"):
            assert counts[table], table
        await migrate.upgrade(as_url(old))
        await migrate.differences(as_url(old))
        async with running(api.app.state.settings.model_copy(update={"database_url": as_url(old)})) as migrated:
            assert await answers(migrated, paths, api.key) == before
            for q, company in (("zoe", "Łódź Spółka"), ("NORD", "Nordsoft"), ("mara@acme.example", "Acme")):
                (lead,) = (await migrated.get(f"/v1/leads?q={q}", key=api.key))["data"]
                assert lead["fields"]["company"] == company
            assert [one.faults async for one in verify(migrated.app.state.engine)] == [()] * counts["journeys"]
            assert await process_batch(migrated.app.state.engine, lambda: datetime.now(UTC)) == 1
            (waited,) = (await migrated.get("/v1/leads?q=waits", key=api.key))["data"]
            changed = await migrated.call(
                "PATCH", f"/v1/leads/{waited['id']}", {"fields": {"company": "New"}}, key=api.key
            )
            assert changed.status_code == 200
            assert await sequence(migrated.app.state.engine)
