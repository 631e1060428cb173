"""Transactions on pooled connections, and how statements are sent to PostgreSQL.

A `text()` statement is compiled once and goes straight to the driver: through SQLAlchemy it costs three times the CPU
(docs/decisions/0006). Statements that SQLAlchemy builds (lists with filters, rare writes) are executed by SQLAlchemy,
on the same connection and in the same transaction. Either way errors are SQLAlchemy's `DBAPIError`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import lru_cache
from typing import Any, Final, TypeVar

import asyncpg
from sqlalchemy import Connection, Executable, PoolProxiedConnection, TextClause
from sqlalchemy.dialects.postgresql.asyncpg import dialect
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util.concurrency import greenlet_spawn

from app.database.plain_json import write_json
from app.database.sqlstate import sqlstate
from app.database.storage import Storage
from app.keyring import KeyRing

T = TypeVar("T")
# How a plan for values is made; what it sorts and counts, as for long windows of reports, stays in memory.
FOR_VALUES: Final = {"plan_cache_mode": "force_custom_plan", "enable_seqscan": "on", "work_mem": "32MB"}
CONNECTION_LOST: Final = ("08", "57P")
READ_ONLY: Final = "25006"
DRIVER_ERRORS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
CONNECT_ERROR: Final = dialect.import_dbapi().Error  # type: ignore[no-untyped-call]  # raised when connecting fails
DIALECT: Final = dialect(json_serializer=lambda value: write_json(value).decode())  # type: ignore[no-untyped-call]


class Record(asyncpg.Record):  # type: ignore[misc]  # the driver has no types
    """A row with its columns as attributes, in the driver's types (uuid, aware datetime, parsed JSON, list)."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def _mapping(self) -> Mapping[str, Any]:
        return self


Records = Sequence[Record]


class Result:
    """The rows of one statement, with the methods of SQLAlchemy's result that are used here."""

    __slots__ = ("_rows",)

    def __init__(self, rows: Records) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[Record]:
        return iter(self._rows)

    def all(self) -> Records:
        return self._rows

    def first(self) -> Record | None:
        return self._rows[0] if self._rows else None

    def one(self) -> Record:
        if len(self._rows) != 1:
            raise LookupError(f"expected one row, got {len(self._rows)}")
        return self._rows[0]

    def one_or_none(self) -> Record | None:
        return self.one() if self._rows else None

    def scalars(self) -> list[Any]:
        return [row[0] for row in self._rows]

    def scalar_one(self) -> Any:
        return self.one()[0]

    def scalar_one_or_none(self) -> Any:
        return self.one()[0] if self._rows else None


class ChangedMeanwhile(Exception):
    """What was read before a lock is not so any more: the transaction has to be run again from its beginning."""


class CommitOutcomeUnknown(ConnectionError):
    """The connection was lost during COMMIT: it may have happened, so the transaction must not be run again."""


