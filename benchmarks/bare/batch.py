"""Bare ASGI: requests queue while a statement runs, and the next statement writes all their rows with `unnest`.

The rows are those of a processed form fill of a new person: submission, item, lead, two identities, journey,
transition, activity, touch, consent and four events. Nothing is read, checked, mapped, normalised, matched or scored.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections import deque
from datetime import UTC, datetime
from typing import Any

import asyncpg
from starlette.types import ASGIApp, Receive, Scope, Send
from uuid_utils.compat import uuid7

MAX_BATCH = 200
BATCH = """
    WITH r AS MATERIALIZED (
        SELECT * FROM unnest($4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::bytea[])
            AS r(id, lead_id, email, sha256, body)
    ), received AS (
        INSERT INTO submissions (tenant_id, id, source_id, method, query, headers, body, sha256, received_at, state,
               processed_at)
        SELECT $1, id, $2, 'POST', '', $9::jsonb, body, sha256, $10, 'processed', $10 FROM r
    ), kept AS (
        INSERT INTO submission_items (tenant_id, submission_id, index, source_id, submission_key, verdict,
               lead_id, mapped)
        SELECT $1, id, 0, $2, sha256, 'lead', lead_id, convert_from(body, 'UTF8')::jsonb FROM r
    ), born AS (
        INSERT INTO leads (tenant_id, id, stage, stage_entered_at, fields, first_touch, last_touch, source_id, fit,
               created_at, updated_at)
        SELECT $1, lead_id, 'inquiry', $10, convert_from(body, 'UTF8')::jsonb, $9::jsonb, $9::jsonb, $2, 50, $10, $10
          FROM r
    ), named AS (
        INSERT INTO identities (tenant_id, kind, namespace, value, lead_id, "primary", added_at)
        SELECT $1, k, '', email, lead_id, true, $10 FROM r, unnest(ARRAY['email', 'phone']) k
    ), opened AS (
        INSERT INTO journeys (tenant_id, id, lead_id, number, stage, seq, opened_at, stage_entered_at)
        SELECT $1, id, lead_id, 1, 'inquiry', 1, $10, $10 FROM r
    ), recorded AS (
        INSERT INTO transitions (tenant_id, journey_id, seq, id, lead_id, to_stage, action, actor, occurred_at,
               recorded_at, policy_id, policy_version, evidence)
        SELECT $1, id, 1, id, lead_id, 'inquiry', 'capture', $9::jsonb, $10, $10, $3, 1, $9::jsonb FROM r
    ), acted AS (
        INSERT INTO activities (tenant_id, id, lead_id, activity_key, type, kind, occurred_at, recorded_at, source_id)
        SELECT $1, id, lead_id, sha256, 'form_fill', 'interest', $10, $10, $2 FROM r
    ), attributed AS (
        INSERT INTO touches (tenant_id, id, lead_id, source_id, submission_id, attribution, occurred_at, recorded_at)
        SELECT $1, id, lead_id, $2, id, $9::jsonb, $10, $10 FROM r
    ), consented AS (
        INSERT INTO consents (tenant_id, id, lead_id, purpose, state, source_id, occurred_at, recorded_at)
        SELECT $1, id, lead_id, 'email_marketing', 'given', $2, $10, $10 FROM r
    ), emitted AS (
        INSERT INTO events (tenant_id, id, lead_id, order_key, lead_version, type, occurred_at, recorded_at, tx_id,
               tx_index, tx_size, data)
        SELECT $1, id, lead_id, lead_id, 1, 'lead.captured', $10, $10, id, n, 4, $9 FROM r, generate_series(1, 4) n
        RETURNING tenant_id, seq
    )
    INSERT INTO pending (tenant_id, seq) SELECT tenant_id, seq FROM emitted
"""
DATA = json.dumps({"source": {"id": "src_0123456789abcdefghjkmnpqrs", "name": "bare"}, "stage": "inquiry", "number": 1})


class Batches:
    """The queued rows and the statement that is running."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.queue: deque[tuple[tuple[Any, ...], asyncio.Future[None]]] = deque()
        self.writing = False

    async def open(self) -> None:
        self.connection = await asyncpg.connect(self.dsn)
        self.tenant_source_policy = await self.connection.fetchrow(
            "SELECT s.tenant_id, s.id, p.id FROM sources s JOIN policies p USING (tenant_id) LIMIT 1"
        )

    def put(self, row: tuple[Any, ...]) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.queue.append((row, done))
        if not self.writing:
            self.writing = True
            self.task = asyncio.create_task(self._write())
        return done

    async def _write(self) -> None:
        while self.queue:
            batch = [self.queue.popleft() for _ in range(min(MAX_BATCH, len(self.queue)))]
            columns = zip(*(row for row, _ in batch), strict=True)
            await self.connection.execute(
                BATCH, *self.tenant_source_policy, *map(list, columns), DATA, datetime.now(UTC)
            )
            for _, done in batch:
                done.set_result(None)
        self.writing = False


def make(dsn: str) -> ASGIApp:
    """The application on a database that has a tenant and its built-in source."""
    batches = Batches(dsn)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await batches.open()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            await send({"type": "lifespan.shutdown.complete"})
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message.get("body", b""), message.get("more_body", False)
        if scope["method"] == "POST":
            new = uuid7()
            await batches.put((new, uuid7(), str(new), hashlib.sha256(body).hexdigest(), body))
        answer = b'{"state":"processed"}'
        status = 202 if scope["method"] == "POST" else 200
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app
