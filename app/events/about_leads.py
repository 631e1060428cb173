"""The `data` of events about leads (catalogue.py has all types)."""

from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, WithJsonSchema

from app.matching.consent import StoredState
from app.policy.facts import ActorKind
from app.web.fields import (
    Instant,
    LeadId,
    OpportunityId,
    ResponseBody,
    ShownActivityId,
    ShownJourneyId,
    ShownUserId,
    SourceId,
    SubmissionId,
    TransitionId,
)

# References, since the models of the answers are in packages that import this one.
LeadAsOfEvent = Annotated[dict[str, Any], WithJsonSchema({"$ref": "#/components/schemas/LeadOut"})]
Conversion = WithJsonSchema({"allOf": [{"$ref": "#/components/schemas/Conversion"}]})


class LeadEventData(ResponseBody):
    """`lead` is there only if the receiver included it."""

    lead: LeadAsOfEvent | None = Field(
        default=None, description="With include=lead: the lead as of `meta.lead_version`; null after an erasure."
    )
    erased: bool | None = Field(default=None, description="True after an erasure, else absent.")


class FieldChange(ResponseBody):
    """What a field was before the event and is after it. `field` is a name of `changed`."""

    field: str
    from_value: Any = Field(alias="from")
    to: Any


class EventActor(ResponseBody):
    """Who acted: a user or a key by its id; null for what Baton does by itself."""

    id: Annotated[str, StringConstraints(pattern="^(usr|key)_")] | None
    kind: ActorKind
    role: str


class SourceSummary(ResponseBody):
    id: SourceId
    name: str


class ActivitySummary(ResponseBody):
    id: ShownActivityId
    type: str
    kind: Literal["interest", "contact_attempt"]
    occurred_at: Instant


class Score(ResponseBody):
    fit: int
    engagement: int


class MilestoneReached(ResponseBody):
    """A milestone that the journey has not reached before, or that was voided since. `skipped`: it was passed over."""

    name: str
    reached_at: Instant
    skipped: bool


# Of a journey, for reports of one's own (docs/reports.md). Events of earlier releases do not have these members.
OfJourney = Annotated[
    ShownJourneyId | None, Field(default=None, description="The journey that reached the milestones.")
]
Reached = Annotated[list[MilestoneReached] | None, Field(default=None, description="The milestones of this step.")]
Voided = Annotated[list[str] | None, Field(default=None, description="Milestones that count no longer.")]
ClosedJourney = Annotated[
    ShownJourneyId | None, Field(default=None, description="The journey that the merge closed: it no longer counts.")
]


class LeadCaptured(LeadEventData):
    """A lead was captured, or captured again, and a journey was opened for it."""

    lead_id: LeadId
    journey_no: int
    stage: str
    source: SourceSummary


class LeadUpdated(LeadEventData):
    """Fields, custom answers or BANT of a lead changed; `changed` names them: `company`, `custom.seats` …"""

    lead_id: LeadId
    changed: list[str]
    changes: list[FieldChange] | None = Field(default=None, description="With include=lead: old and new values.")


class LeadActivity(LeadEventData):
    """Interest of a lead, or an attempt to contact it."""

    lead_id: LeadId
    activity: ActivitySummary


class LeadStageChanged(LeadEventData):
    """A journey entered a stage: one for each transition, the capture included (`from` null, `seq` 1)."""

    lead_id: LeadId
    transition_id: TransitionId
    journey_no: int
    seq: int = Field(description="1, 2, 3 … without gaps for each journey.")
    from_stage: str | None = Field(alias="from")
    to: str
    action: str
    reason_code: str | None
    actor: EventActor
    occurred_at: Instant
    recorded_at: Instant
    policy_version: int
    evidence: dict[str, Any]
    score: Score
    journey_id: OfJourney
    business: Literal["new", "existing"] | None = None
    ends: bool | None = Field(default=None, description="Whether the journey is over, and was not converted.")
    reached: Reached
    voided: Voided


class LeadAssigned(LeadEventData):
    """A lead was given to a user, or to the pool of a role.

    The members after `pool` are those of a choice by the rules of a route (docs/routing.md).
    """

    lead_id: LeadId
    owner_id: ShownUserId | None
    previous_owner_id: ShownUserId | None
    pool: str | None
    team: str | None = None
    rule: str | None = None
    reason: Literal["assigned", "pool", "nobody_available", "no_target_left"] | None = None
    not_accepted_in_time: bool | None = None
    accept_by: str | None = None


