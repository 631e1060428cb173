"""SQL of conversions: one statement reads every candidate; the rows are written by the statement that writes leads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.database.parts import Part
from app.database.transaction import Record, Tx
from app.leads.contact_consents import consent_of
from app.leads.sql import COUNTING_CONSENTS
from app.matching.person_consents import Consent, Consents

ROW_LOCK: Final = "FOR NO KEY UPDATE"
ID_LIST_KEYS: Final = ("account_ids", "contact_ids", "opportunity_ids", "user_ids", "lead_ids")
WEAK_ACCOUNT: Final = ("name_key", "country")  # together one key
UUID_COLUMNS: Final = ("id", "account_id", "contact_id", "owner_id", "origin_lead_id", "journey_id")
TENANT: Final = bindparam("tenant_id", type_=Uuid)

# The keys are one JSON parameter and each is an index look-up, so that one plan serves any number of conversions.
FIND_SQL: Final = """
    WITH wanted AS (
        SELECT * FROM jsonb_to_recordset(:wanted) AS w(domain text, account_external_id text, name_key text,
               country text, email_key text, contact_external_id text, phone text)
    ), account AS (
        SELECT * FROM accounts
         WHERE tenant_id = :tenant_id AND id = ANY(ARRAY(
               SELECT unnest(:account_ids)
               UNION SELECT a.id FROM wanted w JOIN LATERAL (
                     SELECT id FROM accounts a WHERE a.tenant_id = :tenant_id AND a.archived_at IS NULL
                        AND a.domain = w.domain LIMIT 1) a ON true
               UNION SELECT a.id FROM wanted w JOIN LATERAL (
                     SELECT id FROM accounts a WHERE a.tenant_id = :tenant_id AND a.archived_at IS NULL
                        AND a.external_id = w.account_external_id LIMIT 1) a ON true))
         ORDER BY id {lock}
    ), account_alike AS (
        SELECT a.* FROM wanted w JOIN LATERAL (
               SELECT * FROM accounts a WHERE a.tenant_id = :tenant_id AND a.archived_at IS NULL
                  AND a.name_key = w.name_key AND a.country IS NOT DISTINCT FROM w.country
                ORDER BY a.id LIMIT 12) a ON true
    ), contact AS (
        SELECT * FROM contacts
         WHERE tenant_id = :tenant_id AND id = ANY(ARRAY(
               SELECT unnest(:contact_ids)
               UNION SELECT c.id FROM wanted w JOIN LATERAL (
                     SELECT id FROM contacts c WHERE c.tenant_id = :tenant_id AND c.archived_at IS NULL
                        AND c.email_key = w.email_key LIMIT 1) c ON true
               UNION SELECT c.id FROM wanted w JOIN LATERAL (
                     SELECT id FROM contacts c WHERE c.tenant_id = :tenant_id AND c.archived_at IS NULL
                        AND c.external_id = w.contact_external_id LIMIT 1) c ON true))
         ORDER BY id {lock}
    ), contact_alike AS (
        SELECT c.* FROM wanted w JOIN LATERAL (
               SELECT * FROM contacts c WHERE c.tenant_id = :tenant_id AND c.archived_at IS NULL AND c.phone = w.phone
                ORDER BY c.id LIMIT 52) c ON true
    ), opportunity AS (
        SELECT * FROM opportunities WHERE tenant_id = :tenant_id AND id = ANY(:opportunity_ids) ORDER BY id {lock}
    )
    SELECT 'accounts' AS kind, to_jsonb(a) AS found FROM account a
    UNION ALL SELECT 'accounts', to_jsonb(a) FROM account_alike a
    UNION ALL SELECT 'contacts', to_jsonb(c) FROM contact c
    UNION ALL SELECT 'contacts', to_jsonb(c) FROM contact_alike c
    UNION ALL SELECT 'opportunities', to_jsonb(o) FROM opportunity o
    UNION ALL SELECT 'users', jsonb_build_object('id', u.id, 'role', u.role) FROM users u
               WHERE u.tenant_id = :tenant_id AND u.active AND u.id = ANY(:user_ids)
    UNION ALL SELECT 'consents', to_jsonb(c) FROM ({consents}) c
