"""Fixtures that every test may use: `tx` rolls back; `dsn`, `url` and `engine` are a database of one's own."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from app.settings import Settings
from app.transaction import Database, Tx
from tests import databases
from tests.api import Api, running
from tests.databases import Databases, as_url

Settings.model_config["env_file"] = None  # the .env of whoever runs the tests is not ours
RUN = pytest.StashKey[int]()


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
async def dsn(server: Databases) -> AsyncIterator[str]:
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
    from app.database import make_engine  # here, so that tests of the rules need nothing of it

    made = make_engine(url)
    yield made
    await made.dispose()


@pytest.fixture
async def tx(shared_dsn: str) -> AsyncIterator[Tx]:
    """A transaction that is rolled back after the test."""
    from app.database import make_engine

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
