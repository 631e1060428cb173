"""PgBouncer in transaction mode: each transaction has the settings of a session, and leaves nothing on a connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import uuid4

import asyncpg
import pytest
from sqlalchemy import column, select, text, values
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import Integer
from structlog.testing import capture_logs

from app.database.connection import SESSION
from app.database.engine import SERVER_SETTINGS, make_engine
from app.database.transaction import FOR_VALUES, CommitOutcomeUnknown, Database
from app.events.wake import Wake
from app.settings import Settings, SettingsError, load
from tests.api import Api, running
from tests.database.test_connection import HOSTILE, role_with
from tests.database.test_requirements import SECRET_KEYS, faults, run_command
from tests.databases import as_url
from tests.pgbouncer import Pooler, pooler, with_pgbouncer
from tests.waiting import until
from tests.webhooks.conftest import World, inbox

THROUGH = "?pooler=transaction"
DIRECT, BEHIND = "postgresql://h:5432/d", "postgresql://h:6432/d?ssl=require"


@pytest.mark.parametrize(
    ("given", "url", "session_url"),
    [
        ({"DATABASE_URL": DIRECT}, DIRECT, DIRECT),
        ({"DATABASE_URL": DIRECT, "LISTEN_URL": BEHIND}, DIRECT, BEHIND),
        ({"DATABASE_URL": DIRECT, "POOLER": "transaction"}, DIRECT + THROUGH, None),
        ({"DATABASE_URL": BEHIND, "POOLER": "transaction"}, BEHIND + "&pooler=transaction", None),
        (
            {"DATABASE_URL": BEHIND, "POOLER": "transaction", "LISTEN_URL": DIRECT},
            BEHIND + "&pooler=transaction",
            DIRECT,
        ),
    ],
)
def test_sessions_are_made_at_the_listen_url_or_where_no_pooler_is(
    given: dict[str, str], url: str, session_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"BATON_{name}", value)
    settings = load()
    assert settings.url == as_url(url)
    assert settings.session_url == (as_url(session_url) if session_url else None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"DATABASE_URL": DIRECT, "POOLER": "session"}, "BATON_POOLER"),
        ({"POOLER": "transaction"}, "BATON_DATABASE_URL"),
        ({"DATABASE_URL": DIRECT, "LISTEN_URL": "mysql://h/d"}, "BATON_LISTEN_URL"),
    ],
)
def test_a_pooler_that_cannot_be_used_is_refused_in_one_line(
    given: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"BATON_{name}", value)
    with pytest.raises(SettingsError) as refused:
        load()
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_without_an_address_for_listen_one_line_says_that_there_is_only_polling() -> None:
    wake, stop = Wake(None), asyncio.Event()
    with capture_logs() as logged:
        task = asyncio.create_task(wake.run(stop))
        await until(lambda: bool(logged))
        seen = wake.generation("log")
        wake.set("log")
        assert wake.generation("log") > seen, "tasks of this process are woken all the same"
        stop.set()
        await task
    assert [line["event"] for line in logged] == ["wake_polls_only"]
    assert "BATON_LISTEN_URL" in logged[0]["reason"]


# --- with a real PgBouncer


@pytest.fixture
async def one(dsn: str) -> AsyncIterator[Pooler]:
    """A pooler with a single connection to PostgreSQL, which every transaction of a test gets in turn."""
    async with pooler(dsn, size=1) as made:
        yield made


@pytest.fixture
async def two(dsn: str) -> AsyncIterator[Pooler]:
    """A pooler with two connections, which the messages of one client get in turn wherever it does not hold one."""
    async with pooler(dsn, size=2) as made:
        yield made


def through(made: Pooler, pool_size: int = 5) -> Database:
    return make_engine(made.url + THROUGH, pool_size)


@with_pgbouncer
async def test_every_transaction_has_the_settings_that_baton_relies_on_and_leaves_none_to_others(dsn: str) -> None:
    # A millisecond would end the pooler's own statements and connections.
    of_role = {name: value.replace("1ms", "1min") for name, value in HOSTILE.items()}
    async with role_with(dsn, of_role) as address_of_role, pooler(address_of_role, size=1) as made:
        database = through(made)
        shown = []
        for block in (database.begin, database.connect):
            async with block() as tx:
                await tx.plan_for_values()
                names = {*SESSION, *SERVER_SETTINGS, "transaction_isolation"} - {"idle_session_timeout"}
                shown.append({name: str(await tx.driver.fetchval(f"SHOW {name}")) for name in sorted(names)})
        await database.dispose()
        other = await asyncpg.connect(made.url.replace("+asyncpg", ""), statement_cache_size=0)
        left = {name: await other.fetchval(f"SHOW {name}") for name in ("bytea_output", "array_nulls", "jit")}
        await other.close()
    expected = {**SESSION, **SERVER_SETTINGS, **FOR_VALUES}
    for found in shown:
        assert found.pop("transaction_isolation") == "read committed"
        for name in ("default_transaction_isolation", "default_transaction_deferrable"):  # BEGIN says it instead
            assert found.pop(name) == HOSTILE[name]
        for name, value in found.items():
            assert value == expected[name].replace("300s", "5min"), name
    assert left == {"bytea_output": "escape", "array_nulls": "off", "jit": "on"}


@with_pgbouncer
@pytest.mark.parametrize("size", [1, 2])
async def test_transactions_that_share_connections_each_see_their_own_rows_and_results(dsn: str, size: int) -> None:
    async with pooler(dsn, size=size) as made:
        await asyncio.gather(*(_mixed(made, number) for number in range(6)))
        left = await _left(made)
    assert left == {"statements": 0, "locks": 0}


async def _mixed(made: Pooler, number: int) -> None:
    """Statements of both kinds, with values, whose text differs between clients."""
    database = through(made, 2)
    plain = text(f"SELECT CAST(:n AS int) + {number} AS sum, pg_advisory_xact_lock_shared(7)")
    core = select(values(column(f"of_{number}", Integer), name="v").data([(number,), (number + 1,)]))
    for n in range(20):
        async with database.begin() as tx:
            assert (await tx.execute(plain, {"n": n})).one().sum == n + number
            assert sorted((await tx.execute(core)).scalars()) == [number, number + 1]
            async with tx.savepoint():
                assert (await tx.execute(plain, {"n": -n})).one().sum == number - n
        async with database.connect() as tx:
            assert (await tx.execute(core)).scalars()
            assert (await tx.execute(plain, {"n": n})).one().sum == n + number
    await database.dispose()


async def _left(made: Pooler) -> dict[str, int]:
    """What is left on the server's connections when no transaction is open."""
    other = await asyncpg.connect(made.url.replace("+asyncpg", ""), statement_cache_size=0)
    named = "SELECT count(*) FROM pg_prepared_statements WHERE name <> ''"
    locks = (
        "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database"
        " WHERE l.locktype = 'advisory' AND d.datname = current_database()"
    )
    found = {"statements": await other.fetchval(named), "locks": await other.fetchval(locks)}
    await other.close()
    return dict(found)


