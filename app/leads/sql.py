"""Statements that look up identities and read leads, their lists and their history. Writes are in journeys/sql.py."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, Select, Uuid, and_, bindparam, func, or_, select, text, tuple_
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT

from app.database.tables import (
    activities,
    bant,
    consents,
    identities,
    journeys,
    leads,
    milestones,
    shared_identities,
    transitions,
)
from app.database.transaction import Record, Records, Tx
from app.leads.consent_sql import IS_BARE_CLAIM
from app.leads.held import PRESENT, Held
from app.matching.identity import Candidate
from app.matching.person import Identity
from app.policies.sql import captures_lock
from app.web.pages import Page

NAMES = bindparam("names", type_=ARRAY(TEXT))

LOCK_IDENTITIES = text(
    "SELECT pg_advisory_xact_lock_shared(hashtextextended(:captures, 0)), pg_advisory_xact_lock(k) FROM"
    " (SELECT DISTINCT hashtextextended(name, 0) AS k FROM unnest(:names) AS name ORDER BY 1) AS s"
).bindparams(NAMES)

# LATERAL ... LIMIT makes the planner use an index look-up for each key and lead; a plan cached while the tables were
# small would otherwise keep scanning them. The keys are one JSON parameter, so that one plan serves any number of them.
CANDIDATES = text(
    """
    WITH found AS (
        SELECT i.kind, i.namespace, i.value, i.lead_id
          FROM jsonb_to_recordset(:own) AS w(kind text, namespace text, value text)
          JOIN LATERAL (SELECT * FROM identities i WHERE i.tenant_id = :tenant_id AND i.kind = w.kind
                           AND i.namespace = w.namespace AND i.value = w.value LIMIT 1) i ON true
        UNION ALL
        SELECT s.kind, '', s.value, s.lead_id
          FROM jsonb_to_recordset(:shared) AS w(kind text, value text)
          JOIN LATERAL (SELECT * FROM shared_identities s WHERE s.tenant_id = :tenant_id AND s.kind = w.kind
                           AND s.value = w.value ORDER BY s.added_at DESC LIMIT 50) s ON true
    )
    SELECT f.kind, f.namespace, f.value, f.lead_id, l.fields ->> 'first_name' AS first_name,
           l.fields ->> 'last_name' AS last_name,
           EXISTS (SELECT 1 FROM journeys j WHERE j.tenant_id = :tenant_id AND j.lead_id = l.id
                      AND j.closed_at IS NULL) AS open_journey,
           (SELECT max(a.occurred_at) FROM activities a WHERE a.tenant_id = :tenant_id AND a.lead_id = l.id) AS latest,
           l.fields ->> 'full_name' AS full_name,
           EXISTS (SELECT 1 FROM identities e WHERE e.tenant_id = :tenant_id AND e.lead_id = l.id
                      AND e.kind = 'email') AS has_own_email,
           l.kind AS lead_kind,
           EXISTS (SELECT 1 FROM identities e WHERE e.tenant_id = :tenant_id AND e.lead_id = l.id AND e.kind = 'email')
           OR EXISTS (SELECT 1 FROM shared_identities e WHERE e.tenant_id = :tenant_id AND e.lead_id = l.id
                         AND e.kind = 'email') AS has_email,
           coalesce(l.flags -> 'duplicate_suspected' = 'true', false) AS suspected
      FROM found f
      JOIN LATERAL (SELECT * FROM leads l WHERE l.tenant_id = :tenant_id AND l.id = f.lead_id LIMIT 1) l
        ON l.merged_into IS NULL AND l.erased_at IS NULL
    """
).bindparams(bindparam("own", type_=JSONB), bindparam("shared", type_=JSONB), bindparam("tenant_id", type_=Uuid))


CUSTOM_ANSWERS = text(
    """
    SELECT a.key AS name, array_agg(DISTINCT jsonb_typeof(a.value)) AS types,
           (array_agg(DISTINCT a.value) FILTER (WHERE jsonb_typeof(a.value) IN ('string', 'number', 'boolean')
                                                  AND length(a.value::text) <= 60))[1:3] AS examples
      FROM (SELECT custom FROM leads WHERE tenant_id = :tenant_id AND merged_into IS NULL AND erased_at IS NULL
             ORDER BY updated_at DESC, id DESC LIMIT 5000) l
     CROSS JOIN LATERAL jsonb_each(l.custom) a
     GROUP BY a.key ORDER BY a.key
    """
)
SOURCES = text(
    "SELECT id, name, defaults, builtin FROM sources"
    " WHERE tenant_id = :tenant_id AND id = ANY(:ids) AND archived_at IS NULL"
    " UNION ALL SELECT id, name, defaults, builtin FROM sources WHERE tenant_id = :tenant_id AND builtin"
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))

CONTACTS_KNOWN_BY = text(
    """
    SELECT id, account_id, email_key, phone, first_name, last_name, full_name FROM contacts
     WHERE tenant_id = :tenant_id AND archived_at IS NULL AND email_key = ANY(:emails)
     UNION
    SELECT c.* FROM unnest(:phones) AS p(phone)
      JOIN LATERAL (SELECT id, account_id, email_key, phone, first_name, last_name, full_name FROM contacts
                     WHERE tenant_id = :tenant_id AND archived_at IS NULL AND phone = p.phone LIMIT 50) c ON true
    """
).bindparams(bindparam("emails", type_=ARRAY(TEXT)), bindparam("phones", type_=ARRAY(TEXT)))
ARE_MERGED = text(
    "SELECT id FROM leads WHERE tenant_id = :tenant_id AND id = ANY(:ids) AND merged_into IS NOT NULL"
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))
KNOWN_ACTIVITIES = text(
    """
    SELECT a.* FROM jsonb_to_recordset(:wanted) AS w(lead_id uuid, key text)
      JOIN LATERAL (SELECT * FROM activities a WHERE a.tenant_id = :tenant_id AND a.lead_id = w.lead_id
                       AND a.activity_key = w.key LIMIT 1) a ON true
    """
).bindparams(bindparam("wanted", type_=JSONB), bindparam("tenant_id", type_=Uuid))
CONSENT_PURPOSES = text(
    """
    WITH RECURSIVE used AS (
        (SELECT purpose FROM consents WHERE tenant_id = :tenant_id ORDER BY purpose LIMIT 1)
        UNION ALL
        SELECT next.purpose FROM used CROSS JOIN LATERAL (
            SELECT c.purpose FROM consents c WHERE c.tenant_id = :tenant_id AND c.purpose > used.purpose
             ORDER BY c.purpose LIMIT 1) next
    )
    SELECT purpose FROM used
    """
)
# The order is that of app/matching/person_consents.py.
COUNTING_CONSENTS: Final = f"""
    SELECT DISTINCT ON (lead_id, purpose) lead_id, purpose, state, occurred_at, text, channel, source_id, bought
      FROM consents
     WHERE tenant_id = :tenant_id AND lead_id = ANY(:lead_ids)
     ORDER BY lead_id, purpose, state = 'unknown', {IS_BARE_CLAIM}, state = 'pending', bought AND state = 'given',
           occurred_at DESC, state = 'given', recorded_at DESC, id DESC
