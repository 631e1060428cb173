"""What an item is whose key another item has: the same again, a revision of it, or a submission of somebody else.

A revision and a submission of somebody else are stored under the sender's key with a suffix, made from the content or
from the person. So the unique index decides between repeats of these too (docs/decisions/0023).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

from app.database.transaction import Tx
from app.leads import sql as leads_sql
from app.leads.counting_consents import REFUSALS
from app.matching.identity import is_one_person
from app.matching.person import Identity, Person
from app.sources.item import KEY_SEPARATOR, item_to_json
from app.sources.mapping import REPEAT_WINDOW
from app.submissions import sql
from app.submissions.entries import ARRIVING, TAKING, Entry

Key = tuple[UUID, str]
UPDATING: Final = frozenset({"activity", "consent"})
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
    received = {key: (row.received_at, is_taken(row, "lead")) for key, row in held.items()}
    return [_recent(entry, received) if _is_unnamed(entry) else entry for entry in entries]


def _is_unnamed(entry: Entry) -> bool:
    return bool(entry.item.repeat_keys) and entry.verdict != "quarantined"


def _nearby_keys(entry: Entry) -> list[Key]:
    return [entry.key, *((entry.source.id, key) for key in entry.item.repeat_keys)]


def _recent(entry: Entry, received: dict[Key, tuple[datetime, bool]]) -> Entry:
    """The entry with the key of the first that has its content, if that is near enough; else its own key is that.

    `received`: when the holder of each key came, and whether it was taken: what takes a lead repeats only such.
    """
    takes = entry.item.verdict in TAKING
    for key in _nearby_keys(entry):
        first_at, is_taken = received.get(key, (None, False))
        if first_at is not None and (is_taken or not takes) and abs(entry.received_at - first_at) <= REPEAT_WINDOW:
            return replace(entry, item=replace(entry.item, submission_key=key[1]))
    received[entry.key] = entry.received_at, takes
    return entry


class Held(Protocol):
    """An item that was processed under a key."""

    @property
    def submission_id(self) -> UUID: ...
    @property
    def place(self) -> int: ...
    @property
    def submission_key(self) -> str: ...
    @property
    def verdict(self) -> str: ...
    @property
    def mapped(self) -> Mapping[str, Any] | None: ...
    @property
    def lead_id(self) -> UUID | None: ...
    @property
    def received_at(self) -> datetime: ...


async def with_own_keys(tx: Tx, tenant_id: UUID, entries: Sequence[Entry]) -> tuple[list[Entry], list[Entry]]:
    """Divides entries whose keys are taken: those with another key to be tried, and duplicates.

    What holds a key and made nothing, such as spam, releases it for what makes something: that is tried again with it.
    """
    taken = await takers(tx, tenant_id, entries)
    unknown = [
        entry for entry, (first, _) in zip(entries, taken, strict=True) if _is_of_unknown(first, entry.item.verdict)
    ]
    known = await _known(tx, tenant_id, unknown)
    idle: dict[Key, Held] = {}
    found: list[Entry] = []
    for entry, (first, history) in zip(entries, taken, strict=True):
        if first is not None and leaves_key(first, entry.item.verdict, is_known=entry.key in known):
            idle[entry.key] = first
            found.append(entry)
        else:
            found.append(compared(entry, first, history))
    await sql.release_keys(tx, tenant_id, [(one.submission_id, one.place, one.submission_key) for one in idle.values()])
    return [entry for entry in found if not entry.duplicate], [entry for entry in found if entry.duplicate]


def is_taken(first: Held, verdict: str) -> bool:
    """Whether a stored item made or touched a lead, or will; for all but a lead, also what somebody unknown refused."""
    if first.lead_id is not None or first.verdict == "fetch" or first.mapped is None:
        return True
    refuses = first.verdict == "consent" and any(one["state"] in REFUSALS for one in first.mapped.get("consent", ()))
    return refuses and verdict != "lead"


def leaves_key(first: Held, verdict: str, *, is_known: bool) -> bool:
    """Whether the first releases its key to an item with this verdict. `is_known`: whether its person is known now."""
    if verdict not in TAKING or is_taken(first, verdict):
        return False
    return is_known or not _is_of_unknown(first, verdict)


def _is_of_unknown(first: Held | None, verdict: str) -> bool:
    """Whether both are activities or consents, of which the first was of somebody unknown."""
    return first is not None and first.lead_id is None and {first.verdict, verdict} <= UPDATING


async def _known(tx: Tx, tenant_id: UUID, entries: Sequence[Entry]) -> set[Key]:
    """The keys of those entries whose person there may be by now."""
    people = {entry.key: entry.item.person.identities for entry in entries if entry.item.person}
    wanted = [one for identities in people.values() for one in identities]
    found = await leads_sql.candidates(tx, tenant_id, wanted) if wanted else []
    leads = {(one.kind, one.namespace, one.value) for one in found}
    return {key for key, identities in people.items() if any(one.key in leads for one in identities)}


async def takers(tx: Tx, tenant_id: UUID, entries: Sequence[Entry]) -> list[tuple[Held | None, list[Held]]]:
    """For each entry the item that has its key, and all that came under the sender's key for its lead, in order."""
    held = await sql.held_items(tx, tenant_id, {entry.key for entry in entries})
    wanted = {
        (entry.source.id, entry.item.submission_key, held[entry.key].lead_id) for entry in entries if entry.key in held
    }
    names = ("source_id", "key", "lead_id")
    known: dict[Any, list[Held]] = {}
    for row in await sql.histories(tx, tenant_id, [dict(zip(names, one, strict=True)) for one in wanted if one[2]]):
        known.setdefault((row.source_id, row.key, row.lead_id), []).append(row)
    found: list[tuple[Held | None, list[Held]]] = []
    for entry in entries:
        first = held.get(entry.key)
        of_lead = (entry.source.id, entry.item.submission_key, first.lead_id if first else None)
        found.append((first, known.get(of_lead, [])))
    return found


