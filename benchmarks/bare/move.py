"""A bare FastAPI route over asyncpg: lock the lead, then one statement that writes the rows of a transition."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from uuid import UUID

from fastapi import FastAPI
from pydantic import BaseModel
from uuid_utils.compat import uuid7

from benchmarks.bare.pooled import pooled

LOCK = "SELECT version FROM leads WHERE tenant_id = $1 AND id = $2 FOR NO KEY UPDATE"
MOVE = """
    WITH touched AS (
        UPDATE leads SET version = version + 1, stage = 'sal', stage_entered_at = $3, updated_at = $3
         WHERE tenant_id = $1 AND id = $2 RETURNING id, version
    ), moved AS (
        UPDATE journeys j SET stage = 'sal', seq = j.seq + 1, stage_entered_at = $3 FROM touched t
         WHERE j.tenant_id = $1 AND j.lead_id = t.id AND j.closed_at IS NULL
        RETURNING j.id, j.lead_id, j.seq, t.version, j.policy_id
    ), recorded AS (
        INSERT INTO transitions (tenant_id, journey_id, seq, id, lead_id, from_stage, to_stage, action, actor,
               occurred_at, recorded_at, policy_id, policy_version, evidence)
        SELECT $1, id, seq, $4, lead_id, 'mql', 'sal', $6, $5, $3, $3, policy_id, 1, $5 FROM moved
    ), reached AS (
        INSERT INTO milestones (tenant_id, id, journey_id, lead_id, name, proof, reached_at, recorded_at, skipped)
        SELECT $1, $4, id, lead_id, 'sal', 'trn', $3, $3, false FROM moved
    ), emitted AS (
        INSERT INTO events (tenant_id, id, lead_id, order_key, lead_version, type, occurred_at, recorded_at, tx_id,
               tx_index, tx_size, data)
        SELECT $1, e.id, m.lead_id, m.lead_id, m.version, e.type, $3, $3, $4, e.n, 2, $5::text
          FROM moved m, (VALUES ($4::uuid, 'lead.stage_changed', 1), ($7::uuid, 'lead.assigned', 2)) AS e(id, type, n)
        RETURNING tenant_id, seq
    ), queued AS (INSERT INTO pending (tenant_id, seq) SELECT tenant_id, seq FROM emitted)
    SELECT lead_id, seq, version FROM moved
"""
EVIDENCE = {
    "score": {"fit": 50, "engagement": 40},
    "entries": [{"rule_id": name, "points": 20} for name in "abcd"],
    "actor": {"id": "usr_0123456789abcdefghjkmnpqrs", "kind": "human", "role": "sdr"},
}


class Ask(BaseModel):
    action: str


class Moved(BaseModel):
    id: str
    lead_id: str
    seq: int
    version: int


def make(dsn: str) -> FastAPI:
    """The application on a database whose leads are MQL; the path holds a plain UUID."""

    app = pooled(dsn, "SELECT tenant_id FROM leads LIMIT 1")

    @app.post("/v1/leads/{lead_id}/transitions", status_code=201)
    async def move(lead_id: UUID, ask: Ask) -> Moved:
        new, now = uuid7(), datetime.now(UTC)
        (tenant_id,) = app.state.known
        async with app.state.pool.acquire() as connection, connection.transaction():
            await connection.fetchval(LOCK, tenant_id, lead_id)
            values = (now, new, json.dumps(EVIDENCE), ask.action, uuid7())
            row = await connection.fetchrow(MOVE, tenant_id, lead_id, *values)
        return Moved(id=str(new), lead_id=str(row["lead_id"]), seq=row["seq"], version=row["version"])

    return app
