"""Statements across tenants: leads that are due for evaluation, and the journeys that `baton verify` reads."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import DateTime, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY

from app.database.transaction import Record, Records, Tx
from app.database.turn import Turn

# Tenants in turn, and ranges of the index by tenant and time, as in app/submissions/across.py: `turns` has the tenants
# with due leads, `shares` how many leads of each go into the batch. While nothing is due, no tenant is read.
DUE: Final = (
    "(l.tenant_id, l.evaluate_at) BETWEEN (t.tenant_id, '-infinity') AND (t.tenant_id, :now)"
    " AND l.evaluate_at IS NOT NULL AND l.merged_into IS NULL AND l.erased_at IS NULL"
)
CLAIM_DUE = text(
    f"""
    WITH turns AS (
        SELECT t.tenant_id, row_number() OVER (ORDER BY t.tenant_id <= :after, t.tenant_id) AS turn
          FROM (SELECT id AS tenant_id FROM tenants) t CROSS JOIN LATERAL (
            SELECT FROM leads l WHERE {DUE} ORDER BY l.tenant_id, l.evaluate_at LIMIT 1) due
         WHERE (SELECT min(evaluate_at) FROM leads) <= :now
         ORDER BY turn LIMIT :limit
    ), shares AS (
        SELECT tenant_id, turn, count(*) AS share FROM (
            SELECT t.tenant_id, t.turn FROM turns t CROSS JOIN LATERAL (
                SELECT row_number() OVER () AS place FROM (
                    SELECT FROM leads l WHERE {DUE} ORDER BY l.tenant_id, l.evaluate_at LIMIT :limit) l
                ) candidate
             ORDER BY candidate.place, t.turn LIMIT :limit) chosen
         GROUP BY tenant_id, turn
    ), claimed AS MATERIALIZED (
        SELECT first.*, t.turn FROM shares t CROSS JOIN LATERAL (
            SELECT l.tenant_id, l.id, l.evaluate_at FROM leads l WHERE {DUE}
             ORDER BY l.tenant_id, l.evaluate_at LIMIT t.share FOR NO KEY UPDATE SKIP LOCKED) first
    ), placed AS (
        SELECT *, row_number() OVER (PARTITION BY tenant_id ORDER BY evaluate_at, id) AS place FROM claimed
    )
    SELECT tenant_id, id, row_number() OVER (ORDER BY place, turn) AS served FROM placed ORDER BY tenant_id, id
    """  # noqa: S608
).bindparams(bindparam("after", type_=Uuid))


async def claim_due(tx: Tx, turn: Turn, now: datetime, limit: int) -> Records:
    """Locks leads whose evaluation is due, of each tenant those due first, skipping locked ones.

    `turn` says with which tenant the batch begins. The rows are sorted by tenant and id.
    """
    return turn.took((await tx.execute(CLAIM_DUE, {"after": turn.after, "now": now, "limit": limit})).all())


POSTPONE = text(
    "UPDATE leads SET evaluate_at = :later WHERE tenant_id = :tenant_id AND id = :id AND evaluate_at <= :now"
).bindparams(*(bindparam(name, type_=DateTime(timezone=True)) for name in ("now", "later")))


async def postpone(tx: Tx, lead: Record, now: datetime, later: datetime) -> None:
    """Sets `evaluate_at` of a lead to `later`, if it is still due."""
    await tx.execute(POSTPONE, {"tenant_id": lead.tenant_id, "id": lead.id, "now": now, "later": later})


NEXT_JOURNEYS = text(
    """
    SELECT j.tenant_id, j.id, j.lead_id, j.number, j.stage, j.seq, j.closed_at, l.stage AS lead_stage,
           l.merged_into,
           EXISTS (SELECT 1 FROM clock_runs r WHERE r.tenant_id = j.tenant_id AND r.journey_id = j.id
                      AND r.lead_id <> j.lead_id) AS has_lost_clocks,
           (SELECT n.id FROM journeys n WHERE n.tenant_id = j.tenant_id AND n.lead_id = j.lead_id
             ORDER BY n.closed_at DESC NULLS FIRST, n.number DESC LIMIT 1) AS present_id,
           (SELECT jsonb_object_agg(m.proof || ' ' || m.name, m.skipped) FROM milestones m
             WHERE m.tenant_id = j.tenant_id AND m.journey_id = j.id AND m.voided_at IS NULL) AS milestones
      FROM journeys j JOIN leads l ON l.tenant_id = j.tenant_id AND l.id = j.lead_id
     WHERE (j.tenant_id, j.id) > (:tenant_id, :id) ORDER BY j.tenant_id, j.id LIMIT :limit
    """
).bindparams(bindparam("tenant_id", type_=Uuid), bindparam("id", type_=Uuid))

LOGS = text(
    """
    SELECT t.journey_id, t.tenant_id, t.seq, t.from_stage, t.to_stage, t.action, t.policy_id,
           c.answer #>> '{opportunity,class}' AS opportunity_class
      FROM transitions t
      LEFT JOIN conversions c ON c.tenant_id = t.tenant_id AND c.lead_id = t.lead_id AND c.transition_id = t.id
     WHERE t.journey_id = ANY(:ids) AND t.tenant_id = ANY(:tenants)
     ORDER BY t.tenant_id, t.journey_id, t.seq
    """
).bindparams(*(bindparam(name, type_=ARRAY(Uuid)) for name in ("ids", "tenants")))

OPPORTUNITY_TRANSITIONS = text(
    """
    SELECT o.journey_id, t.id
      FROM opportunities o
      JOIN opportunity_transitions t ON t.tenant_id = o.tenant_id AND t.opportunity_id = o.id AND t.seq > 1
     WHERE o.journey_id = ANY(:ids) AND o.tenant_id = ANY(:tenants)
    """
).bindparams(*(bindparam(name, type_=ARRAY(Uuid)) for name in ("ids", "tenants")))


async def next_journeys(tx: Tx, after: tuple[UUID, UUID], limit: int) -> Records:
    """The next journeys after (tenant, journey), with their stored stage, seq and milestones."""
    return (await tx.execute(NEXT_JOURNEYS, {"tenant_id": after[0], "id": after[1], "limit": limit})).all()


async def logs_of(tx: Tx, journeys: Records) -> Records:
    """All transitions of these journeys, in the order of seq."""
    bound = {"ids": [row.id for row in journeys], "tenants": list({row.tenant_id for row in journeys})}
    return (await tx.execute(LOGS, bound)).all()


async def opportunity_transitions_of(tx: Tx, journeys: Records) -> Records:
    """(journey_id, id) of the transitions of their opportunities, except the first, which opens the opportunity."""
    bound = {"ids": [row.id for row in journeys], "tenants": list({row.tenant_id for row in journeys})}
    return (await tx.execute(OPPORTUNITY_TRANSITIONS, bound)).all()
