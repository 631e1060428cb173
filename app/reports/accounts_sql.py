"""The cases of the report of accounts: those with a person who showed interest in the window, as of the instant."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import DateTime, Integer, Uuid, bindparam, text

from app.database.transaction import Records, Tx
from app.events.sql import SCORED
from app.reports.sql import PAST, read_id


def _of_links(name: str) -> str:
    """A link of the lead as of the instant: as the first later change kept it, else the present one."""
    kept = f"past.links ->> '{name}'"
    return f"CASE WHEN past.links IS NULL THEN l.{name} ELSE {read_id(kept)} END"


# Leads that may have been in an account: those that are in one, those whose conversion was reverted since, and those
# whose rows a merge has moved since. A person is a contact or a lead without one.
ACTIVE: Final = f"""
    candidates AS (
        SELECT id FROM leads WHERE tenant_id = :tenant_id AND account_id IS NOT NULL
        UNION
        SELECT lead_id FROM conversions WHERE tenant_id = :tenant_id AND reverted_at > :as_of
        UNION
        SELECT unnest(ARRAY[merged_id, survivor_id]) FROM lead_merges
         WHERE tenant_id = :tenant_id AND (merged_at > :as_of OR unmerged_at > :as_of)
    ), acted AS MATERIALIZED (
        SELECT coalesce(m.lead_id, a.lead_id) AS lead_id, max(a.occurred_at) AS at
          FROM candidates c
          JOIN activities a ON a.tenant_id = :tenant_id AND a.lead_id = c.id AND a.kind = 'interest'
               AND a.occurred_at >= :start AND a.occurred_at < :end AND a.recorded_at <= :as_of
          LEFT JOIN moved m ON m.row_id = a.id
         GROUP BY 1
    ), active AS MATERIALIZED (
        SELECT * FROM (
            SELECT t.lead_id, t.at, {_of_links("account_id")} AS account_id,
                   coalesce({_of_links("contact_id")}, l.id) AS person
              FROM acted t
              JOIN leads l ON l.tenant_id = :tenant_id AND l.id = t.lead_id
              LEFT JOIN LATERAL (
                   SELECT c.before -> 'links' AS links FROM lead_changes c
                    WHERE c.tenant_id = :tenant_id AND c.lead_id = l.id AND c.recorded_at > :as_of
                      AND c.before ? 'links' ORDER BY c.version LIMIT 1) past ON true) one
         WHERE account_id IS NOT NULL
    )
"""  # noqa: S608 - interpolates only what is written here

# An account counts where more than one person was active, or, for a persona, where one of them matches it. `engagement`
# is that of the last event of each lead.
ACCOUNTS: Final = f"""
    WITH {ACTIVE}, covered AS MATERIALIZED (
        SELECT e.key AS persona, one.id::uuid AS lead_id
          FROM jsonb_each(:personas) e CROSS JOIN jsonb_array_elements_text(e.value) one(id)
    ), told AS MATERIALIZED (
        SELECT a.*, coalesce(e.engagement, 0) AS engagement FROM active a
          LEFT JOIN LATERAL (
               SELECT (e.lead_computed #>> '{{score,engagement}}')::bigint AS engagement
                 FROM {SCORED} e
                WHERE e.tenant_id = :tenant_id AND e.lead_id = a.lead_id AND e.recorded_at <= :as_of
                  AND e.lead_computed IS NOT NULL
                ORDER BY e.lead_version DESC LIMIT 1) e ON true
    )
    SELECT x.name AS metric, t.account_id AS id, NULL::uuid AS journey_id, NULL::uuid AS lead_id,
           NULL::uuid AS opportunity_id, NULL::text AS business, max(t.at) AS at,
           CASE WHEN x.value IS NULL THEN count(DISTINCT t.person) > 1
                ELSE bool_or(v.lead_id IS NOT NULL) END AS counted,
           count(DISTINCT t.person) AS people, sum(t.engagement)::bigint AS engagement
      FROM {{METRICS}} CROSS JOIN told t
      LEFT JOIN covered v ON v.persona = x.value AND v.lead_id = t.lead_id
     GROUP BY x.name, x.value, t.account_id
"""  # noqa: S608 - interpolates only what is written here

# What personas are about, of each active lead: what it has now, and what later changes replaced, latest first.
PROFILES = text(
    f"""
    WITH {PAST}, {ACTIVE}
    SELECT l.id, l.fields, l.flags, l.custom, l.kind, l.channel, l.first_touch, l.consents, j.business,
           (SELECT jsonb_agg(c.before ORDER BY c.version DESC) FROM lead_changes c
             WHERE c.tenant_id = :tenant_id AND c.lead_id = l.id AND c.recorded_at > :as_of) AS undone
      FROM (SELECT DISTINCT lead_id FROM active LIMIT :limit) a
      JOIN leads l ON l.tenant_id = :tenant_id AND l.id = a.lead_id
      LEFT JOIN LATERAL (SELECT j.business FROM journeys j WHERE j.tenant_id = :tenant_id AND j.lead_id = l.id
                            AND j.opened_at <= :as_of ORDER BY j.number DESC LIMIT 1) j ON true
    """  # noqa: S608 - interpolates the constants above
).bindparams(
    bindparam("tenant_id", type_=Uuid),
    *(bindparam(name, type_=DateTime(timezone=True)) for name in ("as_of", "start", "end")),
    bindparam("limit", type_=Integer),
)


async def profiles(tx: Tx, tenant_id: UUID, start: datetime, end: datetime, as_of: datetime, limit: int) -> Records:
    """The leads that were active in an account, as far as personas need to know them."""
    values: dict[str, Any] = {"tenant_id": tenant_id, "start": start, "end": end, "as_of": as_of, "limit": limit}
    await tx.plan_for_values()
    return (await tx.execute(PROFILES, values)).all()
