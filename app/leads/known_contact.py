"""A form of somebody who is a contact already: the lead is linked to the contact and its account, and flagged."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from app.database.transaction import Record, Tx
from app.journeys.state import Change
from app.leads import sql
from app.leads.absorb import add_updated_event, mark_changed, set_flag
from app.matching.name_key import name_key, same_name
from app.matching.person import Person


async def link_known_contacts(tx: Tx, tenant_id: UUID, arrived: Sequence[tuple[Change, Person]]) -> None:
    """Links each lead without a contact to the live one that has the address of the arrival."""
    asked = [(change, person, _address(person)) for change, person in arrived if change.lead.contact_id is None]
    contacts = await sql.contacts_by_email(tx, tenant_id, {key for _, _, key in asked if key is not None})
    for change, person, key in asked:
        contact = contacts.get(key) if key is not None else None
        if contact is not None and change.lead.contact_id is None and _is_of(person, contact):
            _link(change, contact)


def _address(person: Person) -> str | None:
    """The first address; further ones in the same field may be a colleague's."""
    return next((one.value for one in person.identities if one.kind == "email" and one.primary), None)


def _is_of(person: Person, contact: Record) -> bool:
    """As in a conversion: an address decides, that of a role mailbox only together with the same name."""
    if not person.role_mailbox:
        return True
    return same_name(person.name_key, name_key(contact.first_name, contact.last_name, contact.full_name))


def _link(change: Change, contact: Record) -> None:
    lead = change.lead
    lead.contact_id, lead.account_id = contact.id, lead.account_id or contact.account_id
    set_flag(change, "known_contact", True)
    if not lead.new:
        mark_changed(change, "known_contact")
        add_updated_event(change)
