"""Capture: match each arrival to a lead or create one, in batches. Submissions and `POST /v1/leads` both use it.

The order of locks is that of promises.md, section 2: identity keys, then leads in ascending id. Matches are read after
the keys are locked, so that no concurrent transaction can create a second lead for the same person.
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
from app.journeys.record import record_or_refresh
from app.journeys.state import Change, Lead
from app.leads import sql
from app.leads.absorb import Arrival, ArrivalActivity, apply_arrival, set_flag
from app.leads.older import load_older_keys
from app.matching.identity import Candidate, Match, keys, resolve
from app.matching.person import Identity, Person
from app.policies.published import Published, active_policy
from app.policy.facts import Actor

__all__ = ["Arrival", "ArrivalActivity", "Captured", "capture"]

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Captured:
    """The result of one arrival: its lead, or why there is none (identity_required, person_unknown, lead_gone)."""

    lead_id: UUID | None
    created: bool = False
    reason: str | None = None
    change: Change | None = None


class IdentityIndex:
    """Leads by identity: those found in the database, and those that this batch adds."""

    def __init__(self, candidates: Iterable[Candidate]) -> None:
        self.by_key: dict[Key, list[Candidate]] = {}
        self.new_lead_ids: set[UUID] = set()
        for candidate in candidates:
            self.by_key.setdefault((candidate.kind, candidate.namespace, candidate.value), []).append(candidate)

    def resolve(self, person: Person) -> Match:
        return resolve(person, [found for identity in keys(person) for found in self.by_key.get(identity.key, ())])

    def add(self, identities: Iterable[Identity], lead_id: UUID, person: Person) -> None:
        for identity in identities:
            entry = Candidate(*identity.key, lead_id, person.first_name, person.last_name, open_journey=True)
            self.by_key.setdefault(identity.key, []).append(entry)


async def capture(
    tx: Tx,
    tenant_id: UUID,
    arrivals: Sequence[Arrival],
    now: datetime,
    actor: Actor,
    on_behalf_of: Mapping[str, Any] | None = None,
) -> list[Captured]:
    """Applies each arrival to its lead, existing or new, in one transaction; the results are in the same order."""
    wanted = {identity.key: identity for arrival in arrivals for identity in arrival.person.identities}
    await sql.lock_identities(tx, tenant_id, list(wanted))
    index = IdentityIndex(await sql.candidates(tx, tenant_id, list(wanted.values())))
    policy = await active_policy(tx, tenant_id)
    matches = [_match(index, arrival) for arrival in arrivals]
    known = sorted({match.lead_id for match, new in matches if match.lead_id is not None and not new})
    changes = await begin_changes(tx, tenant_id, known, now, actor)
    named = (
        (match.lead_id, one.activity.key) for (match, _), one in zip(matches, arrivals, strict=True) if one.activity
    )
    await load_older_keys(tx, tenant_id, changes, named)
    answers = [
        _capture_one(changes, policy, one, arrival, now, actor) for one, arrival in zip(matches, arrivals, strict=True)
    ]
    touched = list({id(found.change): found.change for found in answers if found.change is not None}.values())
    for change in touched:
        change.on_behalf_of = on_behalf_of
        evaluate(change)
    await record_or_refresh(tx, tenant_id, touched)
    return answers


def _match(index: IdentityIndex, arrival: Arrival) -> tuple[Match, bool]:
    """Matches an arrival and adds its identities to the index. True if its lead is created in this batch."""
    match = index.resolve(arrival.person)
    if match.lead_id is not None:
        index.add(match.new_identities, match.lead_id, arrival.person)
        return match, match.lead_id in index.new_lead_ids
    if not arrival.create or not arrival.person.identities:
        return match, False
    made = Match(ids.new_id(), match.conflicts, match.new_identities)
    assert made.lead_id is not None
    index.new_lead_ids.add(made.lead_id)
    index.add(made.new_identities, made.lead_id, arrival.person)
    return made, True


def _capture_one(
    changes: dict[UUID, Change],
    policy: Published,
    matched: tuple[Match, bool],
    arrival: Arrival,
    now: datetime,
    actor: Actor,
) -> Captured:
    match, made = matched
    if match.lead_id is None:
        return Captured(None, reason="person_unknown" if arrival.person.identities else "identity_required")
    created = made and match.lead_id not in changes
    if created:
        lead = Lead(match.lead_id, created_at=now, updated_at=now, source_id=arrival.source_id, new=True)
        changes[match.lead_id] = Change(lead, policy, None, now, actor)
    change = changes.get(match.lead_id)
    if change is None:
        return Captured(None, reason="lead_gone")
    apply_arrival(change, arrival, match.new_identities, actor)
    _flag_duplicates(change, match, now)
    return Captured(match.lead_id, created, change=change)


def _flag_duplicates(change: Change, match: Match, now: datetime) -> None:
    """Identities of another lead never merge the two leads: they are flagged, with an event."""
    if not match.conflicts:
        return
    others = [
        {"lead_id": ids.show("lead", conflict.lead_id), "reason": conflict.reason} for conflict in match.conflicts
    ]
    set_flag(change, "duplicate_suspected")
    data = {"lead_id": ids.show("lead", change.lead.id), "candidates": others}
    change.early_events.append(NewEvent("lead.duplicate_suspected", data, now))
