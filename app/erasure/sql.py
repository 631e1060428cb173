"""Statements that erase the rows of a person: what each does with a column stands in personal.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import DateTime, LargeBinary, Text, TextClause, Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB

from app.database.transaction import Record, Records, Tx

TENANT: Final = bindparam("tenant_id", type_=Uuid)
IDS: Final = bindparam("ids", type_=ARRAY(Uuid))
TOMBSTONE: Final = "(erased)"  # in place of a name that must not be null
NOW: Final = bindparam("now", type_=DateTime(timezone=True))

# The lead that remained of those that were merged, and all that were merged into it.
PEOPLE = text(
    """
    WITH RECURSIVE person AS (
        SELECT CAST(:lead_id AS uuid) AS id
        UNION
        SELECT m.merged_id FROM person p JOIN lead_merges m
            ON m.tenant_id = :tenant_id AND m.survivor_id = p.id AND m.unmerged_at IS NULL
    )
    SELECT id FROM person ORDER BY id
    """
).bindparams(TENANT, bindparam("lead_id", type_=Uuid))
LOCK = text(
    "SELECT id, merged_into, erased_at FROM leads WHERE tenant_id = :tenant_id AND id = ANY(:ids)"
    " ORDER BY id FOR NO KEY UPDATE"
).bindparams(TENANT, IDS)
IDENTITIES = text(
    """
    SELECT kind, namespace, value, false AS shared FROM identities WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)
    UNION
    SELECT kind, '', value, true FROM shared_identities WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)
    UNION
    -- Those that a merge had moved, and those that the other lead of a merge that was undone did not get.
    SELECT i.kind, i.namespace, i.value, false FROM lead_merges m
     CROSS JOIN LATERAL jsonb_to_recordset(m.identities) AS i(kind text, namespace text, value text)
     WHERE m.tenant_id = :tenant_id AND m.survivor_id = ANY(:ids) AND m.merged_id = ANY(:ids)
       AND NOT EXISTS (SELECT FROM shared_identities s WHERE s.tenant_id = :tenant_id AND s.kind = i.kind
                          AND s.value = i.value AND s.lead_id = ANY(:ids))
    """
).bindparams(TENANT, IDS)

# Values that reports read are reduced in Python (reduced.py): what is read, and where it is written to.
LEADS = text(
    "SELECT id, fields, flags, first_touch, last_touch FROM leads WHERE tenant_id = :tenant_id AND id = ANY(:ids)"
).bindparams(TENANT, IDS)
ERASE_LEADS = text(
    """
    UPDATE leads l SET version = l.version + 1, erased_at = :now, updated_at = :now, evaluate_at = NULL,
           fields = r.fields, flags = r.flags, first_touch = r.first_touch, last_touch = r.last_touch,
           raw = '{}', custom = '{}', consents = '{}'
      FROM jsonb_to_recordset(:rows) AS r(id uuid, fields jsonb, flags jsonb, first_touch jsonb, last_touch jsonb)
     WHERE l.tenant_id = :tenant_id AND l.id = r.id
    RETURNING l.id, l.version
    """
).bindparams(TENANT, NOW, bindparam("rows", type_=JSONB))
CHANGES = text(
    "SELECT lead_id, version, before, recorded_at FROM lead_changes WHERE tenant_id = :tenant_id"
    " AND lead_id = ANY(:ids) ORDER BY version DESC"
).bindparams(TENANT, IDS)
# What personas are about, as app/leads/personas_then.py reads it.
PROFILES = text(
    """
    SELECT l.id, l.fields, l.flags, l.custom, l.kind, l.channel, l.first_touch, l.consents, j.business FROM leads l
      LEFT JOIN LATERAL (SELECT j.business FROM journeys j WHERE j.tenant_id = :tenant_id AND j.lead_id = l.id
                          ORDER BY j.number DESC LIMIT 1) j ON true
     WHERE l.tenant_id = :tenant_id AND l.id = ANY(:ids)
    """
).bindparams(TENANT, IDS)
ACTIVATED = text("SELECT DISTINCT policy_id FROM activations WHERE tenant_id = :tenant_id").bindparams(TENANT)
ERASE_CHANGES = text(
    """
    UPDATE lead_changes c SET before = r.before, origins = NULL
      FROM jsonb_to_recordset(:rows) AS r(lead_id uuid, version integer, before jsonb)
     WHERE c.tenant_id = :tenant_id AND c.lead_id = r.lead_id AND c.version = r.version
    """
).bindparams(TENANT, bindparam("rows", type_=JSONB))
TRANSITIONS = text(
    "SELECT journey_id, seq, evidence FROM transitions WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)"
).bindparams(TENANT, IDS)
ERASE_TRANSITIONS = text(
    """
    UPDATE transitions t SET note = NULL, evidence = r.evidence
      FROM jsonb_to_recordset(:rows) AS r(journey_id uuid, seq integer, evidence jsonb)
     WHERE t.tenant_id = :tenant_id AND t.journey_id = r.journey_id AND t.seq = r.seq
    """
).bindparams(TENANT, bindparam("rows", type_=JSONB))
# By the log, which has an index on leads, and what is not in it yet.
EVENTS = text(
    """
    SELECT e.seq, e.type, e.data FROM events e
     WHERE e.tenant_id = :tenant_id AND e.lead_id = ANY(:ids) AND e.seq IN (
           SELECT event_seq FROM event_log WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)
           UNION ALL
           SELECT seq FROM pending WHERE tenant_id = :tenant_id)
    """
).bindparams(TENANT, IDS)
ERASE_EVENTS = text(
    """
    UPDATE events e SET data = r.data FROM jsonb_to_recordset(:rows) AS r(seq bigint, data text)
     WHERE e.tenant_id = :tenant_id AND e.seq = r.seq
    """
).bindparams(TENANT, bindparam("rows", type_=JSONB))

# Contacts that the person's conversions made, that have an address of the person, or that no other lead is linked to.
LOCK_CONTACTS = text(
    """
    SELECT id FROM contacts
     WHERE tenant_id = :tenant_id AND id IN (
           SELECT contact_id FROM conversions WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)
              AND answer #>> '{contact,outcome}' = 'created'
           UNION ALL
           SELECT id FROM contacts
            WHERE tenant_id = :tenant_id AND email_key = ANY(:addresses) AND archived_at IS NULL
           UNION ALL
           SELECT id FROM contacts
            WHERE tenant_id = :tenant_id AND email_key = ANY(:addresses) AND archived_at IS NOT NULL
           UNION ALL
           SELECT f.contact_id FROM (
                  SELECT contact_id FROM conversions WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)
                  UNION SELECT contact_id FROM leads WHERE tenant_id = :tenant_id AND id = ANY(:ids)) f
            WHERE NOT EXISTS (SELECT FROM leads o WHERE o.tenant_id = :tenant_id AND o.contact_id = f.contact_id
                                 AND o.id <> ALL(:ids) AND o.merged_into IS NULL AND o.erased_at IS NULL))
     ORDER BY id FOR UPDATE
    """
).bindparams(TENANT, IDS, bindparam("addresses", type_=ARRAY(Text)))
OPPORTUNITIES = """
    SELECT opportunity_id FROM conversions WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)
    UNION SELECT opportunity_id FROM leads WHERE tenant_id = :tenant_id AND id = ANY(:ids)
    UNION SELECT o.id FROM opportunities o WHERE o.tenant_id = :tenant_id AND o.contact_id = ANY(:contacts)
