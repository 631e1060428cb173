"""Every event type with the schema of its `data`; published in the OpenAPI document under `webhooks`."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints, WithJsonSchema, create_model

from app.events.operational import (
    DeliveryDead,
    SubscriptionDisabled,
    SubscriptionFailing,
    SubscriptionGap,
    SubscriptionPing,
    SubscriptionRecovered,
)
from app.policy.opportunity import ForecastCategory
from app.policy.words import OpportunityStageClass
from app.web.fields import (
    EventId,
    Instant,
    LeadId,
    OpportunityId,
    PolicyId,
    ResponseBody,
    SourceId,
    SubmissionId,
)

ActivityId = Annotated[str, StringConstraints(pattern="^act_")]
# References, since the models of the answers are in packages that import this one.
LeadAsOfEvent = Annotated[dict[str, Any], WithJsonSchema({"$ref": "#/components/schemas/LeadOut"})]
Conversion = WithJsonSchema({"allOf": [{"$ref": "#/components/schemas/Conversion"}]})


class LeadEventData(ResponseBody):
    """`lead` is there only if the receiver included it."""

    lead: LeadAsOfEvent | None = Field(
        default=None, description="With include=lead: the lead as of `meta.lead_version`; null after an erasure."
    )
    erased: bool | None = Field(default=None, description="With include=lead: true after an erasure, else absent.")


class FieldChange(ResponseBody):
    """What a field was before the event and is after it. `field` is a name of `changed`."""

    field: str
    from_value: Any = Field(alias="from")
    to: Any


class SourceSummary(ResponseBody):
    id: SourceId
    name: str


class ActivitySummary(ResponseBody):
    id: ActivityId
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
JourneyId = Annotated[str, StringConstraints(pattern="^jrn_")]
OfJourney = Annotated[JourneyId | None, Field(default=None, description="The journey that reached the milestones.")]
Reached = Annotated[list[MilestoneReached] | None, Field(default=None, description="The milestones of this step.")]
Voided = Annotated[list[str] | None, Field(default=None, description="Milestones that count no longer.")]
ClosedJourney = Annotated[
    JourneyId | None, Field(default=None, description="The journey that the merge closed: it no longer counts.")
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
    transition_id: str
    journey_no: int
    seq: int = Field(description="1, 2, 3 … without gaps for each journey.")
    from_stage: str | None = Field(alias="from")
    to: str
    action: str
    reason_code: str | None
    actor: dict[str, Any]
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
    owner_id: str | None
    previous_owner_id: str | None
    pool: str | None
    team: str | None = None
    rule: str | None = None
    reason: Literal["assigned", "pool", "nobody_available", "no_target_left"] | None = None
    not_accepted_in_time: bool | None = None
    accept_by: str | None = None


class LeadConsentChanged(LeadEventData):
    """A consent was given, refused or withdrawn; the new state by purpose."""

    lead_id: LeadId
    consents: dict[str, str]


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
    owner_id: str | None = None


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
    transition_id: str
    reason_code: str | None
    archived: list[dict[str, Any]]
    emptied: list[dict[str, Any]]
    left_in_place: list[dict[str, Any]]


class OpportunityStageChanged(LeadEventData):
    """An opportunity entered a stage."""

    opportunity_id: OpportunityId
    lead_id: LeadId | None
    transition_id: str
    seq: int = Field(description="1, 2, 3 … without gaps for each opportunity.")
    from_stage: str | None = Field(alias="from")
    to: str
    class_: OpportunityStageClass = Field(alias="class")
    action: str
    reason_code: str | None
    actor: dict[str, Any]
    occurred_at: Instant
    recorded_at: Instant
    policy_version: int
    evidence: dict[str, Any]
    version: int | None = Field(default=None, description="Of the opportunity after the step.")
    amount: dict[str, str] | None = None
    close_date: str | None = None
    owner_id: str | None = None
    forecast_category: ForecastCategory | None = None
    probability: int | None = None
    business: Literal["new", "existing"] | None = None
    archived_at: Instant | None = None
    journey_id: OfJourney
    reached: Reached
    voided: Voided


class OpportunityUpdated(ResponseBody):
    """What forecasts count of an opportunity has changed, the stage aside; `changed` names it, `before` has old values.

    The events of an opportunity are in the order of `version`. The lead has not changed: `meta` has no version of it.
    """

    opportunity_id: OpportunityId
    lead_id: LeadId | None
    changed: list[str]
    before: dict[str, Any]
    stage: str
    class_: OpportunityStageClass = Field(alias="class")
    version: int
    amount: dict[str, str] | None
    close_date: str | None
    owner_id: str | None
    forecast_category: ForecastCategory
    probability: int | None
    business: Literal["new", "existing"]
    archived_at: Instant | None
    actor: dict[str, Any]
    occurred_at: Instant
    recorded_at: Instant


class QuarantinedItem(ResponseBody):
    index: int
    reason: str


class SubmissionQuarantined(ResponseBody):
    """A submission could not be mapped and waits for a corrected mapping; `items` says why."""

    submission_id: SubmissionId
    source_id: SourceId
    items: list[QuarantinedItem]


class PolicyActivated(ResponseBody):
    """Both teams signed this policy; it is in force from now on, instead of the previous one."""

    policy_id: PolicyId
    policy_version: int
    name: str
    previous_policy_id: PolicyId
    activated_at: Instant


class PolicyReviewDue(ResponseBody):
    """The active policy says `review: monthly` or `quarterly`, and this time has passed: do both teams still agree?"""

    policy_id: PolicyId
    policy_version: int
    name: str
    review: str
    due_at: Instant


TYPES: Final[dict[str, type[ResponseBody]]] = {
    "lead.captured": LeadCaptured,
    "lead.updated": LeadUpdated,
    "lead.activity": LeadActivity,
    "lead.stage_changed": LeadStageChanged,
    "lead.assigned": LeadAssigned,
    "lead.consent_changed": LeadConsentChanged,
    "lead.consent_requested": LeadConsentRequested,
    "lead.below_threshold": LeadBelowThreshold,
    "lead.sla_breached": LeadSlaBreached,
    "lead.stalled": LeadStalled,
    "lead.recycle_due": LeadRecycleDue,
    "lead.reinquired": LeadReinquired,
    "lead.reinquiry_blocked": LeadReinquiryBlocked,
    "lead.duplicate_suspected": LeadDuplicateSuspected,
    "lead.merged": LeadMerged,
    "lead.unmerged": LeadUnmerged,
    "lead.converted": LeadConverted,
    "lead.conversion_reverted": LeadConversionReverted,
    "opportunity.stage_changed": OpportunityStageChanged,
    "opportunity.updated": OpportunityUpdated,
    "submission.quarantined": SubmissionQuarantined,
    "policy.activated": PolicyActivated,
    "policy.review_due": PolicyReviewDue,
    "subscription.failing": SubscriptionFailing,
    "subscription.recovered": SubscriptionRecovered,
    "subscription.disabled": SubscriptionDisabled,
    "subscription.gap": SubscriptionGap,
    "delivery.dead": DeliveryDead,
    "subscription.ping": SubscriptionPing,
}

# Events about deliveries: not sent to the subscription they are about, and their failure causes no further event.
OPERATIONAL: Final = ("subscription.", "delivery.")


class EventTransaction(BaseModel):
    """The transaction that wrote the event; `index` numbers its events from 1 to `size`."""

    id: str
    index: int
    size: int


class Meta(BaseModel):
    """The event's `position` in the log, and the lead's version after it."""

    position: str | None = Field(
        description="A string, since not every JSON reader takes a number this large. Null on a ping."
    )
    lead_version: int | None
    transaction: EventTransaction | None
    schema_version: int


class Envelope(ResponseBody):
    """An event as sent. Over 20 kB `data` has only ids, `truncated` is true and `url` returns it whole."""

    id: EventId
    type: str
    timestamp: Instant
    data: dict[str, Any]
    meta: Meta


def _documented_handler(body: type[BaseModel], text: str | None) -> Callable[..., Awaitable[None]]:
    async def handler(event: body) -> None:  # type: ignore[valid-type]
        pass

    handler.__doc__ = text
    return handler


def _webhooks() -> APIRouter:
    router = APIRouter(tags=["webhooks"])
    for name, shape in TYPES.items():
        members: dict[str, Any] = {"type": (Literal[name], ...), "data": (shape, ...)}
        body = create_model(f"{shape.__name__}Event", __base__=Envelope, **members)
        responses: dict[int | str, dict[str, Any]] = {204: {"description": "Any 2xx acknowledges the event."}}
        router.add_api_route(
            name,
            _documented_handler(body, shape.__doc__),
            methods=["POST"],
            status_code=204,
            responses=responses,
            name=name,
            operation_id=f"webhook_{name.replace('.', '_')}",
        )
    return router


webhooks: Final = _webhooks()
