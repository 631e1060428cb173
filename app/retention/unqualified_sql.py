"""SQL of leads that never qualified: which of them nobody has taken an interest in since an instant."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import DateTime, Text, Uuid, bindparam, text

from app.database.transaction import Record, Tx

PAGE: Final = 100  # leads that one transaction looks through
# Of rows `l` of leads. A merge moves what a lead has to the one that remains, and is work of a person itself.
QUIET: Final = """
       l.tenant_id = :tenant_id AND l.created_at <= :before AND l.merged_into IS NULL AND l.erased_at IS NULL
   AND l.contact_id IS NULL AND l.opportunity_id IS NULL AND coalesce(l.evaluate_at, '-infinity') <= :before
   AND NOT EXISTS (SELECT FROM milestones m WHERE m.tenant_id = :tenant_id AND m.lead_id = l.id)
   AND NOT EXISTS (SELECT FROM activities a
                    WHERE a.tenant_id = :tenant_id AND a.lead_id = l.id AND a.recorded_at > :before)
   AND NOT EXISTS (SELECT FROM touches t
                    WHERE t.tenant_id = :tenant_id AND t.lead_id = l.id AND t.recorded_at > :before)
   AND NOT EXISTS (SELECT FROM consents c
                    WHERE c.tenant_id = :tenant_id AND c.lead_id = l.id AND c.recorded_at > :before
                      AND c.state = 'given')
   AND NOT EXISTS (SELECT FROM bant b WHERE b.tenant_id = :tenant_id AND b.lead_id = l.id AND b.recorded_at > :before)
   AND NOT EXISTS (SELECT FROM transitions x
                    WHERE x.tenant_id = :tenant_id AND x.lead_id = l.id AND x.recorded_at > :before
                      AND x.actor ->> 'kind' <> 'policy')
   AND NOT EXISTS (SELECT FROM lead_changes v
                    WHERE v.tenant_id = :tenant_id AND v.lead_id = l.id AND v.recorded_at > :before
                      AND v.actor ->> 'kind' = 'human')
   AND NOT EXISTS (SELECT FROM lead_merges g
                    WHERE g.tenant_id = :tenant_id AND g.survivor_id = l.id
                      AND greatest(g.merged_at, g.unmerged_at) > :before)
   AND NOT EXISTS (SELECT FROM lead_merges g
                    WHERE g.tenant_id = :tenant_id AND g.merged_id = l.id AND g.unmerged_at > :before)
   AND NOT EXISTS (SELECT FROM journeys j
                    WHERE j.tenant_id = :tenant_id AND j.lead_id = l.id
                      AND greatest(j.assigned_at, j.wake_at) > :before)
   AND NOT EXISTS (SELECT FROM clock_runs k
                    WHERE k.tenant_id = :tenant_id AND k.lead_id = l.id AND k.due_at > :before
                      AND k.met_at IS NULL AND k.stopped_at IS NULL AND k.voided_at IS NULL)
   AND NOT EXISTS (SELECT FROM submission_items i JOIN submissions s
                       ON s.tenant_id = :tenant_id AND s.id = i.submission_id
                    WHERE i.tenant_id = :tenant_id AND i.lead_id = l.id
                      AND (s.received_at > :before OR i.verdict = 'fetch' OR s.state NOT IN ('processed', 'expired')))
   AND NOT EXISTS (SELECT FROM identities i JOIN contacts o
                       ON o.tenant_id = :tenant_id AND o.email_key = i.value AND o.archived_at IS NULL
                    WHERE i.tenant_id = :tenant_id AND i.lead_id = l.id AND i.kind = 'email')
   AND NOT EXISTS (SELECT FROM subscriptions u JOIN delivery_retries r
                       ON r.tenant_id = :tenant_id AND r.subscription_id = u.id AND r.order_key = l.id
                    WHERE u.tenant_id = :tenant_id)
   AND NOT EXISTS (SELECT FROM lead_merges g JOIN subscriptions u ON u.tenant_id = :tenant_id
                      JOIN delivery_retries r
                       ON r.tenant_id = :tenant_id AND r.subscription_id = u.id AND r.order_key = g.merged_id
                    WHERE g.tenant_id = :tenant_id AND g.survivor_id = l.id AND g.unmerged_at IS NULL)
   AND NOT EXISTS (SELECT FROM event_log e
                    WHERE e.tenant_id = :tenant_id AND e.lead_id = l.id
                      AND e.position > (
                          SELECT min((SELECT min(n.position) FROM lanes n
                                       WHERE n.tenant_id = :tenant_id AND n.subscription_id = u.id))
                            FROM subscriptions u WHERE u.tenant_id = :tenant_id))
