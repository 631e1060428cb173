"""Statements about the journals of leads that were merged into others, and are merged still."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.database.transaction import Records, Tx

LIVE: Final = text(
    """
    WITH RECURSIVE live AS (
        SELECT m.* FROM lead_merges m
         WHERE m.tenant_id = :tenant_id AND m.survivor_id = ANY(:lead_ids) AND m.unmerged_at IS NULL
         UNION ALL
        SELECT m.* FROM live l
          JOIN lead_merges m ON m.tenant_id = :tenant_id AND m.survivor_id = l.merged_id AND m.unmerged_at IS NULL
    )
    SELECT id, merged_id, survivor_id, moved, submission_items, identities, filled FROM live
    """
).bindparams(bindparam("lead_ids", type_=ARRAY(Uuid)))
KEEP: Final = text(
    """
    UPDATE lead_merges m SET moved = ARRAY(SELECT value::uuid FROM jsonb_array_elements_text(c.moved)),
           submission_items = c.submission_items, identities = c.identities, filled = c.filled
      FROM jsonb_to_recordset(:journals) AS c(
           id uuid, moved jsonb, submission_items jsonb, identities jsonb, filled jsonb)
     WHERE m.tenant_id = :tenant_id AND m.id = c.id
    """
).bindparams(bindparam("journals", type_=JSONB))
# The copy has its own id, and all else of the entry.
COPY_CONSENTS: Final = text(
    """
    INSERT INTO consents (tenant_id, id, lead_id, purpose, state, text, channel, source_id, submission_id, bought,
           text_version, client_address, actor, confirmation_id, withdrawal_link_id, occurred_at, recorded_at)
    SELECT c.tenant_id, gen_random_uuid(), :lead_id, c.purpose, c.state, c.text, c.channel, c.source_id,
           c.submission_id, c.bought, c.text_version, c.client_address, c.actor, c.confirmation_id,
           c.withdrawal_link_id, c.occurred_at, c.recorded_at
      FROM consents c WHERE c.tenant_id = :tenant_id AND c.id = ANY(:ids) ORDER BY c.recorded_at, c.id
    """
).bindparams(bindparam("ids", type_=ARRAY(Uuid)), bindparam("lead_id", type_=Uuid))


async def live_merges(tx: Tx, tenant_id: UUID, lead_ids: Collection[UUID]) -> Records:
    """The journals of the leads merged into these, and of those merged into them before."""
    return (await tx.execute(LIVE, {"tenant_id": tenant_id, "lead_ids": list(lead_ids)})).all()


async def keep_journals(tx: Tx, tenant_id: UUID, journals: Sequence[Mapping[str, Any]]) -> None:
    """Writes what journals have since then."""
    if journals:
        await tx.execute(KEEP, {"tenant_id": tenant_id, "journals": journals})


async def copy_consents(tx: Tx, tenant_id: UUID, consent_ids: Collection[UUID], lead_id: UUID) -> None:
    """Adds entries of the consent log of one lead to that of another."""
    if consent_ids:
        await tx.execute(COPY_CONSENTS, {"tenant_id": tenant_id, "ids": list(consent_ids), "lead_id": lead_id})
