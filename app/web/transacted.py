"""The transaction of a request, committed before the response is sent.

Routes declared on `problems.router(...)` have `Transacted` as their `route_class`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Annotated, Any

from fastapi import Depends, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from sqlalchemy.exc import TimeoutError as PoolTimeout

from app.database.engine import POOL_SECONDS
from app.database.faults import run_with_retries
from app.database.transaction import Database, Tx
from app.problem import Problem
from app.web import auth, idempotency
from app.web.arguments import reader_of
from app.web.bodies import SAFE, check_media, check_no_body
from app.web.parameters import check_parameters
from app.web.strict_json import parse_json
from app.web.versions import unless_known


class StrictRequest(Request):
    """A request whose JSON is read by `parse_json`, and only under a JSON content type."""

    read_alone: Collection[str] = ()

    async def json(self) -> Any:
        return parse_json(await self.body(), self.read_alone)


Answering = Callable[[StrictRequest], Awaitable[Response]]


class Transacted(APIRoute):
    """Authenticates, then runs a route in one transaction: call the endpoint, store its idempotent response, commit.

    The response is sent after the commit. A yield dependency could not do this: it ends after the response was sent.
    """

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:  # type: ignore[override]
        answering, scopes = self.answering(super().get_route_handler()), _scopes(self.dependant)
        takes_json = self.body_field is not None
        read_alone = getattr(self.body_field.field_info.annotation, "read_alone", ()) if self.body_field else ()

        async def transacted(plain: Request) -> Response:
            request = StrictRequest(plain.scope, plain.receive)
            request.read_alone = read_alone
            request.state.now = request.app.state.clock.now()
            body = await request.body()
            if takes_json:
                check_media(request, body)
            caller = request.state.caller = await _caller(request)
            with request.app.state.quotas.of("requests", caller.tenant_id).admitted(request.state.now):
                caller.require(scopes)
                check_parameters(request)
                if not takes_json:
                    check_no_body(request, body)
                response = await answering(request)
            if request.method not in SAFE:
                request.app.state.wake.set("events")
            if "location" in response.headers:
                response.headers["location"] = request.app.state.settings.prefix + response.headers["location"]
            return unless_known(request, response)

        return transacted

    def answering(self, handler: Callable[[Request], Awaitable[Response]]) -> Answering:
        """Makes the function that answers a request of this route by the handler of its endpoint."""

        async def in_transaction(request: StrictRequest) -> Response:
            async with connection(request.app.state, autocommit=request.method in SAFE) as tx:
                request.state.tx = tx
                request.state.now = request.app.state.clock.now()  # not before the wait for the connection
                tenant_id = request.state.caller.tenant_id
                keyed = idempotency.keyed(request)
                if keyed is None:
                    return await handler(request)
                (stored,) = await idempotency.stored_responses(tx, tenant_id, [keyed])
                if isinstance(stored, Problem):
                    raise stored
                response = stored or await handler(request)
                if stored is None:
                    await idempotency.store_response(tx, tenant_id, keyed, response, request.state.now)
            return response

        return lambda request: run_with_retries(lambda: in_transaction(request))


class Gathered(Transacted):
    """A route whose endpoint hands its request to the gatherer, which owns the transaction (gather.py).

    It is called without FastAPI's handler, and by `direct.Direct` without its routing.
    """

    def answering(self, handler: Callable[[Request], Awaitable[Response]]) -> Answering:
        read, endpoint = reader_of(self), self.endpoint

        async def answered(request: StrictRequest) -> Response:
            response: Response = await endpoint(**await read(request))
            return response

        return answered


class Unstored(Transacted):
    """A route whose endpoint opens its own transaction, and whose answers are not stored: they are too large for it."""

    def answering(self, handler: Callable[[Request], Awaitable[Response]]) -> Answering:
        async def answered(request: StrictRequest) -> Response:
            idempotency.key_of(request)  # one that is malformed is refused here, too
            return await handler(request)

        return answered


async def _caller(request: StrictRequest) -> auth.Caller:
    """Authenticates the request: on a connection that is released at once, unless the caller is cached."""

    async def look_up() -> auth.Caller:
        async with connection(request.app.state, autocommit=True) as tx:
            return await auth.authenticate(tx, request)

    caller = auth.cached(request)
    return await run_with_retries(look_up) if caller is None else caller


@asynccontextmanager
async def connection(state: Any, *, autocommit: bool) -> AsyncIterator[Tx]:
    """A connection from the pool, in order of arrival, which the pool alone does not guarantee. Raises PoolTimeout.

    Without `autocommit` it is in a transaction, which is committed after the block.
    """
    engine: Database = state.engine
    slots: asyncio.Semaphore = state.connection_slots
    try:
        async with asyncio.timeout(POOL_SECONDS):
            await slots.acquire()
    except TimeoutError as error:
        raise PoolTimeout(f"no connection became free within {POOL_SECONDS} seconds") from error
    try:
        async with engine.connect() if autocommit else engine.begin() as tx:
            yield tx
    finally:
        slots.release()


def _scopes(dependant: Dependant) -> frozenset[str]:
    found = {dependant.call.scope} if isinstance(dependant.call, auth.Allow) else set()
    for child in dependant.dependencies:
        found |= _scopes(child)
    return frozenset(found)


async def _tx(request: Request) -> Tx:
    tx: Tx = request.state.tx
    return tx


async def _now(request: Request) -> datetime:
    now: datetime = request.state.now
    return now


InTx = Annotated[Tx, Depends(_tx)]
Now = Annotated[datetime, Depends(_now)]