"""  # noqa: S608 - a constant
LATEST_CONSENTS = text(COUNTING_CONSENTS).bindparams(
    bindparam("lead_ids", type_=ARRAY(Uuid)), bindparam("tenant_id", type_=Uuid)
)
LOCK_CONTACTS = text(
    "SELECT id, consents FROM contacts WHERE tenant_id = :tenant_id AND id = ANY(:ids) ORDER BY id FOR NO KEY UPDATE"
).bindparams(bindparam("ids", type_=ARRAY(Uuid)))
SET_CONTACT_CONSENTS = text(
    """
    UPDATE contacts o SET version = o.version + 1, consents = c.consents, updated_at = :now
      FROM jsonb_to_recordset(:changed) AS c(id uuid, consents jsonb)
     WHERE o.tenant_id = :tenant_id AND o.id = c.id
    """
).bindparams(bindparam("changed", type_=JSONB), bindparam("tenant_id", type_=Uuid))
KNOWN_RECORDS = text(
    "SELECT id FROM contacts WHERE tenant_id = :tenant_id AND id = ANY(:contacts)"
    " UNION ALL SELECT id FROM accounts WHERE tenant_id = :tenant_id AND id = ANY(:accounts)"
).bindparams(bindparam("contacts", type_=ARRAY(Uuid)), bindparam("accounts", type_=ARRAY(Uuid)))
USER = text("SELECT id, role, team FROM users WHERE tenant_id = :tenant_id AND id = :id")


async def lock_identities(tx: Tx, tenant_id: UUID, keys: Sequence[tuple[str, str, str]]) -> None:
    """Locks these identities until the transaction ends, always in the same order to avoid deadlocks.

    No policy becomes active meanwhile, so that all leads that were made by the former one are found afterwards.
    """
    if keys:
        names = [f"{tenant_id}|{'|'.join(key)}" for key in keys]
        await tx.execute(LOCK_IDENTITIES, {"names": names, "captures": captures_lock(tenant_id)})


async def candidates(tx: Tx, tenant_id: UUID, wanted: Sequence[Identity]) -> list[Candidate]:
    """The leads that have any of these identities."""
    if not wanted:
        return []
    named = [(one.shared, {"kind": one.kind, "namespace": one.namespace, "value": one.value}) for one in wanted]
    own, shared = ([key for is_shared, key in named if is_shared is which] for which in (False, True))
    bound = {"tenant_id": tenant_id, "own": own, "shared": shared}
    return [Candidate(*row) for row in await tx.execute(CANDIDATES, bound)]


async def holder_of(tx: Tx, tenant_id: UUID, identity: Identity) -> UUID | None:
    """The lead that has this identity (unshared identities only)."""
    statement = select(identities.c.lead_id).where(
        identities.c.tenant_id == tenant_id,
        identities.c.kind == identity.kind,
        identities.c.namespace == identity.namespace,
        identities.c.value == identity.value,
    )
    return (await tx.execute(statement)).scalar_one_or_none()


async def contacts_known_by(tx: Tx, tenant_id: UUID, emails: Collection[str], phones: Collection[str]) -> Records:
    """The live contacts with these addresses, and of each of these telephone numbers at most 50."""
    if not emails and not phones:
        return []
    wanted = {"tenant_id": tenant_id, "emails": sorted(emails), "phones": sorted(phones)}
    return (await tx.execute(CONTACTS_KNOWN_BY, wanted)).all()


async def consent_states(tx: Tx, tenant_id: UUID, lead_ids: Collection[UUID | None]) -> Records:
    """The consents of these leads, and the flags that say since when and by whom."""
    known = [lead_id for lead_id in lead_ids if lead_id is not None]
    if not known:
        return []
    statement = select(leads.c.id, leads.c.consents, leads.c.flags)
    return (await tx.execute(statement.where(leads.c.tenant_id == tenant_id, leads.c.id.in_(known)))).all()


async def latest_consents(tx: Tx, tenant_id: UUID, lead_ids: Sequence[UUID]) -> Records:
    """The entry of each lead's consent log that counts for its contact, for each purpose."""
    if not lead_ids:
        return []
    return (await tx.execute(LATEST_CONSENTS, {"tenant_id": tenant_id, "lead_ids": list(lead_ids)})).all()


