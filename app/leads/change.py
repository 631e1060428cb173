"""Change one lead: fields, custom fields, owner, activities. The lead is evaluated in the same transaction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from app.database.plain_json import write_json
from app.database.transaction import Record, Tx
from app.errors import IdentityTaken, RequestInvalid
from app.journeys.apply import reassign
from app.journeys.evaluate import evaluate
from app.journeys.load import begin_change, begin_changes, read_unmerged
from app.journeys.owner import named_owner
from app.journeys.record import record_or_refresh
from app.journeys.state import Change, Owner
from app.leads import duplicates_sql, sql
from app.leads.absorb import (
    MAX_CUSTOM,
    add_updated_event,
    flag_email,
    set_field,
    set_flag,
    set_raw,
)
from app.leads.contact_consents import carry_to_contacts
from app.leads.duplicates import Alike, Pairs, flag_duplicates, mark_shared_phone, pair_of, strongest
from app.leads.known_contact import link_known_contacts
from app.leads.unreadable import unreadable
from app.leads.withdrawals import withdrawals_of
from app.matching.company import is_web_address, organization_domain
from app.matching.derive import rederived
from app.matching.identity import Candidate, Conflict, resolve
from app.matching.likeness import Subject
from app.matching.normalize import normalize
from app.matching.person import Identity, Person
from app.web.auth import Caller

API = "api"
COMPARED = {"email", "first_name", "last_name", "full_name", "company", "domain", "website"}


async def patch_lead(
    tx: Tx, caller: Caller, lead_id: UUID, body: Mapping[str, Any], expected: frozenset[str] | None, now: datetime
) -> Change:
    """Merges the members; null empties one. A new e-mail or phone becomes primary, the old one stays.

    Raises IdentityTaken for an address that another lead has, and the problems of `_check_readable`.
    """
    given = dict(body.get("fields") or {})
    known = await sql.phone_of(tx, caller.tenant_id, lead_id) if given.get("phone") or given.get("country") else None
    person = _read(given, known)
    _check_readable(given, person)
    fields = _with_unread_phone(given, known)
    person = person if fields is given else _read(fields, known)
    await sql.lock_identities(tx, caller.tenant_id, [identity.key for identity in person.identities])
    holders = await _other_holders(tx, caller.tenant_id, lead_id, person)
    alike = await _alike(tx, caller.tenant_id, lead_id, body, person, now)
    change, others = await _begin(tx, caller, lead_id, holders, alike, expected, now)
    if fields is not given and change.lead.fields.get("phone"):  # another request has set one since
        fields, person = given, _read(given, known)
    added = {one.key for one in person.identities} - {one.key for one in change.lead.identities}
    await _identities(tx, caller.tenant_id, change, person)
    withdrawn = await withdrawals_of(tx, caller.tenant_id, change.new_identities)
    withdrawn.apply(change, change.new_identities)
    _fields(change, fields, person)
    if "phone" in fields:
        is_shared = any(one.value == person.fields.get("phone") for one in holders)
        set_flag(change, "phone_status", "shared" if is_shared else person.phone_status)
    if change.before.get("fields", {}).keys() & {"email", "phone", "first_name", "last_name", "full_name"}:
        named = replace(person, fields=change.lead.fields)
        await link_known_contacts(tx, caller.tenant_id, [(change, named)])
    conflicts = _conflicts(change, [one for one in holders if (one.kind, "", one.value) in added])
    _custom(change, body.get("custom") or {})
    pairs = await _flag(tx, caller.tenant_id, change, strongest([*conflicts, *alike]), others)
    if "owner_id" in body:
        _owner(change, await named_owner(tx, caller.tenant_id, body["owner_id"]))
    add_updated_event(change)
    numbers = {one.value for one in holders}
    for other in others.values():
        mark_shared_phone(other, numbers)
    changes = [change, *others.values()]
    for one in changes:
        evaluate(one)
    await record_or_refresh(tx, caller.tenant_id, changes)
    await duplicates_sql.keep_pairs(tx, caller.tenant_id, pairs.rows(), now)
    await carry_to_contacts(tx, caller.tenant_id, [change], now)
    return change


async def _alike(
    tx: Tx, tenant_id: UUID, lead_id: UUID, body: Mapping[str, Any], person: Person, now: datetime
) -> tuple[Conflict, ...]:
    """The other leads that the lead will be like, if what is compared changes. Read before the lead is locked, since
    the others are locked with it, in ascending id."""
    if not (COMPARED & (body.get("fields") or {}).keys() or "city" in (body.get("custom") or {})):
        return ()
    before = (await read_unmerged(tx, tenant_id, lead_id, now)).lead
    emails = [one.value for one in (*before.identities, *person.identities) if one.kind == "email" and not one.shared]
    custom = {**before.custom, **(body.get("custom") or {})}
    subject = Subject.of({**before.fields, **person.fields}, dict.fromkeys(emails), custom)
    found = Alike(await duplicates_sql.alike(tx, tenant_id, [subject]))
    return strongest(found.conflicts(subject, lead_id))


async def _flag(
    tx: Tx, tenant_id: UUID, change: Change, conflicts: Sequence[Conflict], others: Mapping[UUID, Change]
) -> Pairs:
    """Flags the lead as a possible duplicate where that is news, and the other leads; the pairs to store."""
    wanted = {pair_of(change.lead.id, conflict.lead_id) for conflict in conflicts}
    pairs = Pairs(await duplicates_sql.pairs(tx, tenant_id, wanted))
    flag_duplicates(change, pairs.sift(change.lead.id, conflicts), others)
    return pairs


def _read(fields: Mapping[str, Any], known: Record | None) -> Person:
    answers = {name: value for name, value in fields.items() if value is not None}
    return normalize(answers, {}, known.country if known else None)


def _with_unread_phone(fields: dict[str, Any], known: Record | None) -> dict[str, Any]:
    """The fields, and with a new country the number that was typed before and could not be read without it."""
    if known is None or "phone" in fields or known.phone or not known.typed:
        return fields
    again = {**fields, "phone": known.typed}
    return again if "phone" in _read(again, None).fields else fields


def _check_readable(fields: Mapping[str, Any], person: Person) -> None:
    """Raises RequestInvalid for an address, number, domain or website that is none."""
    read = dict(person.fields)
    if organization_domain((fields.get("domain"),)) is None:
        read.pop("domain", None)  # it is that of the e-mail
    if is_web_address(fields.get("website") or ""):
        read["website"] = fields["website"]  # a profile is a handle and no website
    else:
        read.pop("website", None)
    if errors := unreadable(fields, read):
        raise RequestInvalid(f"{errors[0]['field']}: {errors[0]['detail']}", errors=errors)


async def _other_holders(tx: Tx, tenant_id: UUID, lead_id: UUID, person: Person) -> list[Candidate]:
    """The other leads that have one of the phones."""
    phones = [one for one in person.identities if one.kind == "phone"]
    return [one for one in await sql.candidates(tx, tenant_id, phones) if one.lead_id != lead_id]


async def _begin(
    tx: Tx,
    caller: Caller,
    lead_id: UUID,
    holders: Sequence[Candidate],
    alike: Sequence[Conflict],
    expected: frozenset[str] | None,
    now: datetime,
) -> tuple[Change, dict[UUID, Change]]:
    """Locks the lead, and those that may change with it, in ascending id: of the holders of its phones whoever had one
    alone, or is not flagged as a possible duplicate, and the leads that it is like."""
    counts = Counter(one.value for one in holders)
    changing = {one.lead_id for one in holders if counts[one.value] == 1 or not one.suspected}
    named = sorted(changing | {one.lead_id for one in alike})
    before = [other_id for other_id in named if other_id < lead_id]
    others = await begin_changes(tx, caller.tenant_id, before, now, caller.actor)
    change = await begin_change(
        tx, caller.tenant_id, lead_id, now, actor=caller.actor, on_behalf_of=caller.on_behalf_of, expected=expected
    )
    others |= await begin_changes(tx, caller.tenant_id, named[len(before) :], now, caller.actor)
    for other in others.values():
        other.on_behalf_of = caller.on_behalf_of
    return change, others


def _conflicts(change: Change, holders: Sequence[Candidate]) -> tuple[Conflict, ...]:
    """The other leads with a new phone, each with the reason why it may be the same person, or is not."""
    lead = change.lead
    match = resolve(Person(lead.fields, identities=tuple(lead.identities), kind=lead.kind), holders)
    same = () if match.lead_id is None else (Conflict(match.lead_id, "phone"),)
    return same + match.conflicts


async def _identities(tx: Tx, tenant_id: UUID, change: Change, person: Person) -> None:
    """Makes the first e-mail and phone primary and adds further addresses of the same field as identities."""
    for kind in ("email", "phone"):
        named = [one for one in person.identities if one.kind == kind]
        for identity in named:
            await _check_free(tx, tenant_id, change, identity)
        if named:
            _make_primary(change, named[0])
            _add(change, named[1:])


async def _check_free(tx: Tx, tenant_id: UUID, change: Change, identity: Identity) -> None:
    holder = None if identity.shared else await sql.holder_of(tx, tenant_id, identity)
    if holder is not None and holder != change.lead.id:
        raise IdentityTaken(f"Another lead has this {identity.kind}.", field=f"fields.{identity.kind}")


def _make_primary(change: Change, identity: Identity) -> None:
    lead = change.lead
    primary = replace(identity, primary=True)
    alike = [one for one in lead.identities if one.kind == identity.kind]
    if any(one.primary and one.key == identity.key for one in alike):
        return
    for known in alike:
        lead.identities.remove(known)
        if known.key != identity.key:
            lead.identities.append(replace(known, primary=False))
            if known.primary:
                change.new_identities.append(replace(known, primary=False))
    lead.identities.append(primary)
    change.new_identities.append(primary)


def _add(change: Change, identities: Sequence[Identity]) -> None:
    known = {one.key for one in change.lead.identities}
    added = [replace(one, primary=False) for one in identities if one.key not in known]
    change.lead.identities.extend(added)
    change.new_identities.extend(added)


def _fields(change: Change, fields: Mapping[str, Any], person: Person) -> None:
    before = dict(change.lead.fields)
    for name, typed in fields.items():
        given = None if isinstance(typed, str) and not typed.strip() else typed
        value = None if given is None else person.fields.get(name, given)
        if value is None or value != before.get(name):
            set_field(change, name, value)
            set_raw(change, name, person.raw.get(name))
    for name, value in rederived(before, change.lead.fields, fields).items():
        set_field(change, name, value)
        set_raw(change, name, None)
    if "email" in fields:
        flag_email(change, person)


def _custom(change: Change, custom: Mapping[str, Any]) -> None:
    known = change.lead.custom
    # As JSON, since Python takes 1 and True for the same.
    changed = [name for name, value in custom.items() if write_json(known.get(name)) != write_json(value)]
    if not changed:
        return
    change.before["custom"] = dict(known)
    merged = {**known, **custom}
    change.lead.custom = {name: value for name, value in merged.items() if value is not None}
    if len(change.lead.custom) > max(MAX_CUSTOM, len(known)):
        raise RequestInvalid.of("custom", "too_many_members", f"a lead may have at most {MAX_CUSTOM} custom fields")
    change.changed.extend(f"custom.{name}" for name in changed)


def _owner(change: Change, owner: Owner | None) -> None:
    before = change.lead.owner
    if (before.id if before else None) != (owner.id if owner else None):
        reassign(change, owner)