class LeadConsentChanged(LeadEventData):
    """A consent was given, refused or withdrawn; the new state by purpose."""

    lead_id: LeadId
    consents: dict[str, StoredState]


class LeadConsentRequested(LeadEventData):
    """A form gave consents that the person has to confirm: mail them `confirm_url`, a link that is good for one time.

    It begins with /v1: put the public address of Baton before it. Whoever opens it gives the consents.
    """

    lead_id: LeadId
    purposes: list[str]
    confirm_url: str
    expires_at: Instant
    source: SourceSummary


class LeadBelowThreshold(LeadEventData):
    """The score fell below what made the lead an MQL. The stage is unchanged; sent once per fall below it."""

    lead_id: LeadId
    fit: int
    engagement: int
    since: Instant


class LeadSlaBreached(LeadEventData):
    """A clock of the policy was not met in time; once for each run of a clock, with the owner of that moment.

    `clock` to `owner_id` are missing where an action of the policy emits the event.
    """

    lead_id: LeadId
    journey_no: int
    stage: str
    occurred_at: Instant
    clock: str | None = None
    started_at: Instant | None = None
    due_at: Instant | None = None
    owner_id: ShownUserId | None = None


class LeadStalled(LeadEventData):
    """A journey stands in its stage for longer than the policy allows; once for each stay in a stage."""

    lead_id: LeadId
    journey_no: int
    stage: str
    stage_entered_at: Instant
    stalled_since: Instant


class LeadRecycleDue(LeadEventData):
    """The day on which a recycled lead is due to be reviewed has come."""

    lead_id: LeadId
    journey_no: int
    stage: str
    occurred_at: Instant


class LeadReinquired(LeadEventData):
    """A known lead showed interest again."""

    lead_id: LeadId
    journey_no: int
    opportunity_id: OpportunityId | None
    previous_outcome: str | None


class LeadReinquiryBlocked(LeadEventData):
    """A lead that was closed for good showed interest again; no journey was opened."""

    lead_id: LeadId
    closing_reason: str | None


class LeadDuplicateSuspected(LeadEventData):
    """An identity of this lead also belongs to another lead; nothing was merged."""

    lead_id: LeadId
    candidates: list[dict[str, Any]]


class LeadMerged(LeadEventData):
    """Two leads are one from now on; both leads get this event. `lead_id` is the one that the event is about.

    `merged_id` cannot be changed any more, and reading it answers `survivor_id`, which has all that both had.
    """

    lead_id: LeadId
    merged_id: LeadId
    survivor_id: LeadId
    closed_journey_id: ClosedJourney


class LeadUnmerged(LeadEventData):
    """A merge was undone: `merged_id` is a lead of its own again, with what it had. Both leads get this event."""

    lead_id: LeadId
    merged_id: LeadId
    survivor_id: LeadId
    closed_journey_id: ClosedJourney


class LeadErased(LeadEventData):
    """The person was erased: forget what you have of this lead. Earlier events of it say `erased`, and name nobody."""

    lead_id: LeadId


class LeadSuppressed(LeadEventData):
    """Somebody who was erased came again, without a new consent: nothing was stored. `lead_id` is the erased lead."""

    lead_id: LeadId
    source: SourceSummary
    submission_id: SubmissionId | None


class LeadConverted(LeadEventData):
    """A journey was converted to account, contact and opportunity; `conversion` is that of the conversion endpoint."""

    lead_id: LeadId
    journey_no: int
    conversion: Annotated[dict[str, Any], Conversion]


class LeadConversionReverted(LeadEventData):
    """A conversion was taken back: the journey stands where it stood before, and `conversion` has `reverted_at`.

    What the conversion made was archived, unless somebody has changed or used it since; what it filled in records that
    existed was emptied, unless it was changed since. `left_in_place` lists the others, each with why.
    """

    lead_id: LeadId
    journey_no: int
    conversion: Annotated[dict[str, Any], Conversion]
    transition_id: TransitionId
    reason_code: str | None
    archived: list[dict[str, Any]]
    emptied: list[dict[str, Any]]
    left_in_place: list[dict[str, Any]]
