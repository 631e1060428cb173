"""The input of the rules: frozen facts of one lead and its journey, and what is requested of it.

All instants are aware and in UTC. Facts have defaults, so that a test gives only the fields it is about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Literal
from uuid import UUID

from app.policy.model import Model

ActivityKind = Literal["interest", "contact_attempt"]
Criterion = Literal["budget", "authority", "need", "timing"]
Status = Literal["unknown", "confirmed", "denied"]
ActorKind = Literal["human", "service", "policy", "import"]
Endpoint = Literal["transition", "conversion", "revert"]
Temperature = Literal["hot", "warm", "cold"]
Ledger = Literal["fit", "engagement"]

CRITERIA: tuple[Criterion, ...] = ("budget", "authority", "need", "timing")
PEOPLE = ("marketing", "sdr", "ae", "manager", "admin")
MOST_ACTIVITIES = 500  # the latest of a lead, by which rules decide
OWNERS = ("sdr", "ae", "manager")  # the roles of people who can own a lead or an opportunity


@dataclass(frozen=True, slots=True)
class Activity:
    """One dated sign of interest or contact attempt."""

    id: UUID
    type: str
    kind: ActivityKind
    occurred_at: datetime
    recorded_at: datetime


@dataclass(frozen=True, slots=True)
class Confirmation:
    """One BANT row: one user's status for one criterion. A later row of the same user replaces it."""

    criterion: Criterion
    status: Status
    user_id: UUID
    role: str
    recorded_at: datetime
    value: str | None = None
    evidence: str | None = None
    due_on: date | None = None
    amount: Mapping[str, object] | None = None


@dataclass(frozen=True, slots=True)
class IcpException:
    """Why a lead counts as in the ideal customer profile although it does not fit: as one persona, or as every one."""

    reason: str
    persona: str | None = None

    def covers(self, persona: str) -> bool:
        """Whether the lead counts as this persona."""
        return self.persona in (None, persona)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts. `id` is the public id; `role` is a user's role, or `service`, `policy`, `import` for machines."""

    id: str | None
    kind: ActorKind
    role: str
    user_id: UUID | None = None
    team: str | None = None


POLICY = Actor(id=None, kind="policy", role="policy")


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to a journey: an action with its inputs, or `to` alone.

    `owner_role` is the role of the active user named by `owner_id`; None when that user is unknown or inactive.
    `convert` says whether an action that may convert shall do so; None leaves it to the policy.
    `endpoint` is the one that received the request: only `conversion` takes an action that needs a conversion.
    `source` is the name or id of the source of a capture.
    """

    action: str | None
    actor: Actor
    to: str | None = None
    occurred_at: datetime | None = None
    reason_code: str | None = None
    note: str | None = None
    wake_at: datetime | None = None
    owner_id: UUID | None = None
    owner_role: str | None = None
    override_reason: str | None = None
    bant: tuple[Confirmation, ...] = ()
    convert: bool | None = None
    correction_of: str | None = None
    source: str | None = None
    endpoint: Endpoint = "transition"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of a score ledger. `counts` is False for an activity at or before the journey's baseline."""

    ledger: Ledger
    rule_id: str
    activity_id: UUID | None
    points: int
    decayed_points: int
    counts: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    """One lead with its current journey, as input of the rules.

    `model`: the tenant's newest model, given where the policy has the word `likelihood`.
    `fields` holds all attributes of the catalogue (attributes.py) that are single values of the lead, by name.
    `consents`: the state of each purpose of which anything is known.
    `stage` is None when there is no journey yet; `held_stage` is the stage before the last close, read from the log.
    `activities` are all of the lead's, in any order. `milestones` are those reached and not voided.
    `corrected`: the journey was corrected, and neither an interest activity nor a changed field was recorded since.
    `threshold_met`: the journey has met the rule of its first milestone since it reached that milestone.
    `owner_role` is None if the owner is inactive. `previous_owner_id`: the active user to whom a returned lead goes.
    `fit` to `entries` are filled by `app.scoring.score.scored`.
    """

    fields: Mapping[str, object] = field(default_factory=dict)
    custom: Mapping[str, object] = field(default_factory=dict)
    first_touch: Mapping[str, object] | None = None
    model: Model | None = None
    consents: Mapping[str, str] = field(default_factory=dict)
    exception: IcpException | None = None
    identities: int = 0
    contactable: bool = False
    entry: str | None = None
    stage: str | None = None
    seq: int = 0
    baseline_at: datetime | None = None
    opened_at: datetime | None = None
    closed_at: datetime | None = None
    closing_reason: str | None = None
    held_stage: str | None = None
    last_occurred_at: datetime | None = None
    newest_journey: bool = True
    milestones: frozenset[str] = field(default_factory=frozenset)
    corrected: bool = False
    threshold_met: bool = True
    assigned_at: datetime | None = None
    previous_owner_id: UUID | None = None
    activities: tuple[Activity, ...] = ()
    confirmations: tuple[Confirmation, ...] = ()
    owner_id: UUID | None = None
    owner_public_id: str | None = None
    owner_role: str | None = None
    owner_team: str | None = None
    team: str | None = None
    lapsed_teams: frozenset[str] = frozenset()
    opportunity_class: str | None = None
    wake_at: datetime | None = None
    fit: int = 0
    engagement: int = 0
    level: int = 0
    entries: tuple[Entry, ...] = ()
