"""Taking one arrival into the change of its lead: fields that are empty, consent, touches, activity, and a journey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal, Protocol, assert_never
from uuid import UUID

from app import ids
from app.events.record import NewEvent
from app.journeys.apply import apply_move
from app.journeys.refusals import problem
from app.journeys.state import Change, NewActivity, NewConsent, NewTouch, Step
from app.lifecycle.answer import Move, Refused, Stay
from app.lifecycle.decide import decide
from app.lifecycle.reinquiry import reinquiry
from app.matching.person import Identity, Person
from app.policy.facts import Activity, Actor, Ask
from app.web.fields import z

CAPTURE = "capture"
MAX_CUSTOM = 1_000  # own answers that a lead carries
FLAGGED = ("email_status", "email_domain", "free_mail", "role_mailbox")


class Consent(Protocol):
    """What a form said of one purpose."""

    @property
    def purpose(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def text(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class ArrivalActivity:
    """The one activity that an arrival makes; its key makes it once for the lead."""

    key: str
    type: str = "form_fill"
    kind: Literal["interest", "contact_attempt"] = "interest"
    properties: Mapping[str, Any] = field(default_factory=dict)
    id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Arrival:
    """Somebody came in: a mapped item of a submission, or the body of `POST /v1/leads`.

    `create` is False for what may only update a known person (consent, activity). `entry` says where a new journey
    starts (`suspect` for a bought list). `again` is what was taken in before: it fills what is empty of a known lead,
    and says nothing a second time.
    """

    person: Person
    occurred_at: datetime
    source_id: UUID
    source_name: str
    activity: ArrivalActivity | None = None
    attribution: Mapping[str, Any] = field(default_factory=dict)
    consents: tuple[Consent, ...] = ()
    custom: Mapping[str, Any] = field(default_factory=dict)
    entry: str | None = None
    create: bool = True
    submission_id: UUID | None = None
    again: bool = False


def absorb(change: Change, arrival: Arrival, new_identities: tuple[Identity, ...], actor: Actor) -> None:
    """Everything an arrival says, in the order in which its events are told (lifecycle.md, section 10)."""
    when = min(arrival.occurred_at, change.now)
    _identify(change, new_identities)
    _fill(change, arrival)
    is_new = change.lead.journey is None
    if arrival.again and not is_new:
        tell_updated(change)
        return
    _attribute(change, arrival, when)
    if is_new:
        change.changed.clear()
    tell_updated(change)
    _consent(change, arrival, when)
    acted = arrival.activity is not None and act(change, arrival.activity, when, arrival.source_id)
    if is_new:
        _capture(change, arrival, when, actor)
    elif acted and arrival.activity is not None and arrival.activity.kind == "interest":
        inquire_again(change, arrival.source_name, when, actor)


def _identify(change: Change, identities: tuple[Identity, ...]) -> None:
    """A further address of a known lead is one more identity; the first one stays primary."""
    for identity in identities:
        has_primary = any(known.kind == identity.kind and known.primary for known in change.lead.identities)
        added = replace(identity, primary=identity.primary and not has_primary)
        change.lead.identities.append(added)
        change.new_identities.append(added)


def _fill(change: Change, arrival: Arrival) -> None:
    lead, person = change.lead, arrival.person
    new_email = "email" not in lead.fields and "email" in person.fields
    for name, value in person.fields.items():
        if lead.fields.get(name) is None:
            set_field(change, name, value)
    for name in person.raw.keys() - lead.raw.keys():
        change.before.setdefault("raw", {})[name] = None
        lead.raw[name] = person.raw[name]
    for name, answer in {**person.custom, **arrival.custom}.items():
        if len(lead.custom) >= MAX_CUSTOM and name not in lead.custom:
            continue  # the submission keeps every answer; a lead must not grow without measure
        if lead.custom.get(name) is None and answer is not None:
            change.before.setdefault("custom", dict(lead.custom))
            lead.custom[name] = answer
            _note(change, f"custom.{name}")
    if new_email or "email_status" not in lead.flags:
        flag_email(change, person)


def flag_email(change: Change, person: Person) -> None:
    """What normalising found out about the primary address."""
    for name in FLAGGED:
        change.lead.flags[name] = getattr(person, name)


def raise_flag(change: Change, name: str) -> None:
    """What the lead is known for from now on."""
    flags = change.lead.flags
    if not flags.get(name):
        change.before.setdefault("flags", {})[name] = flags.get(name)
        flags[name] = True


def set_field(change: Change, name: str, value: Any) -> None:
    """Writes one canonical field, keeping what stood there; None empties it."""
    lead = change.lead
    before = lead.fields.get(name)
    if before == value:
        return
    change.before.setdefault("fields", {}).setdefault(name, before)
    if value is None:
        lead.fields.pop(name, None)
    else:
        lead.fields[name] = value
    _note(change, name)


def _note(change: Change, name: str) -> None:
    if name not in change.changed:
        change.changed.append(name)


def tell_updated(change: Change) -> None:
    """The event of what was changed so far, if anything was."""
    if not change.changed:
        return
    data = {"lead_id": ids.show("lead", change.lead.id), "changed": list(change.changed)}
    change.early_events.append(NewEvent("lead.updated", data, change.now))
    change.changed.clear()


def _attribute(change: Change, arrival: Arrival, when: datetime) -> None:
    if not arrival.create:
        return
    touch = dict(arrival.attribution)
    change.new_touches.append(NewTouch(touch, when, arrival.source_id, arrival.submission_id))
    if change.lead.first_touch is None:
        change.lead.first_touch = touch
    change.lead.last_touch = touch


def _consent(change: Change, arrival: Arrival, when: datetime) -> None:
    said: list[NewConsent] = []
    for consent in arrival.consents:
        if consent.state == "unknown":
            change.lead.consents.setdefault(consent.purpose, "unknown")
            continue
        withdrawn = change.lead.consents.get(consent.purpose) == "withdrawn"
        if arrival.entry is not None and withdrawn and consent.state == "given":
            continue  # a bought list never raises a consent that was withdrawn
        new = NewConsent(
            consent.purpose,
            consent.state,
            when,
            consent.text,
            arrival.source_name,
            arrival.source_id,
            arrival.submission_id,
        )
        said.append(new)
    change.new_consents += said
    tell_consents(change, said)


def tell_consents(change: Change, said: Sequence[NewConsent]) -> None:
    """Lets each word of consent count that is the latest on its purpose; a form that comes late changes nothing."""
    spoken: dict[str, str] = dict(change.lead.flags.get("consented_at") or {})
    changed: dict[str, str] = {}
    for consent in said:
        before = spoken.get(consent.purpose)
        if before is not None and datetime.fromisoformat(before) > consent.occurred_at:
            continue
        spoken[consent.purpose] = consent.occurred_at.isoformat()
        if change.lead.consents.get(consent.purpose) != consent.state:
            change.lead.consents[consent.purpose] = changed[consent.purpose] = consent.state
    if spoken:
        change.lead.flags["consented_at"] = spoken
    if changed:
        data = {"lead_id": ids.show("lead", change.lead.id), "consents": changed}
        change.early_events.append(NewEvent("lead.consent_changed", data, change.now))


def act(
    change: Change,
    wanted: ArrivalActivity,
    when: datetime,
    source_id: UUID | None,
    actor: Mapping[str, Any] | None = None,
) -> bool:
    """Records an activity in the change and tells of it; False where the lead has one under the key already."""
    if wanted.key in change.lead.activity_keys:
        return False
    change.lead.activity_keys.add(wanted.key)
    activity = Activity(wanted.id or ids.new_id(), wanted.type, wanted.kind, when, change.now)
    change.lead.activities.append(activity)
    change.new_activities.append(NewActivity(wanted.key, activity, wanted.properties, actor, source_id))
    shown = {"id": ids.show("activity", activity.id), "type": activity.type, "kind": activity.kind}
    data = {"lead_id": ids.show("lead", change.lead.id), "activity": {**shown, "occurred_at": z(when)}}
    change.early_events.append(NewEvent("lead.activity", data, when))
    return True


def _capture(change: Change, arrival: Arrival, when: datetime, actor: Actor) -> None:
    step = _open(change, arrival.source_name, when, actor, arrival.entry)
    data = {
        "lead_id": ids.show("lead", change.lead.id),
        "journey_no": step.journey.number,
        "stage": step.move.to_stage,
        "source": {"id": ids.show("source", arrival.source_id), "name": arrival.source_name},
    }
    change.early_events.insert(0, NewEvent("lead.captured", data, when))


def _open(change: Change, source_name: str, when: datetime, actor: Actor, entry: str | None) -> Step:
    """A journey by the policy's own edge; the problem of its refusal where the policy wants more than an identity."""
    facts = replace(change.facts(), stage=None, seq=0, last_occurred_at=None, closed_at=None, entry=entry)
    ask = Ask(CAPTURE, actor, occurred_at=when, source=source_name)
    match decide(change.active.policy, facts, ask, change.now):
        case Move() as move:
            return apply_move(change, move)
        case Refused(why):
            raise problem(why)
        case Stay():
            raise RuntimeError("a capture leads to a stage; the check of the policy sees to that")
        case unexpected:
            assert_never(unexpected)


