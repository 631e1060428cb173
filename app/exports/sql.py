"""Statements that find what is stored about a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from sqlalchemy import Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.database.transaction import Record, Records, Tx

LEADS: Final = bindparam("leads", type_=ARRAY(Uuid))

HOLDERS: Final = text(
    """
    SELECT i.lead_id FROM identities i
      JOIN unnest(:kinds, :namespaces, :values) AS k(kind, namespace, value) USING (kind, namespace, value)
     WHERE i.tenant_id = :tenant_id
     UNION
    SELECT s.lead_id FROM shared_identities s
      JOIN unnest(:kinds, :values) AS k(kind, value) USING (kind, value) WHERE s.tenant_id = :tenant_id
    """
).bindparams(*(bindparam(name, type_=ARRAY(Text)) for name in ("kinds", "namespaces", "values")))
# A lead, the one that it was merged into at last, and all that were merged into that.
WITH_MERGED: Final = text(
    """
    WITH RECURSIVE up AS (
        SELECT id, merged_into FROM leads WHERE tenant_id = :tenant_id AND id = ANY(:leads)
         UNION
        SELECT l.id, l.merged_into FROM up JOIN leads l ON l.tenant_id = :tenant_id AND l.id = up.merged_into
    ), roots AS (
        SELECT id FROM up WHERE merged_into IS NULL
    ), merged AS (
        SELECT m.merged_id AS id, m.survivor_id FROM lead_merges m JOIN roots r ON r.id = m.survivor_id
         WHERE m.tenant_id = :tenant_id AND m.unmerged_at IS NULL
         UNION
        SELECT m.merged_id, m.survivor_id FROM merged b
          JOIN lead_merges m ON m.tenant_id = :tenant_id AND m.survivor_id = b.id AND m.unmerged_at IS NULL
    )
    SELECT id, true AS root FROM roots UNION ALL SELECT DISTINCT id, false FROM merged
    """
).bindparams(LEADS)
IDENTITIES: Final = text(
    "SELECT kind, namespace, value FROM identities WHERE tenant_id = :tenant_id AND lead_id = ANY(:leads)"
).bindparams(LEADS)
CONTACTS: Final = text(
    """
    SELECT contact_id AS id FROM leads WHERE tenant_id = :tenant_id AND id = ANY(:leads) AND contact_id IS NOT NULL
     UNION
    SELECT id FROM contacts WHERE tenant_id = :tenant_id AND email_key = ANY(:emails) AND archived_at IS NULL
     UNION
    SELECT id FROM contacts WHERE tenant_id = :tenant_id AND email_key = ANY(:emails) AND archived_at IS NOT NULL
    """
).bindparams(LEADS, bindparam("emails", type_=ARRAY(Text)))
# Those of the leads; of nobody those that name the person: mapped (spam, activities of somebody unknown), or in
# quarantine with the address somewhere in their body.
SUBMISSIONS: Final = """
    SELECT i.submission_id AS id FROM submission_items i
     WHERE i.tenant_id = $1 AND i.lead_id = ANY($2)
     UNION
    SELECT i.submission_id FROM submission_items i
     WHERE i.tenant_id = $1 AND i.verdict <> 'lead' AND i.lead_id IS NULL AND i.mapped @> ANY($3::text[]::jsonb[])
     UNION
    SELECT s.id FROM submissions s
     WHERE s.tenant_id = $1 AND s.state = 'quarantined' AND s.listed IS NULL
       AND EXISTS (SELECT FROM unnest($4::text[]) AS needle
                    WHERE position(needle IN lower(encode(s.body, 'escape') || s.query)) > 0)
"""
# With other people in it, it is not given away. `alone`: no other lead has an item of it.
RAW: Final = """
    SELECT s.id, s.source_id, s.method, s.query, s.headers, s.body, s.received_at, s.suspicion, s.review, s.bot_check
      FROM submissions s
     WHERE s.tenant_id = $1 AND s.id = ANY($2) AND s.listed IS NULL
       AND NOT EXISTS (SELECT FROM submission_items i WHERE i.tenant_id = s.tenant_id AND i.submission_id = s.id
                          AND i.lead_id <> ALL($3))
     ORDER BY s.id
"""


async def holders(tx: Tx, tenant_id: UUID, keys: Sequence[tuple[str, str, str]]) -> list[UUID]:
    """The leads that have one of these identities (kind, namespace, value), shared ones too."""
    kinds, namespaces, values = (list(part) for part in zip(*keys, strict=True))
    bound = {"kinds": kinds, "namespaces": namespaces, "values": values}
    return (await tx.execute(HOLDERS, {"tenant_id": tenant_id, **bound})).scalars()


async def with_merged(tx: Tx, tenant_id: UUID, leads: Sequence[UUID]) -> Records:
    """The leads that remained of these, as `root`, and those merged into them."""
    return (await tx.execute(WITH_MERGED, {"tenant_id": tenant_id, "leads": list(leads)})).all()


async def identities_of(tx: Tx, tenant_id: UUID, leads: Sequence[UUID]) -> set[tuple[str, str, str]]:
    rows = await tx.execute(IDENTITIES, {"tenant_id": tenant_id, "leads": list(leads)})
    return {(row.kind, row.namespace, row.value) for row in rows}


async def contacts_of(tx: Tx, tenant_id: UUID, leads: Sequence[UUID], emails: Sequence[str]) -> list[UUID]:
    bound = {"tenant_id": tenant_id, "leads": list(leads), "emails": list(emails)}
    return (await tx.execute(CONTACTS, bound)).scalars()


async def submissions_of(
    tx: Tx, tenant_id: UUID, leads: Sequence[UUID], mapped: Sequence[str], needles: Sequence[str]
) -> list[UUID]:
    """`mapped`: JSON that a mapped item about the person contains; `needles`: texts in small letters."""
    rows: list[Record] = await tx.run(
        SUBMISSIONS, tx.driver.fetch(SUBMISSIONS, tenant_id, leads, mapped, needles, record_class=Record)
    )
    return [row.id for row in rows]