"""
FIND_BINDS: Final = (
    TENANT,
    bindparam("wanted", type_=JSONB),
    *(bindparam(name, type_=ARRAY(Uuid)) for name in ID_LIST_KEYS),
)
FIND_UNLOCKED = text(FIND_SQL.format(lock="", consents=COUNTING_CONSENTS)).bindparams(*FIND_BINDS)
FIND_LOCKED = text(FIND_SQL.format(lock=ROW_LOCK, consents=COUNTING_CONSENTS)).bindparams(*FIND_BINDS)

ACCOUNT_COLUMNS: Final = """id uuid, name text, name_key text, domain text, website text, phone text, industry text,
    employees integer, country text, language text, owner_id uuid, origin_lead_id uuid, external_id text"""
CONTACT_COLUMNS: Final = """id uuid, account_id uuid, email text, email_key text, phone text, first_name text,
    last_name text, full_name text, job_title text, role text, seniority text, country text, language text,
    website text, owner_id uuid, origin_lead_id uuid, external_id text, consents jsonb"""

ACCOUNT_KEYS: Final = frozenset({"accounts_domain_key", "accounts_external_id_key"})
CONTACT_KEYS: Final = frozenset({"contacts_email_key_key", "contacts_external_id_key"})
# The parts of the statement that writes the lead (`journeys/record.py`). New rows are inserted in the order of their
# keys, so that two batches do not wait for each other.
NEW_ACCOUNTS: Final = Part(
    "new_accounts",
    f"""accounted AS (
        INSERT INTO accounts (tenant_id, id, name, name_key, domain, website, phone, industry, employees, country,
               language, owner_id, origin_lead_id, external_id, created_at, updated_at)
        SELECT :tenant_id, r.*, r.now
          FROM jsonb_to_recordset(:new_accounts) AS r({ACCOUNT_COLUMNS}, now timestamptz)
         ORDER BY r.domain, r.external_id
    )""",  # noqa: S608 - interpolates the column list above
    ACCOUNT_KEYS,
)
NEW_CONTACTS: Final = Part(
    "new_contacts",
    f"""contacted AS (
        INSERT INTO contacts (tenant_id, id, account_id, email, email_key, phone, first_name, last_name, full_name,
               job_title, role, seniority, country, language, website, owner_id, origin_lead_id, external_id,
               consents, created_at, updated_at)
        SELECT :tenant_id, r.*, r.now
          FROM jsonb_to_recordset(:new_contacts) AS r({CONTACT_COLUMNS}, now timestamptz)
         ORDER BY r.email_key, r.external_id
    )""",  # noqa: S608 - interpolates the column list above
    CONTACT_KEYS,
)
CHANGED_ACCOUNTS: Final = Part(
    "changed_accounts",
    f"""account_filled AS (
        UPDATE accounts a
           SET version = a.version + 1, name = c.name, name_key = c.name_key, domain = c.domain, website = c.website,
               phone = c.phone, industry = c.industry, employees = c.employees, country = c.country,
               language = c.language, external_id = c.external_id, updated_at = c.now
          FROM jsonb_to_recordset(:changed_accounts) AS c({ACCOUNT_COLUMNS}, now timestamptz)
         WHERE a.tenant_id = :tenant_id AND a.id = c.id
    )""",  # noqa: S608 - interpolates the column list above
    ACCOUNT_KEYS,
)
CHANGED_CONTACTS: Final = Part(
    "changed_contacts",
    f"""contact_filled AS (
        UPDATE contacts o
           SET version = o.version + 1, account_id = c.account_id, email = c.email, email_key = c.email_key,
               phone = c.phone, first_name = c.first_name, last_name = c.last_name, full_name = c.full_name,
               job_title = c.job_title, role = c.role, seniority = c.seniority, country = c.country,
               language = c.language, website = c.website, external_id = c.external_id, consents = c.consents,
               updated_at = c.now
          FROM jsonb_to_recordset(:changed_contacts) AS c({CONTACT_COLUMNS}, now timestamptz)
         WHERE o.tenant_id = :tenant_id AND o.id = c.id
    )""",  # noqa: S608 - interpolates the column list above
    CONTACT_KEYS,
)
NEW_OPPORTUNITIES: Final = Part(
    "opportunities",
    """opportunities_opened AS (
        INSERT INTO opportunities (tenant_id, id, name, stage, class, stage_entered_at, forecast_category, probability,
               account_id, contact_id, owner_id, origin_lead_id, journey_id, policy_id, amount, currency, close_date,
               business, created_at, updated_at)
        SELECT :tenant_id, r.*, r.now
          FROM jsonb_to_recordset(:opportunities) AS r(id uuid, name text, stage text, class text,
               stage_entered_at timestamptz, forecast_category text, probability integer, account_id uuid,
               contact_id uuid, owner_id uuid, origin_lead_id uuid, journey_id uuid, policy_id uuid, amount numeric,
               currency text, close_date date, business text, now timestamptz)
    )""",
)
FIRST_STEPS: Final = Part(
    "opportunity_steps",
    """opportunities_logged AS (
        INSERT INTO opportunity_transitions (tenant_id, opportunity_id, seq, id, from_stage, to_stage, class, action,
               reason_code, note, actor, on_behalf_of, occurred_at, recorded_at, policy_id, policy_version, evidence)
        SELECT :tenant_id, r.*
          FROM jsonb_to_recordset(:opportunity_steps) AS r(opportunity_id uuid, seq integer, id uuid, from_stage text,
               to_stage text, class text, action text, reason_code text, note text, actor jsonb, on_behalf_of jsonb,
               occurred_at timestamptz, recorded_at timestamptz, policy_id uuid, policy_version integer, evidence jsonb)
    )""",
)
CONVERSIONS: Final = Part(
    "conversions",
    """converted AS (
        INSERT INTO conversions (tenant_id, id, lead_id, journey_id, account_id, contact_id, opportunity_id,
               transition_id, answer, actor, converted_at, replaced, recorded_at)
        SELECT :tenant_id, r.*
          FROM jsonb_to_recordset(:conversions) AS r(id uuid, lead_id uuid, journey_id uuid, account_id uuid,
               contact_id uuid, opportunity_id uuid, transition_id uuid, answer jsonb, actor jsonb,
               converted_at timestamptz, replaced jsonb, recorded_at timestamptz)
    )""",
)
PARTS: Final = (
    *(NEW_ACCOUNTS, NEW_CONTACTS, CHANGED_ACCOUNTS, CHANGED_CONTACTS),
    *(NEW_OPPORTUNITIES, FIRST_STEPS, CONVERSIONS),
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
class SearchKeys:
    """What the records of one conversion are searched by: strong and weak keys, and the ids of records and users.

    `lead_ids`: the lead, if it has consents.
    """

    domain: str | None
    account_external_id: str | None
    name_key: str | None
    country: str | None
    email_key: str | None
    contact_external_id: str | None
    phone: str | None
    account_ids: Sequence[UUID]
    contact_ids: Sequence[UUID]
    opportunity_ids: Sequence[UUID]
    user_ids: Sequence[UUID]
    lead_ids: Sequence[UUID]

    def values(self) -> dict[str, str | None]:
        return {name: getattr(self, name) for name in self.__slots__ if name not in ID_LIST_KEYS}

    def strong_and_weak(self) -> set[tuple[str, ...]]:
        """The keys that find a record; conversions that share one may be about the same record."""
        named: set[tuple[str, ...]] = {
            (name, value) for name, value in self.values().items() if value is not None and name not in WEAK_ACCOUNT
        }
        return named if self.name_key is None else named | {("name_key", self.name_key, self.country or "")}

    def finds_account(self, row: Mapping[str, Any]) -> bool:
        return row["id"] in self.account_ids or (
            row["archived_at"] is None
            and (
                _is_same(row["domain"], self.domain)
                or _is_same(row["external_id"], self.account_external_id)
                or (_is_same(row["name_key"], self.name_key) and row["country"] == self.country)
            )
        )

    def finds_contact(self, row: Mapping[str, Any]) -> bool:
        return row["id"] in self.contact_ids or (
            row["archived_at"] is None
            and (
                _is_same(row["email_key"], self.email_key)
                or _is_same(row["external_id"], self.contact_external_id)
                or _is_same(row["phone"], self.phone)
            )
        )


def _is_same(stored: str | None, wanted: str | None) -> bool:
    return wanted is not None and stored == wanted


@dataclass(frozen=True, slots=True)
class Found:
    """The stored records that match any search key, as dicts (ids as UUIDs), and the role of each active user named.

    `consents`: of each lead the entry of its log that counts for each purpose.
    """

    accounts: list[dict[str, Any]] = field(default_factory=list)
    contacts: list[dict[str, Any]] = field(default_factory=list)
    opportunities: list[dict[str, Any]] = field(default_factory=list)
    users: Mapping[UUID, str] = field(default_factory=dict)
    consents: Mapping[UUID, Consents] = field(default_factory=dict)

    def by(self, keys: SearchKeys) -> Found:
        """Those that match these keys."""
        accounts = [row for row in self.accounts if keys.finds_account(row)]
        contacts = [row for row in self.contacts if keys.finds_contact(row)]
        opportunities = [row for row in self.opportunities if row["id"] in keys.opportunity_ids]
        return Found(accounts, contacts, opportunities, self.users, self.consents)

    def ids(self) -> set[UUID]:
        return {row["id"] for rows in (self.accounts, self.contacts, self.opportunities) for row in rows}


async def find(tx: Tx, tenant_id: UUID, wanted: Sequence[SearchKeys], *, lock: bool) -> Found:
    """The records that match any of the keys.

    `lock` locks those with a strong key or a named id: accounts, contacts, opportunities, each by ascending id.
    """
    named = {name: list({one for keys in wanted for one in getattr(keys, name)}) for name in ID_LIST_KEYS}
    bound = {"tenant_id": tenant_id, "wanted": [keys.values() for keys in wanted], **named}
    found: dict[str, dict[UUID, dict[str, Any]]] = {"accounts": {}, "contacts": {}, "opportunities": {}, "users": {}}
    consents: dict[UUID, dict[str, Consent]] = {}
    for row in await tx.execute(FIND_LOCKED if lock else FIND_UNLOCKED, bound):
        if row.kind == "consents":
            at = datetime.fromisoformat(row.found["occurred_at"]).astimezone(UTC)
            consents.setdefault(UUID(row.found["lead_id"]), {})[row.found["purpose"]] = consent_of(row.found, at)
            continue
        record = {name: _python_value(name, value) for name, value in row.found.items()}
        found[row.kind].setdefault(record["id"], record)
    accounts, contacts, opportunities = (
        list(found[kind].values()) for kind in ("accounts", "contacts", "opportunities")
    )
    users = {one["id"]: one["role"] for one in found["users"].values()}
    return Found(accounts, contacts, opportunities, users, consents)


def _python_value(name: str, value: Any) -> Any:
    return UUID(value) if name in UUID_COLUMNS and value is not None else value


async def live_conversion(tx: Tx, tenant_id: UUID, journey_id: UUID) -> Record | None:
    """The conversion of a journey, unless it was reverted."""
    return (await tx.execute(LIVE_CONVERSION, {"tenant_id": tenant_id, "journey_id": journey_id})).one_or_none()


async def latest_conversion(tx: Tx, tenant_id: UUID, lead_id: UUID) -> Record | None:
    """The lead's erased_at with its latest conversion (`answer` is None where there is none); None without a lead."""
    return (await tx.execute(LATEST_CONVERSION, {"tenant_id": tenant_id, "lead_id": lead_id})).one_or_none()