"""
COUNT: Final = f"SELECT count(*) FROM leads l WHERE {QUIET}"  # noqa: S608 - constants, here and below
NEXT: Final = text(
    f"""
    WITH page AS MATERIALIZED (
        SELECT * FROM leads WHERE tenant_id = :tenant_id AND created_at <= :before
           AND (created_at, id) > (CAST(:after_at AS timestamptz), :after_id) ORDER BY created_at, id LIMIT {PAGE}
    ), due AS (
        SELECT l.id, l.created_at FROM page l WHERE {QUIET} ORDER BY l.created_at, l.id LIMIT 1
    ), last AS (
        SELECT id, created_at FROM page ORDER BY created_at DESC, id DESC LIMIT 1
    )
    SELECT due.id AS due_id, coalesce(due.id, last.id) AS last_id,
           CAST(coalesce(due.created_at, last.created_at) AS text) AS created_at
      FROM last LEFT JOIN due ON true
    """  # noqa: S608
).bindparams(
    bindparam("tenant_id", type_=Uuid),
    bindparam("before", type_=DateTime(timezone=True)),
    bindparam("after_id", type_=Uuid),
    bindparam("after_at", type_=Text),
)
# With the reason for which the present journey is closed, if it is.
STILL: Final = text(
    f"""
    SELECT (SELECT j.closing_reason FROM journeys j WHERE j.tenant_id = :tenant_id AND j.lead_id = l.id
             ORDER BY j.closed_at DESC LIMIT 1) AS closing_reason
      FROM leads l WHERE l.id = :lead_id AND {QUIET}
    """  # noqa: S608
).bindparams(
    bindparam("tenant_id", type_=Uuid),
    bindparam("before", type_=DateTime(timezone=True)),
    bindparam("lead_id", type_=Uuid),
)
# By its address, without words: as what somebody unknown refuses (docs/decisions/0053).
REFUSALS: Final = text(
    """
    SELECT c.purpose, c.state, CAST(max(c.occurred_at) AS text) AS occurred_at
      FROM leads l CROSS JOIN LATERAL jsonb_each_text(l.consents) AS s(purpose, state)
      JOIN consents c ON c.tenant_id = :tenant_id AND c.lead_id = l.id AND c.purpose = s.purpose AND c.state = s.state
     WHERE l.tenant_id = :tenant_id AND l.id = :lead_id AND s.state IN ('refused', 'withdrawn')
     GROUP BY c.purpose, c.state
    """
).bindparams(bindparam("tenant_id", type_=Uuid), bindparam("lead_id", type_=Uuid))


async def find_next(tx: Tx, tenant_id: UUID, before: datetime, after: Sequence[str]) -> Record | None:
    """The next lead that is due (`due_id`), or None, and where the search goes on; None if no lead is left.

    `after`: the instant of creation and the id of the lead after which to look, as text.
    """
    at, last = after
    bound: dict[str, Any] = {"tenant_id": tenant_id, "before": before, "after_at": at, "after_id": UUID(last)}
    return (await tx.execute(NEXT, bound)).one_or_none()


async def still_due(tx: Tx, tenant_id: UUID, lead_id: UUID, before: datetime) -> Record | None:
    """The reason for which the present journey of a locked lead is closed; None if the lead is not due."""
    bound = {"tenant_id": tenant_id, "lead_id": lead_id, "before": before}
    return (await tx.execute(STILL, bound)).one_or_none()


async def refusals(tx: Tx, tenant_id: UUID, lead_id: UUID) -> list[dict[str, Any]]:
    """What a lead refuses or has withdrawn, by purpose, and when it last said so."""
    rows = await tx.execute(REFUSALS, {"tenant_id": tenant_id, "lead_id": lead_id})
    return [{"purpose": row.purpose, "state": row.state, "occurred_at": row.occurred_at} for row in rows]
