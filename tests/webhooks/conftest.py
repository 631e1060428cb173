"""A tenant and its events, receivers that record their requests, and dispatchers in this process."""

from __future__ import annotations

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import text
from standardwebhooks.webhooks import Webhook

from app import ids
from app.database.engine import make_engine
from app.database.transaction import Database
from app.events.record import NewEvent, record_events
from app.events.sequence import sequence_forever
from app.events.wake import Wake
from app.keyring import KeyRing
from app.settings import Settings
from app.webhooks import subscribe
from app.webhooks.breaker import Waits
from app.webhooks.deliver import Dispatcher, dispatch_forever
from app.webhooks.egress import Egress
from app.webhooks.lane_context import LaneContext, Timing
from app.webhooks.schemas import Limits, SubscriptionCreate
from app.webhooks.subscribe import SubscriptionContext
from app.webhooks.targets import targets_of
from tests.api import Api, running
from tests.waiting import TIMEOUT_SECONDS
from tests.webhooks.receivers import Connection, receiver

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
# Leases do not expire during a test, however slow the machine; a test that needs an expired lease sets lease_until.
# A breaker that opens is probed soon: tests of other things are not to wait half a minute.
FAST = Timing(lease=600, renew=1, idle=5, breaker=Waits(first_probe=0.2, longest_probe=0.5, step=0.1))
# The first retries come soon; a delivery is not given up within the first 20 seconds.
RETRIES = [0.0] + [0.2] * 9 + [4.0] * 10
Answer = Callable[["Got"], Awaitable[int | bytes] | int | bytes]


@dataclass(frozen=True, slots=True)
class Got:
    """One request as received."""

    headers: dict[str, str]
    body: bytes
    event: Any

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def lead(self) -> str:
        return str(self.event["data"].get("lead_id"))

    @property
    def version(self) -> int:
        return int(self.event["meta"]["lead_version"])

    @property
    def attempt(self) -> int:
        return int(self.headers["webhook-attempt"])


@dataclass
class Inbox:
    """The requests that a receiver got; `ok` are those that it answered with 2xx."""

    answer: Answer
    got: list[Got] = field(default_factory=list)
    ok: list[Got] = field(default_factory=list)
    url: str = ""
    in_flight: int = 0
    max_in_flight: int = 0

    async def serve(self, connection: Connection) -> None:
        while True:
            headers, body = await connection.request()
            self.in_flight += 1
            self.max_in_flight = max(self.max_in_flight, self.in_flight)
            try:
                await self._reply(connection, Got(headers, body, orjson.loads(body)))
            finally:
                self.in_flight -= 1

    async def _reply(self, connection: Connection, got: Got) -> None:
        self.got.append(got)
        response = self.answer(got)
        response = await response if isinstance(response, Awaitable) else response
        if isinstance(response, int):
            if 200 <= response < 300:
                self.ok.append(got)
            response = b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % response
        await connection.answer(response)

    async def until(self, ready: Callable[[Inbox], bool]) -> None:
        end = time.monotonic() + TIMEOUT_SECONDS
        while not ready(self):
            assert time.monotonic() < end, f"not within {TIMEOUT_SECONDS} s: {len(self.got)} got, {len(self.ok)} ok"
            await asyncio.sleep(0.005)

    async def until_received(self, count: int) -> None:
        """Wait until `count` different events were answered with 2xx."""
        await self.until(lambda box: len({got.id for got in box.ok}) >= count)

    def in_order(self) -> bool:
        """Whether the events of each lead got their first 2xx in the order of its versions."""
        newest: dict[str, tuple[int, int]] = {}
        seen: set[str] = set()
        for got in self.ok:
            order = got.version, got.event["meta"]["transaction"]["index"]
            if got.id not in seen and order < newest.get(got.lead, (0, 0)):
                return False
            seen.add(got.id)
            newest[got.lead] = max(order, newest.get(got.lead, (0, 0)))
        return True

    def one_body_for_each_id(self) -> bool:
        bodies: dict[str, bytes] = {}
        return all(bodies.setdefault(got.id, got.body) == got.body for got in self.got)

    def all_verify(self, *secrets: str) -> bool:
        """Whether each request verifies with one of the secrets."""
        return all(any(verifies(secret, got) for secret in secrets) for got in self.got)


def verifies(secret: str, got: Got) -> bool:
    """Whether a signature of the request is of this `whsec_` secret, or of the private key of this `whpk_` key."""
    if secret.startswith("whpk_"):
        return verifies_v1a(secret, got)
    try:
        Webhook(secret).verify(got.body, got.headers)
    except Exception:
        return False
    return True


def verifies_v1a(public_key: str, got: Got) -> bool:
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    signed = f"{got.id}.{got.headers['webhook-timestamp']}.".encode() + got.body
    for version, _, signature in (one.partition(",") for one in got.headers["webhook-signature"].split(" ")):
        with suppress(InvalidSignature):
            if version == "v1a":
                key.verify(base64.b64decode(signature), signed)
                return True
    return False


