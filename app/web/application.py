"""Builds the FastAPI application: state, routers, middleware and background work."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI

from app.clock import Clock
from app.commands import worker
from app.console import endpoints as console
from app.database.engine import make_engine
from app.events.catalogue import webhooks
from app.events.tails import Tails
from app.events.waiting import Waiters
from app.events.wake import Wake
from app.imports.turns import Uploads
from app.keyring import KeyRing
from app.leads.double_opt_in import CONFIRM_PATH
from app.leads.included import include_leads
from app.settings import Settings
from app.submissions.endpoints import IngestFastPath
from app.web import documentation, guides, home, operations, problems
from app.web.capacity import INGEST, Capacity
from app.web.direct import Direct
from app.web.gate import Gate
from app.web.gather import Gatherer
from app.web.head import HeadAsGet
from app.web.quotas import Quotas
from app.web.routes import ROUTERS, methods_by_path
from app.webhooks.egress import Egress
from app.webhooks.targets import targets_of

RESERVED_CONNECTIONS = 3  # of the pool: left by API requests to ingest, processing and deliveries
LICENSE = {"name": "Apache License 2.0", "identifier": "Apache-2.0"}
DESCRIPTION = """
Baton runs the hand-off of leads from marketing to sales: it stores every form fill as it was sent, moves leads through
their stages by a versioned policy, converts each lead once, and delivers every change as an ordered event. Events are
described here under Webhooks, and for the feed and brokers in the [AsyncAPI document](asyncapi.json).
"""


def release() -> str:
    try:
        return version("baton")
    except PackageNotFoundError:
        return "0.1.0"


def create_app(settings: Settings) -> FastAPI:
    """The application for these settings (`database_url` and `secret_keys` are required); it also runs their roles."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.engine = make_engine(settings.url, settings.pool_size)
        app.state.engine.keyring = app.state.keyring
        app.state.connection_slots = asyncio.Semaphore(max(1, settings.pool_size - RESERVED_CONNECTIONS))
        app.state.waiters = Waiters()
        app.state.tails = Tails(app.state, app.state.capacity.max_streams)
        app.state.uploads = Uploads()
        app.state.wake = Wake(settings.session_url)
        app.state.egress = Egress(targets_of(settings))
        watching = asyncio.create_task(app.state.capacity.watch())
        async with worker.running(app.state, settings.roles):
            yield
        watching.cancel()
        await app.state.tails.close()
        await app.state.egress.close()
        await app.state.engine.dispose()

    app = FastAPI(
        title="Baton",
        summary="The hand-off of leads from marketing to sales.",
        description=DESCRIPTION,
        version=release(),
        license_info=LICENSE,
        # A path: relative to where the document was read, also where no public URL is set.
        servers=[{"url": settings.public_url or "/"}],
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        separate_input_output_schemas=False,
        webhooks=webhooks,
        redirect_slashes=False,
    )
    app.state.settings = settings
    app.state.clock = Clock(settings.test_clock)
    app.state.keyring = KeyRing(settings.secret_keys)
    app.state.gatherer = Gatherer(app.state)
    app.state.capacity = Capacity(settings.max_in_flight, settings.max_ingest_in_flight)
    app.state.quotas = Quotas(settings.workers)
    app.state.draining = False
    app.state.include_leads = include_leads
    app.state.methods = methods_by_path()
    problems.install(app)
    for router in (operations.open_routes, *ROUTERS, home.pages, documentation.pages, guides.pages):
        # Not by `include_router`, which would build every route again for this application, during the first requests.
        app.router.routes.extend(router.routes)
    if settings.console:
        console.serve(app)
    documentation.describe(app)
    app.add_middleware(Direct, routes=[route for router in ROUTERS for route in router.routes])
    app.add_middleware(IngestFastPath)
    app.add_middleware(HeadAsGet, but=(INGEST, CONFIRM_PATH, console.LOGIN))
    app.add_middleware(Gate, capacity=app.state.capacity)
    return app
