"""Every type of event that Baton tells, with the shape of its `data`; OpenAPI has them under `webhooks`."""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field, StringConstraints, create_model

from app.web.fields import (
    AccountId,
    ConversionId,
    EventId,
    Instant,
    LeadId,
    OpportunityId,
    PolicyId,
    Shape,
    SourceId,
    SubmissionId,
    SubscriptionId,
)

ActivityId = Annotated[str, StringConstraints(pattern="^act_")]


class SourceNamed(Shape):
    id: SourceId
    name: str


class ActivityTold(Shape):
    id: ActivityId
    type: str
    kind: Literal["interest", "contact_attempt"]
    occurred_at: Instant


class Score(Shape):
    fit: int
    engagement: int


class LeadCaptured(Shape):
    """A lead came in and its first journey, or a new one, was opened."""

    lead_id: LeadId
    journey_no: int
    stage: str
    source: SourceNamed


class LeadUpdated(Shape):
    """Fields, custom answers or the owner of a lead changed; `changed` names them."""

    lead_id: LeadId
    changed: list[str]


class LeadActivity(Shape):
    """Interest of a lead, or an attempt to contact it."""

    lead_id: LeadId
    activity: ActivityTold


class LeadStageChanged(Shape):
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


class LeadAssigned(Shape):
    """A lead was given to a user, or to the pool of a role."""

    lead_id: LeadId
    owner_id: str | None
    previous_owner_id: str | None
    pool: str | None


class LeadConsentChanged(Shape):
    """A consent was given, refused or withdrawn; the new state by purpose."""

    lead_id: LeadId
    consents: dict[str, str]


class LeadBelowThreshold(Shape):
    """The score fell below what made the lead an MQL; it stays one, and this is told once."""

    lead_id: LeadId
    fit: int
    engagement: int
    since: Instant


class LeadRecycleDue(Shape):
    """The day has come on which a recycled lead is to be looked at again."""

    lead_id: LeadId
    journey_no: int
    stage: str
    occurred_at: Instant


class LeadReinquired(Shape):
    """A known lead showed interest again."""

    lead_id: LeadId
    journey_no: int
    opportunity_id: OpportunityId | None
    previous_outcome: str | None


class LeadReinquiryBlocked(Shape):
    """A lead that was closed for good showed interest again; nothing was opened."""

    lead_id: LeadId
    closing_reason: str | None


class LeadDuplicateSuspected(Shape):
    """Something a lead gave points at another lead too; nothing was merged."""

    lead_id: LeadId
    candidates: list[dict[str, Any]]


class Linked(Shape):
    outcome: str


class LeadConverted(Shape):
    """A journey became account, contact and opportunity: the conversion as its endpoint answers it."""

    lead_id: LeadId
    id: ConversionId
    journey_no: int
    converted_at: Instant
    account: Linked
    contact: Linked
    opportunity: Linked


class OpportunityStageChanged(Shape):
    """An opportunity entered a stage."""

    opportunity_id: OpportunityId
    lead_id: LeadId | None
    account_id: AccountId | None = None


class SubmissionQuarantined(Shape):
    """A submission could not be understood and waits for a better mapping; `items` says why."""

    submission_id: SubmissionId
    source_id: SourceId


class PolicyActivated(Shape):
    """Both teams signed, and from now on this policy decides."""

    policy_id: PolicyId


class SubscriptionDisabled(Shape):
    """A subscription was switched off; it keeps its place and loses nothing. Never told to itself."""

    subscription_id: SubscriptionId
    reason: str


class DeliveryDead(Shape):
    """A delivery was given up after its last attempt; `position` says where to pull it from. Never told to itself."""

    subscription_id: SubscriptionId
    event_id: EventId
    event_type: str
    position: str
    lead_id: LeadId | None
    attempts: int
    last_code: int | None
    last_error: str | None


class SubscriptionPing(Shape):
    """Sent on request to try a receiver; neither in the log nor repeated."""


TYPES: Final[dict[str, type[Shape]]] = {
    "lead.captured": LeadCaptured,
    "lead.updated": LeadUpdated,
    "lead.activity": LeadActivity,
    "lead.stage_changed": LeadStageChanged,
    "lead.assigned": LeadAssigned,
    "lead.consent_changed": LeadConsentChanged,
    "lead.below_threshold": LeadBelowThreshold,
    "lead.recycle_due": LeadRecycleDue,
    "lead.reinquired": LeadReinquired,
    "lead.reinquiry_blocked": LeadReinquiryBlocked,
    "lead.duplicate_suspected": LeadDuplicateSuspected,
    "lead.converted": LeadConverted,
    "opportunity.stage_changed": OpportunityStageChanged,
    "submission.quarantined": SubmissionQuarantined,
    "policy.activated": PolicyActivated,
    "subscription.disabled": SubscriptionDisabled,
    "delivery.dead": DeliveryDead,
    "subscription.ping": SubscriptionPing,
}

# About deliveries themselves: never told to the subscription they speak of, and never the cause of another one.
OPERATIONAL: Final = ("subscription.", "delivery.")


class TransactionTold(BaseModel):
    """Events of one transaction carry its id; `index` orders them from 1 to `size`."""

    id: str
    index: int
    size: int


class Meta(BaseModel):
    """Where the event stands: `position` in the log, and the lead's version after it."""

    position: str | None = Field(description="A number too large for some readers, so a string. Null on a ping.")
    lead_version: int | None
    transaction: TransactionTold | None
    schema_version: int


class Envelope(Shape):
    """An event on the wire. Over 20 kB `data` keeps only its ids, `truncated` is true and `url` has the whole."""

    id: EventId
    type: str
    timestamp: Instant
    data: dict[str, Any]
    meta: Meta


def _told(body: type[BaseModel], text: str | None) -> Callable[..., Awaitable[None]]:
    async def told(event: body) -> None:  # type: ignore[valid-type]
        pass

    told.__doc__ = text
    return told


def _webhooks() -> APIRouter:
    router = APIRouter(tags=["webhooks"])
    for name, shape in TYPES.items():
        members: dict[str, Any] = {"type": (Literal[name], ...), "data": (shape, ...)}
        body = create_model(f"{shape.__name__}Event", __base__=Envelope, **members)
        answers: dict[int | str, dict[str, Any]] = {204: {"description": "Any 2xx says that the event is received."}}
        router.add_api_route(
            name,
            _told(body, shape.__doc__),
            methods=["POST"],
            status_code=204,
            responses=answers,
            name=name,
            operation_id=f"webhook_{name.replace('.', '_')}",
        )
    return router


webhooks: Final = _webhooks()
