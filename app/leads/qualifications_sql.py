"""What people did with each MQL, from the transitions: the statement that reports on the hand-off begin with."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import ARRAY, Uuid, bindparam, text

from app.database.transaction import Records, Tx

# A qualification is a move by the action that leads to the stage of the policy's first milestone. What follows until
# the next one in the same journey is what people did with it; what led back there (reopen, correct) is part of that. It
# is void once the milestone that stood then is.
QUALIFICATIONS = text(
    """
    WITH qualified AS (
        SELECT t.*, j.number AS journey_no, j.lead_id AS of_lead, p.document #>> '{milestones,0,name}' AS milestone,
               lead(t.seq) OVER following AS next_seq, lead(t.occurred_at) OVER following AS next_at
          FROM transitions t
          JOIN journeys j ON j.tenant_id = t.tenant_id AND j.id = t.journey_id
          JOIN policies p ON p.tenant_id = t.tenant_id AND p.id = t.policy_id
         WHERE t.tenant_id = :tenant_id AND t.lead_id = ANY(:lead_ids)
           AND t.to_stage = p.document #>> '{milestones,0,stage}'
           AND EXISTS (SELECT FROM jsonb_array_elements(p.document -> 'actions') a
                        WHERE a ->> 'name' = t.action AND a ->> 'to' = t.to_stage)
        WINDOW following AS (PARTITION BY t.journey_id ORDER BY t.seq)
    )
    SELECT q.id, q.lead_id, q.journey_no, q.occurred_at, q.recorded_at, q.policy_version, q.actor, q.evidence,
           coalesce(d.decisions, '[]') AS decisions, tried.attempts,
           LEAST(tried.first_at, d.first_at) AS first_response_at,
           EXISTS (SELECT FROM milestones m
                    WHERE m.tenant_id = :tenant_id AND m.journey_id = q.journey_id AND m.name = q.milestone
                      AND m.recorded_at <= q.recorded_at AND m.voided_at > q.recorded_at) AS voided
      FROM qualified q
      LEFT JOIN LATERAL (
           SELECT jsonb_agg(jsonb_build_object('action', t.action, 'to', t.to_stage, 'reason_code', t.reason_code,
                                               'actor', t.actor, 'occurred_at', t.occurred_at) ORDER BY t.seq)
                  AS decisions,
                  min(t.occurred_at) FILTER (WHERE t.actor ->> 'kind' = 'human') AS first_at
             FROM transitions t
            WHERE t.tenant_id = :tenant_id AND t.journey_id = q.journey_id AND t.seq > q.seq
              AND (q.next_seq IS NULL OR t.seq < q.next_seq)
      ) d ON true
      LEFT JOIN LATERAL (
           SELECT count(*) AS attempts, min(a.occurred_at) AS first_at FROM activities a
            WHERE a.tenant_id = :tenant_id AND a.lead_id = q.of_lead AND a.kind = 'contact_attempt'
              AND a.occurred_at >= q.occurred_at AND (q.next_at IS NULL OR a.occurred_at < q.next_at)
      ) tried ON true
     ORDER BY q.journey_no, q.seq
    """
).bindparams(bindparam("tenant_id", type_=Uuid), bindparam("lead_ids", type_=ARRAY(Uuid)))


async def qualifications_of(tx: Tx, tenant_id: UUID, lead_ids: Sequence[UUID]) -> Records:
    """Each time that these leads became an MQL, oldest first, with what was done until the next time."""
    return (await tx.execute(QUALIFICATIONS, {"tenant_id": tenant_id, "lead_ids": list(lead_ids)})).all()
