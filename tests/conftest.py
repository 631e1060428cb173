"""Fixtures that every test may use: `tx` rolls back; `dsn`, `url` and `engine` are a database of one's own."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import hypothesis
import pytest

from app.database.transaction import Database, Tx
from app.settings import Settings
from tests import databases
from tests.api import Api, running
from tests.databases import Databases, as_url

Settings.model_config["env_file"] = None  # the .env of whoever runs the tests is not ours
RUN = pytest.StashKey[int]()
LONG = "300s"  # what no statement and no lock of a test takes, however busy the machine
# The same examples in every run, and no deadline: neither chance nor the machine decides a test. Whoever looks for
# more runs with --hypothesis-profile=search.
hypothesis.settings.load_profile("ci")
hypothesis.settings.register_profile("search", hypothesis.settings.get_profile("ci"), derandomize=False)


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.stash[RUN] = databases.open_run()


def pytest_unconfigure(config: pytest.Config) -> None:
    if RUN in config.stash:
        asyncio.run(databases.close_run(config.stash[RUN]))


@pytest.fixture(scope="session")
def server() -> Iterator[Databases]:
    """The PostgreSQL of this run, with the migrated template."""
    with databases.joined() as found:
        with databases.one_at_a_time():
            asyncio.run(found.make_template())
        yield found


@pytest.fixture(scope="session")
def shared_dsn(server: Databases) -> Iterator[str]:
    """One clone for this worker, for tests that leave nothing behind."""
    with asyncio.Runner() as runner:
        clone = server.clone()
        yield runner.run(clone.__aenter__())
        runner.run(clone.__aexit__(None, None, None))


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Time-outs of our database clients that a busy machine does not reach; a test that is about one sets its own."""
    from app.database import engine as database

    limit = database._limit_transactions

    def prolong(connection: Any, record: Any) -> None:
        limit(connection, record)
        cursor = connection.cursor()
        cursor.execute(
            f"SELECT set_config('transaction_timeout', '{LONG}', false)"
            " WHERE current_setting('server_version_num')::integer >= 170000"
        )
        cursor.close()
        connection.commit()

    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        monkeypatch.setitem(database.SERVER_SETTINGS, name, LONG)
    monkeypatch.setattr(database, "_limit_transactions", prolong)
    monkeypatch.setattr(database, "POOL_SECONDS", 300)


@pytest.fixture
async def dsn(server: Databases, patience: None) -> AsyncIterator[str]:
    """The address of a fresh, migrated, empty database, for asyncpg; for tests that commit."""
    async with server.clone() as address:
        yield address


@pytest.fixture
def url(dsn: str) -> str:
    """The same database for SQLAlchemy and for `Settings.database_url`."""
    return as_url(dsn)


@pytest.fixture
async def engine(url: str) -> AsyncIterator[Database]:
    """Our own engine on a fresh database."""
    from app.database.engine import make_engine  # here, so that tests of the rules need nothing of it

    made = make_engine(url)
    yield made
    await made.dispose()


@pytest.fixture
async def tx(shared_dsn: str, patience: None) -> AsyncIterator[Tx]:
    """A transaction that is rolled back after the test."""
    from app.database.engine import make_engine

    once = make_engine(as_url(shared_dsn), pool_size=1)
    async with once.connect() as connection:
        await connection.say("BEGIN")
        yield connection
        await connection.say("ROLLBACK")
    await once.dispose()


@pytest.fixture
def settings(url: str) -> Settings:
    """Settings for a service on a fresh database, which may reach this machine's own addresses."""
    return Settings(
        env="test",
        database_url=url,
        secret_keys={"test": bytes(range(32))},
        allowed_targets="127.0.0.0/8,::1/128",
        retry_schedule="0,0.2,0.2,0.2",
        drain_seconds=0,
    )


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    """The application on a fresh database, under the policy `waterfall`; no background work."""
    async with running(settings) as found:
        yield found


@pytest.fixture
async def pipeline_api(settings: Settings) -> AsyncIterator[Api]:
    """The same under the policy `pipeline`."""
    async with running(settings, "pipeline") as found:
        yield found
