"""What an item is whose key another item has: the same again, a revision of it, or a submission of somebody else.

A revision and a submission of somebody else are stored under the sender's key with a suffix, made from the content or
from the person. So the unique index decides between repeats of these too (docs/decisions/0023).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from app.database.transaction import Record, Tx
from app.leads import sql as leads_sql
from app.matching.identity import is_one_person
from app.matching.person import Identity, Person
from app.sources.item import KEY_SEPARATOR, item_to_json
from app.sources.mapping import REPEAT_WINDOW
from app.submissions import sql
from app.submissions.entries import ARRIVING, Entry

Key = tuple[UUID, str]
CONTENT: Final = ("fields", "raw", "secondary_emails", "external_ids", "attribution", "consent", "custom")


async def with_recent_keys(tx: Tx, tenant_id: UUID, entries: Sequence[Entry]) -> list[Entry]:
    """The entries; those without a sender's key have the key of the same content received up to ten minutes apart.

    The content is locked first, so that of two transactions with the same content the second sees that of the first.
    """
    unnamed = [entry for entry in entries if _is_unnamed(entry)]
    if not unnamed:
        return list(entries)
    contents = {("content", str(entry.source.id), entry.item.content_sha256) for entry in unnamed}
    await leads_sql.lock_identities(tx, tenant_id, list(contents))
    held = await sql.held_items(tx, tenant_id, {key for entry in unnamed for key in _nearby_keys(entry)})
    received = {key: row.received_at for key, row in held.items()}
    return [_recent(entry, received) if _is_unnamed(entry) else entry for entry in entries]


def _is_unnamed(entry: Entry) -> bool:
    return bool(entry.item.repeat_keys) and entry.verdict != "quarantined"


def _nearby_keys(entry: Entry) -> list[Key]:
    return [entry.key, *((entry.source.id, key) for key in entry.item.repeat_keys)]


def _recent(entry: Entry, received: dict[Key, datetime]) -> Entry:
    """The entry with the key of the first that has its content, if that is near enough; else its own key is that."""
    for key in _nearby_keys(entry):
        first_at = received.get(key)
        if first_at is not None and abs(entry.received_at - first_at) <= REPEAT_WINDOW:
            return replace(entry, item=replace(entry.item, submission_key=key[1]))
    received[entry.key] = entry.received_at
    return entry


async def with_own_keys(tx: Tx, tenant_id: UUID, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Divides entries whose keys are taken: those with another key to be tried, and duplicates."""
    held = await sql.held_items(tx, tenant_id, {entry.key for entry in entries})
    found = [_compared(entry, held.get(entry.key)) for entry in entries]
    return [entry for entry in found if not entry.duplicate], [entry for entry in found if entry.duplicate]


def _compared(entry: Entry, first: Record | None) -> Entry:
    """The entry as a duplicate of the first that has its key, as its revision, or as a submission of its own."""
    if first is None:
        return entry  # what had its key was quarantined meanwhile, and has none: the entry is tried again with it
    if first.verdict == "ignore" and entry.item.verdict in ARRIVING:
        return replace(entry, key_suffix=f"{KEY_SEPARATOR}arrived")  # a notice of it came before, such as its beginning
    if first.mapped is None or entry.item.verdict not in ARRIVING or _is_same_content(entry, first):
        return replace(entry, duplicate=True)
    person = entry.item.person or Person()
    if first.lead_id is not None and is_one_person(person, _person_of(first.mapped)):
        suffix = f"{KEY_SEPARATOR}revised-{entry.item.content_sha256[:32]}"
        return replace(entry, key_suffix=suffix, revised_lead_id=first.lead_id)
    if entry.key_suffix:
        return replace(entry, duplicate=True)
    return replace(entry, key_suffix=f"{KEY_SEPARATOR}reused-{_digest_of(person)}", reused=True)


def _is_same_content(entry: Entry, first: Record) -> bool:
    """Whether the item is equal as received, or in all that the mapping read (a delivery may have its own time)."""
    if entry.item.repeat_keys or first.mapped.get("content_sha256") == entry.item.content_sha256:
        return True
    mapped: Mapping[str, Any] = item_to_json(entry.item)
    return all(mapped[name] == first.mapped.get(name) for name in CONTENT)


def _person_of(mapped: Mapping[str, Any]) -> Person:
    """The person of a stored item; one that was stored without its identities is known by address and number."""
    fields = mapped["fields"]
    stored = mapped.get("identities")
    if stored is None:
        stored = [[kind, "", fields[kind], kind == "phone"] for kind in ("email", "phone") if fields.get(kind)]
    identities = (Identity(kind, namespace, value, shared=shared) for kind, namespace, value, shared in stored)
    return Person(fields, identities=tuple(identities))


def _digest_of(person: Person) -> str:
    """A digest of the most specific identity of the person: an address before a number, and the name."""
    order = {"email": 0, "external": 1, "phone": 2, "social": 3, "domain": 4}
    key = min((one.key for one in person.identities), key=lambda key: (order[key[0]], key))
    name = " ".join(person.name_key.words) if key[0] == "phone" else ""
    return hashlib.sha256("|".join((*key, name)).encode()).hexdigest()[:32]


def shown_key(stored: str | None) -> str | None:
    """The sender's key of a stored item."""
    return None if stored is None else stored.partition(KEY_SEPARATOR)[0]
