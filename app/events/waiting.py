"""Routes that may take long (a wait, a request to a stranger) borrow a connection for moments only, a few at a time."""

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

T = TypeVar("T")

MOST_WAITERS: Final = 500
TURNS: Final = 2  # connections of the pool: an event wakes every waiter, and the others need theirs all the same


class Waiters:
    """How many requests of this process wait for events; each holds a socket, none a connection."""

    def __init__(self, most: int = MOST_WAITERS) -> None:
        self.waiting, self.most = 0, most
        self.turns = asyncio.Semaphore(TURNS)

    def __enter__(self) -> None:
        if self.waiting >= self.most:
            raise TooManyRequests("Too many readers are waiting for events; ask again without `wait`, or later.")
        self.waiting += 1

    def __exit__(self, *_: object) -> None:
        self.waiting -= 1


@dataclass(frozen=True, slots=True)
class AllowWaiting(Allow):
    """The scope of a route that may wait for long: it authenticates in a short transaction of its own."""

    async def __call__(self, request: Request) -> Caller:
        caller = await short(request.app.state, lambda tx: authenticate(tx, request))
        caller.require(frozenset({self.scope}))
        return caller


async def short(state: Any, work: Callable[[Tx], Awaitable[T]]) -> T:
    """Do one thing, in turn, on a connection that is given back at once."""

    async def run() -> T:
        async with state.engine.connect() as tx:
            return await work(tx)

    async with state.waiters.turns:
        return await run_with_retries(run)