async def lock_contacts(tx: Tx, tenant_id: UUID, contact_ids: Collection[UUID]) -> Records:
    """Locks contacts in ascending id, archived ones too: their id and consents."""
    return (await tx.execute(LOCK_CONTACTS, {"tenant_id": tenant_id, "ids": list(contact_ids)})).all()


async def set_contact_consents(tx: Tx, tenant_id: UUID, changed: Sequence[Mapping[str, Any]], now: datetime) -> None:
    """Sets the consents of locked contacts, each a new version."""
    if changed:
        await tx.execute(SET_CONTACT_CONSENTS, {"tenant_id": tenant_id, "changed": list(changed), "now": now})


async def phone_of(tx: Tx, tenant_id: UUID, lead_id: UUID) -> Record | None:
    """The phone of a lead, what was typed for it, and the country by which its national numbers are read."""
    shown = leads.c.fields["phone"].astext.label("phone"), leads.c.fields["country"].astext.label("country")
    columns = select(*shown, leads.c.raw["phone"].astext.label("typed"))
    return (await tx.execute(columns.where(leads.c.tenant_id == tenant_id, leads.c.id == lead_id))).one_or_none()


async def consent_purposes(tx: Tx, tenant_id: UUID) -> list[str]:
    """The purposes in the consent log of the tenant, each found by one look-up in the index."""
    return list((await tx.execute(CONSENT_PURPOSES, {"tenant_id": tenant_id})).scalars())


async def custom_answers(tx: Tx, tenant_id: UUID) -> Records:
    """The names of custom answers of the 5,000 leads that changed last, with the types of their values and examples."""
    return (await tx.execute(CUSTOM_ANSWERS, {"tenant_id": tenant_id})).all()


async def sources(tx: Tx, tenant_id: UUID, source_ids: Collection[UUID | None]) -> dict[UUID | None, Record]:
    """The sources with these ids; under None the built-in one of the API."""
    named = [source_id for source_id in source_ids if source_id is not None]
    rows = (await tx.execute(SOURCES, {"tenant_id": tenant_id, "ids": named})).all()
    builtin: dict[UUID | None, Record] = {None: row for row in rows if row.builtin}  # noqa: B035 - there is one
    return builtin | {row.id: row for row in rows}