@asynccontextmanager
async def inbox(answer: Answer = lambda _: 204) -> AsyncIterator[Inbox]:
    box = Inbox(answer)
    async with receiver(box.serve) as server:
        box.url = server.url
        yield box


@dataclass
class World:
    """One tenant on a fresh database."""

    engine: Database
    url: str
    settings: Settings
    wake: Wake
    tenant_id: UUID = field(default_factory=ids.new_id)
    versions: dict[UUID, int] = field(default_factory=dict)

    async def subscribe(self, url: str, limits: Limits | None = None, **more: Any) -> tuple[UUID, str]:
        egress = Egress(targets_of(self.settings))
        async with self.engine.begin() as tx:
            ring = KeyRing(self.settings.secret_keys)
            context = SubscriptionContext(tx, self.tenant_id, ring, egress, datetime.now(UTC), may_read_leads=True)
            body = SubscriptionCreate(url=url, limits=limits or Limits(timeout_seconds=20), **more)
            subscription_id, secret, _ = await subscribe.create(context, body)
        await egress.close()
        return subscription_id, secret

    @asynccontextmanager
    async def context(self) -> AsyncIterator[SubscriptionContext]:
        egress = Egress(targets_of(self.settings))
        async with self.engine.begin() as tx:
            yield SubscriptionContext(tx, self.tenant_id, KeyRing(self.settings.secret_keys), egress, datetime.now(UTC))
        await egress.close()
        self.wake.set()

    async def record(self, *leads: UUID, type: str = "lead.updated", **data: Any) -> None:
        """Record one event, in its own transaction, for each given lead; versions count up."""
        for lead in leads:
            version = self.versions[lead] = self.versions.get(lead, 0) + 1
            shown = {"lead_id": ids.show("lead", lead), "changed": [], **data}
            async with self.engine.begin() as tx:
                await record_events(tx, self.tenant_id, [NewEvent(type, shown, NOON, lead, version)], NOON)
        self.wake.set()

    async def record_many(self, leads: Sequence[UUID], rounds: int) -> int:
        """Record `rounds` events for each lead, one transaction per round; how many."""
        for _ in range(rounds):
            news = []
            for lead in leads:
                version = self.versions[lead] = self.versions.get(lead, 0) + 1
                data = {"lead_id": ids.show("lead", lead), "changed": []}
                news.append(NewEvent("lead.updated", data, NOON, lead, version))
            async with self.engine.begin() as tx:
                await record_events(tx, self.tenant_id, news, NOON)
        self.wake.set()
        return rounds * len(leads)

    async def rows(self, sql: str, **values: Any) -> Sequence[Any]:
        async with self.engine.connect() as tx:
            return (await tx.execute(text(sql), values)).all()

    async def states(self) -> dict[str, int]:
        found = await self.rows("SELECT state, count(*) AS n FROM delivery_retries GROUP BY state")
        return {row.state: row.n for row in found}

    async def until_row(self, sql: str) -> Any:
        end = time.monotonic() + TIMEOUT_SECONDS
        while True:
            if rows := await self.rows(sql):
                return rows[0]
            assert time.monotonic() < end, f"not within {TIMEOUT_SECONDS} s: {sql}"
            await asyncio.sleep(0.02)

    @asynccontextmanager
    async def running(self, dispatchers: int = 1, timing: Timing = FAST) -> AsyncIterator[None]:
        """Run a sequencer and dispatchers, each with its own pool, in this process; all must stop without an error."""
        stop = asyncio.Event()
        pools = [make_engine(self.url, 5) for _ in range(dispatchers + 1)]
        jobs = [sequence_forever(pools[0], self.wake, stop)]
        jobs += [dispatch_forever(pool, self.settings, self.wake, stop, timing) for pool in pools[1:]]
        tasks = [asyncio.create_task(job) for job in jobs]
        try:
            yield
        finally:
            stop.set()
            self.wake.set("log", "events")
            await asyncio.wait_for(asyncio.gather(*tasks), TIMEOUT_SECONDS)
            for pool in pools:
                await pool.dispose()

    @asynccontextmanager
    async def dispatcher(self) -> AsyncIterator[Dispatcher]:
        """A dispatcher that claims and renews only when the test calls it."""
        egress, ring = Egress(targets_of(self.settings)), KeyRing(self.settings.secret_keys)
        made = Dispatcher(LaneContext(self.engine, egress, ring, self.wake, (0.0,), FAST, asyncio.Semaphore(4)))
        yield made
        await made.stop()
        await egress.close()


@pytest.fixture
async def world(engine: Database, url: str, settings: Settings) -> World:
    return World(engine, url, settings, Wake(url))


@pytest.fixture
async def delivering(settings: Settings) -> AsyncIterator[Api]:
    """The application with its dispatcher."""
    async with running(settings, roles=("dispatch",)) as found:
        yield found
