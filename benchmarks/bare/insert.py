"""A bare FastAPI route that inserts a submission with one asyncpg statement per request."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime

from fastapi import FastAPI, Request
from uuid_utils.compat import uuid7

from benchmarks.bare.pooled import pooled

INSERT = (
    "INSERT INTO submissions (tenant_id, id, source_id, method, query, headers, body, sha256, received_at)"
    " VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)"
)
SOURCE = "SELECT tenant_id, id FROM sources LIMIT 1"


def make(dsn: str) -> FastAPI:
    """The application on a database that has a tenant and its built-in source."""

    app = pooled(dsn, SOURCE)

    @app.post("/v1/ingest/bare", status_code=202)
    async def accept(request: Request) -> dict[str, str]:
        body = await request.body()
        tenant_id, source_id = app.state.known
        new, headers = uuid7(), json.dumps(dict(request.headers))
        values = ("POST", "", headers, body, hashlib.sha256(body).hexdigest(), datetime.now(UTC))
        await app.state.pool.execute(INSERT, tenant_id, new, source_id, *values)
        return {"id": str(new)}

    return app
