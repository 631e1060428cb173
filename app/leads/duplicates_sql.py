"""Statements that look up leads that may be one person, and keep the pairs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.database.transaction import ChangedMeanwhile, Record, Records, Tx
from app.matching.likeness import Subject

# What is compared of a lead, if it is one of its own.
COMPARED = """
    SELECT fields ->> 'first_name' AS first_name, fields ->> 'last_name' AS last_name,
           fields ->> 'full_name' AS full_name, fields ->> 'company' AS company, fields ->> 'domain' AS domain,
           custom -> 'city' AS city, coalesce(flags -> 'duplicate_suspected' = 'true', false) AS suspected
      FROM leads l WHERE l.tenant_id = :tenant_id AND l.id = f.lead_id AND l.merged_into IS NULL
       AND l.erased_at IS NULL LIMIT 1
"""
ADDRESSES = """ARRAY(
    SELECT e.value FROM identities e WHERE e.tenant_id = :tenant_id AND e.lead_id = f.lead_id AND e.kind = 'email')"""
# Of each key the newest 50 leads, and of these for each subject 50 (MOST_COMPARED): first those with an exact key, then
# those with most keys, then the newest. The addresses are read only of those that an exact key found, since of others
# they are not compared.
ALIKE = text(
    f"""
    SELECT f.lead_id, f.found_by, l.first_name, l.last_name, l.full_name, l.company, l.domain, l.city, l.suspected,
           CASE WHEN f.is_exact THEN {ADDRESSES} END AS emails
      FROM (SELECT n.lead_id, array_agg(DISTINCT k.key) AS found_by, bool_or(n.is_exact) AS is_exact
              FROM jsonb_array_elements(:subjects) s
             CROSS JOIN LATERAL (
                   SELECT m.lead_id, array_agg(w.key) AS found_by, bool_or(w.is_exact) AS is_exact
                     FROM jsonb_to_recordset(s.value) AS w(key text, is_exact boolean)
                     JOIN LATERAL (SELECT lead_id FROM match_keys k WHERE k.tenant_id = :tenant_id AND k.key = w.key
                                    ORDER BY k.lead_id DESC LIMIT 50) m ON true
                    GROUP BY m.lead_id
                    ORDER BY bool_or(w.is_exact) DESC, count(*) DESC, m.lead_id DESC LIMIT 50) n
             CROSS JOIN unnest(n.found_by) AS k(key)
             GROUP BY n.lead_id) f
      JOIN LATERAL ({COMPARED}) l ON true
    """  # noqa: S608
).bindparams(bindparam("subjects", type_=JSONB), bindparam("tenant_id", type_=Uuid))
SUBJECTS = text(
    f"""
    SELECT f.lead_id, l.*, {ADDRESSES} AS emails FROM unnest(:lead_ids) AS f(lead_id)
      JOIN LATERAL ({COMPARED}) l ON true
    """  # noqa: S608
).bindparams(bindparam("lead_ids", type_=ARRAY(Uuid)), bindparam("tenant_id", type_=Uuid))
PAIRS = text(
    """
    SELECT d.* FROM jsonb_to_recordset(:pairs) AS p(one_id uuid, other_id uuid)
      JOIN LATERAL (SELECT * FROM duplicates d WHERE d.tenant_id = :tenant_id AND d.one_id = p.one_id
                       AND d.other_id = p.other_id LIMIT 1) d ON true
    """
).bindparams(bindparam("pairs", type_=JSONB), bindparam("tenant_id", type_=Uuid))
KEEP_PAIRS = text(
    """
    INSERT INTO duplicates (tenant_id, id, version, one_id, other_id, state, score, reasons, created_at, updated_at)
    SELECT :tenant_id, id, version, one_id, other_id, 'open', score, reasons, :now, :now
      FROM jsonb_to_recordset(:pairs) AS p(
           id uuid, version bigint, one_id uuid, other_id uuid, score smallint, reasons jsonb)
     ORDER BY one_id, other_id
    ON CONFLICT (tenant_id, one_id, other_id) DO UPDATE
       SET version = EXCLUDED.version, state = 'open', score = EXCLUDED.score, reasons = EXCLUDED.reasons,
           decided_by = NULL, decided_at = NULL, updated_at = EXCLUDED.updated_at
     WHERE duplicates.version = EXCLUDED.version - 1
    RETURNING id
    """
).bindparams(bindparam("pairs", type_=JSONB), bindparam("now", type_=DateTime(timezone=True)))
POSTPONE = text(
    "UPDATE likeness_checks SET written_by = DEFAULT"
    " WHERE tenant_id = :tenant_id AND written_by = :written_by AND id = :id"
)
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


async def alike(tx: Tx, tenant_id: UUID, subjects: Iterable[Subject]) -> Records:
    """Leads that have a key of any of these subjects, at most 50 for each, with what is compared of them."""
    wanted = [
        [{"key": key, "is_exact": key in one.exact_keys} for key in sorted(one.keys)] for one in subjects if one.keys
    ]
    if not wanted:
        return []
    return (await tx.execute(ALIKE, {"tenant_id": tenant_id, "subjects": wanted})).all()


async def subjects(tx: Tx, tenant_id: UUID, lead_ids: Collection[UUID]) -> Records:
    """What is compared of these leads; merged and erased ones are left out."""
    return (await tx.execute(SUBJECTS, {"tenant_id": tenant_id, "lead_ids": list(lead_ids)})).all()


async def pairs(tx: Tx, tenant_id: UUID, wanted: Collection[tuple[UUID, UUID]]) -> Records:
    """The stored pairs of these leads, each (smaller id, greater id)."""
    if not wanted:
        return []
    named = [{"one_id": one_id, "other_id": other_id} for one_id, other_id in sorted(wanted)]
    return (await tx.execute(PAIRS, {"tenant_id": tenant_id, "pairs": named})).all()


async def keep_pairs(tx: Tx, tenant_id: UUID, rows: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Stores open pairs, or opens stored ones again, with these reasons; `version` is the one that each gets.

    Raises ChangedMeanwhile if another transaction has stored one of them since it was read, and may have told of it.
    """
    if rows:
        kept = await tx.execute(KEEP_PAIRS, {"tenant_id": tenant_id, "pairs": list(rows), "now": now})
        if len(kept.all()) < len(rows):
            raise ChangedMeanwhile("another transaction has stored the same pair of leads")


async def is_suspected(tx: Tx, tenant_id: UUID, lead_id: UUID, without: Sequence[UUID]) -> bool:
    """Whether the lead may be the same person as another one, besides these."""
    values = {"tenant_id": tenant_id, "lead_id": lead_id, "without": list(without)}
    return bool((await tx.execute(SUSPECTED, values)).scalar_one())


async def postpone(tx: Tx, tenant_id: UUID, row: Record) -> None:
    """Lets leads that are to be compared once more wait until all others of the tenant have been."""
    await tx.execute(POSTPONE, {"tenant_id": tenant_id, "written_by": row.written_by, "id": row.id})