@with_pgbouncer
async def test_a_block_without_a_transaction_is_committed_as_a_whole_or_not_at_all(one: Pooler) -> None:
    database = through(one)
    insert = text(
        "INSERT INTO tenants (id, name, secret_salt, created_at) VALUES (:id, 'acme', 'x', now()) RETURNING id"
    )
    ids = [uuid4(), uuid4()]
    async with database.connect() as tx:
        await tx.execute(insert, {"id": ids[0]})

    async def insert_both() -> None:
        async with database.connect() as tx:
            await tx.execute(insert, {"id": ids[1]})
            await tx.execute(insert, {"id": ids[0]})

    with pytest.raises(DBAPIError):
        await insert_both()
    async with database.connect() as tx:
        assert (await tx.execute(text("SELECT id FROM tenants"))).scalars() == [ids[0]]
    await database.dispose()


@with_pgbouncer
@pytest.mark.parametrize(("block", "expected"), [("connect", DBAPIError), ("begin", CommitOutcomeUnknown)])
async def test_a_pooler_that_dies_before_the_commit_is_told_as_a_lost_connection(
    one: Pooler, block: str, expected: type[Exception]
) -> None:
    database = through(one)

    async def kill_before_the_commit() -> None:
        async with getattr(database, block)() as tx:
            await tx.execute(text("SELECT 1"))
            await one.kill()

    with pytest.raises(expected):
        await kill_before_the_commit()
    await one.start()
    async with database.begin() as tx:
        assert (await tx.execute(text("SELECT 1"))).scalars() == [1]
    await database.dispose()