"""
ERASE_CONTACTS = text(
    """
    UPDATE contacts SET version = version + 1, updated_at = :now, archived_at = coalesce(archived_at, :now),
           erased_at = :now,
           email = NULL, email_key = NULL, phone = NULL, first_name = NULL, last_name = NULL, full_name = NULL,
           job_title = NULL, role = NULL, seniority = NULL, website = NULL, custom = '{}', consents = '{}',
           external_id = NULL
     WHERE tenant_id = :tenant_id AND id = ANY(:contacts)
    """
).bindparams(TENANT, NOW, bindparam("contacts", type_=ARRAY(Uuid)))
# An account is that of a person if it is called by a name, address or number of the person. A company keeps its name,
# but not what it has from the person alone.
ERASE_ACCOUNTS = text(
    """
    UPDATE accounts a SET version = version + 1, updated_at = :now,
           phone = CASE WHEN a.phone = ANY(:names) OR p.is_person THEN NULL ELSE a.phone END,
           website = CASE WHEN p.is_person THEN NULL ELSE a.website END,
           name = CASE WHEN p.is_person THEN :tombstone ELSE a.name END,
           name_key = CASE WHEN p.is_person THEN NULL ELSE a.name_key END,
           domain = CASE WHEN p.is_person THEN NULL ELSE a.domain END,
           custom = CASE WHEN p.is_person THEN '{}' ELSE a.custom END,
           external_id = CASE WHEN p.is_person THEN NULL ELSE a.external_id END,
           archived_at = CASE WHEN p.is_person THEN coalesce(a.archived_at, :now) ELSE a.archived_at END,
           erased_at = CASE WHEN p.is_person THEN :now END
      FROM (SELECT id, coalesce(name = ANY(:names), false) AS is_person FROM accounts
             WHERE tenant_id = :tenant_id
               AND id IN (SELECT account_id FROM conversions WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)
                          UNION SELECT account_id FROM leads WHERE tenant_id = :tenant_id AND id = ANY(:ids))
             ORDER BY id FOR NO KEY UPDATE) p
     WHERE a.tenant_id = :tenant_id AND a.id = p.id AND (p.is_person OR a.phone = ANY(:names))
    RETURNING a.id
    """
).bindparams(TENANT, NOW, IDS, bindparam("names", type_=ARRAY(Text)), bindparam("tombstone", type_=Text))
ERASE_OPPORTUNITIES = text(
    f"""
    UPDATE opportunities o SET version = version + 1, updated_at = :now, name = :tombstone, custom = '{{}}',
           external_id = NULL
     WHERE o.tenant_id = :tenant_id AND o.id IN ({OPPORTUNITIES}) RETURNING o.id
    """  # noqa: S608
).bindparams(TENANT, NOW, IDS, bindparam("contacts", type_=ARRAY(Uuid)), bindparam("tombstone", type_=Text))
# Once the opportunities are locked, so that it sees the note of a transition that was written meanwhile.
ERASE_NOTES = text(
    "UPDATE opportunity_transitions SET note = NULL"
    " WHERE tenant_id = :tenant_id AND opportunity_id = ANY(:deals) AND note IS NOT NULL"
).bindparams(TENANT, bindparam("deals", type_=ARRAY(Uuid)))
# Attempts are found by subscription and position, as they have no index on leads: those of subscriptions that were
# deleted, too. Attempts to deliver events of the opportunities, which have no lead, may tell of the person as well.
ERASE_ATTEMPTS = text(
    f"""
    WITH RECURSIVE receivers AS (
        (SELECT subscription_id FROM attempts WHERE tenant_id = :tenant_id ORDER BY subscription_id LIMIT 1)
        UNION ALL
        SELECT (SELECT a.subscription_id FROM attempts a
                 WHERE a.tenant_id = :tenant_id AND a.subscription_id > r.subscription_id
                 ORDER BY a.subscription_id LIMIT 1)
          FROM receivers r WHERE r.subscription_id IS NOT NULL
    ), told AS (
        SELECT position FROM event_log WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)
        UNION ALL
        SELECT position FROM event_log
         WHERE tenant_id = :tenant_id AND lead_id IS NULL AND order_key IN ({OPPORTUNITIES})
    )
    UPDATE attempts a SET response_head = NULL FROM receivers r, told t
     WHERE a.tenant_id = :tenant_id AND a.subscription_id = r.subscription_id AND a.position = t.position
       AND a.response_head IS NOT NULL
    """  # noqa: S608
).bindparams(TENANT, IDS, bindparam("contacts", type_=ARRAY(Uuid)))

CONTACTS = text(
    "SELECT contact_id FROM conversions WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids) AND contact_id IS NOT NULL"
    " UNION SELECT contact_id FROM leads WHERE tenant_id = :tenant_id AND id = ANY(:ids) AND contact_id IS NOT NULL"
).bindparams(TENANT, IDS)

# A body is dropped whole; that of a list loses the rows of the person (`{}`), since others need theirs.
PARTS = text(
    """
    SELECT s.id, s.source_id, s.body, s.listed, p.places, p.sent FROM (
        SELECT submission_id, array_agg(index ORDER BY index) AS places,
               array_agg(submission_key ORDER BY index) AS sent
          FROM submission_items WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids) GROUP BY submission_id) p
      JOIN submissions s ON s.tenant_id = :tenant_id AND s.id = p.submission_id
     ORDER BY s.id FOR NO KEY UPDATE OF s
    """
).bindparams(TENANT, IDS)
ERASE_ITEMS = text(
    """
    UPDATE submission_items i SET mapped = NULL, fetch_at = NULL,
           submission_key = r.submission_key
      FROM jsonb_to_recordset(:rows) AS r(submission_id uuid, index integer, submission_key text)
     WHERE i.tenant_id = :tenant_id AND i.submission_id = r.submission_id AND i.index = r.index
    """
).bindparams(TENANT, bindparam("rows", type_=JSONB))

# Rows that name the lead, and nothing else has to be known of them.
PLAIN: Final = tuple(
    text(statement).bindparams(TENANT, IDS)
    for statement in (
        "DELETE FROM identities WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)",
        "DELETE FROM shared_identities WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)",
        "DELETE FROM match_keys WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)",
        "DELETE FROM touches WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)",
        "DELETE FROM consents WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)",
        "UPDATE consent_requests SET texts = '{}', text_versions = '{}'"
        " WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)",
        "UPDATE bant SET value = NULL, evidence = NULL, amount = NULL, due_on = NULL"
        " WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)",
        "UPDATE activities SET activity_key = id::text, properties = '{}'"
        " WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)",
        "UPDATE lead_merges SET identities = '[]', filled = '{}'"
        " WHERE tenant_id = :tenant_id AND (merged_id = ANY(:ids) OR survivor_id = ANY(:ids))",
        "UPDATE assignments SET document = document - 'rules' WHERE tenant_id = :tenant_id"
        " AND journey_id IN (SELECT id FROM journeys WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids))",
        "UPDATE conversions SET replaced = NULL WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)",
        "DELETE FROM idempotency_keys WHERE tenant_id = :tenant_id AND lead_id = ANY(:ids)",
    )
)
FORGET_ADDRESSES = text(
    "DELETE FROM withdrawals WHERE tenant_id = :tenant_id AND address_sha256 = ANY(:addresses)"
).bindparams(TENANT, bindparam("addresses", type_=ARRAY(Text)))
INSERT = text(
    """
    INSERT INTO erasures (tenant_id, lead_id, lead_ids, reason, request_id, erased_at, sought, finished_at)
    VALUES (:tenant_id, :lead_id, :ids, :reason, :request_id, :now, :sought, :finished_at)
    """
).bindparams(
    TENANT, IDS, NOW, bindparam("lead_id", type_=Uuid), bindparam("finished_at", type_=DateTime(timezone=True))
)
OF_LEAD = text("SELECT * FROM erasures WHERE tenant_id = :tenant_id AND lead_id = :lead_id").bindparams(
    TENANT, bindparam("lead_id", type_=Uuid)
)
SUPPRESS = text(
    """
    INSERT INTO suppressions (tenant_id, hash, lead_id, erased_at)
    SELECT :tenant_id, h, :lead_id, :now FROM unnest(:hashes) AS h ORDER BY h
    ON CONFLICT (tenant_id, hash) DO UPDATE SET lead_id = excluded.lead_id, erased_at = excluded.erased_at
    """
).bindparams(TENANT, NOW, bindparam("lead_id", type_=Uuid), bindparam("hashes", type_=ARRAY(LargeBinary)))


async def people_of(tx: Tx, tenant_id: UUID, lead_id: UUID) -> list[UUID]:
    """The lead, and all leads that were merged into it, ascending."""
    return (await tx.execute(PEOPLE, {"tenant_id": tenant_id, "lead_id": lead_id})).scalars()


async def lock(tx: Tx, tenant_id: UUID, lead_ids: Sequence[UUID]) -> Records:
    """Locks leads in ascending id."""
    return (await tx.execute(LOCK, {"tenant_id": tenant_id, "ids": list(lead_ids)})).all()


async def identities(tx: Tx, tenant_id: UUID, lead_ids: Sequence[UUID]) -> Records:
    """The identities of these leads, those that they share with others included."""
    return (await tx.execute(IDENTITIES, {"tenant_id": tenant_id, "ids": list(lead_ids)})).all()


async def read(tx: Tx, tenant_id: UUID, statement: TextClause, lead_ids: Sequence[UUID]) -> Records:
    """The rows of these leads that a statement of this module selects."""
    return (await tx.execute(statement, {"tenant_id": tenant_id, "ids": list(lead_ids)})).all()


async def activated(tx: Tx, tenant_id: UUID) -> list[UUID]:
    """The policies that are or were active."""
    return (await tx.execute(ACTIVATED, {"tenant_id": tenant_id})).scalars()


async def write(tx: Tx, tenant_id: UUID, statement: TextClause, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows by a statement of this module that takes `rows`."""
    if rows:
        await tx.execute(statement, {"tenant_id": tenant_id, "rows": list(rows)})


