"""What the bare FastAPI baselines share: a pool, a look at the database at the start, and a sign of life."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI

POOL = 10


def pooled(dsn: str, question: str, *before: str) -> FastAPI:
    """`state.pool`, and in `state.known` the row that answers the question; statements `before` come first."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with asyncpg.create_pool(dsn, min_size=POOL, max_size=POOL) as app.state.pool:
            for statement in before:
                await app.state.pool.execute(statement)
            app.state.known = await app.state.pool.fetchrow(question)
            yield

    app = FastAPI(lifespan=lifespan)

    @app.get("/")
    async def ready() -> dict[str, str]:
        return {}

    return app
