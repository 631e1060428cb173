"""Apply an arrival to its lead: fill empty fields, record touch, consent and activity, and open a journey."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, Protocol, assert_never
from uuid import UUID

from app import ids
from app.events.record import NewEvent
from app.journeys.apply import apply_move
from app.journeys.refusals import problem
from app.journeys.state import Change, NewActivity, NewConsent, NewTouch, Origin, Step
from app.leads.counting_consents import PENDING, REFUSALS, apply_consents
from app.leads.double_opt_in import Asked, DoubleOptIn, request_consent
from app.lifecycle import edges
from app.lifecycle.answer import Move, Refused, Stay
from app.lifecycle.decide import decide
from app.lifecycle.reinquiry import reinquiry
from app.matching.attribution import weight
from app.matching.derive import equals_derivation, rederived
from app.matching.identity import Match
from app.matching.name_key import compare, name_key
from app.matching.person import Identity, Person, PhoneStatus
from app.policy.facts import Activity, Actor, Ask
from app.web.fields import rfc3339

NAMES = ("first_name", "last_name", "full_name")
MAX_CUSTOM = 1_000  # custom fields of a lead
MAX_NAMES = 20  # other names kept of a lead
LISTS = ("import", "purchased_list")  # channels of lists: who made the list says it, and not the person
FLAGGED = ("email_status", "email_domain", "free_mail", "role_mailbox")


class Consent(Protocol):
    """The consent state that a form or request gives for one purpose."""

    @property
    def purpose(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def text(self) -> str | None: ...
    @property
    def text_version(self) -> str | None: ...
    @property
    def client_address(self) -> str | None: ...  # None: that of the arrival
    @property
    def occurred_at(self) -> datetime | None: ...  # None: that of the arrival


@dataclass(frozen=True, slots=True)
class ArrivalActivity:
    """The activity of an arrival. It is recorded once: a lead has at most one activity for each key."""

    key: str
    type: str = "form_fill"
    kind: Literal["interest", "contact_attempt"] = "interest"
    properties: Mapping[str, Any] = field(default_factory=dict)
    id: UUID | None = None
    occurred_at: datetime | None = None  # None: that of the arrival


@dataclass(frozen=True, slots=True)
class Arrival:
    """A mapped item of a submission, or the body of `POST /v1/leads`.

    `create` is False for an item that may only update an existing lead (consent, activity). `entry` is the stage in
    which a new journey starts (`suspect` for a bought list). `earlier_lead_id`: the lead that the item had when it was
    captured before; on an existing lead it then only fills empty fields and records no activity, touch or consent.
    `revised_lead_id`: the lead of the submission that the arrival revises, `revises` that submission; it is no further
    touch then. `item_index`: the place of the item in its submission.
    `double_opt_in`: the rule of the source by which consents have to be confirmed.
    `of_list`: a row of an imported list. `submission_key`: that of the item. `client_address`: from which it came.
    """

    person: Person
    occurred_at: datetime
    source_id: UUID
    source_name: str
    actor: Actor
    on_behalf_of: Mapping[str, Any] | None = None
    activity: ArrivalActivity | None = None
    attribution: Mapping[str, Any] = field(default_factory=dict)
    consents: tuple[Consent, ...] = ()
    of_list: bool = False
    custom: Mapping[str, Any] = field(default_factory=dict)
    entry: str | None = None
    create: bool = True
    submission_id: UUID | None = None
    client_address: str | None = None
    earlier_lead_id: UUID | None = None
    revised_lead_id: UUID | None = None
    revises: UUID | None = None
    item_index: int | None = None
    submission_key: str | None = None
    double_opt_in: DoubleOptIn | None = None

    @property
    def claims(self) -> bool:
        """Whether it says of the person what they have not said here: lists do, bought or not."""
        return self.of_list or self.entry is not None or self.attribution.get("channel") in LISTS

    @property
    def reprocessed(self) -> bool:
        return self.earlier_lead_id is not None


def apply_arrival(change: Change, arrival: Arrival, match: Match) -> None:
    """Adds everything an arrival contains to the change, in the order of its events (lifecycle.md, section 10)."""
    when = min(arrival.occurred_at, change.now)
    _add_identities(change, match.new_identities)
    _keep_other_name(change, arrival)
    custom = {**arrival.person.custom, **arrival.custom}
    fill_empty_fields(change, arrival.person, custom, match.shared, arrival)
    is_new = change.lead.journey is None
    if arrival.reprocessed and not is_new:
        add_updated_event(change)
        return
    _add_touch(change, arrival, when)
    if is_new:
        change.changed.clear()
    add_updated_event(change)
    add_consents(change, arrival, when)
    recorded = False
    if arrival.activity is not None:
        done_at = min(arrival.activity.occurred_at or when, change.now)
        recorded = add_activity(change, arrival.activity, done_at, arrival.source_id)
    if is_new:
        _capture(change, arrival, when)
    elif recorded and arrival.activity is not None and arrival.activity.kind == "interest":
        apply_reinquiry(change, arrival.source_name, when, arrival.actor)


def _add_identities(change: Change, identities: tuple[Identity, ...]) -> None:
    """Adds identities. The first one of each kind stays primary."""
    for identity in identities:
        has_primary = any(known.kind == identity.kind and known.primary for known in change.lead.identities)
        added = replace(identity, primary=identity.primary and not has_primary)
        change.lead.identities.append(added)
        change.new_identities.append(added)


def _keep_other_name(change: Change, arrival: Arrival) -> None:
    """Keeps a name that contradicts the lead's. Under one address it may be that of another user of the mailbox."""
    lead, person = change.lead, arrival.person
    if lead.fields.keys().isdisjoint(NAMES):
        return
    known = name_key(*(lead.fields.get(name) for name in NAMES))
    name = person.full_name or " ".join(filter(None, (person.first_name, person.last_name)))
    if not name or arrival.reprocessed or compare(person.name_key, known) != "other":
        return
    others = lead.flags.get("other_names") or []
    is_new = all(compare(name_key(None, None, other), person.name_key) != "same" for other in others)
    if is_new and name not in others and len(others) < MAX_NAMES:
        set_flag(change, "other_names", [*others, name])
        mark_changed(change, "other_names")
    addresses = {one.key for one in person.identities if one.kind == "email"}
    is_revised = arrival.revised_lead_id is not None  # somebody may correct their own name
    if (
        not is_revised
        and any(one.key in addresses for one in lead.identities)
        and not lead.flags.get("shared_mailbox_suspected")
    ):
        set_flag(change, "shared_mailbox_suspected", True)
        mark_changed(change, "shared_mailbox_suspected")