async def known_activities(
    tx: Tx, tenant_id: UUID, wanted: Sequence[tuple[UUID, str]]
) -> dict[tuple[UUID, str], Record]:
    """The activities that exist of these leads and keys."""
    if not wanted:
        return {}
    named = [{"lead_id": lead_id, "key": key} for lead_id, key in wanted]
    rows = await tx.execute(KNOWN_ACTIVITIES, {"tenant_id": tenant_id, "wanted": named})
    return {(row.lead_id, row.activity_key): row for row in rows}


async def activities_by_key(tx: Tx, tenant_id: UUID, wanted: Sequence[tuple[UUID, str]]) -> Records:
    """The wanted (lead, key) pairs that exist."""
    if not wanted:
        return []
    named = tuple_(activities.c.lead_id, activities.c.activity_key)
    statement = select(activities.c.lead_id, activities.c.activity_key)
    return (await tx.execute(statement.where(activities.c.tenant_id == tenant_id, named.in_(wanted)))).all()


async def erased_at(tx: Tx, tenant_id: UUID, lead_ids: Collection[UUID]) -> dict[UUID, datetime | None]:
    """Of these leads those that there are, and when each was erased, if it was."""
    rows = select(leads.c.id, leads.c.erased_at).where(leads.c.tenant_id == tenant_id, leads.c.id.in_(lead_ids))
    return {row.id: row.erased_at for row in await tx.execute(rows)}


async def merged_leads(tx: Tx, tenant_id: UUID, lead_ids: Collection[UUID]) -> set[UUID]:
    """Those of the leads that were merged into another one."""
    return set((await tx.execute(ARE_MERGED, {"tenant_id": tenant_id, "ids": list(lead_ids)})).scalars())


async def known_records(tx: Tx, tenant_id: UUID, contacts: Collection[UUID], accounts: Collection[UUID]) -> set[UUID]:
    """Those of these contacts and accounts that there are, archived ones too."""
    wanted = {"contacts": list(contacts), "accounts": list(accounts)}
    return set((await tx.execute(KNOWN_RECORDS, {"tenant_id": tenant_id, **wanted})).scalars())


async def user(tx: Tx, tenant_id: UUID, user_id: UUID) -> Record | None:
    """A user, active or not."""
    return (await tx.execute(USER, {"tenant_id": tenant_id, "id": user_id})).one_or_none()


CONFIRMATION: Final = (
    *("criterion", "status", "user_id", "role", "recorded_at"),
    *("value", "evidence", "due_on", "amount"),
)
TOUCHES: Final = (leads.c.first_touch, leads.c.last_touch)


def _is_of(member: ColumnElement[str], value: str) -> ColumnElement[bool]:
    """Whether a member that may be too long for an index has the value: the index has its hash (`member_indexes`)."""
    return func.md5(member) == func.md5(value)


CONDITIONS: Final[Mapping[str, Callable[[Any], ColumnElement[bool]]]] = {
    **{
        name: leads.c[name].__eq__
        for name in ("stage", "owner_id", "temperature", "sla_state", "source_id", "channel", "account_id")
    },
    "campaign": lambda name: or_(*(_is_of(touch["campaign"].astext, name) for touch in TOUCHES)),
    "created_after": leads.c.created_at.__gt__,
    "created_before": leads.c.created_at.__lt__,
    "updated_after": leads.c.updated_at.__gt__,
    "updated_before": leads.c.updated_at.__lt__,
}


async def list_leads(tx: Tx, tenant_id: UUID, page: Page, filters: Mapping[str, Any]) -> Records:
    """Ids and sort columns of the leads that match; merged and erased leads are left out."""
    await tx.plan_for_values()
    return (await tx.execute(page.statement(listed(tenant_id, filters), leads))).all()


def listed(tenant_id: UUID, filters: Mapping[str, Any]) -> Select[Any]:
    """Selects the leads that match all filters but `q`."""
    rows = select(leads.c.id, leads.c.created_at, leads.c.updated_at, leads.c.stage_entered_at).where(
        leads.c.tenant_id == tenant_id, leads.c.merged_into.is_(None), leads.c.erased_at.is_(None)
    )
    for name, condition in CONDITIONS.items():
        if filters.get(name) is not None:
            rows = rows.where(condition(filters[name]))
    for keys in filters.get("identities") or ():
        rows = rows.where(leads.c.id.in_(_holders(tenant_id, keys)))
    return rows


