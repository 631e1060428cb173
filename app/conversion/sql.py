"""SQL of conversions: one statement reads every candidate, one writes all rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from sqlalchemy import DateTime, Text, Uuid, bindparam, select, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.database.tables import activities, conversions
from app.database.transaction import Record, Records, Tx
from app.web.pages import Page

ROW_LOCK: Final = "FOR NO KEY UPDATE"
TEXT_KEYS: Final = ("domain", "account_external_id", "name_key", "country", "email_key", "contact_external_id", "phone")
ID_LIST_KEYS: Final = ("account_ids", "contact_ids", "opportunity_ids", "user_ids")
UUID_COLUMNS: Final = ("id", "account_id", "contact_id", "owner_id", "origin_lead_id", "journey_id")
TENANT: Final = bindparam("tenant_id", type_=Uuid)

FIND_SQL: Final = """
    WITH account AS (
        SELECT * FROM accounts
         WHERE tenant_id = :tenant_id
           AND (id = ANY(:account_ids) OR (archived_at IS NULL AND domain = :domain)
                OR (archived_at IS NULL AND external_id = :account_external_id))
         ORDER BY id {lock}
    ), account_alike AS (
        SELECT * FROM accounts
         WHERE tenant_id = :tenant_id AND archived_at IS NULL AND name_key = :name_key
           AND country IS NOT DISTINCT FROM :country AND id NOT IN (SELECT id FROM account)
         ORDER BY id LIMIT 10
    ), contact AS (
        SELECT * FROM contacts
         WHERE tenant_id = :tenant_id
           AND (id = ANY(:contact_ids) OR (archived_at IS NULL AND email_key = :email_key)
                OR (archived_at IS NULL AND external_id = :contact_external_id))
         ORDER BY id {lock}
    ), contact_alike AS (
        SELECT * FROM contacts
         WHERE tenant_id = :tenant_id AND archived_at IS NULL AND phone = :phone AND id NOT IN (SELECT id FROM contact)
         ORDER BY id LIMIT 50
    ), opportunity AS (
        SELECT * FROM opportunities WHERE tenant_id = :tenant_id AND id = ANY(:opportunity_ids) {lock}
    )
    SELECT 'accounts' AS kind, to_jsonb(a) AS found FROM account a
    UNION ALL SELECT 'accounts', to_jsonb(a) FROM account_alike a
    UNION ALL SELECT 'contacts', to_jsonb(c) FROM contact c
    UNION ALL SELECT 'contacts', to_jsonb(c) FROM contact_alike c
    UNION ALL SELECT 'opportunities', to_jsonb(o) FROM opportunity o
    UNION ALL SELECT 'users', jsonb_build_object('id', u.id, 'role', u.role) FROM users u
               WHERE u.tenant_id = :tenant_id AND u.active AND u.id = ANY(:user_ids)
