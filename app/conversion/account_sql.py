"""Statements about the people of an account and what they did: those linked to it, and those who share its domain."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Boolean, DateTime, Integer, Text, Uuid, bindparam, select, text

from app.conversion.linked_sql import ALIVE, CONTACTS, same_person
from app.database.tables import activities, journeys, opportunities, opportunity_transitions, transitions
from app.database.transaction import Records, Tx

# A person is a contact, with all leads that are linked to it or have its e-mail address, or a lead without a contact
# (as in linked_sql.py). By domain only who is in no account; who is found in both ways is linked. Of several leads of
# one person the one with an open journey is shown, or the last.
PEOPLE = text(
    f"""
    WITH contacts_of AS (
        SELECT id, email_key, 'link' AS by FROM contacts
         WHERE tenant_id = :tenant_id AND account_id = :account_id AND archived_at IS NULL
        UNION ALL
        SELECT id, email_key, 'domain' FROM contacts
         WHERE tenant_id = :tenant_id AND account_id IS NULL AND archived_at IS NULL
           AND split_part(email_key, '@', 2) = :domain
    ), same AS (
        {same_person("contacts_of")}
    ), leads_of AS (
        SELECT l.id, l.contact_id, 'link' AS by FROM leads l
         WHERE l.tenant_id = :tenant_id AND l.account_id = :account_id AND {ALIVE}
        UNION ALL
        SELECT l.id, c.id, c.by FROM contacts_of c
          JOIN leads l ON l.tenant_id = :tenant_id AND l.contact_id = c.id AND {ALIVE}
        UNION ALL
        SELECT lead_id, contact_id, by FROM same
        UNION ALL
        SELECT l.id, l.contact_id, 'domain' FROM lead_words w
          JOIN leads l ON l.tenant_id = :tenant_id AND l.id = w.lead_id AND l.account_id IS NULL
               AND l.contact_id IS NULL AND l.fields ->> 'domain' = :domain AND {ALIVE}
         WHERE w.tenant_id = :tenant_id AND w.word = left(folded(:domain), 100) AND w.rank = 3
    ), found AS (
        SELECT coalesce(l.contact_id, s.contact_id, l.id) AS person, coalesce(l.contact_id, s.contact_id) AS contact_id,
               l.id AS lead_id, l.by FROM leads_of l LEFT JOIN same s ON s.lead_id = l.id
        UNION ALL SELECT id, id, NULL, by FROM contacts_of
    ), page AS (
        SELECT person, (array_agg(contact_id))[1] AS contact_id, max(by) AS by,
               array_agg(DISTINCT lead_id) FILTER (WHERE lead_id IS NOT NULL) AS lead_ids
          FROM found WHERE :is_first OR person < :after GROUP BY person ORDER BY person DESC LIMIT :limit
    )
    SELECT p.person, p.contact_id, p.by, c.full_name, c.email, c.job_title, c.owner_id, shown.id AS lead_id,
           acted.at AS last_activity_at
      FROM page p
      LEFT JOIN contacts c ON c.tenant_id = :tenant_id AND c.id = p.contact_id
      LEFT JOIN LATERAL (
           SELECT one.id FROM unnest(p.lead_ids) one(id)
           ORDER BY EXISTS (SELECT FROM journeys j WHERE j.tenant_id = :tenant_id AND j.lead_id = one.id
                               AND j.closed_at IS NULL) DESC, one.id DESC LIMIT 1
      ) shown ON true
      LEFT JOIN LATERAL (
           SELECT max(last.at) AS at FROM unnest(p.lead_ids) one(id) CROSS JOIN LATERAL (
                  SELECT a.occurred_at AS at FROM activities a WHERE a.tenant_id = :tenant_id AND a.lead_id = one.id
                   ORDER BY a.occurred_at DESC LIMIT 1) last
      ) acted ON true
     ORDER BY p.person DESC
    """  # noqa: S608 - interpolates the constant above
).bindparams(
    *(bindparam(name, type_=Uuid) for name in ("tenant_id", "account_id", "after")),
    bindparam("domain", type_=Text),
    bindparam("is_first", type_=Boolean),
    bindparam("limit", type_=Integer),
)

BEFORE: Final = "(:is_first OR (x.occurred_at, x.id) < (:at, :id))"
NEWEST: Final = "ORDER BY x.occurred_at DESC, x.id DESC LIMIT :limit"
# What the leads of linked people did and where they went, and the opportunities of the account; without the activities
# that a conversion has left behind.
TIMELINE = text(
    f"""
    WITH linked AS (
        SELECT l.id FROM leads l WHERE l.tenant_id = :tenant_id AND l.account_id = :account_id
        UNION
        SELECT l.id FROM contacts c JOIN leads l ON l.tenant_id = :tenant_id AND l.contact_id = c.id
         WHERE c.tenant_id = :tenant_id AND c.account_id = :account_id
        UNION
        SELECT s.lead_id FROM ({same_person(CONTACTS)}) s
    )
    SELECT * FROM (
        SELECT 'activity' AS kind, x.* FROM linked k CROSS JOIN LATERAL (
               SELECT x.occurred_at, x.id FROM activities x
                WHERE x.tenant_id = :tenant_id AND x.lead_id = k.id AND {BEFORE} {NEWEST}) x
         WHERE NOT EXISTS (SELECT FROM conversions c WHERE c.tenant_id = :tenant_id AND c.lead_id = k.id
                              AND c.reverted_at IS NULL AND NOT (c.answer ->> 'carry_activities')::boolean)
        UNION ALL
        SELECT 'transition', x.occurred_at, x.id FROM linked k
          JOIN transitions x ON x.tenant_id = :tenant_id AND x.lead_id = k.id AND {BEFORE}
        UNION ALL
        SELECT 'opportunity', x.occurred_at, x.id FROM opportunities o
          JOIN opportunity_transitions x ON x.tenant_id = :tenant_id AND x.opportunity_id = o.id AND {BEFORE}
         WHERE o.tenant_id = :tenant_id AND o.account_id = :account_id
    ) x {NEWEST}
    """  # noqa: S608 - interpolates the constants above
).bindparams(
    *(bindparam(name, type_=Uuid) for name in ("tenant_id", "account_id", "id")),
    bindparam("at", type_=DateTime(timezone=True)),
    bindparam("is_first", type_=Boolean),
    bindparam("limit", type_=Integer),
)


async def people_of(
    tx: Tx, tenant_id: UUID, account_id: UUID, domain: str | None, after: UUID | None, limit: int
) -> Records:
    """A page of the people of an account, those who came last first."""
    values = {"tenant_id": tenant_id, "account_id": account_id, "domain": domain, "limit": limit}
    await tx.plan_for_values()
    return (await tx.execute(PEOPLE, {**values, "is_first": after is None, "after": after})).all()


async def lines_of(
    tx: Tx, tenant_id: UUID, account_id: UUID, after: tuple[datetime, UUID] | None, limit: int
) -> Records:
    """A page of what happened in an account, newest first: the kind, the instant and the id of each line."""
    at, row_id = after or (None, None)
    values = {"tenant_id": tenant_id, "account_id": account_id, "limit": limit}
    await tx.plan_for_values()
    return (await tx.execute(TIMELINE, {**values, "is_first": after is None, "at": at, "id": row_id})).all()


async def activities_with(tx: Tx, tenant_id: UUID, row_ids: Sequence[UUID]) -> Records:
    return await _with(tx, select(activities), activities, tenant_id, row_ids)


async def transitions_with(tx: Tx, tenant_id: UUID, row_ids: Sequence[UUID]) -> Records:
    """Transitions, each with the number of its journey."""
    of_journey = (journeys.c.tenant_id == transitions.c.tenant_id) & (journeys.c.id == transitions.c.journey_id)
    rows = select(transitions, journeys.c.number).join(journeys, of_journey)
    return await _with(tx, rows, transitions, tenant_id, row_ids)


async def steps_with(tx: Tx, tenant_id: UUID, row_ids: Sequence[UUID]) -> Records:
    """Transitions of opportunities, each with the lead that the opportunity came from."""
    log, table = opportunity_transitions, opportunities
    of_opportunity = (table.c.tenant_id == log.c.tenant_id) & (table.c.id == log.c.opportunity_id)
    rows = select(log, table.c.origin_lead_id.label("lead_id")).join(table, of_opportunity)
    return await _with(tx, rows, log, tenant_id, row_ids)


async def _with(tx: Tx, rows: Any, table: Any, tenant_id: UUID, row_ids: Sequence[UUID]) -> Records:
    if not row_ids:
        return []
    return (await tx.execute(rows.where(table.c.tenant_id == tenant_id, table.c.id.in_(row_ids)))).all()
