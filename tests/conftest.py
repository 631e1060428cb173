"""Fixtures for all tests: `tx` rolls back; `dsn`, `url` and `engine` use a database that is as new.

It was emptied after an earlier test of the worker. A test that reads counters of PostgreSQL, plans or sizes is marked
`own_database` and gets one that no other test has used.
"""

import asyncio
import gc
import math
import os
from collections.abc import AsyncIterator, Callable, Generator, Iterator

import hypothesis
import pytest

from app.database.transaction import Database, Tx
from app.settings import Settings
from tests import databases
from tests.api import Api, running
from tests.databases import Databases, as_url
from tests.emptied import Emptied
from tests.lending import Lender

Settings.model_config["env_file"] = None  # ignore the .env of the developer who runs the tests
RUN = pytest.StashKey[int]()
LONG_TIMEOUT = "300s"  # longer than any statement or lock wait of a test, even on a busy machine
# The same examples in every run and no deadline, so that results do not depend on chance or on the machine's speed.
# --hypothesis-profile=search looks for new examples.
hypothesis.settings.load_profile("ci")
hypothesis.settings.register_profile("search", hypothesis.settings.get_profile("ci"), derandomize=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--cases", type=int, default=0, help="of each test run at most so many cases, evenly spread")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without looking for garbage, and leave out what is there now when looking for it: it stays to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if most := config.getoption("cases"):
        kept = some_cases([item.nodeid for item in items], most)
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in kept])
        items[:] = [item for item in items if item.nodeid in kept]


def some_cases(names: list[str], most: int) -> set[str]:
    """Each test, and of a test with more cases than `most` every second, third or so."""
    tables: dict[str, list[str]] = {}
    for name in names:
        tables.setdefault(name.partition("[")[0], []).append(name)
    return {case for cases in tables.values() for case in cases[:: math.ceil(len(cases) / most)]}


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        # Hundreds of processes that tests start import the application: they compile it once.
        os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
        config.stash[RUN] = databases.start_run()


def pytest_unconfigure(config: pytest.Config) -> None:
    if RUN in config.stash:
        asyncio.run(databases.end_run(config.stash[RUN]))


@pytest.fixture(scope="session")
def server() -> Iterator[Databases]:
    """The PostgreSQL server of this run, with the migrated template database."""
    with databases.server_of_run() as found:
        with databases.template_lock():
            asyncio.run(found.make_template())
        yield found


@pytest.fixture(scope="session")
def shared_dsn(server: Databases) -> Iterator[str]:
    """One database for this worker, for tests that roll back."""
    with asyncio.Runner() as runner:
        clone = server.clone()
        yield runner.run(clone.__aenter__())
        runner.run(clone.__aexit__(None, None, None))


@pytest.fixture(scope="session")
async def loop_of_worker() -> asyncio.AbstractEventLoop:
    """The loop in which all tests of this worker run."""
    return asyncio.get_running_loop()


@pytest.fixture(autouse=True)
def tasks_end(loop_of_worker: asyncio.AbstractEventLoop) -> Iterator[None]:
    """No task outlives its test."""
    yield
    if left := asyncio.all_tasks(loop_of_worker):
        for task in left:
            task.cancel()
        loop_of_worker.run_until_complete(asyncio.wait(left))


@pytest.fixture(scope="session")
async def lender(loop_of_worker: asyncio.AbstractEventLoop) -> AsyncIterator[Lender]:
    """Engines that outlive a test, for the databases of this worker."""
    found = Lender(loop_of_worker)
    yield found
    await found.close()


@pytest.fixture(scope="session")
def emptied(server: Databases, lender: Lender) -> Iterator[Callable[[], str]]:
    """Gives the address of one database, emptied at each call."""
    with asyncio.Runner() as runner:
        databases_of_worker = Emptied(server, lender)
        yield lambda: runner.run(databases_of_worker.dsn())
        runner.run(databases_of_worker.close())


@pytest.fixture
def long_timeouts(monkeypatch: pytest.MonkeyPatch, lender: Lender) -> None:
    """Database time-outs that a busy machine does not reach; a test about one of them sets its own.

    And engines that outlive a test.
    """
    from app.database import connection
    from app.database import engine as database

    for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"):
        monkeypatch.setitem(database.SERVER_SETTINGS, name, LONG_TIMEOUT)
    monkeypatch.setattr(database, "TRANSACTION_TIMEOUT", LONG_TIMEOUT)
    monkeypatch.setattr(database, "POOL_SECONDS", 300)
    monkeypatch.setattr(connection, "CONNECT_SECONDS", 300)
    monkeypatch.setattr(database, "create_async_engine", lender.engine)


@pytest.fixture
def dsn(request: pytest.FixtureRequest, server: Databases, long_timeouts: None) -> Iterator[str]:
    """The address of a migrated, empty database, for asyncpg; for tests that commit."""
    if request.node.get_closest_marker("own_database") or not server.embedded:
        with asyncio.Runner() as runner:
            clone = server.clone()
            yield runner.run(clone.__aenter__())
            runner.run(clone.__aexit__(None, None, None))
    else:
        yield request.getfixturevalue("emptied")()


@pytest.fixture
def url(dsn: str) -> str:
    """The same database for SQLAlchemy and for `Settings.database_url`."""
    return as_url(dsn)


@pytest.fixture
async def engine(url: str) -> AsyncIterator[Database]:
    """The application's engine on a fresh database."""
    from app.database.engine import make_engine  # imported here, so that tests of the rules do not load it

    database = make_engine(url)
    yield database
    await database.dispose()


@pytest.fixture
async def tx(shared_dsn: str, lender: Lender, long_timeouts: None) -> AsyncIterator[Tx]:
    """A transaction that is rolled back after the test."""
    from app.database.engine import make_engine

    lender.serves("tx", shared_dsn)
    database = make_engine(as_url(shared_dsn), pool_size=1)
    async with database.connect() as connection:
        await connection.command("BEGIN")
        yield connection
        await connection.command("ROLLBACK")
    await database.dispose()


@pytest.fixture(scope="session")
def settings_without_database() -> Settings:
    """Made once: it takes as long as a request. Webhooks to loopback addresses are allowed."""
    return Settings(
        env="test",
        secret_keys={"test": bytes(range(32))},
        allowed_targets="127.0.0.0/8,::1/128",
        retry_schedule="0,0.2,0.2,0.2",
        drain_seconds=0,
    )


@pytest.fixture
def settings(settings_without_database: Settings, url: str) -> Settings:
    """Settings for a service on a fresh database."""
    return settings_without_database.model_copy(update={"database_url": url}, deep=True)


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
