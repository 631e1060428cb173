"""Statements about the leads of a contact or an account: those linked when a form came, and those converted to it."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from sqlalchemy import CompoundSelect, Uuid, bindparam, exists, select, text, union

from app.database.tables import activities, contacts, conversions, leads
from app.database.transaction import Record, Records, Tx
from app.web.pages import Page

ALIVE: Final = "l.kind = 'person' AND l.merged_into IS NULL AND l.erased_at IS NULL"
CONTACTS: Final = """
    (SELECT id, email_key, 'link' AS by FROM contacts
      WHERE tenant_id = :tenant_id AND account_id = :account_id AND archived_at IS NULL)
"""


def same_person(contacts_of: str) -> str:
    """SQL of the leads without a contact whose e-mail address is that of one of these contacts (id, email_key, by)."""
    return f"""
        SELECT l.id AS lead_id, c.id AS contact_id, c.by FROM {contacts_of} c
          JOIN identities i ON i.tenant_id = :tenant_id AND i.kind = 'email' AND i.namespace = ''
               AND i.value = c.email_key
          JOIN leads l ON l.tenant_id = :tenant_id AND l.id = i.lead_id AND l.contact_id IS NULL AND {ALIVE}
    """  # noqa: S608 - the argument is written in statements of this folder


# A person is a contact, with all leads that are linked to it or have its e-mail address, or a lead without a contact.
COUNT = text(
    f"""
    WITH same AS ({same_person(CONTACTS)}), linked AS (
        SELECT l.id, coalesce(l.contact_id, s.contact_id, l.id) AS person FROM leads l
          LEFT JOIN same s ON s.lead_id = l.id
         WHERE l.tenant_id = :tenant_id AND l.account_id = :account_id AND {ALIVE}
        UNION
        SELECT lead_id, contact_id FROM same
        UNION
        SELECT l.id, c.id FROM contacts c JOIN leads l ON l.tenant_id = c.tenant_id AND l.contact_id = c.id
         WHERE c.tenant_id = :tenant_id AND c.account_id = :account_id AND l.merged_into IS NULL AND l.erased_at IS NULL
    ), reached AS (
        SELECT m.name, count(DISTINCT k.person) AS people, count(DISTINCT m.journey_id) AS journeys
          FROM linked k JOIN milestones m ON m.tenant_id = :tenant_id AND m.lead_id = k.id
         WHERE m.voided_at IS NULL GROUP BY m.name
    )
    SELECT (SELECT count(*) FROM (
                SELECT person FROM linked UNION
                SELECT id FROM contacts
                 WHERE tenant_id = :tenant_id AND account_id = :account_id AND archived_at IS NULL) p) AS people,
           count(j.id) AS journeys, count(j.id) FILTER (WHERE j.closed_at IS NULL) AS open_journeys,
           (SELECT coalesce(jsonb_object_agg(name, jsonb_build_object('people', people, 'journeys', journeys)), '{{}}')
              FROM reached) AS milestones
      FROM linked k JOIN journeys j ON j.tenant_id = :tenant_id AND j.lead_id = k.id
    """  # noqa: S608 - interpolates what is written here
).bindparams(bindparam("tenant_id", type_=Uuid), bindparam("account_id", type_=Uuid))


async def activities_of_contact(tx: Tx, tenant_id: UUID, contact_id: UUID, page: Page) -> Records:
    """The activities of the leads linked or converted to the contact."""
    converted = select(conversions.c.lead_id).where(
        conversions.c.tenant_id == tenant_id,
        conversions.c.contact_id == contact_id,
        conversions.c.reverted_at.is_(None),
        conversions.c.answer["carry_activities"].as_boolean(),
    )
    return await _activities(
        tx, tenant_id, page, union(_linked(tenant_id, leads.c.contact_id == contact_id), converted)
    )


async def activities_of_account(tx: Tx, tenant_id: UUID, account_id: UUID, page: Page) -> Records:
    """The activities of the leads linked or converted to the account or to one of its contacts."""
    people = select(contacts.c.id).where(contacts.c.tenant_id == tenant_id, contacts.c.account_id == account_id)
    direct = _linked(tenant_id, leads.c.account_id == account_id)
    return await _activities(tx, tenant_id, page, union(direct, _linked(tenant_id, leads.c.contact_id.in_(people))))


def _linked(tenant_id: UUID, condition: Any) -> Any:
    """The linked leads, without those whose conversion leaves their activities behind."""
    left = exists().where(
        conversions.c.tenant_id == tenant_id,
        conversions.c.lead_id == leads.c.id,
        conversions.c.reverted_at.is_(None),
        ~conversions.c.answer["carry_activities"].as_boolean(),
    )
    return select(leads.c.id).where(leads.c.tenant_id == tenant_id, condition, ~left)


async def _activities(tx: Tx, tenant_id: UUID, page: Page, lead_ids: CompoundSelect[Any]) -> Records:
    rows = select(activities).where(activities.c.tenant_id == tenant_id, activities.c.lead_id.in_(lead_ids))
    return (await tx.execute(page.statement(rows, activities))).all()


async def counts_of_account(tx: Tx, tenant_id: UUID, account_id: UUID) -> Record:
    """How many people the account has, and how many journeys, in all and by milestone."""
    return (await tx.execute(COUNT, {"tenant_id": tenant_id, "account_id": account_id})).one()