"""
FIND_BINDS: Final = (
    TENANT,
    *(bindparam(name, type_=Text) for name in TEXT_KEYS),
    *(bindparam(name, type_=ARRAY(Uuid)) for name in ID_LIST_KEYS),
)
FIND_UNLOCKED = text(FIND_SQL.format(lock="")).bindparams(*FIND_BINDS)
FIND_LOCKED = text(FIND_SQL.format(lock=ROW_LOCK)).bindparams(*FIND_BINDS)

ACCOUNT_COLUMNS: Final = """id uuid, name text, name_key text, domain text, website text, phone text, industry text,
    employees integer, country text, language text, owner_id uuid, origin_lead_id uuid, external_id text"""
CONTACT_COLUMNS: Final = """id uuid, account_id uuid, email text, email_key text, phone text, first_name text,
    last_name text, full_name text, job_title text, role text, seniority text, country text, language text,
    website text, owner_id uuid, origin_lead_id uuid, external_id text, consents jsonb"""

# Where a concurrent transaction has taken a key, `ready` is empty, nothing else is written, and the caller retries.
WRITE = text(
    f"""
    WITH accounted AS (
        INSERT INTO accounts (tenant_id, id, name, name_key, domain, website, phone, industry, employees, country,
               language, owner_id, origin_lead_id, external_id, created_at, updated_at)
        SELECT :tenant_id, r.*, :now, :now FROM jsonb_to_recordset(:new_accounts) AS r({ACCOUNT_COLUMNS})
        ON CONFLICT DO NOTHING
        RETURNING id
    ), contacted AS (
        INSERT INTO contacts (tenant_id, id, account_id, email, email_key, phone, first_name, last_name, full_name,
               job_title, role, seniority, country, language, website, owner_id, origin_lead_id, external_id,
               consents, created_at, updated_at)
        SELECT :tenant_id, r.*, :now, :now FROM jsonb_to_recordset(:new_contacts) AS r({CONTACT_COLUMNS})
         WHERE (SELECT count(*) FROM accounted) = jsonb_array_length(:new_accounts)
        ON CONFLICT DO NOTHING
        RETURNING id
    ), ready AS (
        SELECT 1 WHERE (SELECT count(*) FROM accounted) = jsonb_array_length(:new_accounts)
                   AND (SELECT count(*) FROM contacted) = jsonb_array_length(:new_contacts)
    ), account_filled AS (
        UPDATE accounts a
           SET version = a.version + 1, name = c.name, name_key = c.name_key, domain = c.domain, website = c.website,
               phone = c.phone, industry = c.industry, employees = c.employees, country = c.country,
               language = c.language, external_id = c.external_id, updated_at = :now
          FROM ready, jsonb_to_recordset(:changed_accounts) AS c({ACCOUNT_COLUMNS})
         WHERE a.tenant_id = :tenant_id AND a.id = c.id
    ), contact_filled AS (
        UPDATE contacts o
           SET version = o.version + 1, account_id = c.account_id, email = c.email, email_key = c.email_key,
               phone = c.phone, first_name = c.first_name, last_name = c.last_name, full_name = c.full_name,
               job_title = c.job_title, role = c.role, seniority = c.seniority, country = c.country,
               language = c.language, website = c.website, external_id = c.external_id, consents = c.consents,
               updated_at = :now
          FROM ready, jsonb_to_recordset(:changed_contacts) AS c({CONTACT_COLUMNS})
         WHERE o.tenant_id = :tenant_id AND o.id = c.id
    ), opened AS (
        INSERT INTO opportunities (tenant_id, id, name, stage, class, stage_entered_at, account_id, contact_id,
               owner_id, origin_lead_id, journey_id, policy_id, amount, currency, close_date, business, created_at,
               updated_at)
        SELECT :tenant_id, r.*, :now, :now
          FROM ready, jsonb_to_recordset(:opportunities) AS r(id uuid, name text, stage text, class text,
               stage_entered_at timestamptz, account_id uuid, contact_id uuid, owner_id uuid, origin_lead_id uuid,
               journey_id uuid, policy_id uuid, amount numeric, currency text, close_date date, business text)
    ), logged AS (
        INSERT INTO opportunity_transitions (tenant_id, opportunity_id, seq, id, from_stage, to_stage, class, action,
               reason_code, note, actor, on_behalf_of, occurred_at, recorded_at, policy_id, policy_version, evidence)
        SELECT :tenant_id, r.*
          FROM ready, jsonb_to_recordset(:steps) AS r(opportunity_id uuid, seq integer, id uuid, from_stage text,
               to_stage text, class text, action text, reason_code text, note text, actor jsonb, on_behalf_of jsonb,
               occurred_at timestamptz, recorded_at timestamptz, policy_id uuid, policy_version integer, evidence jsonb)
    ), converted AS (
        INSERT INTO conversions (tenant_id, id, lead_id, journey_id, account_id, contact_id, opportunity_id,
               transition_id, answer, actor, converted_at, recorded_at)
        SELECT :tenant_id, r.*, :now
          FROM ready, jsonb_to_recordset(:conversions) AS r(id uuid, lead_id uuid, journey_id uuid, account_id uuid,
               contact_id uuid, opportunity_id uuid, transition_id uuid, answer jsonb, actor jsonb,
               converted_at timestamptz)
        RETURNING id
    )
    SELECT count(*) AS converted FROM converted
    """  # noqa: S608 - interpolates only the column lists above
).bindparams(
    TENANT,
    bindparam("now", type_=DateTime(timezone=True)),
    *(
        bindparam(kind, type_=JSONB)
        for kind in (
            "new_accounts",
            "new_contacts",
            "changed_accounts",
            "changed_contacts",
            "opportunities",
            "steps",
            "conversions",
        )
    ),
)

LIVE_CONVERSION = text(
    "SELECT answer, reverted_at FROM conversions"
    " WHERE tenant_id = :tenant_id AND journey_id = :journey_id AND reverted_at IS NULL"
)
LATEST_CONVERSION = text(
    """
    SELECT l.erased_at, c.answer, c.reverted_at
      FROM leads l LEFT JOIN conversions c ON c.tenant_id = l.tenant_id AND c.lead_id = l.id
     WHERE l.tenant_id = :tenant_id AND l.id = :lead_id
     ORDER BY c.recorded_at DESC, c.id DESC LIMIT 1
    """
)


@dataclass(frozen=True, slots=True)
class Found:
    """The stored records that match any search key, as dicts (ids as UUIDs), and the role of each active user named."""

    accounts: list[dict[str, Any]] = field(default_factory=list)
    contacts: list[dict[str, Any]] = field(default_factory=list)
    opportunities: list[dict[str, Any]] = field(default_factory=list)
    users: Mapping[UUID, str] = field(default_factory=dict)


async def find(tx: Tx, tenant_id: UUID, keys: Mapping[str, Any], *, lock: bool) -> Found:
    """The records that match `keys` (TEXT_KEYS and ID_LIST_KEYS).

    `lock` locks those with a strong key or a named id: accounts, then contacts, then opportunities.
    """
    found: dict[str, list[dict[str, Any]]] = {"accounts": [], "contacts": [], "opportunities": [], "users": []}
    for row in await tx.execute(FIND_LOCKED if lock else FIND_UNLOCKED, {"tenant_id": tenant_id, **keys}):
        found[row.kind].append({name: _python_value(name, value) for name, value in row.found.items()})
    users = {row["id"]: row["role"] for row in found["users"]}
    return Found(found["accounts"], found["contacts"], found["opportunities"], users)


def _python_value(name: str, value: Any) -> Any:
    return UUID(value) if name in UUID_COLUMNS and value is not None else value


async def write(tx: Tx, tenant_id: UUID, rows: Mapping[str, Sequence[Mapping[str, Any]]], now: Any) -> bool:
    """Writes all rows; False, without a conversion, where a concurrent transaction has taken a key."""
    return bool((await tx.execute(WRITE, {"tenant_id": tenant_id, "now": now, **rows})).scalar_one())


async def live_conversion(tx: Tx, tenant_id: UUID, journey_id: UUID) -> Record | None:
    """The conversion of a journey, unless it was reverted."""
    return (await tx.execute(LIVE_CONVERSION, {"tenant_id": tenant_id, "journey_id": journey_id})).one_or_none()


async def latest_conversion(tx: Tx, tenant_id: UUID, lead_id: UUID) -> Record | None:
    """The lead's erased_at with its latest conversion (`answer` is None where there is none); None without a lead."""
    return (await tx.execute(LATEST_CONVERSION, {"tenant_id": tenant_id, "lead_id": lead_id})).one_or_none()


async def carried_activities(tx: Tx, tenant_id: UUID, contact_id: UUID, page: Page) -> Records:
    """The activities of the leads converted to this contact with `carry_activities`."""
    carried = select(conversions.c.lead_id).where(
        conversions.c.tenant_id == tenant_id,
        conversions.c.contact_id == contact_id,
        conversions.c.reverted_at.is_(None),
        conversions.c.answer["carry_activities"].as_boolean(),
    )
    rows = select(activities).where(activities.c.tenant_id == tenant_id, activities.c.lead_id.in_(carried))
    return (await tx.execute(page.statement(rows, activities))).all()
