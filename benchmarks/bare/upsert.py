"""A bare FastAPI route with a model, and one asyncpg statement: lead upserted, submission and event inserted."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from uuid_utils.compat import uuid7

from benchmarks.bare.insert import SOURCE
from benchmarks.bare.pooled import pooled

TABLE = (
    "CREATE TABLE bare_leads (tenant_id uuid, email text, id uuid NOT NULL, version bigint NOT NULL,"
    " fields jsonb NOT NULL, updated_at timestamptz NOT NULL, PRIMARY KEY (tenant_id, email))"
)
UPSERT = """
    WITH upserted AS (
        INSERT INTO bare_leads (tenant_id, email, id, version, fields, updated_at) VALUES ($1, $2, $3, 1, $4, $5)
        ON CONFLICT (tenant_id, email)
           DO UPDATE SET fields = EXCLUDED.fields, version = bare_leads.version + 1, updated_at = EXCLUDED.updated_at
        RETURNING id, version
    ), received AS (
        INSERT INTO submissions (tenant_id, id, source_id, method, query, headers, body, sha256, received_at, state)
        VALUES ($1, $6, $7, 'POST', '', '{}', $8, $9, $5, 'processed')
    ), emitted AS (
        INSERT INTO events (tenant_id, id, lead_id, order_key, lead_version, type, occurred_at, recorded_at, tx_id,
               tx_index, tx_size, data)
        SELECT $1, $6, id, id, version, 'lead.captured', $5, $5, $6, 1, 1, $10 FROM upserted
        RETURNING tenant_id, seq
    ), queued AS (INSERT INTO pending (tenant_id, seq) SELECT tenant_id, seq FROM emitted)
    SELECT id, version FROM upserted
"""


class Fields(BaseModel):
    email: str
    phone: str
    first_name: str
    last_name: str
    company: str
    job_title: str
    employees: int
    industry: str
    country: str
    language: str
    website: str
    message: str


class Body(BaseModel):
    fields: Fields
    external_ids: dict[str, str]
    attribution: dict[str, str]
    consents: list[dict[str, str]]


class Answer(BaseModel):
    id: str
    version: int
    fields: Fields


def make(dsn: str) -> FastAPI:
    """The application on a database that has a tenant and its built-in source."""

    app = pooled(dsn, SOURCE, TABLE)

    @app.post("/v1/leads", status_code=201)
    async def create(body: Body) -> Answer:
        tenant_id, source_id = app.state.known
        values: dict[str, Any] = body.model_dump()
        document, fields, now = json.dumps(values), json.dumps(values["fields"]), datetime.now(UTC)
        sha = hashlib.sha256(document.encode()).hexdigest()
        row = await app.state.pool.fetchrow(
            UPSERT,
            tenant_id,
            body.fields.email,
            uuid7(),
            fields,
            now,
            uuid7(),
            source_id,
            document.encode(),
            sha,
            document,
        )
        return Answer(id=str(row["id"]), version=row["version"], fields=body.fields)

    return app
