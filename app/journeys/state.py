"""A lead with its newest journey, and the `Change` that collects everything one transaction will write of it.

The lead's row is locked while its `Change` is built, so that every seq and event is known before it is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from uuid import UUID

from app import ids
from app.events.record import NewEvent
from app.lifecycle.answer import Move
from app.lifecycle.clocks import Run
from app.matching.channel import Channel
from app.matching.person import Identity, LeadKind
from app.matching.title import rank_of
from app.policies.published import Published
from app.policy.facts import OWNERS, POLICY, Activity, Actor, Confirmation, Facts, IcpException
from app.routing.ring import Position
from app.scoring.score import Score


def earliest(*instants: datetime | None) -> datetime | None:
    """The first of the instants that there are."""
    return min((at for at in instants if at is not None), default=None)


def attributes(
    fields: Mapping[str, Any],
    flags: Mapping[str, Any],
    custom: Mapping[str, Any],
    kind: str,
    channel: str | None,
    business: str | None,
) -> dict[str, Any]:
    """The attributes of the catalogue (policy/attributes.py) that are single values of a lead."""
    return {
        **fields,
        **flags,
        "kind": kind,
        "channel": channel,
        "requirements": custom.get("requirements"),
        "rank": rank_of(fields.get("job_title"), fields.get("seniority")),
        "business": business,
    }


def exception_of(flags: Mapping[str, Any]) -> IcpException | None:
    """Why the lead counts as in the ideal customer profile, if that was said."""
    flag = flags.get("icp_exception")
    return IcpException(flag["reason"], flag["persona"]) if flag else None


@dataclass(frozen=True, slots=True)
class Offer:
    """A lead that was routed to a partner, who has until `accept_by` to accept it: by which target of which rule."""

    route: str
    role: str
    rule: str | None
    target: int
    accept_by: datetime


@dataclass(frozen=True, slots=True)
class Lapsed:
    """Whose lead it was in this journey and is no more, since they let it lie: users, and partners by their team."""

    users: frozenset[UUID] = frozenset()
    teams: frozenset[str] = frozenset()

    @classmethod
    def of(cls, stored: Mapping[str, Any] | None) -> Self:
        """As it is stored; None where nobody did."""
        return cls(frozenset(map(UUID, stored["users"])), frozenset(stored["teams"])) if stored else cls()

    @property
    def document(self) -> dict[str, list[str]] | None:
        """As it is stored."""
        empty = not (self.users or self.teams)
        return None if empty else {"users": sorted(map(str, self.users)), "teams": sorted(self.teams)}

    def adding(self, user_id: UUID | None, team: str | None) -> Lapsed:
        """With this user and this team added, where there is one."""
        return Lapsed(
            self.users if user_id is None else self.users | {user_id},
            self.teams if team is None else self.teams | {team},
        )


@dataclass(slots=True)
class Journey:
    """The present journey of a lead, the open one or the one that ended last: one row of `journeys`.

    `last_number` is the highest number of the lead's journeys, None where it is this one's.
    `corrected_at` is that of the last correction, until an interest activity or a changed field is recorded.
    `previous_role` is the role of the previous owner; None if that user is inactive.
    `stalled_at` is when it was told that the journey stands in its stage for too long.
    """

    id: UUID
    number: int
    opened_at: datetime
    stage_entered_at: datetime
    stage: str | None = None
    seq: int = 0
    policy_id: UUID | None = None
    business: str = "new"
    baseline_at: datetime | None = None
    corrected_at: datetime | None = None
    assigned_at: datetime | None = None
    previous_owner_id: UUID | None = None
    previous_role: str | None = None
    wake_at: datetime | None = None
    recycles: int = 0
    closed_at: datetime | None = None
    closing_reason: str | None = None
    offer: Offer | None = None
    last_number: int | None = None
    stalled_at: datetime | None = None
    lapsed: Lapsed = field(default_factory=Lapsed)
    new: bool = False


@dataclass(slots=True)
class Owner:
    """The user who owns the lead."""

    id: UUID
    role: str
    team: str | None
    active: bool = True

    @property
    def may_own(self) -> bool:
        """Whether the user can be given a lead or an opportunity."""
        return self.active and self.role in OWNERS


@dataclass(slots=True)
class Lead:
    """One row of `leads` with its related rows, as changed so far in this transaction.

    `clocks` are the runs of the present journey's clocks.
    """

    id: UUID
    created_at: datetime
    updated_at: datetime
    version: int = 0
    kind: LeadKind = "person"
    fields: dict[str, Any] = field(default_factory=dict)
    raw: dict[str, Any] = field(default_factory=dict)
    custom: dict[str, Any] = field(default_factory=dict)
    flags: dict[str, Any] = field(default_factory=dict)
    consents: dict[str, str] = field(default_factory=dict)
    first_touch: dict[str, Any] | None = None
    last_touch: dict[str, Any] | None = None
    channel: Channel | None = None
    source_id: UUID | None = None
    owner: Owner | None = None
    team: str | None = None
    below_threshold_since: datetime | None = None
    threshold_met: bool = False
    account_id: UUID | None = None
    contact_id: UUID | None = None
    opportunity_id: UUID | None = None
    merged_into: UUID | None = None
    erased_at: datetime | None = None
    has_merged: bool = False  # other leads were merged into it
    identities: list[Identity] = field(default_factory=list)
    activities: list[Activity] = field(default_factory=list)
    activity_keys: set[str] = field(default_factory=set)
    confirmations: list[Confirmation] = field(default_factory=list)
    journey: Journey | None = None
    held_stage: str | None = None
    last_occurred_at: datetime | None = None
    last_recorded_at: datetime | None = None
    milestones: set[str] = field(default_factory=set)
    opportunity_class: str | None = None
    clocks: list[Run] = field(default_factory=list)
    new: bool = False


@dataclass(frozen=True, slots=True)
class NewActivity:
    """An activity to record, unless its key exists."""

    key: str
    activity: Activity
    properties: Mapping[str, Any] = field(default_factory=dict)
    actor: Mapping[str, Any] | None = None
    source_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class NewConsent:
    """One entry of the consent log; `bought`: from a list, bought or not.

    `client_address`: of the person. `actor`: who has said so, None: who makes the change. `confirmation_id`: the
    request to confirm it, `withdrawal_link_id`: the link by which it was withdrawn.
    """

    purpose: str
    state: str
    occurred_at: datetime
    text: str | None = None
    channel: str | None = None
    source_id: UUID | None = None
    submission_id: UUID | None = None
    bought: bool = False
    text_version: str | None = None
    client_address: str | None = None
    actor: Mapping[str, Any] | None = None
    confirmation_id: UUID | None = None
    withdrawal_link_id: UUID | None = None
    id: UUID = field(default_factory=ids.new_id)


@dataclass(frozen=True, slots=True)
class ConsentRequest:
    """Consents that the person is asked to confirm: the text seen and its version, by purpose, and the hash of the
    link's secret."""

    id: UUID
    secret_sha256: str
    texts: Mapping[str, str | None]
    text_versions: Mapping[str, str | None]
    source_id: UUID | None
    submission_id: UUID | None
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Origin:
    """Which fields an arrival set; custom fields as `custom.seats`. Without a submission it came by the API."""

    fields: Sequence[str]
    source_id: UUID
    submission_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class NewTouch:
    """One marketing touch: the attribution of an arrival."""

    attribution: Mapping[str, Any]
    occurred_at: datetime
    source_id: UUID | None = None
    submission_id: UUID | None = None
    id: UUID = field(default_factory=ids.new_id)


