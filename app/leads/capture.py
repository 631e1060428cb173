"""Capture: match each arrival to a lead or create one, in batches. Submissions and `POST /v1/leads` both use it.

The order of locks is that of promises.md, section 2: identity keys, then leads in ascending id. Matches are read after
the keys are locked, so that no concurrent transaction can create a second lead for the same person.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from uuid import UUID

from app import ids
from app.database.transaction import ChangedMeanwhile, Tx
from app.journeys.evaluate import evaluate
from app.journeys.load import begin_changes
from app.journeys.record import record_or_refresh
from app.journeys.state import Change, Lead
from app.leads import duplicates_sql, sql
from app.leads.absorb import Arrival, ArrivalActivity, apply_arrival, claims_refused
from app.leads.consent_sql import keep_requests, keep_withdrawals
from app.leads.contact_consents import carry_to_contacts
from app.leads.duplicates import Alike, Pairs, flag_duplicates, mark_shared_phone, pair_of, strongest
from app.leads.known_contact import link_known_contacts
from app.leads.merged import Before, Came, keep_apart
from app.leads.older import load_older_keys
from app.leads.suppression import suppressed
from app.leads.withdrawals import Withdrawals, withdrawals_of
from app.matching.channel import channel_of
from app.matching.identity import Candidate, Match, keys, resolve
from app.matching.likeness import Subject
from app.matching.person import Identity
from app.policies.published import Published, active_policy
from app.policy.facts import POLICY

__all__ = ["Arrival", "ArrivalActivity", "Captured", "capture"]

Key = tuple[str, str, str]
CONSENT_WITHDRAWN: Final = "consent_withdrawn"
SUPPRESSED: Final = "suppressed"


@dataclass(frozen=True, slots=True)
class Captured:
    """The result of one arrival: its lead, or why there is none (identity_required, person_unknown, lead_gone,
    suppressed: the person was erased, and nothing of the arrival is stored).

    With a lead the reason says what of the arrival does not count: `consent_withdrawn`, a consent that a list claims.
    `came`: what the arrival added to a lead into which others were merged.
    `later`: nothing was done, because an earlier arrival of the batch may be of the same person.
    """

    lead_id: UUID | None
    created: bool = False
    reason: str | None = None
    change: Change | None = None
    later: bool = False
    came: Sequence[Came] = ()


class IdentityIndex:
    """Leads by identity: those found in the database, and those that this batch adds or learns more about."""

    def __init__(self, candidates: Iterable[Candidate], alike: Alike) -> None:
        self.alike = alike
        self.by_key: dict[Key, list[UUID]] = {}
        self.leads: dict[UUID, Candidate] = {}
        self.new_lead_ids: set[UUID] = set()
        # The phones that a lead alone had until this batch, each with the arrival that has it too.
        self.sharing: dict[UUID, dict[str, Arrival]] = {}
        for candidate in candidates:
            self.by_key.setdefault((candidate.kind, candidate.namespace, candidate.value), []).append(candidate.lead_id)
            self.leads[candidate.lead_id] = candidate
        for lead_id, suspected in alike.suspected.items():
            self.leads.setdefault(lead_id, Candidate("", "", "", lead_id, suspected=suspected))

    def resolve(self, arrival: Arrival) -> Match:
        found = [
            replace(self.leads[lead_id], kind=kind, namespace=namespace, value=value)
            for kind, namespace, value in (identity.key for identity in keys(arrival.person))
            for lead_id in self.by_key.get((kind, namespace, value), ())
        ]
        return resolve(arrival.person, found, arrival.earlier_lead_id, arrival.revised_lead_id)

    def add(self, identities: Iterable[Identity], lead_id: UUID, arrival: Arrival) -> None:
        """Adds identities of a lead, and what the arrival says of it where that was unknown."""
        person = arrival.person
        for identity in identities:
            holders = self.by_key.setdefault(identity.key, [])
            if identity.kind == "phone" and len(holders) == 1:
                self.sharing.setdefault(holders[0], {})[identity.value] = arrival
            holders.append(lead_id)
        known = self.leads.get(lead_id) or Candidate("", "", "", lead_id, open_journey=True, lead_kind=person.kind)
        self.leads[lead_id] = replace(
            known,
            first_name=known.first_name or person.first_name,
            last_name=known.last_name or person.last_name,
            full_name=known.full_name or person.full_name,
            has_own_email=known.has_own_email or person.has_own_email,
            has_email=known.has_email or any(one.kind == "email" for one in person.identities),
        )


async def capture(
    tx: Tx, tenant_id: UUID, arrivals: Sequence[Arrival], now: datetime, *, apart: bool = False
) -> list[Captured]:
    """Applies each arrival to its lead, existing or new, in one transaction; the results are in the same order.

    With `apart`, arrivals that may be of one person are not captured together: only the first of them is.
    """
    wanted = {identity.key: identity for arrival in arrivals for identity in arrival.person.identities}
    await sql.lock_identities(tx, tenant_id, list(wanted))
    erased = await suppressed(tx, tenant_id, arrivals, now)
    candidates = await sql.candidates(tx, tenant_id, list(wanted.values()))
    places = [n for n in range(len(arrivals)) if n not in erased]
    first = _first_of_each(arrivals, candidates, places) if apart else places
    captured = await _capture_all(tx, tenant_id, [arrivals[n] for n in first], candidates, now)
    by_place = dict(zip(first, captured, strict=True)) | dict.fromkeys(erased, Captured(None, reason=SUPPRESSED))
    return [by_place.get(n) or Captured(None, later=True) for n in range(len(arrivals))]


def _first_of_each(arrivals: Sequence[Arrival], candidates: Sequence[Candidate], places: Sequence[int]) -> list[int]:
    """Those of the places whose arrivals share no identity, and no lead with such an identity, with an earlier one."""
    leads: dict[Key, set[UUID]] = {}
    for one in candidates:
        leads.setdefault((one.kind, one.namespace, one.value), set()).add(one.lead_id)
    seen: set[Key | UUID] = set()
    first: list[int] = []
    for n in places:
        arrival = arrivals[n]
        keys_of_it = {identity.key for identity in arrival.person.identities}
        about = keys_of_it.union(*(leads.get(key, ()) for key in keys_of_it))
        if not about & seen:
            first.append(n)
        seen |= about
    return first


async def _capture_all(
    tx: Tx, tenant_id: UUID, arrivals: Sequence[Arrival], candidates: Sequence[Candidate], now: datetime
) -> list[Captured]:
    subjects = [Subject.of_person(one.person, one.custom) for one in arrivals]
    found = await duplicates_sql.alike(tx, tenant_id, subjects)
    index = IdentityIndex(candidates, Alike(found))
    policy = await active_policy(tx, tenant_id)
    matches = [_match(index, arrival, subject) for arrival, subject in zip(arrivals, subjects, strict=True)]
    pairs, matches = await _sifted(tx, tenant_id, index, matches)
    known = {match.lead_id for match, new in matches if match.lead_id is not None and not new}
    conflicts = {conflict.lead_id for match, _ in matches for conflict in match.conflicts}
    unflagged = {lead_id for lead_id in conflicts if not index.leads[lead_id].suspected}
    others = (index.sharing.keys() | unflagged) - index.new_lead_ids
    changes = await begin_changes(tx, tenant_id, sorted(known | others), now, POLICY)
    if (gone := known - changes.keys()) and await sql.merged_leads(tx, tenant_id, gone):
        # Named by an earlier submission, whose identities are not among the locked ones.
        raise ChangedMeanwhile("a lead was merged before it was locked")
    named = (
        (match.lead_id, one.activity.key) for (match, _), one in zip(matches, arrivals, strict=True) if one.activity
    )
    await load_older_keys(tx, tenant_id, changes, named)
    withdrawn = await withdrawals_of(tx, tenant_id, [new for match, _ in matches for new in match.new_identities])
    answers = [
        _capture_one(changes, policy, one, arrival, withdrawn, now)
        for one, arrival in zip(matches, arrivals, strict=True)
    ]
    arrived = zip(answers, arrivals, strict=True)
    await link_known_contacts(tx, tenant_id, [(one.change, arrival.person) for one, arrival in arrived if one.change])
    _mark_shared(changes, index.sharing)
    captured = [found.change for found in answers if found.change is not None]
    touched = list({id(change): change for change in [*captured, *changes.values()]}.values())
    for change in touched:
        evaluate(change)
    await record_or_refresh(tx, tenant_id, touched)
    await duplicates_sql.keep_pairs(tx, tenant_id, pairs.rows(), now)
    await keep_requests(tx, tenant_id, touched, now)
    await keep_withdrawals(tx, tenant_id, withdrawn.new_rows, now)
    await keep_apart(tx, tenant_id, [one for found in answers for one in found.came])
    await carry_to_contacts(tx, tenant_id, touched, now)
    return answers


def _mark_shared(changes: Mapping[UUID, Change], sharing: Mapping[UUID, Mapping[str, Arrival]]) -> None:
    """Marks the phone of each lead that another one has now too."""
    for lead_id, arrivals in sharing.items():
        change = changes.get(lead_id)
        if change is not None and mark_shared_phone(change, arrivals):
            _set_actor(change, next(iter(arrivals.values())))


def _set_actor(change: Change, arrival: Arrival) -> None:
    change.actor, change.on_behalf_of = arrival.actor, arrival.on_behalf_of


def _match(index: IdentityIndex, arrival: Arrival, subject: Subject) -> tuple[Match, bool]:
    """Matches an arrival and adds what it says to the index. True if its lead is created in this batch."""
    match = index.resolve(arrival)
    if match.lead_id is None and (not arrival.create or not arrival.person.identities):
        return match, False
    lead_id = match.lead_id or ids.new_id()
    if match.lead_id is None:
        index.new_lead_ids.add(lead_id)
    index.add(match.new_identities, lead_id, arrival)
    conflicts = match.conflicts
    if match.new_identities or not arrival.reprocessed:
        conflicts = strongest((*conflicts, *index.alike.conflicts(subject, lead_id)))
    index.alike.add(subject, lead_id)
    return replace(match, lead_id=lead_id, conflicts=conflicts), lead_id in index.new_lead_ids


async def _sifted(
    tx: Tx, tenant_id: UUID, index: IdentityIndex, matches: Sequence[tuple[Match, bool]]
) -> tuple[Pairs, list[tuple[Match, bool]]]:
    """The matches with the conflicts that are to be told of."""
    wanted = {
        pair_of(match.lead_id, conflict.lead_id)
        for match, _ in matches
        for conflict in match.conflicts
        if match.lead_id is not None and not {match.lead_id, conflict.lead_id} & index.new_lead_ids
    }
    pairs = Pairs(await duplicates_sql.pairs(tx, tenant_id, wanted))
    return pairs, [
        (replace(match, conflicts=pairs.sift(match.lead_id, match.conflicts)) if match.lead_id else match, new)
        for match, new in matches
    ]


def why_no_lead(arrival: Arrival) -> str:
    """The reason of an arrival that makes no lead and is of none."""
    return "person_unknown" if arrival.person.identities else "identity_required"


def _capture_one(
    changes: dict[UUID, Change],
    policy: Published,
    matched: tuple[Match, bool],
    arrival: Arrival,
    withdrawn: Withdrawals,
    now: datetime,
) -> Captured:
    match, made = matched
    if match.lead_id is None:
        withdrawn.add(arrival, now)
        return Captured(None, reason=why_no_lead(arrival))
    created = made and match.lead_id not in changes
    if created:
        kind, source_id = arrival.person.kind, arrival.source_id
        lead = Lead(match.lead_id, created_at=now, updated_at=now, kind=kind, source_id=source_id, new=True)
        lead.channel = channel_of(arrival.attribution, "api")
        lead.flags["source"] = arrival.source_name
        changes[match.lead_id] = Change(lead, policy, None, now)
    change = changes.get(match.lead_id)
    if change is None:
        return Captured(None, reason="lead_gone")
    _set_actor(change, arrival)
    before = Before(change, keys(arrival.person))
    withdrawn.apply(change, match.new_identities)
    apply_arrival(change, arrival, match)
    if match.new_identities or not arrival.reprocessed:
        for other in flag_duplicates(change, match.conflicts, changes):
            _set_actor(other, arrival)
    reason = CONSENT_WITHDRAWN if claims_refused(change, arrival) else None
    came = before.came(arrival)
    return Captured(match.lead_id, created, reason, change, came=came)
