"""Capture: whose is it, and what does it change? One code path for submissions and `POST /v1/leads`, in batches.

The order of locks is that of promises.md, section 2: identity keys, then a fresh look, then leads in ascending id. With
the keys locked, nobody else can be making a lead of the same person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from app import ids
from app.database.transaction import Tx
from app.events.record import NewEvent
from app.journeys.evaluate import evaluate
from app.journeys.load import begin_changes
from app.journeys.record import settle
from app.journeys.state import Change, Lead
from app.leads import sql
from app.leads.absorb import Arrival, ArrivalActivity, absorb, raise_flag
from app.leads.older import know_older_keys
from app.matching.identity import Candidate, Match, keys, resolve
from app.matching.person import Identity, Person
from app.policies.published import Published, active
from app.policy.facts import Actor

__all__ = ["Arrival", "ArrivalActivity", "Captured", "capture"]

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Captured:
    """What became of one arrival: its lead, or why there is none (`identity_required`, `person_unknown`)."""

    lead_id: UUID | None
    created: bool = False
    reason: str | None = None
    change: Change | None = None


class Book:
    """Who holds which identity: what the database says, and what this batch has added to it."""

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self.held: dict[Key, list[Candidate]] = {}
        self.made: set[UUID] = set()
        for candidate in candidates:
            self.held.setdefault((candidate.kind, candidate.namespace, candidate.value), []).append(candidate)

    def resolve(self, person: Person) -> Match:
        return resolve(person, [found for identity in keys(person) for found in self.held.get(identity.key, ())])

    def enter(self, identities: Iterable[Identity], lead_id: UUID, person: Person) -> None:
        for identity in identities:
            entry = Candidate(*identity.key, lead_id, person.first_name, person.last_name, open_journey=True)
            self.held.setdefault(identity.key, []).append(entry)


async def capture(
    tx: Tx,
    tenant_id: UUID,
    arrivals: Sequence[Arrival],
    now: datetime,
    actor: Actor,
    on_behalf_of: Mapping[str, Any] | None = None,
) -> list[Captured]:
    """Each arrival on its lead, new or known, in one transaction; the answers in the order of the arrivals."""
    wanted = {identity.key: identity for arrival in arrivals for identity in arrival.person.identities}
    await sql.lock_identities(tx, tenant_id, list(wanted))
    book = Book(await sql.candidates(tx, tenant_id, list(wanted.values())))
    policy = await active(tx, tenant_id)
    placed = [_place(book, arrival) for arrival in arrivals]
    known = sorted({match.lead_id for match, new in placed if match.lead_id is not None and not new})
    changes = await begin_changes(tx, tenant_id, known, now, actor)
    named = (
        (match.lead_id, one.activity.key) for (match, _), one in zip(placed, arrivals, strict=True) if one.activity
    )
    await know_older_keys(tx, tenant_id, changes, named)
    answers = [_take(changes, policy, one, arrival, now, actor) for one, arrival in zip(placed, arrivals, strict=True)]
    touched = list({id(found.change): found.change for found in answers if found.change is not None}.values())
    for change in touched:
        change.on_behalf_of = on_behalf_of
        evaluate(change)
    await settle(tx, tenant_id, touched)
    return answers


def _place(book: Book, arrival: Arrival) -> tuple[Match, bool]:
    """The match of an arrival, entered into the book; True where the lead is made by this very arrival or batch."""
    match = book.resolve(arrival.person)
    if match.lead_id is not None:
        book.enter(match.new_identities, match.lead_id, arrival.person)
        return match, match.lead_id in book.made
    if not arrival.create or not arrival.person.identities:
        return match, False
    made = Match(ids.new_id(), match.conflicts, match.new_identities)
    assert made.lead_id is not None
    book.made.add(made.lead_id)
    book.enter(made.new_identities, made.lead_id, arrival.person)
    return made, True


def _take(
    changes: dict[UUID, Change],
    policy: Published,
    placed: tuple[Match, bool],
    arrival: Arrival,
    now: datetime,
    actor: Actor,
) -> Captured:
    match, made = placed
    if match.lead_id is None:
        return Captured(None, reason="person_unknown" if arrival.person.identities else "identity_required")
    created = made and match.lead_id not in changes
    if created:
        lead = Lead(match.lead_id, created_at=now, updated_at=now, source_id=arrival.source_id, new=True)
        changes[match.lead_id] = Change(lead, policy, None, now, actor)
    change = changes.get(match.lead_id)
    if change is None:
        return Captured(None, reason="lead_gone")
    absorb(change, arrival, match.new_identities, actor)
    _suspect(change, match, now)
    return Captured(match.lead_id, created, change=change)


def _suspect(change: Change, match: Match, now: datetime) -> None:
    """Keys that point at another lead never merge the two: they are told of."""
    if not match.conflicts:
        return
    others = [
        {"lead_id": ids.show("lead", conflict.lead_id), "reason": conflict.reason} for conflict in match.conflicts
    ]
    raise_flag(change, "duplicate_suspected")
    data = {"lead_id": ids.show("lead", change.lead.id), "candidates": others}
    change.early_events.append(NewEvent("lead.duplicate_suspected", data, now))
