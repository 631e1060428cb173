"""SQL of models and of the cases that they are trained on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, Integer, Text, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from app.database.transaction import Record, Records, Tx

# Finished journeys of a tenant, but those of merged and erased leads. Good: the milestone `sql` or `won` stands. Bad,
# where neither does: the opportunity is lost, the journey was closed without a conversion, or it has been parked since
# `:parked_before`. The moment of decision is when the journey became an MQL, else when it ended; `known_at`: when that
# was recorded.
FINISHED = """
    SELECT j.id, j.lead_id, good.yes AS good,
           coalesce(mql.reached_at, last.occurred_at) AS moment, coalesce(mql.recorded_at, last.recorded_at) AS known_at
      FROM journeys j
      JOIN LATERAL (SELECT t.occurred_at, t.recorded_at FROM transitions t
                     WHERE t.tenant_id = j.tenant_id AND t.journey_id = j.id
                     ORDER BY t.seq DESC LIMIT 1) last ON true
      LEFT JOIN LATERAL (SELECT m.reached_at, m.recorded_at FROM milestones m
                          WHERE m.tenant_id = j.tenant_id AND m.journey_id = j.id AND m.name = :first
                            AND m.voided_at IS NULL) mql ON true
     CROSS JOIN LATERAL (SELECT EXISTS (SELECT 1 FROM milestones m
                          WHERE m.tenant_id = j.tenant_id AND m.journey_id = j.id AND m.name IN ('sql', 'won')
                            AND m.voided_at IS NULL) AS yes) good
     WHERE j.tenant_id = :tenant_id AND j.stage <> ALL(:apart)
       AND EXISTS (SELECT 1 FROM leads l WHERE l.tenant_id = j.tenant_id AND l.id = j.lead_id
                      AND l.merged_into IS NULL AND l.erased_at IS NULL)
       AND (good.yes
            OR EXISTS (SELECT 1 FROM milestones m
                        WHERE m.tenant_id = j.tenant_id AND m.journey_id = j.id AND m.name = 'lost'
                          AND m.voided_at IS NULL)
            OR j.closed_at IS NOT NULL AND NOT EXISTS (
                SELECT 1 FROM conversions c WHERE c.tenant_id = j.tenant_id AND c.journey_id = j.id
                    AND c.reverted_at IS NULL)
            OR j.stage = ANY(:parked) AND last.occurred_at < :parked_before)
"""
COUNT_CASES = text(
    f"SELECT count(*) FILTER (WHERE good) AS good, count(*) FILTER (WHERE NOT good) AS bad FROM ({FINISHED}) f"  # noqa: S608
).bindparams(bindparam("apart", type_=ARRAY(Text)), bindparam("parked", type_=ARRAY(Text)))
# As they were known then: what was recorded later is undone.
CASES = text(
    f"""
    SELECT f.id, f.good, f.moment, l.kind, l.fields, l.flags, l.custom, l.channel, l.first_touch,
           (SELECT jsonb_agg(c.before ORDER BY c.version DESC) FROM lead_changes c
             WHERE c.tenant_id = l.tenant_id AND c.lead_id = l.id AND c.recorded_at > f.known_at) AS undone,
           (SELECT jsonb_agg(jsonb_build_array(a.id, a.type, a.kind, a.occurred_at, a.recorded_at))
              FROM (SELECT * FROM activities a WHERE a.tenant_id = l.tenant_id AND a.lead_id = l.id
                       AND a.recorded_at <= f.known_at AND a.occurred_at <= f.moment
                     ORDER BY a.occurred_at DESC LIMIT 500) a) AS activities
      FROM (SELECT * FROM ({FINISHED} AND j.id < :before) g ORDER BY g.id DESC LIMIT :limit) f
      JOIN LATERAL (SELECT * FROM leads l WHERE l.tenant_id = :tenant_id AND l.id = f.lead_id LIMIT 1) l ON true
     ORDER BY f.id DESC
    """  # noqa: S608 - constants
).bindparams(
    bindparam("apart", type_=ARRAY(Text)), bindparam("parked", type_=ARRAY(Text)), bindparam("before", type_=Uuid)
)
QUEUE = text(
    """
    INSERT INTO models (tenant_id, version, state, requested_at)
    SELECT :tenant_id, coalesce(max(version), 0) + 1, 'queued', :now FROM models WHERE tenant_id = :tenant_id
    RETURNING *
    """
)
LOCK_TENANT = text("SELECT id FROM tenants WHERE id = :tenant_id FOR NO KEY UPDATE")
QUEUED = text("SELECT * FROM models WHERE tenant_id = :tenant_id AND state = 'queued' ORDER BY version LIMIT 1")
FINISH = text(
    "UPDATE models SET state = :state, trained_at = :now, document = :document, sha256 = :sha256"
    " WHERE tenant_id = :tenant_id AND version = :version"
).bindparams(bindparam("document", type_=JSONB(none_as_null=True)))
MODEL = text("SELECT * FROM models WHERE tenant_id = :tenant_id AND version = :version").bindparams(
    bindparam("version", type_=Integer)
)
MODELS = text(
    "SELECT * FROM models WHERE tenant_id = :tenant_id AND version < :before ORDER BY version DESC LIMIT :limit"
)


async def count_cases(tx: Tx, tenant_id: UUID, terms: Mapping[str, Any]) -> Record:
    """How many finished journeys ended well, and how many did not. `terms` as of `train.terms_of`."""
    return (await tx.execute(COUNT_CASES, {"tenant_id": tenant_id, **terms})).one()


async def cases(tx: Tx, tenant_id: UUID, terms: Mapping[str, Any], before: UUID, limit: int) -> Records:
    """Finished journeys with an id below `before`, the newest first, as they were known at the moment of decision."""
    bound = {"tenant_id": tenant_id, "before": before, "limit": limit, **terms}
    return (await tx.execute(CASES, bound)).all()


async def queue(tx: Tx, tenant_id: UUID, now: datetime) -> Record:
    """The model that waits to be trained, else a new one."""
    await tx.execute(LOCK_TENANT, {"tenant_id": tenant_id})
    waiting = (await tx.execute(QUEUED, {"tenant_id": tenant_id})).one_or_none()
    return waiting or (await tx.execute(QUEUE, {"tenant_id": tenant_id, "now": now})).one()


async def finish(
    tx: Tx, tenant_id: UUID, version: int, now: datetime, document: Mapping[str, Any] | None, sha256: str | None
) -> None:
    """Stores the trained model; without a document training has failed."""
    values = {"tenant_id": tenant_id, "version": version, "state": "ready" if document else "failed", "now": now}
    await tx.execute(FINISH, values | {"document": document, "sha256": sha256})


async def model(tx: Tx, tenant_id: UUID, version: int) -> Record | None:
    return (await tx.execute(MODEL, {"tenant_id": tenant_id, "version": version})).one_or_none()


async def models(tx: Tx, tenant_id: UUID, before: int, limit: int) -> Sequence[Record]:
    """The tenant's models with a version below `before`, the newest first."""
    return (await tx.execute(MODELS, {"tenant_id": tenant_id, "before": before, "limit": limit})).all()
