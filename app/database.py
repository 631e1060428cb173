"""One engine, one pool, and the one place where a transaction begins and ends.

Every route of our API is declared on a router whose `route_class` is `Transacted`: commit, then answer.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any, Final, TypeVar

import orjson
from fastapi import Depends, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import create_async_engine

from app import auth, idempotency
from app.errors import DatabaseUnavailable, Problem, UnsupportedMediaType
from app.strict_json import check_text, parse_json, write_json
from app.transaction import CommitUnsure, Database, Record, Records, Tx, is_lost, sqlstate

__all__ = ["CommitUnsure", "Database", "Record", "Records", "Tx", "is_lost", "sqlstate"]

T = TypeVar("T")

SERVER_SETTINGS: Final = {
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "10s",
    "timezone": "UTC",
    "jit": "off",
    "random_page_cost": "1.1",  # solid-state disks and a cache: without it small tables are read whole for one row
}
RETRIED: Final = {"40P01", "40001"}  # deadlock, serialisation: the whole transaction is run again
BUSY: Final = {"57014", "55P03", "53300", "53400", "57P01", "57P02", "57P03", "25006", "25P03", "25P04"}
TRIES: Final = 3
POOL_SECONDS: Final = 2
FAULTS: Final = (DBAPIError, PoolTimeout, OSError)  # what a database raises that is slow, busy or away


def make_engine(url: str, pool_size: int = 10, name: str = "baton") -> Database:
    """An engine with a small fixed pool and time-outs on the server's side (promises.md, database clients)."""
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        pool_recycle=1800,
        pool_use_lifo=True,  # the connection used last has its statements planned and its memory warm
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",  # `Database.begin` opens the transactions, on the driver
        hide_parameters=True,  # an error's text may end up in a log, and parameters are personal data
        json_serializer=lambda value: write_json(value).decode(),
        json_deserializer=orjson.loads,
        connect_args={
            "server_settings": {**SERVER_SETTINGS, "application_name": name},
            "timeout": 5,
            "statement_cache_size": 300,  # every statement of ours stays prepared
        },
    )
    event.listen(engine.sync_engine, "connect", _limit_transactions)
    return Database(engine)


def _limit_transactions(connection: Any, _: Any) -> None:
    """PostgreSQL 17 and newer end a transaction that is open for too long; older ones do not know the setting."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT set_config('transaction_timeout', '15s', false)"
        " WHERE current_setting('server_version_num')::integer >= 170000"
    )
    cursor.close()
    connection.commit()


def as_problem(error: BaseException) -> Problem | None:
    """The 503 for a database that is slow, busy or away; None for any other error."""
    if isinstance(error, PoolTimeout | TimeoutError | CommitUnsure) or is_lost(error):
        return DatabaseUnavailable()
    if isinstance(error, DBAPIError) and (sqlstate(error) in BUSY | RETRIED):
        return DatabaseUnavailable()
    return None


class StrictRequest(Request):
    """A request whose JSON is read by `parse_json`, and only under a JSON content type."""

    async def json(self) -> Any:
        return parse_json(await self.body())

    def refuse_other_media(self, body: bytes) -> None:
        if not body:
            return
        media = self.headers.get("content-type", "").split(";")[0].strip().lower()
        if media != "application/json" and not media.endswith("+json"):
            raise UnsupportedMediaType("Send application/json (with curl: -H 'Content-Type: application/json').")


class Transacted(APIRoute):
    """A route in one transaction: authenticate, run, keep the idempotent answer, commit, and only then answer."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        handler = super().get_route_handler()
        scopes = _scopes(self.dependant)
        takes_json = self.body_field is not None

        async def once(request: StrictRequest) -> Response:
            async with _connection(request) as tx:
                request.state.tx = tx
                caller = request.state.caller = await auth.authenticate(tx, request)
                caller.require(scopes)
                stored = await idempotency.stored_answer(tx, caller, request)
                if stored is not None:
                    return stored
                response = await handler(request)
                await idempotency.keep(tx, caller, request, response)
            return response

        async def transacted(plain: Request) -> Response:
            request = StrictRequest(plain.scope, plain.receive)
            request.state.now = request.app.state.clock.now()
            body = await request.body()
            for name, value in request.query_params.multi_items():
                check_text(name, "query")
                check_text(value, name)
            if takes_json:
                request.refuse_other_media(body)
            response = await again(lambda: once(request))
            if request.method not in SAFE:
                request.app.state.wake.set("events")
            return response

        return transacted


SAFE: Final = {"GET", "HEAD"}


@asynccontextmanager
async def _connection(request: Request) -> AsyncIterator[Tx]:
    """A connection, in turn: the pool itself lets newcomers pass those who wait. PoolTimeout."""
    engine: Database = request.app.state.engine
    turns: asyncio.Semaphore = request.app.state.turns
    try:
        async with asyncio.timeout(POOL_SECONDS):
            await turns.acquire()
    except TimeoutError as error:
        raise PoolTimeout("no connection became free") from error
    try:
        async with engine.connect() if request.method in SAFE else engine.begin() as tx:
            yield tx
    finally:
        turns.release()


def _scopes(dependant: Dependant) -> frozenset[str]:
    found = {dependant.call.scope} if isinstance(dependant.call, auth.Allow) else set()
    for child in dependant.dependencies:
        found |= _scopes(child)
    return frozenset(found)


async def again(work: Callable[[], Awaitable[T]]) -> T:
    """Runs a transaction; once more when it lost a deadlock or its connection was found dead. Else 503."""
    for left in range(TRIES - 1, -1, -1):
        try:
            return await work()
        except FAULTS as error:
            repeatable = sqlstate(error) in RETRIED or (is_lost(error) and left == TRIES - 1)
            if left and repeatable:
                await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311 - jitter, not a secret
                continue
            problem = as_problem(error)
            if problem is None:
                raise
            raise problem from error
    raise AssertionError("the last try returns or raises")


async def _tx(request: Request) -> Tx:
    tx: Tx = request.state.tx
    return tx


async def _now(request: Request) -> datetime:
    now: datetime = request.state.now
    return now


InTx = Annotated[Tx, Depends(_tx)]
Now = Annotated[datetime, Depends(_now)]
