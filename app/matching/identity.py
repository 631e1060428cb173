"""Whose submission is it? Ordered strong keys; the first that hits decides, and what disagrees is told."""

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
_LONG_AGO: Final = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Candidate:
    """One identity row found in the database, with what is needed of its lead. A merged lead is its survivor here."""

    kind: str
    namespace: str
    value: str
    lead_id: UUID
    first_name: str | None = None
    last_name: str | None = None
    open_journey: bool = False
    latest_activity_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Conflict:
    """Another lead that may be the same person, and by which key: to be reported as `duplicate_suspected`."""

    lead_id: UUID
    reason: Reason


@dataclass(frozen=True, slots=True)
class Match:
    """The lead a person is, or None for a new one; and the leads that disagree.

    `new_identities` are those of the person that no other lead holds alone and the matched lead does not hold yet.
    """

    lead_id: UUID | None
    conflicts: tuple[Conflict, ...] = ()
    new_identities: tuple[Identity, ...] = ()


def keys(person: Person) -> tuple[Identity, ...]:
    """The identities to look up and to lock, in the order in which they decide."""
    return tuple(sorted(person.identities, key=lambda identity: (_ORDER[identity.kind], not identity.primary)))


def resolve(person: Person, candidates: Iterable[Candidate]) -> Match:
    """Whose the person is: external id, exact e-mail (a role mailbox only with the same name), phone and name, social.

    Keys that point at different leads never merge them: the match of the e-mail wins, else the first in order. Of
    several leads under one key the one with an open journey wins, else the latest activity. Phone or mailbox alone
    with another name is no match but a conflict.
    """
    held: dict[tuple[str, str, str], list[Candidate]] = {}
    for candidate in candidates:
        held.setdefault((candidate.kind, candidate.namespace, candidate.value), []).append(candidate)
    hits: list[Conflict] = []
    others: list[Conflict] = []
    for identity in keys(person):
        for candidate in sorted(held.get(identity.key, ()), key=_newest_first):
            if _is_same(person, identity, candidate):
                hits.append(Conflict(candidate.lead_id, identity.kind))
            else:
                reason: Reason = "phone_other_name" if identity.kind == "phone" else "email_other_name"
                others.append(Conflict(candidate.lead_id, reason))
    first = next((hit for hit in hits if hit.reason == "email"), hits[0] if hits else None)
    winner = first.lead_id if first else None
    # The first reason of each lead counts, and a dict keeps the last one it is given.
    conflicts = {one.lead_id: one for one in reversed(hits + others) if one.lead_id != winner}
    return Match(winner, tuple(reversed(conflicts.values())), tuple(_new(person, held, winner)))


def _newest_first(candidate: Candidate) -> tuple[bool, float, str]:
    latest = candidate.latest_activity_at or _LONG_AGO
    return not candidate.open_journey, -(latest - _LONG_AGO).total_seconds(), str(candidate.lead_id)


def _is_same(person: Person, identity: Identity, candidate: Candidate) -> bool:
    names = person.first_name, person.last_name, candidate.first_name, candidate.last_name
    if identity.kind == "email" and identity.shared:
        return same_name(*names)
    # A second address in a cell may be a colleague's: it needs a name that agrees, as a phone does.
    needs_name = identity.kind == "phone" or (identity.kind == "email" and not identity.primary)
    return not needs_name or compatible_names(*names)


def _new(person: Person, held: dict[tuple[str, str, str], list[Candidate]], winner: UUID | None) -> Iterator[Identity]:
    for identity in person.identities:
        holders = {candidate.lead_id for candidate in held.get(identity.key, ())}
        if winner not in holders and (identity.shared or not holders):
            yield identity