@dataclass(frozen=True, slots=True)
class Step:
    """A move that was applied: one row of `transitions`. `score`: that of the decision; None: that of the change."""

    id: UUID
    seq: int
    journey: Journey
    move: Move
    published: Published
    score: Score | None


@dataclass(slots=True)
class Routing:
    """A lead whose owner or team a route has still to choose (distribute.py).

    `published`: the policy that has the route; `event`: the place of its `lead.assigned` among the late events;
    `expired`: the offer that was not accepted in time; `without`: the user who has just lost the lead.
    """

    route: str
    published: Published
    event: int
    expired: Offer | None = None
    without: UUID | None = None


@dataclass(frozen=True, slots=True)
class Assignment:
    """A choice that a route made: one row of `assignments`.

    `number`: its place among those of the transaction; `position`: in the ring `ring`, None outside rings.
    """

    id: UUID
    number: int
    journey_id: UUID
    owner_id: UUID | None
    ring: str | None
    position: Position | None
    document: Mapping[str, Any]


@dataclass(slots=True)
class Change:
    """What one transaction changes in one lead; `record()` writes it as one version of the lead.

    `active` is the tenant's active policy, `pinned` the one its journey is pinned to, `former` another one, by which it
    came to its stage. `loaded` is the lead as answers showed it before the change, None for a new one; of a past lead
    as they showed it then, None if that was not kept. `before` holds the old values for `as_of`, `origins` which
    arrival set which fields, `changed` the field names of the next `lead.updated`. `early_events` are sent before
    those of the transitions, `late_events` after them. `clocks` are the runs to write.
    """

    lead: Lead
    active: Published
    pinned: Published | None
    now: datetime
    actor: Actor = POLICY
    on_behalf_of: Mapping[str, Any] | None = None
    score: Score | None = None
    evaluate_at: datetime | None = None
    former: Published | None = None
    loaded: Mapping[str, Any] | None = None
    before: dict[str, Any] = field(default_factory=dict)
    origins: list[Origin] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    new_identities: list[Identity] = field(default_factory=list)
    new_activities: list[NewActivity] = field(default_factory=list)
    new_consents: list[NewConsent] = field(default_factory=list)
    new_requests: list[ConsentRequest] = field(default_factory=list)
    new_touches: list[NewTouch] = field(default_factory=list)
    new_bant: list[Confirmation] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    milestones: list[tuple[UUID, str, str, datetime, bool]] = field(default_factory=list)
    voids: list[tuple[UUID, str]] = field(default_factory=list)
    voided_routes: list[tuple[UUID, str]] = field(default_factory=list)
    journeys: list[Journey] = field(default_factory=list)
    clocks: dict[UUID, Run] = field(default_factory=dict)
    routing: Routing | None = None
    assignments: list[Assignment] = field(default_factory=list)
    early_events: list[NewEvent] = field(default_factory=list)
    late_events: list[NewEvent] = field(default_factory=list)

    @property
    def published(self) -> Published:
        """The policy of the journey: pinned from its first milestone on, before that the active one.

        A journey that stands in a stage which the active policy lacks follows the one by which it came there.
        """
        if self.pinned is not None or self.former is None or self.lead.journey is None:
            return self.pinned or self.active
        stage = self.lead.journey.stage
        strays = stage not in self.active.policy.stage_of and stage in self.former.policy.stage_of
        return self.former if strays else self.active

    @property
    def has_effect(self) -> bool:
        """Whether there is anything to write besides the cached score."""
        added = (self.new_identities, self.new_activities, self.new_consents, self.new_touches, self.new_bant)
        recorded = (self.steps, self.early_events, self.late_events)
        return self.lead.new or bool(self.before) or any(added) or any(recorded)

    def touch(self, journey: Journey) -> None:
        """Marks the journey as one to write."""
        if all(one is not journey for one in self.journeys):
            self.journeys.append(journey)

    def put_clock(self, run: Run) -> None:
        """Marks the run as one to write; in place of what was known of it, if it is of the present journey."""
        self.clocks[run.id] = run
        if self.lead.journey is not None and self.lead.journey.id == run.journey_id:
            self.lead.clocks = [*(one for one in self.lead.clocks if one.id != run.id), run]

    def _previous_owner_id(self, journey: Journey) -> UUID | None:
        role = self.published.policy.first_role
        known = journey.previous_role
        return journey.previous_owner_id if known is not None and role in (None, known) else None

    def facts(self) -> Facts:
        """The facts that rules decide on, as changed so far."""
        lead, journey = self.lead, self.lead.journey
        of_journey = {} if journey is None else self._journey_facts(journey)
        return Facts(
            fields=attributes(
                lead.fields, lead.flags, lead.custom, lead.kind, lead.channel, journey.business if journey else None
            ),
            custom=lead.custom,
            first_touch=lead.first_touch,
            model=self.published.model,
            consents=lead.consents,
            exception=exception_of(lead.flags),
            identities=len(lead.identities),
            contactable=bool(lead.fields.get("email") or lead.fields.get("phone")),
            activities=tuple(lead.activities),
            confirmations=tuple(lead.confirmations),
            owner_id=lead.owner.id if lead.owner else None,
            owner_public_id=ids.show("user", lead.owner.id) if lead.owner else None,
            owner_role=lead.owner.role if lead.owner and lead.owner.active else None,
            owner_team=lead.owner.team if lead.owner else None,
            team=lead.team,
            opportunity_class=lead.opportunity_class,
            threshold_met=lead.threshold_met,
            **of_journey,
        )

    def _journey_facts(self, journey: Journey) -> dict[str, Any]:
        lead = self.lead
        return {
            "stage": journey.stage,
            "seq": journey.seq,
            "baseline_at": journey.baseline_at,
            "opened_at": journey.opened_at,
            "closed_at": journey.closed_at,
            "closing_reason": journey.closing_reason,
            "held_stage": lead.held_stage if journey.closed_at else None,
            "last_occurred_at": lead.last_occurred_at,
            "milestones": frozenset(lead.milestones),
            "corrected": journey.corrected_at is not None,
            "assigned_at": journey.assigned_at,
            "previous_owner_id": self._previous_owner_id(journey),
            "lapsed_teams": journey.lapsed.teams,
            "wake_at": journey.wake_at,
        }