def fill_empty_fields(
    change: Change,
    person: Person,
    custom: Mapping[str, Any],
    shared: frozenset[tuple[str, str, str]] = frozenset(),
    arrival: Arrival | None = None,
) -> None:
    """Fills the empty fields and custom fields of the lead. `shared`: identities that other leads have too. `arrival`:
    what they come with, if they do not come from another lead."""
    lead = change.lead
    before = dict(lead.fields)
    given = [name for name in person.fields if not equals_derivation(person.fields, name)]
    filled = [name for name in given if before.get(name) is None]
    for name in filled:
        set_field(change, name, person.fields[name])
    derived = rederived(before, lead.fields, filled)
    for name, value in derived.items():
        set_field(change, name, value)
        set_raw(change, name, None)
    taken = {*filled, *(name for name, value in derived.items() if value == person.fields.get(name))}
    for name, typed in person.raw.items():
        if name in taken or (name not in lead.raw and lead.fields.get(name) is None):
            set_raw(change, name, typed)
    kept: list[str] = []
    for name, answer in custom.items():
        if len(lead.custom) >= MAX_CUSTOM and name not in lead.custom:
            continue  # bounds the size of a lead; the submission still has every answer
        if lead.custom.get(name) is None and answer is not None:
            change.before.setdefault("custom", dict(lead.custom))
            lead.custom[name] = answer
            kept.append(f"custom.{name}")
            mark_changed(change, kept[-1])
    if arrival is not None and (filled or derived or kept):
        change.origins.append(Origin([*filled, *derived, *kept], arrival.source_id, arrival.submission_id))
    if "email" in filled or "email_status" not in lead.flags:
        flag_email(change, person)
    if "phone" in filled or lead.fields.get("phone") is None:
        flag_phone(change, person, shared)


def flag_email(change: Change, person: Person) -> None:
    """Copies what normalising found about the primary e-mail address to the flags of the lead."""
    for name in FLAGGED:
        set_flag(change, name, getattr(person, name))


