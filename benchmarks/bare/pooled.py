"""What the FastAPI baselines share: a connection pool, a query at startup, and a health route."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI

POOL = 10


def pooled(dsn: str, query: str, *before: str) -> FastAPI:
    """An application with `state.pool`, and the row of `query` in `state.known`; runs the statements `before` first."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(dsn, min_size=POOL, max_size=POOL) as app.state.pool:
            for statement in before:
                await app.state.pool.execute(statement)
            app.state.known = await app.state.pool.fetchrow(query)
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def health() -> dict[str, str]:
        return {}

    return app