def _holders(tenant_id: UUID, keys: Sequence[tuple[str, str, str]]) -> Any:
    """The leads that have any of these identities, shared ones included."""
    own = select(identities.c.lead_id).where(
        identities.c.tenant_id == tenant_id,
        tuple_(identities.c.kind, identities.c.namespace, identities.c.value).in_(keys),
    )
    shared = select(shared_identities.c.lead_id).where(
        shared_identities.c.tenant_id == tenant_id,
        tuple_(shared_identities.c.kind, shared_identities.c.value).in_([(kind, value) for kind, _, value in keys]),
    )
    return own.union_all(shared)


async def list_activities(tx: Tx, tenant_id: UUID, lead_id: UUID, page: Page) -> Records:
    rows = select(activities).where(activities.c.tenant_id == tenant_id, activities.c.lead_id == lead_id)
    return (await tx.execute(page.statement(rows, activities))).all()


async def latest_activities(tx: Tx, tenant_id: UUID, lead_id: UUID, limit: int) -> Records:
    statement = select(activities).where(activities.c.tenant_id == tenant_id, activities.c.lead_id == lead_id)
    return (await tx.execute(statement.order_by(activities.c.occurred_at.desc()).limit(limit))).all()


async def transitions_of(tx: Tx, tenant_id: UUID, lead_id: UUID, held: Held = PRESENT) -> Records:
    """All transitions of a lead, oldest first."""
    statement = (
        select(transitions, journeys.c.number)
        .join(journeys, (journeys.c.tenant_id == tenant_id) & (journeys.c.id == transitions.c.journey_id))
        .where(
            transitions.c.tenant_id == tenant_id, _held(transitions.c.lead_id, transitions.c.journey_id, lead_id, held)
        )
        .order_by(journeys.c.number, transitions.c.seq)
    )
    return (await tx.execute(statement)).all()


async def journeys_of(tx: Tx, tenant_id: UUID, lead_id: UUID, held: Held = PRESENT) -> Records:
    owned = _held(journeys.c.lead_id, journeys.c.id, lead_id, held)
    statement = select(journeys).where(journeys.c.tenant_id == tenant_id, owned)
    return (await tx.execute(statement.order_by(journeys.c.number))).all()


async def bant_of(tx: Tx, tenant_id: UUID, lead_id: UUID, held: Held, until: datetime) -> Records:
    """The latest 200 confirmations of a lead that were recorded by an instant, oldest first."""
    columns = [bant.c[name] for name in CONFIRMATION]
    rows = select(*columns).where(
        bant.c.tenant_id == tenant_id,
        _held(bant.c.lead_id, bant.c.id, lead_id, held),
        bant.c.recorded_at <= until,
    )
    return (await tx.execute(rows.order_by(bant.c.recorded_at.desc(), bant.c.id.desc()).limit(200))).all()[::-1]


def _held(owner: ColumnElement[UUID], row: ColumnElement[UUID], lead_id: UUID, held: Held) -> ColumnElement[bool]:
    """Rows that the lead has now, or had at another time."""
    if not held.differs:
        return owner == lead_id
    return or_(and_(owner == lead_id, row.not_in(held.lost)), row.in_(held.gained))


async def milestones_of(tx: Tx, tenant_id: UUID, lead_id: UUID) -> Records:
    statement = select(milestones).where(milestones.c.tenant_id == tenant_id, milestones.c.lead_id == lead_id)
    return (await tx.execute(statement.order_by(milestones.c.reached_at, milestones.c.id))).all()


async def consents_of(
    tx: Tx, tenant_id: UUID, lead_id: UUID, limit: int, after: tuple[datetime, UUID] | None
) -> Records:
    """Entries of the consent log, oldest first, that follow the one recorded at this instant with this id."""
    place = tuple_(consents.c.recorded_at, consents.c.id)
    rows = select(consents).where(consents.c.tenant_id == tenant_id, consents.c.lead_id == lead_id)
    rows = rows if after is None else rows.where(place > tuple_(*after))
    return (await tx.execute(rows.order_by(consents.c.recorded_at, consents.c.id).limit(limit))).all()


async def consents_with(tx: Tx, tenant_id: UUID, ids: Sequence[UUID]) -> Records:
    """The entries of the consent log with these ids, in their order."""
    rows = select(consents).where(consents.c.tenant_id == tenant_id, consents.c.id.in_(ids))
    return (await tx.execute(rows.order_by(consents.c.id))).all()
