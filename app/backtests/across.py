"""Statements across tenants: back-tests and shadow runs that have something to do."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime, Uuid, bindparam, text

from app.database.transaction import Record, Records, Tx

# A shadow run has something to do before it has seen all leads, where the log goes on, and where a journey is due.
WITH_WORK = text(
    """
    SELECT b.tenant_id, b.id FROM backtests b
     WHERE b.finished_at IS NULL
       AND (b.kind = 'backtest' OR b.last_lead_id IS DISTINCT FROM :all_seen
            OR (SELECT e.position FROM event_log e WHERE e.tenant_id = b.tenant_id AND e.position > b.log_position
                 ORDER BY e.position LIMIT 1) IS NOT NULL
            OR EXISTS (SELECT FROM backtest_journeys j WHERE j.tenant_id = b.tenant_id AND j.backtest_id = b.id
                          AND j.due_at <= :now))
     ORDER BY b.tenant_id, b.id
    """
).bindparams(bindparam("all_seen", type_=Uuid), bindparam("now", type_=DateTime(timezone=True)))
# The lock is kept until the batch is stored: another worker takes another job, and after a crash the batch is repeated.
CLAIM = text(
    "SELECT * FROM backtests WHERE tenant_id = :tenant_id AND id = :id AND finished_at IS NULL"
    " FOR NO KEY UPDATE SKIP LOCKED"
)


async def with_work(tx: Tx, all_seen: UUID, now: datetime) -> Records:
    """(tenant_id, id) of the unfinished jobs with something to do, each once: so no tenant waits for another's."""
    return (await tx.execute(WITH_WORK, {"all_seen": all_seen, "now": now})).all()


async def claim(tx: Tx, job: Record) -> Record | None:
    """Locks the job, unless another worker has it or it has ended."""
    return (await tx.execute(CLAIM, {"tenant_id": job.tenant_id, "id": job.id})).one_or_none()
