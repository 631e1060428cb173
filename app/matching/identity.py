"""Finds the lead of a submission by its identities: the first match decides, other leads are conflicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal
from uuid import UUID

from app.matching.name_key import NameKey, compare, name_key, same_name
from app.matching.person import Identity, LeadKind, Person

Reason = Literal[
    "external",
    "email",
    "phone",
    "social",
    "domain",
    "external_other_person",
    "social_other_person",
    "email_other_name",
    "phone_other_name",
    "phone_other_email",
    "phone_shared",
    "organization",
    "email_alike",
    "name_company",
    "name_city",
]
_ORDER: Final = {"external": 0, "email": 1, "phone": 2, "social": 3, "domain": 4}
_MIN_INSTANT: Final = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One identity row found in the database, with fields of its lead; for a merged lead, of the surviving one."""

    kind: str
    namespace: str
    value: str
    lead_id: UUID
    first_name: str | None = None
    last_name: str | None = None
    open_journey: bool = False
    latest_activity_at: datetime | None = None
    full_name: str | None = None
    has_own_email: bool = False
    lead_kind: LeadKind = "person"
    has_email: bool = False  # one of its own or a role mailbox
    suspected: bool = False  # flagged as a possible duplicate already

    @property
    def name_key(self) -> NameKey:
        return name_key(self.first_name, self.last_name, self.full_name)


RowsByKey = dict[tuple[str, str, str], list[Candidate]]


@dataclass(frozen=True, slots=True)
class Conflict:
    """Another lead that may be the same person, and by which key; reported as `duplicate_suspected`."""

    lead_id: UUID
    reason: Reason
    score: int = 0  # of a likeness; that of an identity is the reason's


@dataclass(frozen=True, slots=True)
class Match:
    """The matched lead, None for a new one, and the conflicting leads.

    `new_identities` are those to add to the lead: it does not have them, and no other lead has them exclusively.
    `shared` are the keys of the person's identities that other leads have too.
    """

    lead_id: UUID | None
    conflicts: tuple[Conflict, ...] = ()
    new_identities: tuple[Identity, ...] = ()
    shared: frozenset[tuple[str, str, str]] = frozenset()


def keys(person: Person) -> tuple[Identity, ...]:
    """The identities to look up and to lock, in the order in which they decide."""
    return tuple(sorted(person.identities, key=lambda identity: (_ORDER[identity.kind], not identity.primary)))


def resolve(
    person: Person,
    candidates: Iterable[Candidate],
    earlier_lead_id: UUID | None = None,
    revised_lead_id: UUID | None = None,
) -> Match:
    """Match by external id, exact e-mail (a role mailbox only with the same name), phone, social handle, or domain.

    An external id or a handle never joins a person with another address and another name; that is a conflict.
    Identities that match different leads never merge them: the match by e-mail wins, else the first in order. Of
    several leads with one identity the one with an open journey wins, else the latest activity. A phone or mailbox
    of somebody else is a conflict, not a match. `earlier_lead_id`: the lead that this arrival had when it was
    processed before, whose phone others may have by now. `revised_lead_id`: the lead of the submission that this
    arrival revises, which it has whatever its identities are.
    """
    rows_by_key: RowsByKey = {}
    for candidate in candidates:
        rows_by_key.setdefault((candidate.kind, candidate.namespace, candidate.value), []).append(candidate)
    matches: list[Conflict] = []
    others: list[Conflict] = []
    for identity in keys(person):
        rows = rows_by_key.get(identity.key, [])
        for candidate in sorted(rows, key=_newest_first):
            reason = _why_not(person, identity, candidate, rows_by_key)
            if reason is None or (reason == "phone_shared" and candidate.lead_id == earlier_lead_id):
                matches.append(Conflict(candidate.lead_id, identity.kind))
            else:
                others.append(Conflict(candidate.lead_id, reason))
    first = next((one for one in matches if one.reason == "email"), matches[0] if matches else None)
    winner = revised_lead_id or (first.lead_id if first else None)
    # Reversed, because a dict keeps the last value of a key and the first reason of each lead shall count.
    conflicts = {one.lead_id: one for one in reversed(matches + others) if one.lead_id != winner}
    shared = frozenset(key for key, rows in rows_by_key.items() if any(row.lead_id != winner for row in rows))
    return Match(winner, tuple(reversed(conflicts.values())), tuple(_new(person, rows_by_key, winner)), shared)