def inquire_again(change: Change, source_name: str, when: datetime, actor: Actor) -> None:
    """Interest of a known lead: nothing more on an open journey, else a new journey, a notice, or a closed door."""
    lead, journey = change.lead, change.lead.journey
    match reinquiry(change.published.policy, change.facts(), change.now):
        case "same_journey":
            return
        case "blocked":
            raise_flag(change, "blocked_reinquiry")
            data = {"lead_id": ids.show("lead", lead.id), "closing_reason": journey.closing_reason if journey else None}
            change.early_events.append(NewEvent("lead.reinquiry_blocked", data, when))
        case "activity":
            _tell_reinquired(change, when, None)
        case "new_journey":
            ended = journey.closing_reason if journey else None
            closed_at = journey.closed_at if journey else None
            # Interest that is heard of late opens a journey too, but none that begins before the last one ended.
            _open(change, source_name, max(when, closed_at or when), actor, None)
            _tell_reinquired(change, when, ended)


def _tell_reinquired(change: Change, when: datetime, previous_outcome: str | None) -> None:
    lead = change.lead
    assert lead.journey is not None
    data = {
        "lead_id": ids.show("lead", lead.id),
        "journey_no": lead.journey.number,
        "opportunity_id": ids.shown("opportunity", lead.opportunity_id),
        "previous_outcome": previous_outcome,
    }
    change.early_events.append(NewEvent("lead.reinquired", data, when))