class Tx:
    """Runs statements: in a transaction (`Database.begin`), or in autocommit (`Database.connect`, without a pooler).

    The functions in `after_commit` are called once the transaction is committed. `keyring` opens encrypted values.
    """

    __slots__ = (
        *("_core", "_engine", "after_commit", "driver", "keyring", "maybe_in_transaction"),
        *("plans_for_values", "pooled"),
    )

    def __init__(self, engine: AsyncEngine, pooled: PoolProxiedConnection, keyring: KeyRing | None = None) -> None:
        self._engine = engine
        self.keyring = keyring
        self._core: Connection | None = None
        self.pooled = pooled
        self.driver: Any = pooled.driver_connection
        self.maybe_in_transaction = False
        self.plans_for_values = False
        self.after_commit: list[Callable[[], None]] = []

    async def execute(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Result:
        """Run one statement. Raises DBAPIError; its subclass IntegrityError for a violated constraint."""
        if isinstance(statement, TextClause):
            sql, bind = compiled(statement)
            return Result(await self.run(sql, self.driver.fetch(sql, *bind(values or {}), record_class=Record)))
        if self._core is None:
            self._core = Connection(self._engine.sync_engine, self.pooled)
        result = await greenlet_spawn(self._core.execute, statement, values)
        return Result(result.all() if result.returns_rows else [])  # type: ignore[arg-type]  # rows with attributes, too

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """Roll back the block alone if it raises; the transaction stays usable."""
        await self.command("SAVEPOINT block")
        try:
            yield
        except BaseException:
            if not self.driver.is_closed():
                await self.command("ROLLBACK TO SAVEPOINT block; RELEASE SAVEPOINT block")
            raise
        await self.command("RELEASE SAVEPOINT block")

    async def command(self, sql: str) -> str:
        """Run a statement without values, such as COMMIT, and return PostgreSQL's command tag."""
        return await self.run(sql, self.driver.execute(sql))

    async def plan_for_values(self) -> None:
        """Plan later statements for their values, rare or common ones; until the connection goes back to the pool."""
        if not self.plans_for_values:
            self.plans_for_values = True
            await self.command("; ".join(f"SET {name} = '{value}'" for name, value in FOR_VALUES.items()))

    async def run(self, sql: str, call: Awaitable[T]) -> T:
        """Await a call of the driver; its errors become SQLAlchemy's. A lost connection invalidates the whole pool."""
        try:
            return await call
        except DRIVER_ERRORS as error:
            # InternalClientError: the server has announced its shutdown but not yet closed the connection.
            lost = self.driver.is_closed() or isinstance(error, asyncpg.InternalClientError)
            if lost and self.pooled.is_valid:  # all pooled connections are replaced: they were lost with it
                self._engine.sync_engine.pool._invalidate(self.pooled, error)
            error_type = IntegrityError if sqlstate(error).startswith("23") else DBAPIError
            raise error_type(sql, None, error, hide_parameters=True, connection_invalidated=lost) from error

    async def rollback(self) -> None:
        """Send ROLLBACK. If that fails, `Database.connect` closes the connection instead of pooling it."""
        if not self.driver.is_closed():
            with suppress(DBAPIError):
                await self.command("ROLLBACK")
                self.maybe_in_transaction = False


class Database:
    """SQLAlchemy's engine and pool; connections are in autocommit unless `begin` opens a transaction.

    `opening` is given behind a pooler: the BEGIN of every transaction, with the settings that no session keeps there.
    """

    def __init__(self, engine: AsyncEngine, opening: str | None = None) -> None:
        self.engine, self.opening = engine, opening
        self.storage = Storage()
        self.keyring: KeyRing | None = None

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Tx]:
        """A connection in autocommit; behind a pooler a transaction for the whole block, which raises DBAPIError."""
        async with self._checked_out() as tx:
            if self.opening is None:
                yield tx
                return
            try:
                async with self._transaction(tx):
                    yield tx
            except CommitOutcomeUnknown as unknown:
                raise unknown.__cause__ or unknown from None

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Tx]:
        """A transaction: committed after the block, rolled back if it raises. Raises CommitOutcomeUnknown."""
        async with self._checked_out() as tx, self._transaction(tx):
            yield tx

    @asynccontextmanager
    async def autocommit(self) -> AsyncIterator[Tx]:
        """A connection in autocommit, also behind a pooler: for commands that no transaction may hold."""
        async with self._checked_out() as tx:
            yield tx

    @asynccontextmanager
    async def _checked_out(self) -> AsyncIterator[Tx]:
        """A connection of the pool; at the end it is pooled again only if no transaction is open on it."""
        try:
            pooled = await self.engine.raw_connection()
        except CONNECT_ERROR as error:  # without a connection, whatever the reason, there is no database
            raise DBAPIError("connect", None, error, hide_parameters=True, connection_invalidated=True) from error
        tx = Tx(self.engine, pooled, self.keyring)
        tx.plans_for_values = self.opening is not None
        try:
            yield tx
        except DBAPIError as error:
            self._note(error, pooled)
            raise
        finally:
            resets = tx.plans_for_values and self.opening is None
            if resets and not tx.driver.is_closed() and not tx.driver.is_in_transaction():
                with suppress(DBAPIError):
                    await tx.command("; ".join(f"RESET {name}" for name in FOR_VALUES))
                    resets = False
            # The driver does not count a BEGIN that was cancelled before its answer; `maybe_in_transaction` does.
            unclean = tx.maybe_in_transaction or resets
            if pooled.is_valid and (unclean or tx.driver.is_closed() or tx.driver.is_in_transaction()):
                pooled.invalidate()
            pooled.close()

    @asynccontextmanager
    async def _transaction(self, tx: Tx) -> AsyncIterator[None]:
        tx.maybe_in_transaction = True
        try:
            await tx.command(self.opening or "BEGIN")
            yield
            await _commit(tx)
            tx.maybe_in_transaction = False
            for call in tx.after_commit:
                call()
        except BaseException:
            await tx.rollback()
            raise

    def _note(self, error: DBAPIError, pooled: PoolProxiedConnection) -> None:
        """Remember a full disk; replace all connections when their server takes no writes: another one may, by now."""
        self.storage.saw(error)
        if sqlstate(error) == READ_ONLY:
            self.engine.sync_engine.pool._invalidate(pooled, error)

    async def storage_full(self) -> bool:
        """Whether the disk of the database is full, as far as this process has seen."""
        return await self.storage.is_full(self.begin)

    async def dispose(self) -> None:
        await self.engine.dispose()


async def _commit(tx: Tx) -> None:
    try:
        tag = await tx.command("COMMIT")
    except DBAPIError as error:
        if is_connection_lost(error):
            raise CommitOutcomeUnknown from error
        raise
    if tag != "COMMIT":
        raise RuntimeError(
            "COMMIT was sent although a statement had failed in this transaction: PostgreSQL rolled it back"
        )


@lru_cache(maxsize=1000)
def compiled(statement: TextClause) -> tuple[str, Callable[[Mapping[str, Any]], list[Any]]]:
    """The SQL for the driver, and a function that orders named values as its parameters (KeyError if one is absent)."""
    made = statement.compile(dialect=DIALECT)
    processors = {name: bind.type.dialect_impl(DIALECT).bind_processor(DIALECT) for name, bind in made.binds.items()}
    parameters = [(name, processors[name]) for name in made.positiontup or ()]
    defaults = {name: made.params[name] for name, bind in made.binds.items() if not bind.required}

    def bind(values: Mapping[str, Any]) -> list[Any]:
        given = {**defaults, **values} if defaults else values
        return [given[name] if process is None else process(given[name]) for name, process in parameters]

    return made.string, bind


def is_connection_lost(error: BaseException) -> bool:
    """Whether the connection was lost. Unless that was during COMMIT, its transaction was not committed."""
    if isinstance(error, DBAPIError):
        return bool(error.connection_invalidated) or sqlstate(error).startswith(CONNECTION_LOST)
    return isinstance(error, OSError) and not isinstance(error, CommitOutcomeUnknown)