def flag_phone(change: Change, person: Person, shared: frozenset[tuple[str, str, str]]) -> None:
    """Sets the status of the lead's phone: that of the arrival, `shared` where another lead has the number."""
    status: PhoneStatus | None = person.phone_status
    if ("phone", "", person.fields.get("phone")) in shared:
        status = "shared"
    if status is not None:
        set_flag(change, "phone_status", status)


def set_flag(change: Change, name: str, value: Any) -> None:
    """Sets a flag, keeping the old value for `as_of`."""
    flags = change.lead.flags
    if flags.get(name) != value:
        change.before.setdefault("flags", {}).setdefault(name, flags.get(name))
        flags[name] = value


def set_raw(change: Change, name: str, typed: str | None) -> None:
    """Sets what was typed for a field, keeping the old text for `as_of`. None removes it."""
    raw = change.lead.raw
    if raw.get(name) == typed:
        return
    change.before.setdefault("raw", {}).setdefault(name, raw.get(name))
    if typed is None:
        raw.pop(name)
    else:
        raw[name] = typed


def set_field(change: Change, name: str, value: Any) -> None:
    """Sets one canonical field, keeping the old value for `as_of`. None empties it."""
    lead = change.lead
    before = lead.fields.get(name)
    if before == value:
        return
    change.before.setdefault("fields", {}).setdefault(name, before)
    if value is None:
        lead.fields.pop(name, None)
    else:
        lead.fields[name] = value
    mark_changed(change, name)


def mark_changed(change: Change, name: str) -> None:
    """Names a field in the next `lead.updated`."""
    if name not in change.changed:
        change.changed.append(name)


def add_updated_event(change: Change) -> None:
    """Adds `lead.updated` with the fields changed so far, if there are any."""
    if not change.changed:
        return
    data = {"lead_id": ids.show("lead", change.lead.id), "changed": list(change.changed)}
    change.early_events.append(NewEvent("lead.updated", data, change.now))
    change.changed.clear()


def _add_touch(change: Change, arrival: Arrival, when: datetime) -> None:
    if not arrival.create or arrival.revised_lead_id is not None:
        return
    touch = dict(arrival.attribution)
    change.new_touches.append(NewTouch(touch, when, arrival.source_id, arrival.submission_id))
    first, last = change.lead.first_touch, change.lead.last_touch
    # The first touch is the first that says more than the door through which it came.
    if not first or (weight(touch)[0] and not weight(first)[0]):
        change.lead.first_touch = touch
    if weight(touch) >= weight(last or {}):
        change.lead.last_touch = touch


def add_consents(change: Change, arrival: Arrival, when: datetime) -> None:
    """Adds what an arrival says of consents to the log, applies what counts, and asks for what has to be confirmed."""
    consents: list[NewConsent] = []
    asked = _asked(change, arrival)
    for consent in arrival.consents:
        if consent.state == "unknown":
            change.lead.consents.setdefault(consent.purpose, "unknown")
            continue
        if consent.purpose not in asked:
            at = min(consent.occurred_at or when, change.now)
            consents.append(new_consent(arrival, consent, consent.state, at))
    change.new_consents += consents
    apply_consents(change, consents)
    if asked and arrival.double_opt_in is not None:
        pending = [new_consent(arrival, one, PENDING, when) for one in asked.values()]
        source = {"id": ids.show("source", arrival.source_id), "name": arrival.source_name}
        request_consent(change, arrival.double_opt_in, pending, source)


def claims_refused(change: Change, arrival: Arrival) -> bool:
    """Whether a list claims a consent that the person has refused or withdrawn: it is logged, and does not count."""
    return any(one.state == "given" and _is_refused(change, arrival, one.purpose) for one in arrival.consents)


def _asked(change: Change, arrival: Arrival) -> dict[str, Asked]:
    """What has to be confirmed of the arrival, by purpose."""
    rule = arrival.double_opt_in
    if rule is None:
        return {}
    answers = {
        one.purpose: Asked(one.purpose, one.text, one.text_version, one.client_address)
        if one.state == "given"
        else None
        for one in arrival.consents
        if one.state != "unknown"
    }
    claimed = set(change.lead.flags.get("consents_claimed") or ())
    known = {purpose: state for purpose, state in change.lead.consents.items() if purpose not in claimed}
    asked = rule.asked(known, answers)
    return {one.purpose: one for one in asked if not _is_refused(change, arrival, one.purpose)}