async def erase_leads(tx: Tx, tenant_id: UUID, rows: Sequence[Mapping[str, Any]], now: datetime) -> dict[UUID, int]:
    """Marks leads as erased and keeps of them what is given; their new versions."""
    found = await tx.execute(ERASE_LEADS, {"tenant_id": tenant_id, "rows": list(rows), "now": now})
    return {row.id: row.version for row in found}


async def erase_plain(tx: Tx, tenant_id: UUID, lead_ids: Sequence[UUID]) -> None:
    """Deletes and empties the rows that name these leads."""
    for statement in PLAIN:
        await tx.execute(statement, {"tenant_id": tenant_id, "ids": list(lead_ids)})


async def erase_records(
    tx: Tx, tenant_id: UUID, lead_ids: Sequence[UUID], addresses: Sequence[str], names: Sequence[str], now: datetime
) -> list[tuple[str, UUID]]:
    """Erases the contacts of these leads, accounts that are a person's, and what opportunities say of the person.

    Those that were changed, by kind and id.
    """
    bound: dict[str, Any] = {"tenant_id": tenant_id, "ids": list(lead_ids), "now": now, "tombstone": TOMBSTONE}
    accounts = {**bound, "names": list(names)}
    people = (await tx.execute(ERASE_ACCOUNTS, accounts)).scalars()
    found = await tx.execute(LOCK_CONTACTS, {**bound, "addresses": list(addresses)})
    bound["contacts"] = found.scalars()
    await tx.execute(ERASE_CONTACTS, bound)
    deals = (await tx.execute(ERASE_OPPORTUNITIES, bound)).scalars()
    await tx.execute(ERASE_NOTES, {"tenant_id": tenant_id, "deals": deals})
    await tx.execute(ERASE_ATTEMPTS, bound)
    found_by_kind = (("account", people), ("contact", bound["contacts"]), ("opportunity", deals))
    return [(kind, one) for kind, found_ids in found_by_kind for one in found_ids]


