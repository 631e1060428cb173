"""SQL of requests to confirm consents, within one tenant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from app.database.transaction import Record, Tx
from app.journeys.state import Change

KEEP_REQUESTS: Final = text(
    """
    INSERT INTO consent_requests (tenant_id, id, lead_id, secret_sha256, texts, source_id, submission_id, requested_at,
           expires_at)
    SELECT :tenant_id, id, lead_id, secret_sha256, texts, source_id, submission_id, :now, expires_at
      FROM jsonb_to_recordset(:requests) AS r(
           id uuid, lead_id uuid, secret_sha256 text, texts jsonb, source_id uuid, submission_id uuid,
           expires_at timestamptz)
    """
).bindparams(bindparam("requests", type_=JSONB))
LOCK_REQUEST: Final = text(
    """
    SELECT r.*, s.defaults #>> '{double_opt_in,confirmed_url}' AS confirmed_url
      FROM consent_requests r LEFT JOIN sources s ON s.tenant_id = r.tenant_id AND s.id = r.source_id
     WHERE r.tenant_id = :tenant_id AND r.id = :id FOR UPDATE OF r
    """
)
SET_CONFIRMED: Final = text("UPDATE consent_requests SET confirmed_at = :now WHERE tenant_id = :tenant_id AND id = :id")


async def keep_requests(tx: Tx, tenant_id: UUID, changes: Sequence[Change], now: datetime) -> None:
    """Stores the requests of changes that are recorded."""
    rows = [
        {
            "id": one.id,
            "lead_id": change.lead.id,
            "secret_sha256": one.secret_sha256,
            "texts": one.texts,
            "source_id": one.source_id,
            "submission_id": one.submission_id,
            "expires_at": one.expires_at,
        }
        for change in changes
        for one in change.new_requests
    ]
    if rows:
        await tx.execute(KEEP_REQUESTS, {"tenant_id": tenant_id, "requests": rows, "now": now})


async def lock_request(tx: Tx, tenant_id: UUID, request_id: UUID) -> Record | None:
    """A request, locked, with the page that its source names for afterwards."""
    return (await tx.execute(LOCK_REQUEST, {"tenant_id": tenant_id, "id": request_id})).one_or_none()


async def set_confirmed(tx: Tx, tenant_id: UUID, request_id: UUID, now: datetime) -> None:
    await tx.execute(SET_CONFIRMED, {"tenant_id": tenant_id, "id": request_id, "now": now})
