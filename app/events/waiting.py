"""Routes that may take long (a wait, a request to a stranger) borrow a connection for moments only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request

from app.auth import Allow, Caller, authenticate
from app.database import Tx, again

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class AllowWaiting(Allow):
    """The scope of a route that may wait for long: it authenticates in a short transaction of its own."""

    async def __call__(self, request: Request) -> Caller:
        caller = await short(request, lambda tx: authenticate(tx, request))
        caller.require(frozenset({self.scope}))
        return caller


async def short(request: Request, work: Callable[[Tx], Awaitable[T]]) -> T:
    """Do one thing on a connection that is given back at once."""

    async def run() -> T:
        async with request.app.state.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as tx:
            return await work(tx)

    return await again(run)