def _is_refused(change: Change, arrival: Arrival, purpose: str) -> bool:
    """Whether the person has refused, and a list claims the consent."""
    return arrival.claims and change.lead.consents.get(purpose) in REFUSALS


def new_consent(arrival: Arrival, said: Consent | Asked, state: str, when: datetime) -> NewConsent:
    """The entry of the consent log for what an arrival says."""
    return NewConsent(
        said.purpose,
        state,
        when,
        said.text,
        arrival.source_name,
        arrival.source_id,
        arrival.submission_id,
        bought=arrival.claims,
        text_version=said.text_version,
        client_address=said.client_address or arrival.client_address,
    )


def add_activity(
    change: Change,
    new: ArrivalActivity,
    when: datetime,
    source_id: UUID | None,
    actor: Mapping[str, Any] | None = None,
) -> bool:
    """Adds an activity and its event. False if the lead already has an activity with this key."""
    if new.key in change.lead.activity_keys:
        return False
    change.lead.activity_keys.add(new.key)
    activity = Activity(new.id or ids.new_id(), new.type, new.kind, when, change.now)
    change.lead.activities.append(activity)
    change.new_activities.append(NewActivity(new.key, activity, new.properties, actor, source_id))
    shown = {"id": ids.show("activity", activity.id), "type": activity.type, "kind": activity.kind}
    data = {"lead_id": ids.show("lead", change.lead.id), "activity": {**shown, "occurred_at": rfc3339(when)}}
    change.early_events.append(NewEvent("lead.activity", data, when))
    return True


def remove_last_activity(change: Change) -> None:
    """Undoes the last `add_activity`, of which nothing else has followed yet."""
    change.lead.activities.pop()
    change.lead.activity_keys.remove(change.new_activities.pop().key)
    change.early_events.pop()


def _capture(change: Change, arrival: Arrival, when: datetime) -> None:
    step = _open_journey(change, arrival.source_name, when, arrival.actor, arrival.entry)
    data = {
        "lead_id": ids.show("lead", change.lead.id),
        "journey_no": step.journey.number,
        "stage": step.move.to_stage,
        "source": {"id": ids.show("source", arrival.source_id), "name": arrival.source_name},
    }
    change.early_events.insert(0, NewEvent("lead.captured", data, when))


def _open_journey(change: Change, source_name: str, when: datetime, actor: Actor, entry: str | None) -> Step:
    """Opens a journey with the action of the policy that does so; raises the problem if its guard refuses."""
    facts = replace(change.facts(), stage=None, seq=0, last_occurred_at=None, closed_at=None, entry=entry)
    policy = change.active.policy
    ask = Ask(edges.entry(policy, actor), actor, occurred_at=when, source=source_name)
    match decide(policy, facts, ask, change.now):
        case Move() as move:
            return apply_move(change, move)
        case Refused(why):
            raise problem(why)
        case Stay():
            raise RuntimeError("the capture action leads to no stage; publishing a policy checks that it does")
        case unexpected:
            assert_never(unexpected)


def apply_reinquiry(change: Change, source_name: str, when: datetime, actor: Actor) -> None:
    """Applies the policy's reinquiry rule: continue the open journey, open a new one, only notify, or block."""
    lead, journey = change.lead, change.lead.journey
    match reinquiry(change.published.policy, change.facts(), change.now):
        case "same_journey":
            return
        case "blocked":
            set_flag(change, "blocked_reinquiry", True)
            data = {"lead_id": ids.show("lead", lead.id), "closing_reason": journey.closing_reason if journey else None}
            change.early_events.append(NewEvent("lead.reinquiry_blocked", data, when))
        case "activity":
            _add_reinquired_event(change, when, None)
        case "new_journey":
            previous_outcome = journey.closing_reason if journey else None
            closed_at = journey.closed_at if journey else None
            # Interest that is reported late also opens a journey, but never one that begins before the last one ended.
            _open_journey(change, source_name, max(when, closed_at or when), actor, None)
            _add_reinquired_event(change, when, previous_outcome)


def _add_reinquired_event(change: Change, when: datetime, previous_outcome: str | None) -> None:
    lead = change.lead
    assert lead.journey is not None
    data = {
        "lead_id": ids.show("lead", lead.id),
        "journey_no": lead.journey.number,
        "opportunity_id": ids.shown("opportunity", lead.opportunity_id),
        "previous_outcome": previous_outcome,
    }
    change.early_events.append(NewEvent("lead.reinquired", data, when))