def compared(entry: Entry, first: Held | None, history: Sequence[Held]) -> Entry:
    """The entry as a duplicate of the first that has its key, as its revision, or as a submission of its own.

    `history`: what came under the sender's key for the lead of the first, the first included, in order.
    """
    if first is None:
        return entry  # what had its key was quarantined meanwhile, and has none: the entry is tried again with it
    if entry.item.verdict not in TAKING and first.received_at > entry.received_at:
        return entry.apart()  # it is replayed, and what has its key came later
    if first.mapped is None or entry.item.verdict not in ARRIVING:
        return replace(entry, duplicate=True)
    past = history or [first]
    equal = [one for one in past if _is_same_content(entry, one.mapped or {})]
    if equal and _is_repeated(entry, equal[-1], past[-1]):
        return replace(entry, duplicate=True)
    person = entry.item.person or Person()
    if first.lead_id is not None and is_one_person(person, _person_of(first.mapped)):
        digest = entry.item.content_sha256
        if equal:  # it goes back to what was before: the content alone would be a key that is taken
            digest = hashlib.sha256(f"{digest}|{past[-1].submission_key}".encode()).hexdigest()
        suffix = f"{KEY_SEPARATOR}revised-{digest[:32]}"
        return replace(entry, key_suffix=suffix, revised_lead_id=first.lead_id, revises=first.submission_id)
    if entry.key_suffix:
        return replace(entry, duplicate=True)
    return replace(entry, key_suffix=f"{KEY_SEPARATOR}reused-{_digest_of(person)}", reused=True)


def _is_repeated(entry: Entry, equal: Held, latest: Held) -> bool:
    """Whether an item with the content of an earlier one is the same delivery again, and not a revision back to it.

    It is where nothing else came between; else by its own time, if that of the latest item is another; else if it came
    within ten minutes of the earlier one.
    """
    if equal.submission_key == latest.submission_key:
        return True
    said, said_last = entry.item.occurred_at, _occurred_at(latest)
    if said != entry.received_at and said_last not in (None, latest.received_at, said):
        return said_last is not None and said < said_last
    return entry.received_at - equal.received_at <= REPEAT_WINDOW


def _occurred_at(held: Held) -> datetime | None:
    written = (held.mapped or {}).get("occurred_at")
    return datetime.fromisoformat(written) if written else None


def _is_same_content(entry: Entry, first: Mapping[str, Any]) -> bool:
    """Whether the item is equal as received, or in all that the mapping read (a delivery may have its own time)."""
    if entry.item.repeat_keys or first.get("content_sha256") == entry.item.content_sha256:
        return True
    mapped: Mapping[str, Any] = item_to_json(entry.item)
    return all(mapped[name] == first.get(name) for name in CONTENT)


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
