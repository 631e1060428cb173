"""Statements of the steps that follow erasures."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.database.transaction import Records, Tx

TENANT = bindparam("tenant_id", type_=Uuid)
ADVANCE = text(
    "UPDATE erasures SET step = :step, after = :after WHERE tenant_id = :tenant_id AND lead_id = ANY(:lead_ids)"
).bindparams(TENANT, bindparam("lead_ids", type_=ARRAY(Uuid)), bindparam("after", type_=Text))
FINISH = text(
    "UPDATE erasures SET finished_at = :now, sought = NULL, after = NULL"
    " WHERE tenant_id = :tenant_id AND lead_id = ANY(:lead_ids)"
).bindparams(TENANT, bindparam("lead_ids", type_=ARRAY(Uuid)), bindparam("now", type_=DateTime(timezone=True)))
# Submissions with items that made no lead, in the order of the index by verdict.
PLACES = text(
    """
    SELECT DISTINCT verdict, submission_id FROM submission_items
     WHERE tenant_id = :tenant_id AND verdict <> 'lead'
       AND (verdict, submission_id) > (:verdict, CAST(:submission_id AS uuid))
     ORDER BY verdict, submission_id LIMIT :limit
    """
).bindparams(TENANT)
PARTS = text(
    """
    SELECT s.id, s.body, s.query, s.headers, s.listed,
           (SELECT jsonb_agg(jsonb_build_object('place', i.index, 'mapped', i.mapped)) FROM submission_items i
             WHERE i.tenant_id = :tenant_id AND i.submission_id = s.id AND i.lead_id IS NULL) AS unled
      FROM submissions s WHERE s.tenant_id = :tenant_id AND s.id = ANY(:ids) AND s.sha256 <> ''
     ORDER BY s.id FOR NO KEY UPDATE OF s
    """
).bindparams(TENANT, bindparam("ids", type_=ARRAY(Uuid)))
ANSWERS = text(
    "SELECT key, body FROM idempotency_keys WHERE tenant_id = :tenant_id AND key > :after AND lead_id IS NULL"
    " ORDER BY key LIMIT :limit"
).bindparams(TENANT)
FORGET_ANSWERS = text("DELETE FROM idempotency_keys WHERE tenant_id = :tenant_id AND key = ANY(:keys)").bindparams(
    TENANT, bindparam("keys", type_=ARRAY(Text))
)


async def advance(tx: Tx, tenant_id: UUID, lead_ids: Sequence[UUID], step: int, after: str | None) -> None:
    """Keeps what these erasures do next."""
    await tx.execute(ADVANCE, {"tenant_id": tenant_id, "lead_ids": list(lead_ids), "step": step, "after": after})


async def finish(tx: Tx, tenant_id: UUID, lead_ids: Sequence[UUID], now: datetime) -> None:
    """Ends these erasures, and forgets what they looked for."""
    await tx.execute(FINISH, {"tenant_id": tenant_id, "lead_ids": list(lead_ids), "now": now})


async def next_places(tx: Tx, tenant_id: UUID, after: tuple[str, UUID], limit: int) -> Records:
    """The next verdicts and submissions after this one, whose items may have made no lead."""
    bound = {"tenant_id": tenant_id, "verdict": after[0], "submission_id": after[1], "limit": limit}
    return (await tx.execute(PLACES, bound)).all()


async def parts(tx: Tx, tenant_id: UUID, submission_ids: Sequence[UUID]) -> Records:
    """These submissions, locked, with their items that made no lead."""
    return (await tx.execute(PARTS, {"tenant_id": tenant_id, "ids": list(submission_ids)})).all()


async def next_answers(tx: Tx, tenant_id: UUID, after: str, limit: int) -> Records:
    """The next stored answers that are about no lead."""
    return (await tx.execute(ANSWERS, {"tenant_id": tenant_id, "after": after, "limit": limit})).all()


async def forget_answers(tx: Tx, tenant_id: UUID, keys: Sequence[str]) -> None:
    """Deletes stored answers."""
    await tx.execute(FORGET_ANSWERS, {"tenant_id": tenant_id, "keys": list(keys)})
