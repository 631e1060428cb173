"""The address of the database, with one host or several, and the settings that every session has."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import product
from urllib.parse import quote

import asyncpg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.database import migrate
from app.database.connection import SESSION, Connector, ServerUnreachable, address
from app.database.engine import make_engine
from app.settings import CannotStart
from tests.ports import reserved_port

HOSTILE = {
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "timezone": "America/New_York",
    "datestyle": "German, DMY",
    "intervalstyle": "iso_8601",
    "bytea_output": "escape",
    "extra_float_digits": "-15",
    "standard_conforming_strings": "off",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "idle_session_timeout": "1ms",
    "idle_in_transaction_session_timeout": "1ms",
    "lock_timeout": "1ms",
    "statement_timeout": "1ms",
    "client_encoding": "LATIN1",
}


@pytest.mark.parametrize(
    ("url", "places", "database"),
    [
        ("postgresql://u:p@h:5433/d", [("h", 5433)], "d"),
        ("postgresql+asyncpg://u:p@h/d", [("h", 5432)], "d"),
        ("postgres://h1:5432,h2:5433/d", [("h1", 5432), ("h2", 5433)], "d"),
        ("postgresql://h1,h2/d", [("h1", 5432), ("h2", 5432)], "d"),
        ("postgresql://h1:6000,h2/d?port=7000", [("h1", 6000), ("h2", 7000)], "d"),
        ("postgresql://u@/d?host=h1,h2&port=6000,6001", [("h1", 6000), ("h2", 6001)], "d"),
        ("postgresql://u@/d?host=h1:6000&host=h2:6001", [("h1", 6000), ("h2", 6001)], "d"),
        ("postgresql://[::1]:6000,[fe80::1],h3/d", [("::1", 6000), ("fe80::1", 5432), ("h3", 5432)], "d"),
        ("postgresql://u@/d?host=::1", [("::1", 5432)], "d"),
        ("postgresql://u@/d?host=%2Frun%2Fpg&port=6000", [("/run/pg", 6000)], "d"),
        ("postgresql://%2Frun%2Fa:b:6000,%2Frun%2Fpg/d", [("/run/a:b", 6000), ("/run/pg", 5432)], "d"),
        ("postgresql://%2Frun%2Fpg/my%20data", [("/run/pg", 5432)], "my data"),
        ("postgresql:///d", [None], "d"),
    ],
)
def test_an_address_names_its_hosts_as_libpq_and_sqlalchemy_write_them(
    url: str, places: list[tuple[str, int] | None], database: str
) -> None:
    found = address(url)
    assert list(found.places) == places
    assert found.arguments["database"] == database


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://h:port/d",
        "postgresql://h:0/d",
        "postgresql://h:65536/d",
        "postgresql://h:5432:5433/d?x=y:z@[/",
        "postgresql://[::1/d",
        "postgresql://h1,h2,h3/d?port=1,2",
        "postgresql://h/d?target_session_attrs=writable",
        "postgresql://h/d?sslmode=sometimes",
    ],
)
async def test_an_address_that_cannot_be_is_refused_in_one_line(url: str) -> None:
    with pytest.raises(CannotStart, match=r"^BATON_DATABASE_URL cannot be used: .+") as refused:
        await Connector(url)()
    assert "\n" not in str(refused.value)


@given(st.text(), st.text(), st.text())
def test_credentials_and_database_are_read_back_from_an_address(user: str, password: str, database: str) -> None:
    encoded = [quote(part.encode("utf-8", "replace").decode(), safe="") for part in (user, password, database)]
    expected = [part.encode("utf-8", "replace").decode() for part in (user, password, database)]
    found = address("postgresql://{}:{}@h1:1,h2:2/{}".format(*encoded)).arguments
    assert [found.get(name, "") for name in ("user", "password", "database")] == expected


@pytest.mark.parametrize(("hosts", "given"), list(product(("h1", "h1,h2"), ("", "?target_session_attrs=any"))))
def test_of_several_hosts_the_one_that_accepts_writes_is_wanted_unless_the_address_says_otherwise(
    hosts: str, given: str
) -> None:
    dsn = address(f"postgresql://{hosts}/d{given}").arguments["dsn"] or ""
    wanted = dsn.rpartition("target_session_attrs=")[2]
    assert wanted == ("any" if given else "read-write" if "," in hosts else "")


def test_ssl_is_passed_on_in_both_spellings_and_settings_of_sockets_are_left_out() -> None:
    for name in ("ssl", "sslmode"):
        dsn = address(f"postgresql://h/d?{name}=require&connect_timeout=10&keepalives=1").arguments["dsn"]
        assert dsn == "postgresql:///?sslmode=require"


@asynccontextmanager
async def role_with(dsn: str, settings: dict[str, str]) -> AsyncIterator[str]:
    """The DSN of a role with these settings, which owns the database."""
    owner = await asyncpg.connect(dsn)
    database = await owner.fetchval("SELECT current_database()")
    role = "r_" + database[-12:]
    await owner.execute(f'CREATE ROLE "{role}" LOGIN SUPERUSER')
    for name, value in settings.items():
        await owner.execute(f"ALTER ROLE \"{role}\" SET {name} = '{value}'")
    try:
        yield dsn.replace(dsn.partition("://")[2].partition("@")[0] + "@", f"{role}@", 1)
    finally:
        await owner.execute(f'DROP OWNED BY "{role}"; DROP ROLE "{role}"')
        await owner.close()


async def test_every_kind_of_session_has_the_settings_that_baton_relies_on_whatever_the_role_has(dsn: str) -> None:
    assert set(SESSION) == set(HOSTILE) - {"client_encoding"}
    async with role_with(dsn, HOSTILE) as address_of_role:
        pool = make_engine(address_of_role, 1)
        async with pool.connect() as tx:
            found = await _shown(tx.driver)
        await pool.dispose()
        migrating = migrate.migrating_engine(address_of_role)
        async with migrating.connect() as connection:
            raw = await connection.get_raw_connection()
            while_migrating = await _shown(raw.driver_connection)
        await migrating.dispose()
        plain = await Connector(address_of_role)()
        alone = await _shown(plain)
        await plain.close()
    expected = {**SESSION, "client_encoding": "UTF8"}
    assert while_migrating == alone == expected
    limits = ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
    assert found == {**expected, **dict.fromkeys(limits, "5min")}  # as the fixture set them


async def _shown(connection: asyncpg.Connection) -> dict[str, str]:
    return {name: str(await connection.fetchval(f"SHOW {name}")) for name in HOSTILE}


async def test_a_host_that_is_down_or_silent_is_passed_over_and_the_good_one_is_asked_first_from_then_on(
    dsn: str,
) -> None:
    socket_folder = address(dsn).places[0]
    assert socket_folder is not None
    credentials = dsn.partition("://")[2].partition("@")[0]
    database = dsn.partition("?")[0].rpartition("/")[2]
    good = f"{quote(socket_folder[0], safe='')}:{socket_folder[1]}"
    with reserved_port() as closed, socket.create_server(("127.0.0.1", 0), backlog=1) as silent:
        hosts = f"127.0.0.1:{closed},127.0.0.1:{silent.getsockname()[1]},{good}"
        connect = Connector(f"postgresql://{credentials}@{hosts}/{database}")
        for _ in range(2):
            connection = await connect()
            assert await connection.fetchval("SELECT 1") == 1
            await connection.close()
        silent.setblocking(False)
        silent.accept()
        with pytest.raises(BlockingIOError):  # only the first connection was tried there
            silent.accept()


async def test_a_server_that_does_not_answer_is_told_with_its_address() -> None:
    with reserved_port() as port:
        for url in (f"postgresql://127.0.0.1:{port}/d", f"postgresql://127.0.0.1:{port},127.0.0.1:{port}/d"):
            with pytest.raises(ServerUnreachable, match=rf"no PostgreSQL answers at 127\.0\.0\.1:{port}"):
                async with asyncio.timeout(300):
                    await Connector(url)()
