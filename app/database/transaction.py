"""One transaction on one connection of the pool, and how a statement gets to PostgreSQL.

A `text()` statement is compiled once and goes straight to the driver: through SQLAlchemy it costs three times the CPU
(docs/decisions/0006). What SQLAlchemy has to put together (lists with filters, rare writes) goes through SQLAlchemy, on
the same connection and in the same transaction. Either way an error is SQLAlchemy's `DBAPIError`.
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

T = TypeVar("T")
LOST: Final = ("08", "57P")
FAULTS: Final = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
DRIVER_FAULT: Final = dialect.import_dbapi().Error  # type: ignore[no-untyped-call]  # of a server that takes nobody yet
DIALECT: Final = dialect(json_serializer=lambda value: write_json(value).decode())  # type: ignore[no-untyped-call]


class Record(asyncpg.Record):  # type: ignore[misc]  # the driver has no types
    """A row; its columns are its attributes, in the types of the driver (uuid, aware datetime, parsed JSON, list)."""

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
    """The rows of one statement, in the words of SQLAlchemy's own result."""

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
            raise LookupError(f"{len(self._rows)} rows where there is one")
        return self._rows[0]

    def one_or_none(self) -> Record | None:
        return self.one() if self._rows else None

    def scalars(self) -> list[Any]:
        return [row[0] for row in self._rows]

    def scalar_one(self) -> Any:
        return self.one()[0]

    def scalar_one_or_none(self) -> Any:
        return self.one()[0] if self._rows else None


class CommitUnsure(ConnectionError):
    """The connection died under the commit itself: it may have happened, so nothing of it may be run again."""


class Tx:
    """What statements are run on: a transaction, or for reads a connection in autocommit."""

    __slots__ = ("_core", "_engine", "driver", "pooled", "unended")

    def __init__(self, engine: AsyncEngine, pooled: PoolProxiedConnection) -> None:
        self._engine = engine
        self._core: Connection | None = None
        self.pooled = pooled
        self.driver: Any = pooled.driver_connection
        self.unended = False

    async def execute(self, statement: Executable, values: Mapping[str, Any] | None = None) -> Result:
        """Runs one statement. DBAPIError; of those IntegrityError for a constraint."""
        if isinstance(statement, TextClause):
            words, bind = compiled(statement)
            return Result(await self.through(words, self.driver.fetch(words, *bind(values or {}), record_class=Record)))
        if self._core is None:
            self._core = Connection(self._engine.sync_engine, self.pooled)
        found = await greenlet_spawn(self._core.execute, statement, values)
        return Result(found.all() if found.returns_rows else [])  # type: ignore[arg-type]  # rows with attributes, too

    @asynccontextmanager
    async def savepoint(self) -> AsyncIterator[None]:
        """What is done in the block is undone when it fails; the transaction goes on."""
        await self.say("SAVEPOINT here")
        try:
            yield
        except BaseException:
            if not self.driver.is_closed():
                await self.say("ROLLBACK TO SAVEPOINT here; RELEASE SAVEPOINT here")
            raise
        await self.say("RELEASE SAVEPOINT here")

    async def say(self, words: str) -> str:
        """A statement of transactions, without values; PostgreSQL's word for what it did."""
        return await self.through(words, self.driver.execute(words))

    async def through(self, words: str, answer: Awaitable[T]) -> T:
        """The driver's answer, its faults as SQLAlchemy tells them. A pool whose server went away is emptied."""
        try:
            return await answer
        except FAULTS as error:
            # Where the server has said farewell and not yet hung up, the driver finds itself in the wrong state.
            lost = self.driver.is_closed() or isinstance(error, asyncpg.InternalClientError)
            if lost and self.pooled.is_valid:  # those beside it in the pool died with it: none of them is used again
                self._engine.sync_engine.pool._invalidate(self.pooled, error)
            kind = IntegrityError if sqlstate(error).startswith("23") else DBAPIError
            raise kind(words, None, error, hide_parameters=True, connection_invalidated=lost) from error

    async def undo(self) -> None:
        """Ends the transaction without a trace. Where that does not work, `connect` gives the connection up."""
        if not self.driver.is_closed():
            with suppress(DBAPIError):
                await self.say("ROLLBACK")
                self.unended = False


class Database:
    """SQLAlchemy's engine and its pool, whose connections are in autocommit unless `begin` opens a transaction."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Tx]:
        """A connection on which each statement is a transaction of its own. It goes back to the pool only if clean."""
        try:
            pooled = await self.engine.raw_connection()
        except DRIVER_FAULT as error:
            raise DBAPIError("connect", None, error, hide_parameters=True) from error
        tx = Tx(self.engine, pooled)
        try:
            yield tx
        finally:
            # `unended` beside the driver's word: a BEGIN whose answer nobody waited for is not known to the driver yet.
            if pooled.is_valid and (tx.unended or tx.driver.is_closed() or tx.driver.is_in_transaction()):
                pooled.invalidate()
            pooled.close()

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[Tx]:
        """A transaction: committed at the end of the block, rolled back when the block fails. CommitUnsure."""
        async with self.connect() as tx:
            tx.unended = True
            try:
                await tx.say("BEGIN")
                yield tx
                await _commit(tx)
                tx.unended = False
            except BaseException:
                await tx.undo()
                raise

    async def dispose(self) -> None:
        await self.engine.dispose()


async def _commit(tx: Tx) -> None:
    try:
        done = await tx.say("COMMIT")
    except DBAPIError as error:
        if is_lost(error):
            raise CommitUnsure from error
        raise
    if done != "COMMIT":
        raise RuntimeError("a statement had failed in this transaction, and it was committed all the same")


@lru_cache(maxsize=1000)
def compiled(statement: TextClause) -> tuple[str, Callable[[Mapping[str, Any]], list[Any]]]:
    """The statement in PostgreSQL's words, and what puts named values in their order: KeyError where one is missing."""
    made = statement.compile(dialect=DIALECT)
    kinds = {name: bind.type.dialect_impl(DIALECT).bind_processor(DIALECT) for name, bind in made.binds.items()}
    places = [(name, kinds[name]) for name in made.positiontup or ()]
    given = {name: made.params[name] for name, bind in made.binds.items() if not bind.required}

    def bind(values: Mapping[str, Any]) -> list[Any]:
        said = {**given, **values} if given else values
        return [said[name] if write is None else write(said[name]) for name, write in places]

    return made.string, bind


def sqlstate(error: BaseException) -> str:
    """The SQLSTATE of a database error, the driver's or SQLAlchemy's, or an empty text."""
    return str(getattr(getattr(error, "orig", error), "sqlstate", None) or "")


def is_lost(error: BaseException) -> bool:
    """Whether the connection died under us; unless that was in a commit, nothing of its transaction can be there."""
    if isinstance(error, DBAPIError):
        return bool(error.connection_invalidated) or sqlstate(error).startswith(LOST)
    return isinstance(error, OSError) and not isinstance(error, CommitUnsure)
