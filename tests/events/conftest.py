"""The event endpoints in this process, on a fresh database, with one tenant and its API key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from types import SimpleNamespace
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI

from app import ids
from app.clock import Clock
from app.consumers.endpoints import api as consumers_api
from app.consumers.endpoints import reading_api
from app.database.tables import keys, tenants
from app.database.transaction import Database
from app.events.endpoints import api, feed_api
from app.events.tails import Tails
from app.events.waiting import Waiters
from app.events.wake import Wake
from app.web import auth, problems
from app.web.capacity import MAX_STREAMS, Capacity
from app.web.gate import Gate
from app.web.quotas import Quotas

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Service(SimpleNamespace):
    """The app and what it uses; `client` has a key with the scope events:read."""

    app: FastAPI
    engine: Database
    wake: Wake
    client: httpx.AsyncClient


async def new_client(app: FastAPI, scopes: tuple[str, ...]) -> tuple[httpx.AsyncClient, UUID]:
    secret, tenant_id = auth.new_secret(), ids.new_id()
    async with app.state.engine.begin() as tx:
        await tx.execute(tenants.insert().values(id=tenant_id, name="acme", secret_salt="x", created_at=NOW))
        await tx.execute(
            keys.insert().values(
                tenant_id=tenant_id,
                id=ids.new_id(),
                name="test",
                secret_sha256=auth.fingerprint(secret),
                scopes=list(scopes),
                prefix=secret[:8],
                created_at=NOW,
            )
        )
    transport = httpx.ASGITransport(app)
    headers = {"Authorization": f"Bearer {secret}"}
    return httpx.AsyncClient(transport=transport, base_url="http://baton.test", headers=headers), tenant_id


@pytest.fixture
async def service(engine: Database, url: str) -> AsyncIterator[Service]:
    auth.clear_cache()
    app = FastAPI()
    app.state.engine, app.state.wake, app.state.clock = engine, Wake(url), Clock()
    app.state.connection_slots, app.state.waiters = asyncio.Semaphore(10), Waiters()
    app.state.quotas, app.state.tails = Quotas(1), Tails(app.state, MAX_STREAMS)
    app.state.settings = SimpleNamespace(prefix="")
    problems.install(app)
    app.include_router(feed_api)
    for each in (api, reading_api, consumers_api):
        app.include_router(each)
    app.add_middleware(Gate, capacity=Capacity())
    client, tenant_id = await new_client(app, ("events:read",))
    async with client:
        yield Service(app=app, engine=engine, wake=app.state.wake, client=client, tenant_id=tenant_id)
    await app.state.tails.close()
