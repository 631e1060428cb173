"""Finds the lead of a submission by its identities: the first match decides, other leads are conflicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal
from uuid import UUID

from app.matching.names import compatible_names, same_name
from app.matching.person import Identity, Person

Reason = Literal["external", "email", "phone", "social", "email_other_name", "phone_other_name"]
_ORDER: Final = {"external": 0, "email": 1, "phone": 2, "social": 3}
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


RowsByKey = dict[tuple[str, str, str], list[Candidate]]


@dataclass(frozen=True, slots=True)
class Conflict:
    """Another lead that may be the same person, and by which key; reported as `duplicate_suspected`."""

    lead_id: UUID
    reason: Reason


@dataclass(frozen=True, slots=True)
class Match:
    """The matched lead, None for a new one, and the conflicting leads.

    `new_identities` are those to add to the lead: it does not have them, and no other lead has them exclusively.
    """

    lead_id: UUID | None
    conflicts: tuple[Conflict, ...] = ()
    new_identities: tuple[Identity, ...] = ()


def keys(person: Person) -> tuple[Identity, ...]:
    """The identities to look up and to lock, in the order in which they decide."""
    return tuple(sorted(person.identities, key=lambda identity: (_ORDER[identity.kind], not identity.primary)))


def resolve(person: Person, candidates: Iterable[Candidate]) -> Match:
    """Match by external id, exact e-mail (a role mailbox only with the same name), phone and name, or social handle.

    Identities that match different leads never merge them: the match by e-mail wins, else the first in order. Of
    several leads with one identity the one with an open journey wins, else the latest activity. A phone or mailbox
    with a different name is a conflict, not a match.
    """
    rows_by_key: RowsByKey = {}
    for candidate in candidates:
        rows_by_key.setdefault((candidate.kind, candidate.namespace, candidate.value), []).append(candidate)
    matches: list[Conflict] = []
    others: list[Conflict] = []
    for identity in keys(person):
        for candidate in sorted(rows_by_key.get(identity.key, ()), key=_newest_first):
            if _is_same(person, identity, candidate):
                matches.append(Conflict(candidate.lead_id, identity.kind))
            else:
                reason: Reason = "phone_other_name" if identity.kind == "phone" else "email_other_name"
                others.append(Conflict(candidate.lead_id, reason))
    first = next((one for one in matches if one.reason == "email"), matches[0] if matches else None)
    winner = first.lead_id if first else None
    # Reversed, because a dict keeps the last value of a key and the first reason of each lead shall count.
    conflicts = {one.lead_id: one for one in reversed(matches + others) if one.lead_id != winner}
    return Match(winner, tuple(reversed(conflicts.values())), tuple(_new(person, rows_by_key, winner)))


def _newest_first(candidate: Candidate) -> tuple[bool, float, str]:
    latest = candidate.latest_activity_at or _MIN_INSTANT
    return not candidate.open_journey, -(latest - _MIN_INSTANT).total_seconds(), str(candidate.lead_id)


def _is_same(person: Person, identity: Identity, candidate: Candidate) -> bool:
    names = person.first_name, person.last_name, candidate.first_name, candidate.last_name
    if identity.kind == "email" and identity.shared:
        return same_name(*names)
    # A secondary address may be a colleague's: like a phone, it matches only with a compatible name.
    needs_name = identity.kind == "phone" or (identity.kind == "email" and not identity.primary)
    return not needs_name or compatible_names(*names)


def _new(person: Person, rows_by_key: RowsByKey, winner: UUID | None) -> Iterator[Identity]:
    for identity in person.identities:
        holders = {candidate.lead_id for candidate in rows_by_key.get(identity.key, ())}
        if winner not in holders and (identity.shared or not holders):
            yield identity
