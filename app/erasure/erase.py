"""Erases a person: the lead and all that were merged into it, in one transaction (lifecycle.md, section 7).

What is found by the lead is erased here. What is found only by reading it, such as quarantined bodies that name the
person, is erased by the steps that follow (steps.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import orjson

from app import ids
from app.database.transaction import ChangedMeanwhile, Record, Tx
from app.erasure import reduced, sql
from app.erasure.personas import Names, personas_of
from app.erasure.sought import written
from app.errors import ErasureNotFound, LeadNotFound, RoleNotAllowed
from app.events.record import NewEvent, minified, record_events
from app.journeys import sql as journeys_sql
from app.leads import sql as leads_sql
from app.leads.personas_then import KEPT
from app.leads.suppression import Name, hashed, named_shared, named_submission, salt_of
from app.sources.item import KEY_SEPARATOR
from app.submissions.erased import erase_bodies, own_key
from app.tenants import audit
from app.web.auth import Caller

ROLES: Final = ("manager", "admin")
NAMES: Final = ("full_name", "first_name", "last_name", "email", "phone")


@dataclass(frozen=True, slots=True)
class Asked:
    """Why a person is erased: a code, and the number of the person's request, if it has one."""

    reason: str
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Person:
    """A lead, all that were merged into it (`people`, itself included), and their identities: locked."""

    main: UUID
    people: Sequence[UUID]
    known: Sequence[Name]


async def erase(tx: Tx, caller: Caller, lead_id: UUID, asked: Asked, now: datetime) -> Record:
    """Erases the person of this lead; the stored erasure, which is the earlier one where it was erased before.

    Raises LeadNotFound, RoleNotAllowed where a user of another role asks, and ChangedMeanwhile where the person got
    another identity, or was merged, before all was locked.
    """
    tenant_id = caller.tenant_id
    person = await lock_person(tx, tenant_id, lead_id)
    if caller.actor.kind == "human" and caller.actor.role not in ROLES:
        raise RoleNotAllowed(
            f"The role {caller.actor.role} may not erase people; allowed roles: {', '.join(ROLES)}.",
            role=caller.actor.role,
            roles=ROLES,
        )
    if (earlier := await sql.of_lead(tx, tenant_id, person.main)) is not None:
        return earlier
    sought = await erase_person(tx, tenant_id, person, now, suppress=True)
    assert tx.keyring is not None, "the application has a key ring"
    sealed = tx.keyring.seal(tenant_id, tenant_id, f"erasure|{person.main}", sought)
    values = {"ids": list(person.people), "reason": asked.reason, "request_id": asked.request_id, "now": now}
    await sql.insert(tx, tenant_id, {**values, "lead_id": person.main, "sought": sealed, "finished_at": None})
    detail = {"reason": asked.reason, "request_id": asked.request_id}
    await audit.record(tx, caller, tenant_id, "lead.erased", ids.show("lead", person.main), now, detail)
    erasure = await sql.of_lead(tx, tenant_id, person.main)
    assert erasure is not None, "it was written in this transaction"
    return erasure


async def lock_person(tx: Tx, tenant_id: UUID, lead_id: UUID) -> Person:
    """Locks the person of a lead for its erasure. Raises LeadNotFound and ChangedMeanwhile, as `erase`."""
    await leads_sql.lock_identities(tx, tenant_id, [("merge", "", "")])
    main = await journeys_sql.survivor_of(tx, tenant_id, lead_id)
    people = await sql.people_of(tx, tenant_id, main)
    known = {_name(row) for row in await sql.identities(tx, tenant_id, people)}
    await leads_sql.lock_identities(tx, tenant_id, [_key(name) for name in sorted(known)])
    if not await sql.lock(tx, tenant_id, people):
        raise LeadNotFound()
    found = {_name(row) for row in await sql.identities(tx, tenant_id, people)}
    if found - known:
        raise ChangedMeanwhile("the person got another identity before it was locked")
    return Person(main, people, sorted(found))


async def erasure_of(tx: Tx, tenant_id: UUID, lead_id: UUID) -> Record:
    """The erasure of the person of this lead. Raises LeadNotFound, ErasureNotFound."""
    main = await journeys_sql.survivor_of(tx, tenant_id, lead_id)
    erasure = await sql.of_lead(tx, tenant_id, main)
    if erasure is None:
        raise ErasureNotFound() if await journeys_sql.load_leads(tx, tenant_id, [main]) else LeadNotFound()
    return erasure


