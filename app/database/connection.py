"""Connecting to PostgreSQL: one way for the pool, migrations, LISTEN and the commands, with one host or several.

The settings that Baton relies on are sent with each connection: so they win over those of the role and the database.
A pooler refuses most of them, since its connections to PostgreSQL are everybody's: there each transaction begins with
them (`opening`), and no prepared statement is kept (docs/decisions/0032).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlencode

import asyncpg

from app.settings import CannotStart

SESSION: Final = {
    "default_transaction_isolation": "read committed",  # promises.md, isolation: locks and unique indexes, not retries
    "default_transaction_deferrable": "off",
    "timezone": "UTC",
    "datestyle": "ISO, MDY",
    "intervalstyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "standard_conforming_strings": "on",
    "transform_null_equals": "off",
    "array_nulls": "on",
    "idle_session_timeout": "0",
    # The pool has limits (engine.py), and migrations (env.py); those of the role are meant for something else.
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "0",
    "statement_timeout": "0",
}
# PgBouncer sets these on the server's connection whenever a client that sent them gets it.
KEPT_BY_POOLERS: Final = {"application_name", "timezone", "datestyle", "standard_conforming_strings"}
OF_BEGIN: Final = {"default_transaction_isolation", "default_transaction_deferrable"}  # words of BEGIN itself
# Of libpq: they tune its sockets, and mean nothing to the server or to this driver.
IGNORED: Final = {
    *("connect_timeout", "keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count"),
    *("tcp_user_timeout", "gssencmode", "sslsni", "sslcompression", "load_balance_hosts", "fallback_application_name"),
}
POOLED: Final = ("pooler", "transaction")  # what `Settings.url` adds for BATON_POOLER
PARTS: Final = re.compile(
    r"[^:]*://(?:(?P<user>[^:/@]*)(?::(?P<password>[^@]*))?@)?(?P<hosts>[^/?]*)(?:/(?P<database>[^?]*))?(?:\?(?P<query>.*))?"
)
# A folder of sockets, [IPv6], a name or IPv4, or IPv6 as it stands; and a port.
HOST: Final = re.compile(r"(?P<host>/.*?|\[[^\]]*\]|[^:\[\]]*|[^:\[\]]*:[^\[\]]*:[^\[\]]*?)(?::(?P<port>\d*))?")
CONNECT_SECONDS: Final = 5.0
CONNECT_SECONDS_OF_SEVERAL: Final = 2.0  # for each, so that one that never answers does not use up the time of all
# What another host may do better; a wrong password or a missing database is reported at once.
NEXT_HOST: Final = (
    OSError,
    asyncpg.TargetServerAttributeNotMatched,
    asyncpg.PostgresConnectionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
)

NOTHING: Final[Mapping[str, str]] = {}

Place = tuple[str, int]


class ServerUnreachable(ConnectionError):
    """No server answers at the address, or none of several accepts writes."""


@dataclass(frozen=True, slots=True)
class Address:
    """BATON_DATABASE_URL for the driver: the places to try in order, other arguments, whether a pooler is there."""

    places: tuple[Place | None, ...]
    arguments: Mapping[str, Any]
    pooled: bool = False

    def __str__(self) -> str:
        return ", ".join(_shown(place) for place in self.places)


def address(url: str) -> Address:
    """Reads an address of one or several hosts, as libpq and as SQLAlchemy write it. Raises CannotStart."""
    parts = PARTS.fullmatch(url)
    if parts is None:
        raise _unusable("write postgresql://user:password@host:5432/database")
    query = parse_qsl(parts["query"] or "", keep_blank_values=True)
    hosts = [unquote(host) for host in parts["hosts"].split(",") if host]
    hosts += [host for name, value in query if name == "host" for host in value.split(",")]
    ports = [port for name, value in query if name == "port" for port in value.split(",")]
    rest = [("sslmode" if name == "ssl" else name, value) for name, value in query if name not in {"host", "port"}]
    pooled = POOLED in rest
    rest = [(name, value) for name, value in rest if name not in IGNORED and (name, value) != POOLED]
    if len(hosts) > 1:  # the one that accepts writes, unless something else is asked for
        rest = [("target_session_attrs", "read-write"), *rest]
    given = {name: unquote(parts[name]) for name in ("user", "password", "database") if parts[name]}
    arguments = {**given, "dsn": "postgresql:///?" + urlencode(rest) if rest else None}
    return Address(_places(hosts, ports), arguments, pooled)


def _places(hosts: list[str], ports: list[str]) -> tuple[Place | None, ...]:
    if not hosts:
        return (None,)  # the driver's default, as with libpq
    if len(ports) not in (0, 1, len(hosts)):
        raise _unusable(f"it has {len(hosts)} hosts and {len(ports)} ports: write a port for each host")
    spread = ports if len(ports) == len(hosts) else [*ports, "5432"][:1] * len(hosts)
    return tuple(_place(host, port) for host, port in zip(hosts, spread, strict=True))


def _place(text: str, default_port: str) -> Place:
    found = HOST.fullmatch(text)
    port = (found["port"] or default_port) if found else ""
    if found is None or not port.isdecimal() or not 0 < int(port) < 65536:
        raise _unusable(f"`{text}` is not a host and port: write host:5432")
    return found["host"].strip("[]"), int(port)


def _unusable(reason: str) -> CannotStart:
    return CannotStart(f"BATON_DATABASE_URL cannot be used: {reason}")


def _shown(place: Place | None) -> str:
    if place is None:
        return "the default address"
    host, port = place
    return f"[{host}]:{port}" if ":" in host and not host.startswith("/") else f"{host}:{port}"


class Connector:
    """Makes connections to one address. It begins with the host that the last connection was made to."""

    def __init__(self, url: str, settings: Mapping[str, str] = NOTHING, **arguments: Any) -> None:
        self.address = address(url)
        sent = {**SESSION, **settings}
        if self.address.pooled:
            sent = {name: value for name, value in sent.items() if name in KEPT_BY_POOLERS}
            arguments["statement_cache_size"] = 0  # the driver then sends each statement without a name, every time
        self.arguments = {**self.address.arguments, "server_settings": sent, **arguments}
        self._first = 0

    async def __call__(self) -> asyncpg.Connection:
        """A new connection. Raises ServerUnreachable, asyncpg.PostgresError, or CannotStart for a wrong address."""
        places = self.address.places
        for n in range(self._first, self._first + len(places)):
            place = places[n % len(places)]
            try:
                connection = await self._connect(place)
            except NEXT_HOST as error:
                fault = error
            else:
                self._first = n % len(places)
                return connection
        if isinstance(fault, asyncpg.TargetServerAttributeNotMatched):
            raise ServerUnreachable(f"no server at {self.address} accepts writes") from fault
        if isinstance(fault, OSError):
            raise ServerUnreachable(f"no PostgreSQL answers at {self.address} ({_reason(fault)})") from fault
        raise fault

    async def _connect(self, place: Place | None) -> asyncpg.Connection:
        seconds = CONNECT_SECONDS if len(self.address.places) == 1 else CONNECT_SECONDS_OF_SEVERAL
        host, port = place or (None, None)
        try:
            return await asyncpg.connect(host=host, port=port, timeout=seconds, **self.arguments)
        except asyncpg.TargetServerAttributeNotMatched:
            raise
        except (asyncpg.InterfaceError, ValueError) as error:  # what the driver does not understand
            raise _unusable(str(error)) from error


def opening(settings: Mapping[str, str], transaction_timeout: str) -> str:
    """BEGIN with what a session would have, for poolers: one message, whose settings end with the transaction."""
    local = {name: value for name, value in {**SESSION, **settings}.items() if name not in KEPT_BY_POOLERS}
    calls = [f"set_config('{name}', '{value}', true)" for name, value in local.items() if name not in OF_BEGIN]
    known = "current_setting('transaction_timeout', true) IS NOT NULL"  # since PostgreSQL 17
    calls.append(f"CASE WHEN {known} THEN set_config('transaction_timeout', '{transaction_timeout}', true) END")
    return "BEGIN ISOLATION LEVEL READ COMMITTED NOT DEFERRABLE; SELECT " + ", ".join(calls)


def _reason(error: OSError) -> str:
    return "no answer in time" if isinstance(error, TimeoutError) else str(error)
