"""A form of somebody who is a contact already: the lead is linked to the contact and its account, and flagged."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from uuid import UUID

from app.database.transaction import Record, Tx
from app.journeys.state import Change
from app.leads import sql
from app.leads.absorb import add_updated_event, mark_changed, set_flag
from app.matching.name_key import compare, name_key, same_name
from app.matching.person import Person


async def link_known_contacts(tx: Tx, tenant_id: UUID, arrived: Sequence[tuple[Change, Person]]) -> None:
    """Links each lead without a contact to the live one that has the address of the arrival, or its number and name."""
    asked = [(change, person) for change, person in arrived if change.lead.contact_id is None]
    emails = {key for _, person in asked if (key := _address(person)) is not None}
    phones = {phone for _, person in asked if (phone := _number(person)) is not None}
    contacts = await sql.contacts_known_by(tx, tenant_id, emails, phones)
    for change, person in asked:
        contact = _contact_of(person, contacts)
        if contact is not None and change.lead.contact_id is None:
            _link(change, contact)


def _address(person: Person) -> str | None:
    """The first address; further ones in the same field may be a colleague's."""
    return next((one.value for one in person.identities if one.kind == "email" and one.primary), None)


def _number(person: Person) -> str | None:
    """The telephone number, which names a person only together with a whole name."""
    phone = person.fields.get("phone")
    return str(phone) if phone and person.name_key.is_whole else None


def _contact_of(person: Person, contacts: Iterable[Record]) -> Record | None:
    """As people are matched: an address decides, that of a role mailbox only together with the same name; then a number
    with the same first and last name, if one contact alone has both."""
    address, number, name = _address(person), _number(person), person.name_key
    named = [(one, name_key(one.first_name, one.last_name, one.full_name)) for one in contacts]
    for contact, theirs in named:
        if contact.email_key == address is not None and (not person.role_mailbox or same_name(name, theirs)):
            return contact
    alike = [one for one, theirs in named if one.phone == number is not None and compare(name, theirs) == "same"]
    return alike[0] if len(alike) == 1 else None


def _link(change: Change, contact: Record) -> None:
    lead = change.lead
    lead.contact_id, lead.account_id = contact.id, lead.account_id or contact.account_id
    set_flag(change, "known_contact", True)
    if not lead.new:
        mark_changed(change, "known_contact")
        add_updated_event(change)
