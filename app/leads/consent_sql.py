"""SQL of requests to confirm consents, and of withdrawals by people who are no leads, within one tenant."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.database.transaction import Record, Records, Tx
from app.journeys.state import Change

# What a list claims without a text that tells how the consent was given. It confirms nothing that is pending.
IS_BARE_CLAIM: Final = "(bought AND state = 'given' AND coalesce(text, '') = '')"
# Entries of a consent log with the one that counts last: the order of `apply_consents`.
COUNTING_LAST: Final = (
    f"NOT {IS_BARE_CLAIM}, state <> 'pending', NOT (bought AND state = 'given'), occurred_at,"
    " state IN ('refused', 'withdrawn'), recorded_at, id"
)
KEEP_REQUESTS: Final = text(
    """
    INSERT INTO consent_requests (tenant_id, id, lead_id, secret_sha256, texts, text_versions, source_id, submission_id,
           requested_at, expires_at)
    SELECT :tenant_id, id, lead_id, secret_sha256, texts, text_versions, source_id, submission_id, :now, expires_at
      FROM jsonb_to_recordset(:requests) AS r(
           id uuid, lead_id uuid, secret_sha256 text, texts jsonb, text_versions jsonb, source_id uuid,
           submission_id uuid, expires_at timestamptz)
    """
).bindparams(bindparam("requests", type_=JSONB))
LOCK_REQUEST: Final = text(
    """
    SELECT r.*, s.defaults #>> '{double_opt_in,confirmed_url}' AS confirmed_url
      FROM consent_requests r LEFT JOIN sources s ON s.tenant_id = r.tenant_id AND s.id = r.source_id
     WHERE r.tenant_id = :tenant_id AND r.id = :id FOR UPDATE OF r
    """
)
CONSENTS_NOW: Final = text(
    """
    WITH RECURSIVE remaining AS (
        SELECT id, merged_into, consents FROM leads WHERE tenant_id = :tenant_id AND id = ANY(:lead_ids)
         UNION ALL
        SELECT r.id, l.merged_into, l.consents FROM remaining r
          JOIN leads l ON l.tenant_id = :tenant_id AND l.id = r.merged_into
    )
    SELECT id, consents FROM remaining WHERE merged_into IS NULL
    """
).bindparams(bindparam("lead_ids", type_=ARRAY(Uuid)))
SET_CONFIRMED: Final = text("UPDATE consent_requests SET confirmed_at = :now WHERE tenant_id = :tenant_id AND id = :id")
# Of each address and purpose the latest.
KEEP_WITHDRAWALS: Final = text(
    """
    INSERT INTO withdrawals (tenant_id, address_sha256, purpose, state, text, channel, source_id, submission_id,
           text_version, occurred_at, recorded_at)
    SELECT DISTINCT ON (address_sha256, purpose) :tenant_id, address_sha256, purpose, state, text, channel, source_id,
           submission_id, text_version, occurred_at, :now
      FROM jsonb_to_recordset(:withdrawals) AS w(
           address_sha256 text, purpose text, state text, text text, channel text, source_id uuid, submission_id uuid,
           text_version text, occurred_at timestamptz)
     ORDER BY address_sha256, purpose, occurred_at DESC
    ON CONFLICT (tenant_id, address_sha256, purpose) DO UPDATE
       SET state = EXCLUDED.state, text = EXCLUDED.text, channel = EXCLUDED.channel, source_id = EXCLUDED.source_id,
           submission_id = EXCLUDED.submission_id,
           text_version = EXCLUDED.text_version, occurred_at = EXCLUDED.occurred_at,
           recorded_at = EXCLUDED.recorded_at
     WHERE EXCLUDED.occurred_at > withdrawals.occurred_at
    """
).bindparams(bindparam("withdrawals", type_=JSONB))
WITHDRAWALS: Final = text(
    "SELECT * FROM withdrawals WHERE tenant_id = :tenant_id AND address_sha256 = ANY(:addresses)"
).bindparams(bindparam("addresses", type_=ARRAY(Text)))


async def consents_now(tx: Tx, tenant_id: UUID, lead_ids: Collection[UUID]) -> dict[UUID, Mapping[str, str]]:
    """The state of each purpose, by lead; of a merged lead those of the lead that remained."""
    if not lead_ids:
        return {}
    rows = await tx.execute(CONSENTS_NOW, {"tenant_id": tenant_id, "lead_ids": sorted(lead_ids)})
    return {row.id: row.consents for row in rows}


async def keep_requests(tx: Tx, tenant_id: UUID, changes: Sequence[Change], now: datetime) -> None:
    """Stores the requests of changes that are recorded."""
    rows = [
        {
            "id": one.id,
            "lead_id": change.lead.id,
            "secret_sha256": one.secret_sha256,
            "texts": one.texts,
            "text_versions": one.text_versions,
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


async def withdrawals(tx: Tx, tenant_id: UUID, addresses: Collection[str]) -> Records:
    """What was withdrawn by people with these addresses (hashes) who were no leads then."""
    if not addresses:
        return []
    return (await tx.execute(WITHDRAWALS, {"tenant_id": tenant_id, "addresses": sorted(addresses)})).all()


async def keep_withdrawals(tx: Tx, tenant_id: UUID, rows: Sequence[Mapping[str, Any]], now: datetime) -> None:
    if rows:
        await tx.execute(KEEP_WITHDRAWALS, {"tenant_id": tenant_id, "withdrawals": list(rows), "now": now})