def is_one_person(mine: Person, theirs: Person) -> bool:
    """Whether two submissions with one key are of one person; a missing part contradicts nothing."""
    names = compare(mine.name_key, theirs.name_key)
    my_keys, their_keys = ({one.key for one in person.identities} for person in (mine, theirs))
    common = my_keys & their_keys
    kinds = {key[:2] for key in my_keys} & {key[:2] for key in their_keys}
    own = {one.key for one in mine.identities if not one.shared} & common
    if any(kind == "email" for kind, _, _ in own):
        return True
    if ("email", "") in kinds and not any(kind == "email" for kind, _, _ in common):
        return names == "same" or (names == "open" and bool(own))
    if own or names != "open":
        return bool(own) or names == "same"
    return bool(common) or not kinds


def _newest_first(candidate: Candidate) -> tuple[bool, float, str]:
    latest = candidate.latest_activity_at or _MIN_INSTANT
    return not candidate.open_journey, -(latest - _MIN_INSTANT).total_seconds(), str(candidate.lead_id)


def _why_not(person: Person, identity: Identity, candidate: Candidate, rows_by_key: RowsByKey) -> Reason | None:
    """Why this identity does not make the person the candidate's; None where it does."""
    if identity.kind in ("external", "social") and _is_somebody_else(person, candidate, rows_by_key):
        return "external_other_person" if identity.kind == "external" else "social_other_person"
    # A secondary address may be a colleague's, so it does not decide alone either.
    is_exact = not identity.shared and (identity.kind != "email" or identity.primary)
    if is_exact:
        return None
    if not _fits_kind(person, candidate):
        return "organization"
    mine, theirs = person.name_key, candidate.name_key
    if identity.kind == "phone":
        return _why_not_by_phone(
            person, candidate, [row for row in rows_by_key[identity.key] if _fits_kind(person, row)]
        )
    is_same = same_name(mine, theirs) if identity.shared else compare(mine, theirs) != "other"
    return None if is_same else "email_other_name"


def _is_somebody_else(person: Person, candidate: Candidate, rows_by_key: RowsByKey) -> bool:
    """Whether both have an e-mail address and a name, and neither is the other's."""
    addresses = [one.key for one in person.identities if one.kind == "email"]
    is_common = any(row.lead_id == candidate.lead_id for key in addresses for row in rows_by_key.get(key, ()))
    is_other_address = bool(addresses) and candidate.has_email and not is_common
    return is_other_address and compare(person.name_key, candidate.name_key) == "other"


def _why_not_by_phone(person: Person, candidate: Candidate, holders: list[Candidate]) -> Reason | None:
    """ingestion.md, section 5, rule 4: whoever is matched wrongly cannot be told apart later."""
    names = compare(person.name_key, candidate.name_key)
    if names == "other":
        return "phone_other_name"
    if names == "open" and person.has_own_email and candidate.has_own_email:
        return "phone_other_email"
    return "phone_shared" if len({row.lead_id for row in holders}) > 1 else None


def _fits_kind(person: Person, candidate: Candidate) -> bool:
    """Whether what several share can make them one. It never does for two organizations, which have domains, nor
    for a person and an organization; a phone alone may be that of an organization."""
    return person.kind == "person" and (candidate.lead_kind == "person" or not person.names_somebody)


def _new(person: Person, rows_by_key: RowsByKey, winner: UUID | None) -> Iterator[Identity]:
    kinds = {row.lead_kind for rows in rows_by_key.values() for row in rows if row.lead_id == winner}
    for identity in person.identities:
        if identity.kind == "domain" and "person" in kinds:
            continue  # a person's lead, found by an external id, does not become its company's
        holders = {candidate.lead_id for candidate in rows_by_key.get(identity.key, ())}
        if winner not in holders and (identity.shared or not holders):
            yield identity