@with_pgbouncer
async def test_the_service_outlives_the_death_of_the_pooler_and_keeps_what_it_acknowledged(
    two: Pooler, settings: Settings
) -> None:
    async with running(two.settings(settings), roles=["work", "dispatch"]) as api:
        acknowledged: set[str] = set()
        stop = asyncio.Event()
        clients = [asyncio.create_task(_create_leads(api, n, acknowledged, stop)) for n in range(4)]
        await until(lambda: len(acknowledged) >= 20)
        await two.kill()
        answer = await api.call("POST", "/v1/leads", {"fields": {"email": "down@acme.example"}})
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        await two.start()
        before = len(acknowledged)
        await until(lambda: len(acknowledged) >= before + 20)
        stop.set()
        await asyncio.gather(*clients)
        stored: set[str] = set()
        page = await api.get("/v1/leads?limit=200")
        stored |= {lead["id"] for lead in page["data"]}
        while page.get("next"):
            page = await api.get(f"/v1/leads?limit=200&cursor={page['next']}")
            stored |= {lead["id"] for lead in page["data"]}
        assert acknowledged <= stored
        assert (await api.client.get("/readyz")).status_code == 200


async def _create_leads(api: Api, client: int, acknowledged: set[str], stop: asyncio.Event) -> None:
    n = 0
    while not stop.is_set():
        answer = await api.call("POST", "/v1/leads", {"fields": {"email": f"p{client}-{n}@acme.example"}})
        n += 1
        if answer.status_code == 201:
            acknowledged.add(answer.json()["id"])
        else:
            assert answer.status_code == 503, answer.text
            await asyncio.sleep(0.05)


@with_pgbouncer
async def test_deliveries_go_through_a_pooler_in_order_and_each_once(two: Pooler, settings: Settings) -> None:
    engine = through(two)
    world = World(engine, two.url + THROUGH, settings, Wake(None))
    leads = [uuid4() for _ in range(5)]
    failed: set[str] = set()

    def sometimes(got: object) -> int:
        first = len(failed) < 5 and got.id not in failed  # type: ignore[attr-defined]
        failed.add(got.id)  # type: ignore[attr-defined]
        return 500 if first else 204

    async with inbox(sometimes) as box:
        await world.subscribe(box.url)
        async with world.running(dispatchers=2):
            count = await world.record_many(leads, 20)
            await box.until_received(count)
        assert box.in_order()
        assert len({got.id for got in box.ok}) == count
    await engine.dispose()


@with_pgbouncer
async def test_commands_say_which_setting_a_pooler_needs(two: Pooler, dsn: str) -> None:
    for command in ("migrate", "doctor", "verify", "serve"):
        status, said = await run_command(command, two.url)
        assert status != 0
        assert "BATON_POOLER=transaction" in said.replace("\n", " "), (command, said)
        assert "Traceback" not in said
    through_pooler = {"BATON_POOLER": "transaction"}
    status, said = await run_command("migrate", two.url, **through_pooler)
    assert (status, said.count("\n")) == (2, 1)
    assert "BATON_LISTEN_URL" in said
    assert (await run_command("migrate", two.url, **through_pooler, BATON_LISTEN_URL=dsn))[0] == 0
    assert (await run_command("verify", two.url, **through_pooler))[0] == 0
    assert faults((await run_command("doctor", two.url, **through_pooler, BATON_LISTEN_URL=dsn))[1]) == []


@with_pgbouncer
async def test_doctor_finds_a_pooler_where_none_is_declared(dsn: str, two: Pooler) -> None:
    accepting = two.configuration.read_text() + "ignore_startup_parameters = " + ",".join([*SESSION, *SERVER_SETTINGS])
    await two.kill()
    two.configuration.write_text(accepting)
    await two.start()
    (fault,) = faults((await run_command("doctor", two.url))[1])
    assert "BATON_POOLER=transaction" in fault
    url = {"BATON_POOLER": "transaction", "BATON_LISTEN_URL": two.url}
    (fault,) = faults((await run_command("doctor", two.url, **url))[1])
    assert "BATON_LISTEN_URL leads to a pooler" in fault
    assert SECRET_KEYS not in fault
    other = dsn.replace(dsn.partition("?")[0].rpartition("/")[2], "postgres")
    (fault,) = faults((await run_command("doctor", two.url, BATON_POOLER="transaction", BATON_LISTEN_URL=other))[1])
    assert "another database" in fault