async def erase_person(tx: Tx, tenant_id: UUID, person: Person, now: datetime, *, suppress: bool) -> str:
    """Erases what is found by the leads of a person, and tells of it; what is then to be looked for, as `written`.

    `suppress`: the person asked for it, and is not stored again without a new consent.
    """
    main, people, known = person.main, person.people, person.known
    leads = await sql.read(tx, tenant_id, sql.LEADS, people)
    addresses = [value for kind, _, value in known if kind == "email"]
    personas = await _erase_history(tx, tenant_id, people, now)
    keys = await _erase_submissions(tx, tenant_id, people)
    if suppress:
        salt = await salt_of(tx, tenant_id, make=True)
        assert salt is not None, "it is made where there is none"
        await sql.suppress(tx, tenant_id, main, sorted({hashed(salt, name) for name in {*known, *keys}}), now)
        await sql.forget_addresses(tx, tenant_id, address_hashes(person))
    records = await sql.erase_records(tx, tenant_id, people, addresses, _called(leads), now)
    await sql.erase_plain(tx, tenant_id, people)
    rows = [
        {
            "id": row.id,
            "fields": reduced.fields(row.fields),
            "flags": {name: value for name, value in row.flags.items() if name == "source"}
            | {KEPT: personas[row.id, None]},
            "first_touch": reduced.touch(row.first_touch),
            "last_touch": reduced.touch(row.last_touch),
        }
        for row in leads
    ]
    versions = await sql.erase_leads(tx, tenant_id, rows, now)
    await record_events(tx, tenant_id, [_event(one, versions[one], now) for one in people], now)
    return written([_key(name) for name in known], [ids.show(kind, one) for kind, one in records])


def address_hashes(person: Person) -> list[str]:
    """The e-mail addresses of a person, as withdrawals of people who are no leads name them."""
    return [hashlib.sha256(_key(name)[2].encode()).hexdigest() for name in person.known if _key(name)[0] == "email"]


async def _erase_history(
    tx: Tx, tenant_id: UUID, people: Sequence[UUID], now: datetime
) -> Mapping[tuple[UUID, int | None], Names]:
    """Reduces what reports read of the past to what they count, and events to tombstones; which personas matched."""
    changes = await sql.read(tx, tenant_id, sql.CHANGES, people)
    personas = await personas_of(tx, tenant_id, people, changes, now)
    rows = [
        {
            "lead_id": row.lead_id,
            "version": row.version,
            "before": reduced.before(row.before) | ({KEPT: personas[key]} if key in personas else {}),
        }
        for row in changes
        for key in [(row.lead_id, row.version)]
    ]
    await sql.write(tx, tenant_id, sql.ERASE_CHANGES, rows)
    steps = await sql.read(tx, tenant_id, sql.TRANSITIONS, people)
    moved = [
        {"journey_id": row.journey_id, "seq": row.seq, "evidence": reduced.evidence(row.evidence)} for row in steps
    ]
    await sql.write(tx, tenant_id, sql.ERASE_TRANSITIONS, moved)
    events = await sql.read(tx, tenant_id, sql.EVENTS, people)
    told = [{"seq": row.seq, "data": minified(reduced.event(row.type, orjson.loads(row.data)))} for row in events]
    await sql.write(tx, tenant_id, sql.ERASE_EVENTS, told)
    return personas


async def _erase_submissions(tx: Tx, tenant_id: UUID, people: Sequence[UUID]) -> set[Name]:
    """Erases the items of these leads and the bodies that they came in; the names of the senders' keys."""
    parts = await sql.read(tx, tenant_id, sql.PARTS, people)
    await erase_bodies(tx, tenant_id, [(row, row.places) for row in parts])
    items = [
        {"submission_id": row.id, "index": place, "submission_key": own_key(row.id, place)}
        for row in parts
        for place in row.places
    ]
    await sql.write(tx, tenant_id, sql.ERASE_ITEMS, items)
    return {
        named_submission(row.source_id, key.partition(KEY_SEPARATOR)[0]) for row in parts for key in row.sent if key
    }


def _called(leads: Sequence[Record]) -> list[str]:
    """What an account of the person may be called."""
    return sorted({str(row.fields[name]) for row in leads for name in NAMES if row.fields.get(name)})


def _name(row: Record) -> Name:
    key = (row.kind, row.namespace, row.value)
    return named_shared(key) if row.shared else key


def _key(name: Name) -> Name:
    """The identity itself, as it is locked."""
    return name[0].rpartition(" ")[2], name[1], name[2]


def _event(lead_id: UUID, version: int, now: datetime) -> NewEvent:
    return NewEvent("lead.erased", {"lead_id": ids.show("lead", lead_id)}, now, lead_id=lead_id, lead_version=version)
