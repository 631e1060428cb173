"""Routes that may take long (waiting for events, requests to receivers) hold a database connection only per query."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from fastapi import Request

from app.database.faults import run_with_retries
from app.database.transaction import Tx
from app.errors import TooManyRequests
from app.web.auth import Allow, Caller, authenticate
from app.web.parameters import check_parameters

T = TypeVar("T")

MAX_WAITERS: Final = 500
# One event wakes every waiting request at once; they must not take all connections of the pool.
MAX_CONNECTIONS: Final = 2


class Waiters:
    """Limits how many requests of this process wait for events; they hold no connection while they wait."""

    def __init__(self, limit: int = MAX_WAITERS) -> None:
        self.waiting, self.limit = 0, limit
        self.connections = asyncio.Semaphore(MAX_CONNECTIONS)

    def __enter__(self) -> None:
        if self.waiting >= self.limit:
            raise TooManyRequests(
                "Too many requests are waiting for events; send the request without `wait`, or later."
            )
        self.waiting += 1

    def __exit__(self, *_: object) -> None:
        self.waiting -= 1


@dataclass(frozen=True, slots=True)
class AllowLongRequest(Allow):
    """`Allow` for a route that may take long: authenticates on a connection that is released at once.

    As `Transacted` does for other routes, it also refuses unknown query parameters.
    """

    async def __call__(self, request: Request) -> Caller:
        caller = await with_connection(request.app.state, lambda tx: authenticate(tx, request))
        request.app.state.quotas.of("requests", caller.tenant_id).take(request.app.state.clock.now())
        caller.require(frozenset({self.scope}))
        check_parameters(request)
        return caller


async def with_connection(state: Any, work: Callable[[Tx], Awaitable[T]], *, transaction: bool = False) -> T:
    """Run `work` on a connection that goes back to the pool at once; at most MAX_CONNECTIONS at a time."""
    opened = state.engine.begin if transaction else state.engine.connect

    async def run() -> T:
        async with opened() as tx:
            return await work(tx)

    async with state.waiters.connections:
        return await run_with_retries(run)
