"""Gathers requests of one verb that arrive together into batches (docs/decisions/0031 and 0094).

Requests that arrive while a batch of their verb and tenant is in flight wait for it, and go together in the next one:
there is no timer, and a request that finds nothing in flight waits for a few rounds of the event loop only. A batch is
one database transaction, which holds the idempotency keys of its requests too; all are answered after its commit. Two
requests about the same thing (a lead, an identity, an Idempotency-Key) are never in one batch and never in flight at
the same time: the later one follows in order of arrival. When a batch fails, its requests are run one by one, so that a
fault touches its own request only.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import structlog
from fastapi import Request, Response

from app import metrics
from app.database.faults import is_away, run_with_retries
from app.database.parts import Unwritten
from app.database.transaction import Tx
from app.errors import DatabaseUnavailable
from app.problem import Problem
from app.web import idempotency
from app.web.auth import Caller
from app.web.transacted import connection

log = structlog.get_logger("baton.gather")

MAX_BATCH: Final = 64
SLOW_FLIGHT_SECONDS: Final = 0.002  # from this average duration on, a second batch may be in flight
WORTH_SHARING: Final = 16  # requests that two batches share; fewer go together, since each batch costs as much as some
ROUNDS: Final = 4  # of the event loop without another request, before a batch starts

W = TypeVar("W")
R = TypeVar("R")


@dataclass(slots=True, eq=False)
class Member(Generic[W, R]):
    """One request of a batch, and its outcome: a result, a problem, or `later` (it must go in another batch)."""

    caller: Caller
    wanted: W
    result: R | None = None
    problem: Problem | None = None
    later: bool = False

    @property
    def going(self) -> bool:
        """Whether the request is still to be done."""
        return self.result is None and self.problem is None and not self.later

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """A problem that the block raises is the outcome of this request alone."""
        try:
            yield
        except Problem as problem:
            self.problem = problem


@dataclass(frozen=True, slots=True)
class Verb(Generic[W, R]):
    """A verb that handles many requests in one transaction.

    `run` sets the outcome of each member, and returns what is left to write. `respond` makes the response before that,
    because it is stored under the Idempotency-Key, in the same statement.
    """

    name: str
    run: Callable[[Tx, UUID, Sequence[Member[W, R]], datetime], Awaitable[Unwritten | None]]
    respond: Callable[[R], Response]
    lead_of: Callable[[R], UUID | None] | None = None  # where the request does not name its lead


@dataclass(slots=True, eq=False)
class Waiting:
    """A request that waits for its response. `names`: what it is about."""

    caller: Caller
    wanted: Any
    names: frozenset[Hashable]
    keyed: idempotency.Keyed | None
    done: asyncio.Future[Response]
    since: float = field(default_factory=time.perf_counter)


@dataclass(slots=True, eq=False)
class Queue:
    """The requests of one verb and tenant. `busy`: what those in flight are about."""

    waiting: deque[Waiting] = field(default_factory=deque)
    flights: int = 0
    flying: int = 0  # requests in flight
    busy: set[Hashable] = field(default_factory=set)
    seconds: float = 0.0  # moving average of the duration of a flight
    settling: bool = False  # the next batch starts in a few rounds of the event loop

    def size(self) -> int:
        """How many of the waiting requests the next batch takes; 0 if none may start now.

        Two batches in flight are about equal: the service works on one while PostgreSQL works on the other. A second
        one with few requests would cost as much as one with many, so these wait for the end of the first.
        """
        count = len(self.waiting)
        if self.flights and (self.seconds <= SLOW_FLIGHT_SECONDS or self.flights > 1 or 2 * count < self.flying):
            return 0
        shared = not self.flights and self.seconds > SLOW_FLIGHT_SECONDS and count >= WORTH_SHARING
        return min(-(-count // 2) if shared else count, MAX_BATCH)

    def next_batch(self) -> list[Waiting]:
        """Takes requests in order of arrival; one that must follow another stays."""
        batch: list[Waiting] = []
        stay: list[Waiting] = []
        taken = set(self.busy)
        most = self.size()
        while self.waiting and len(batch) < most:
            one = self.waiting.popleft()
            if one.done.done():
                continue
            (stay if one.names & taken else batch).append(one)
            taken |= one.names
        self.waiting.extendleft(reversed(stay))
        self.busy.update(*(one.names for one in batch))
        return batch


class Gatherer:
    """Runs the gathered verbs of this process. `state`: that of the application, with its pool and clock."""

    def __init__(self, state: Any) -> None:
        self._state = state
        self._queues: dict[tuple[str, UUID], Queue] = {}
        self._flights: set[asyncio.Task[None]] = set()

    async def ask(
        self,
        verb: Verb[W, R],
        caller: Caller,
        wanted: W,
        about: Collection[Hashable],
        keyed: idempotency.Keyed | None,
    ) -> Response:
        """The response, once it is committed; raises the problem of a request that is refused."""
        names = frozenset(about if keyed is None else (*about, ("key", keyed.key)))
        done: asyncio.Future[Response] = asyncio.get_running_loop().create_future()
        queue = self._queues.setdefault((verb.name, caller.tenant_id), Queue())
        queue.waiting.append(Waiting(caller, wanted, names, keyed, done))
        self._settle(verb, caller.tenant_id, queue)
        return await done

    def _settle(self, verb: Verb[Any, Any], tenant_id: UUID, queue: Queue) -> None:
        """Starts what may go once the event loop has gone round some times without another request.

        Requests that were sent at the same time are read in different rounds: the first one would go alone.
        """
        if queue.settling:
            return
        queue.settling = True
        loop = asyncio.get_running_loop()

        def look(left: int, seen: int) -> None:
            count = len(queue.waiting)
            left = left - 1 if count == seen else ROUNDS
            if left > 0 and count < MAX_BATCH:
                loop.call_soon(look, left, count)
                return
            queue.settling = False
            self._start(verb, tenant_id, queue)

        loop.call_soon(look, ROUNDS, len(queue.waiting))

    def _start(self, verb: Verb[Any, Any], tenant_id: UUID, queue: Queue) -> None:
        """Starts flights if requests wait and may go; never awaits, so that none is left in the queue."""
        while queue.waiting and (batch := queue.next_batch()):
            queue.flights += 1
            queue.flying += len(batch)
            flight = asyncio.create_task(self._fly(verb, tenant_id, queue, batch))
            self._flights.add(flight)
            flight.add_done_callback(self._flights.discard)
        if not queue.flights and not queue.waiting:
            self._queues.pop((verb.name, tenant_id), None)

    async def _fly(self, verb: Verb[Any, Any], tenant_id: UUID, queue: Queue, batch: list[Waiting]) -> None:
        began = time.perf_counter()
        metrics.GATHERED.labels(verb.name).observe(len(batch))
        metrics.WAITED.labels(verb.name).observe(began - batch[0].since)
        later: list[Waiting] = []
        try:
            later = await self._run(verb, tenant_id, batch)
        finally:
            for one in batch:  # nothing is left unanswered, whatever was raised
                if one not in later:
                    _fail(one, DatabaseUnavailable())
                queue.busy -= one.names
            queue.waiting.extendleft(reversed(later))
            queue.flights -= 1
            queue.flying -= len(batch)
            queue.seconds += 0.2 * (time.perf_counter() - began - queue.seconds)
            self._settle(verb, tenant_id, queue)

    async def _run(self, verb: Verb[Any, Any], tenant_id: UUID, batch: list[Waiting]) -> list[Waiting]:
        """Answers the requests of a batch; returns those that must go in a later one."""
        try:
            answers = await run_with_retries(lambda: self._in_one(verb, tenant_id, batch))
        except Exception as error:
            if len(batch) == 1 or is_away(error):
                for one in batch:
                    _fail(one, error if len(batch) == 1 else DatabaseUnavailable())
                return []
            log.info("batch_failed", verb=verb.name, requests=len(batch), error=type(error).__name__)
            alone = [self._run(verb, tenant_id, [one]) for one in batch]
            return [one for later in await asyncio.gather(*alone) for one in later]
        for one, answer in zip(batch, answers, strict=True):
            if isinstance(answer, Problem):
                _fail(one, answer)
            elif answer is not None and not one.done.done():
                one.done.set_result(answer)
        return [one for one, answer in zip(batch, answers, strict=True) if answer is None]

    async def _in_one(
        self, verb: Verb[Any, Any], tenant_id: UUID, batch: Sequence[Waiting]
    ) -> list[Response | Problem | None]:
        """The answer to each request, from one transaction; None for one that must go in a later batch."""
        answers: list[Response | Problem | None] = [None] * len(batch)
        async with connection(self._state, autocommit=False) as tx:
            keyed = {n: one.keyed for n, one in enumerate(batch) if one.keyed is not None}
            stored = await idempotency.stored_responses(tx, tenant_id, list(keyed.values()))
            for n, found in zip(keyed, stored, strict=True):
                answers[n] = found
            members: dict[int, Member[Any, Any]] = {
                n: Member(one.caller, one.wanted) for n, one in enumerate(batch) if answers[n] is None
            }
            if members:
                now = self._state.clock.now()
                unwritten = await verb.run(tx, tenant_id, list(members.values()), now)
                for n, member in members.items():
                    answers[n] = _answer(verb, member, keyed.get(n))
                made = [(keyed[n], answers[n]) for n in members if n in keyed]
                rows = await idempotency.rows_of(tenant_id, made, now)
                if unwritten is not None:
                    await unwritten.write({idempotency.STORED: rows})
                else:
                    await idempotency.store(tx, tenant_id, rows)
        return answers


def _answer(verb: Verb[W, R], member: Member[W, R], keyed: idempotency.Keyed | None) -> Response | Problem | None:
    if member.result is None:
        return member.problem
    if keyed is not None and verb.lead_of is not None:
        keyed.request.state.lead_id = verb.lead_of(member.result)
    return verb.respond(member.result)


async def gather(
    verb: Verb[W, R], request: Request, caller: Caller, wanted: W, about: Collection[Hashable]
) -> Response:
    """Hands a request to the gatherer of the process. `about`: the leads and identities that the request names.

    Returns the response, once it is committed; raises the problem of a request that is refused.
    """
    gatherer: Gatherer = request.app.state.gatherer
    return await gatherer.ask(verb, caller, wanted, about, idempotency.keyed(request))


def _fail(one: Waiting, error: BaseException) -> None:
    """Sets the exception of one request; an exception that several got would mix their tracebacks."""
    if not one.done.done():
        one.done.set_exception(error)
