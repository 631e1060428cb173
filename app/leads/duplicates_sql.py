"""Statements that look up leads that may be one person, and keep the pairs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.database.transaction import Records, Tx

# At most 50 leads of each key, the newest.
ALIKE = text(
    """
    SELECT w.key, l.id AS lead_id, l.kind, l.fields, l.custom -> 'city' AS city,
           coalesce(l.flags -> 'duplicate_suspected' = 'true', false) AS suspected,
           ARRAY(SELECT e.value FROM identities e WHERE e.tenant_id = :tenant_id AND e.lead_id = l.id
                    AND e.kind = 'email') AS emails
      FROM (SELECT value AS key FROM jsonb_array_elements_text(:keys)) w
      JOIN LATERAL (SELECT lead_id FROM match_keys k WHERE k.tenant_id = :tenant_id AND k.key = w.key
                     ORDER BY k.lead_id DESC LIMIT 50) f ON true
      JOIN LATERAL (SELECT * FROM leads l WHERE l.tenant_id = :tenant_id AND l.id = f.lead_id LIMIT 1) l
        ON l.merged_into IS NULL AND l.erased_at IS NULL
    """
).bindparams(bindparam("keys", type_=JSONB), bindparam("tenant_id", type_=Uuid))
PAIRS = text(
    """
    SELECT d.* FROM jsonb_to_recordset(:pairs) AS p(one_id uuid, other_id uuid)
      JOIN LATERAL (SELECT * FROM duplicates d WHERE d.tenant_id = :tenant_id AND d.one_id = p.one_id
                       AND d.other_id = p.other_id LIMIT 1) d ON true
    """
).bindparams(bindparam("pairs", type_=JSONB), bindparam("tenant_id", type_=Uuid))
KEEP_PAIRS = text(
    """
    INSERT INTO duplicates (tenant_id, id, one_id, other_id, state, score, reasons, created_at, updated_at)
    SELECT :tenant_id, id, one_id, other_id, 'open', score, reasons, :now, :now
      FROM jsonb_to_recordset(:pairs) AS p(id uuid, one_id uuid, other_id uuid, score smallint, reasons jsonb)
     ORDER BY one_id, other_id
    ON CONFLICT (tenant_id, one_id, other_id) DO UPDATE
       SET version = duplicates.version + 1, state = 'open', score = EXCLUDED.score, reasons = EXCLUDED.reasons,
           decided_by = NULL, decided_at = NULL, updated_at = EXCLUDED.updated_at
    """
).bindparams(bindparam("pairs", type_=JSONB), bindparam("now", type_=DateTime(timezone=True)))
# Of each lead whether it has an open pair with a lead of its own, `without` some.
SUSPECTED = text(
    """
    SELECT EXISTS (
        SELECT 1 FROM (
            SELECT other_id AS id FROM duplicates
             WHERE tenant_id = :tenant_id AND one_id = :lead_id AND state = 'open'
            UNION ALL
            SELECT one_id FROM duplicates
             WHERE tenant_id = :tenant_id AND other_id = :lead_id AND state = 'open') d
          JOIN LATERAL (SELECT * FROM leads l WHERE l.tenant_id = :tenant_id AND l.id = d.id LIMIT 1) l
            ON l.merged_into IS NULL AND l.erased_at IS NULL
         WHERE d.id <> ALL(:without))
    """
).bindparams(bindparam("without", type_=ARRAY(Uuid)))


async def alike(tx: Tx, tenant_id: UUID, keys: Collection[str]) -> Records:
    """The leads that have any of these keys, with what is compared of them."""
    if not keys:
        return []
    return (await tx.execute(ALIKE, {"tenant_id": tenant_id, "keys": sorted(keys)})).all()


async def pairs(tx: Tx, tenant_id: UUID, wanted: Collection[tuple[UUID, UUID]]) -> Records:
    """The stored pairs of these leads, each (smaller id, greater id)."""
    if not wanted:
        return []
    named = [{"one_id": one_id, "other_id": other_id} for one_id, other_id in sorted(wanted)]
    return (await tx.execute(PAIRS, {"tenant_id": tenant_id, "pairs": named})).all()


async def keep_pairs(tx: Tx, tenant_id: UUID, rows: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Stores open pairs, or opens stored ones again, with these reasons."""
    if rows:
        await tx.execute(KEEP_PAIRS, {"tenant_id": tenant_id, "pairs": list(rows), "now": now})


async def is_suspected(tx: Tx, tenant_id: UUID, lead_id: UUID, without: Sequence[UUID]) -> bool:
    """Whether the lead may be the same person as another one, besides these."""
    values = {"tenant_id": tenant_id, "lead_id": lead_id, "without": list(without)}
    return bool((await tx.execute(SUSPECTED, values)).scalar_one())
