"""SQL of retention, within one tenant: what each kind counts and removes, and what the tenant has set.

A kind has one condition, for counting and for removing. `before`: what is of this instant or earlier is removed.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import TextClause, text

from app.database.transaction import Tx
from app.retention import unqualified_sql

# Nothing of it waits: neither for a record to be fetched, nor as a part of a list that has not arrived as a whole.
SETTLED: Final = """
    NOT EXISTS (SELECT FROM submission_items f
                 WHERE f.tenant_id = :tenant_id AND f.submission_id = s.id AND f.verdict = 'fetch')
"""
RAW: Final = f"""
    FROM submissions s
   WHERE s.tenant_id = :tenant_id AND s.state = 'processed' AND s.emptied_at IS NULL AND s.received_at <= :before
     AND {SETTLED}
"""
QUARANTINED: Final = f"""
    FROM submissions s
   WHERE s.tenant_id = :tenant_id AND s.state = 'quarantined' AND s.received_at <= :before AND {SETTLED}
"""
SPAM: Final = """
    FROM submission_items i JOIN submissions s ON s.tenant_id = :tenant_id AND s.id = i.submission_id
   WHERE i.tenant_id = :tenant_id AND i.verdict = 'spam' AND i.mapped IS NOT NULL
     AND s.state = 'processed' AND s.received_at <= :before
"""
# Those of deliveries that wait stay, and those behind the position of the lane: it reads what was delivered there.
ATTEMPTS: Final = """
    FROM attempts a
   WHERE a.tenant_id = :tenant_id AND a.at <= :before
     AND NOT EXISTS (SELECT FROM delivery_retries r
                      WHERE r.tenant_id = :tenant_id AND r.subscription_id = a.subscription_id
                        AND r.position = a.position)
     AND NOT EXISTS (SELECT FROM lanes l
                      WHERE l.tenant_id = :tenant_id AND l.subscription_id = a.subscription_id
                        AND l.position < a.position)
"""
# From the oldest on, in the order of the chain: the log must have no gap.
AUDIT: Final = """
    FROM audit a
   WHERE a.tenant_id = :tenant_id AND a.recorded_at <= :before
     AND NOT EXISTS (SELECT FROM audit b
                      WHERE b.tenant_id = :tenant_id AND b.number < a.number AND b.recorded_at > :before)
"""

EMPTY: Final = "body = '', query = '', headers = '{}', client_address = NULL"
# The rows are given as an array: a join would make a plan that reads the table for as many as a run may remove.
REMOVE_RAW: Final = f"""
    WITH due AS (SELECT s.id {RAW} ORDER BY s.received_at LIMIT :most FOR NO KEY UPDATE OF s SKIP LOCKED)
    UPDATE submissions s SET {EMPTY}, emptied_at = :now
     WHERE s.tenant_id = :tenant_id AND s.id = ANY(ARRAY(SELECT id FROM due)) RETURNING 1
"""  # noqa: S608 - constants, here and below
REMOVE_QUARANTINED: Final = f"""
    WITH due AS (SELECT s.id {QUARANTINED} ORDER BY s.received_at LIMIT :most FOR NO KEY UPDATE OF s SKIP LOCKED),
    items AS (UPDATE submission_items i SET mapped = NULL
               WHERE i.tenant_id = :tenant_id AND i.submission_id = ANY(ARRAY(SELECT id FROM due))
                 AND i.verdict = 'quarantined')
    UPDATE submissions s SET {EMPTY}, emptied_at = :now, state = 'expired'
     WHERE s.tenant_id = :tenant_id AND s.id = ANY(ARRAY(SELECT id FROM due)) RETURNING 1
"""  # noqa: S608
REMOVE_SPAM: Final = f"""
    WITH due AS (SELECT s.id {SPAM} ORDER BY s.id LIMIT :most FOR NO KEY UPDATE OF s SKIP LOCKED),
    emptied AS (
        UPDATE submissions s SET {EMPTY}, emptied_at = coalesce(s.emptied_at, :now)
         WHERE s.tenant_id = :tenant_id AND s.id = ANY(ARRAY(SELECT id FROM due))
           AND NOT EXISTS (SELECT FROM submission_items o
                            WHERE o.tenant_id = :tenant_id AND o.submission_id = s.id AND o.verdict <> 'spam'))
    UPDATE submission_items i SET mapped = NULL
     WHERE i.tenant_id = :tenant_id AND i.submission_id = ANY(ARRAY(SELECT id FROM due)) AND i.verdict = 'spam'
       AND i.mapped IS NOT NULL RETURNING 1
"""  # noqa: S608
REMOVE_ATTEMPTS: Final = f"""
    DELETE FROM attempts d USING (SELECT a.subscription_id, a.position, a.n, a.at {ATTEMPTS} LIMIT :most) due
     WHERE d.tenant_id = :tenant_id AND d.subscription_id = due.subscription_id AND d.position = due.position
       AND d.n = due.n AND d.at = due.at RETURNING 1
"""  # noqa: S608
# The trigger of the log lets go of what is before the beginning of the log, which moves first.
MOVE_BEGINNING: Final = f"""
    UPDATE audit_heads h SET begins_after = last.number, begins_hash = last.hash
      FROM (SELECT number, hash FROM (SELECT a.number, a.hash {AUDIT} ORDER BY a.number LIMIT :most) batch
             ORDER BY number DESC LIMIT 1) last
     WHERE h.tenant_id = :tenant_id
"""  # noqa: S608
REMOVE_AUDIT: Final = """
    DELETE FROM audit a USING audit_heads h
     WHERE a.tenant_id = :tenant_id AND h.tenant_id = :tenant_id AND a.number <= h.begins_after RETURNING 1
"""


@dataclass(frozen=True, slots=True)
class Kind:
    """`name`: of the counts; `period`: the member of the settings with its days.

    The statements take tenant_id and before; all but `counting` also now and most. `removing` returns a row for each
    row that it removed; `preparing`, where there is one, comes before it. None: leads, which are erased one by one.
    """

    name: str
    period: str
    counting: TextClause
    removing: TextClause | None
    preparing: TextClause | None = None


COUNT: Final = "SELECT count(*) "
KINDS: Final = (
    Kind("raw", "raw_days", text(COUNT + RAW), text(REMOVE_RAW)),
    Kind("quarantined", "quarantined_days", text(COUNT + QUARANTINED), text(REMOVE_QUARANTINED)),
    Kind("spam", "spam_days", text(COUNT + SPAM), text(REMOVE_SPAM)),
    Kind("attempts", "attempts_days", text(COUNT + ATTEMPTS), text(REMOVE_ATTEMPTS)),
    Kind("audit", "audit_days", text(COUNT + AUDIT), text(REMOVE_AUDIT), text(MOVE_BEGINNING)),
    Kind("unqualified", "unqualified_days", text(unqualified_sql.COUNT), None),
)


async def count(tx: Tx, tenant_id: UUID, kind: Kind, before: datetime) -> int:
    """How many rows of a kind a run would remove."""
    return int((await tx.execute(kind.counting, {"tenant_id": tenant_id, "before": before})).scalar_one())


async def remove(tx: Tx, tenant_id: UUID, kind: Kind, before: datetime, now: datetime, most: int) -> int:
    """Removes the next rows of a kind that has a statement for it; how many."""
    assert kind.removing is not None, "leads are erased"
    values = {"tenant_id": tenant_id, "before": before, "now": now, "most": most}
    if kind.preparing is not None:
        await tx.execute(kind.preparing, values)
    return len((await tx.execute(kind.removing, values)).all())
