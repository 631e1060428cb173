"""Every event type with the schema of its `data`; published in the OpenAPI document under `webhooks`."""

from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field, create_model

from app.events.about_leads import (
    EventActor,
    LeadActivity,
    LeadAssigned,
    LeadBelowThreshold,
    LeadCaptured,
    LeadConsentChanged,
    LeadConsentRequested,
    LeadConversionReverted,
    LeadConverted,
    LeadDuplicateSuspected,
    LeadErased,
    LeadEventData,
    LeadMerged,
    LeadRecycleDue,
    LeadReinquired,
    LeadReinquiryBlocked,
    LeadSlaBreached,
    LeadStageChanged,
    LeadStalled,
    LeadSuppressed,
    LeadUnmerged,
    LeadUpdated,
    OfJourney,
    Reached,
    Voided,
)
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
    ShownUserId,
    SourceId,
    SubmissionId,
    TransitionId,
)


class OpportunityStageChanged(LeadEventData):
    """An opportunity entered a stage."""

    opportunity_id: OpportunityId
    lead_id: LeadId | None
    transition_id: TransitionId
    seq: int = Field(description="1, 2, 3 … without gaps for each opportunity.")
    from_stage: str | None = Field(alias="from")
    to: str
    class_: OpportunityStageClass = Field(alias="class")
    action: str
    reason_code: str | None
    actor: EventActor
    occurred_at: Instant
    recorded_at: Instant
    policy_version: int
    evidence: dict[str, Any]
    version: int | None = Field(default=None, description="Of the opportunity after the step.")
    amount: dict[str, str] | None = None
    close_date: str | None = None
    owner_id: ShownUserId | None = None
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
    owner_id: ShownUserId | None
    forecast_category: ForecastCategory
    probability: int | None
    business: Literal["new", "existing"]
    archived_at: Instant | None
    actor: EventActor
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
    "lead.erased": LeadErased,
    "lead.suppressed": LeadSuppressed,
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