async def erase_attempts(tx: Tx, tenant_id: UUID, lead_ids: Sequence[UUID]) -> None:
    """Erases what receivers answered to events of these leads and of their opportunities."""
    bound = {"tenant_id": tenant_id, "ids": list(lead_ids)}
    contacts = (await tx.execute(CONTACTS, bound)).scalars()
    await tx.execute(ERASE_ATTEMPTS, {**bound, "contacts": contacts})


async def forget_addresses(tx: Tx, tenant_id: UUID, addresses: Sequence[str]) -> None:
    """Deletes what people withdrew by these addresses, given as hashes, before there was a lead."""
    await tx.execute(FORGET_ADDRESSES, {"tenant_id": tenant_id, "addresses": list(addresses)})


async def insert(tx: Tx, tenant_id: UUID, values: Mapping[str, Any]) -> None:
    """Keeps that, when and why these leads were erased."""
    await tx.execute(INSERT, {"tenant_id": tenant_id, **values})


async def of_lead(tx: Tx, tenant_id: UUID, lead_id: UUID) -> Record | None:
    """The erasure of a lead that was not merged into another."""
    return (await tx.execute(OF_LEAD, {"tenant_id": tenant_id, "lead_id": lead_id})).one_or_none()


async def suppress(tx: Tx, tenant_id: UUID, lead_id: UUID, hashes: Sequence[bytes], now: datetime) -> None:
    """Keeps hashes by which the person is known not to be stored again."""
    await tx.execute(SUPPRESS, {"tenant_id": tenant_id, "lead_id": lead_id, "hashes": list(hashes), "now": now})
