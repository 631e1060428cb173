"""Request and response models of leads (api.md, section 4)."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from app import ids
from app.database.transaction import Record
from app.journeys.record import entry_document
from app.journeys.state import NewActivity
from app.leads.clocks import Sla
from app.leads.consent_schemas import ConsentIn
from app.leads.qualification_schemas import ExceptionOut
from app.lifecycle.answer import Eligible
from app.matching.channel import CHANNELS, Channel
from app.matching.consent import StoredState
from app.matching.person import EmailStatus, IdentityKind, LeadKind, PhoneStatus
from app.policy.facts import Activity, Entry, Temperature
from app.policy.shape import NAMESPACE, NAMESPACE_SENTENCE, Like
from app.web.fields import (
    Code,
    Day,
    Instant,
    LeadId,
    Note,
    Omittable,
    RequestBody,
    ResponseBody,
    ShortText,
    ShownAccountId,
    ShownContactId,
    ShownLeadId,
    ShownOpportunityId,
    ShownUserId,
    SourceId,
    UserId,
    refuse,
    rfc3339,
)
from app.web.items import one_by_one
from app.web.money import Amount
from app.web.problems import FieldFault

Text = Annotated[str, StringConstraints(max_length=1_000)]
Namespace = Annotated[str, Like("crm:lead", NAMESPACE_SENTENCE, NAMESPACE)]
CustomValue = Any
Custom = Annotated[dict[ShortText, CustomValue], Field(max_length=200)]


class LeadFields(RequestBody):
    """The canonical fields; null empties one in a PATCH."""

    email: Annotated[str, StringConstraints(max_length=254)] | None = Field(default=None, examples=["anna@nordsoft.ro"])
    phone: Text | None = Field(default=None, examples=["+40 21 555 0100"])
    first_name: Text | None = None
    last_name: Text | None = None
    full_name: Text | None = Field(default=None, examples=["Anna Zvoristeanu"])
    company: Text | None = Field(default=None, examples=["Nordsoft"])
    domain: Text | None = None
    job_title: Text | None = Field(default=None, examples=["Director"])
    role: Text | None = None
    seniority: Text | None = None
    industry: Text | None = Field(default=None, examples=["software"])
    employees: Annotated[int, Field(ge=0, le=10_000_000)] | None = Field(default=None, examples=[120])
    country: Text | None = None
    language: Text | None = None
    website: Text | None = None
    message: Note | None = None


class ActivityIn(RequestBody):
    type: Code = Field(examples=["demo_request"])
    kind: Literal["interest", "contact_attempt"] = "interest"
    activity_key: ShortText | None = Field(
        default=None, description="Idempotency key: a lead has at most one activity for each key."
    )
    occurred_at: Instant | None = None
    properties: Custom = Field(default_factory=dict)


class ActivityOfPerson(ActivityIn):
    """An activity of a known person, named by exactly one identity."""

    email: Annotated[str, StringConstraints(max_length=254)] | None = None
    phone: Annotated[str, StringConstraints(max_length=64)] | None = Field(
        default=None, description="With its country code; it has to be the number of one lead alone."
    )
    external_id: Annotated[str, StringConstraints(max_length=320)] | None = Field(
        default=None, description="namespace:value"
    )
    lead_id: LeadId | None = None

    @model_validator(mode="after")
    def _one_person(self) -> Self:
        if sum(name is not None for name in (self.email, self.phone, self.external_id, self.lead_id)) != 1:
            refuse(self, "lead_id", "one_identity", "give exactly one of email, phone, external_id, lead_id")
        return self


class ActivitiesIn(RequestBody):
    read_alone: ClassVar[Collection[str]] = ("activities",)
    activities: Annotated[list[Annotated[Any, one_by_one(ActivityOfPerson)]], Field(min_length=1, max_length=500)]


class RecordedOut(ResponseBody):
    index: int
    lead_id: str | None
    activity_id: str | None = Field(description="Of an activity whose key came before, that of the first.")
    recorded: bool
    reason: str | None = Field(
        description="Why nothing was recorded: `person_unknown`; `lead_merged`; `person_ambiguous` (several leads "
        "share the number or mailbox); `out_of_order` (in the future); or the code of the problem by which the policy "
        "refused; `request_invalid` for one of a wrong form. Null for a key that came before."
    )
    errors: list[FieldFault] = Field(description="Of an activity of a wrong form, what is wrong in which field.")


class ActivitiesOut(ResponseBody):
    data: list[RecordedOut]


# The members with values of a fixed form are checked in create.py, which names them in its problem.
Attribution = Annotated[
    dict[Code, Text],
    Field(
        max_length=50,
        description="Of this touch: source, medium, campaign, term, content, referrer, landing_page, click ids … "
        "`channel` is one of a list of words; `referred_by_contact_id` names who referred, `partner_account_id` the "
        "partner.",
        json_schema_extra={"properties": {"channel": {"type": "string", "enum": list(CHANNELS)}}},
    ),
]


class LeadCreate(RequestBody):
    fields: LeadFields
    external_ids: Annotated[dict[Namespace, ShortText], Field(max_length=20)] = Field(default_factory=dict)
    custom: Custom = Field(default_factory=dict)
    channel: Channel | None = Field(default=None, description="The same as `attribution.channel`.", examples=["phone"])
    attribution: Attribution = Field(default_factory=dict)
    consents: Annotated[list[ConsentIn], Field(max_length=20)] = Field(default_factory=list)
    source_id: SourceId | None = None
    activity: ActivityIn | None = None
    occurred_at: Instant | None = None

    @model_validator(mode="after")
    def _one_channel(self) -> Self:
        if self.channel and self.attribution.get("channel", self.channel) != self.channel:
            refuse(self, "channel", "one_channel", "give the channel once: in channel or in attribution.channel")
        return self


class LeadPatch(RequestBody):
    fields: Omittable[LeadFields] = None
    custom: Omittable[Custom] = None
    owner_id: UserId | None = None


class BantValue(RequestBody):
    status: Literal["unknown", "confirmed", "denied"]
    value: Text | None = None
    evidence: Text | None = None


class BantBudget(BantValue):
    amount: Amount | None = None


class BantTiming(BantValue):
    due_on: Day | None = None


class Bant(RequestBody):
    """What the acting person confirms; absent criteria stay unchanged."""

    budget: BantBudget | None = None
    authority: BantValue | None = None
    need: BantValue | None = None
    timing: BantTiming | None = None


class IdentityOut(ResponseBody):
    kind: IdentityKind
    value: str
    namespace: str
    primary: bool


class LeadScore(ResponseBody):
    """The score of a lead, as a lead shows it."""

    fit: int
    engagement: int
    level: int
    temperature: Temperature


class LeadLinks(ResponseBody):
    """The records of the lead's conversion, or of the contact that was known."""

    account_id: ShownAccountId | None
    contact_id: ShownContactId | None
    opportunity_id: ShownOpportunityId | None


class LeadOut(ResponseBody):
    id: ShownLeadId
    version: int
    kind: LeadKind
    stage: str | None
    journey_no: int | None
    seq: int | None
    stage_entered_at: str | None
    journey_opened_at: str | None
    fields: dict[str, str | int | None]
    custom: dict[str, Any]
    identities: list[IdentityOut]
    score: LeadScore
    owner_id: ShownUserId | None
    sla: Sla | None
    stalled_since: str | None = Field(description="The lead stands in its stage for longer than its policy allows.")
    bant: dict[str, Any]
    raw: dict[str, str | None]
    email_status: EmailStatus | None
    phone_status: PhoneStatus | None = Field(description="`shared`: several leads have the number.")
    other_names: list[str] = Field(description="Names of later forms that contradict the lead's.")
    shared_mailbox_suspected: bool = Field(description="Forms under one address gave names that contradict each other.")
    known_contact: bool = Field(description="The person was a contact when a form came; `links` names the contact.")
    icp_exception: ExceptionOut | None = Field(
        description="Why the lead counts as in the ideal customer profile although it does not fit."
    )
    attribution: dict[str, Any]
    channel: Channel | None = Field(description="By which the lead came first.")
    consents: dict[str, StoredState]
    links: LeadLinks
    merged_into: ShownLeadId | None
    merged_from: str | None = Field(
        default=None, description="Only where a merged lead was asked for: its id. The rest is the lead that remained."
    )
    created_at: str
    updated_at: str


class LeadPage(ResponseBody):
    data: list[LeadOut]
    next: str | None


class ActivityOut(ResponseBody):
    id: str
    lead_id: str
    type: str
    kind: Literal["interest", "contact_attempt"]
    activity_key: str
    occurred_at: str
    recorded_at: str
    properties: dict[str, Any]


class ActivityPage(ResponseBody):
    data: list[ActivityOut]
    next: str | None


class JourneyOut(ResponseBody):
    journey_no: int
    stage: str
    business: Literal["new", "existing"]
    opened_at: str
    closed_at: str | None
    closing_reason: str | None
    milestones: list[dict[str, Any]]


class JourneyList(ResponseBody):
    data: list[JourneyOut]
    next: None


class TransitionOut(ResponseBody):
    id: str
    lead_id: str
    journey_no: int
    seq: int
    from_: str | None = Field(alias="from")
    to: str
    action: str
    reason_code: str | None
    note: str | None
    actor: dict[str, Any]
    on_behalf_of: dict[str, Any] | None
    occurred_at: str
    recorded_at: str
    policy_version: int
    evidence: dict[str, Any]


class TransitionList(ResponseBody):
    data: list[TransitionOut]
    next: None


class FieldValue(ResponseBody):
    """A value that a field has or had, and from where."""

    value: Any = Field(description="Null where the field was emptied.")
    replaced: Any = Field(description="The value before; null where there was none.")
    set_at: str
    version: int = Field(description="The version of the lead that has the value first.")
    submission_id: str | None = Field(description="The submission that gave the value; null for a change by the API.")
    source_id: str | None
    actor: dict[str, Any] = Field(description="Who changed the lead; for a submission the service.")


class FieldOut(FieldValue):
    field: str = Field(description="A canonical field, or `custom.` and the name of a custom one.")
    raw: str | None = Field(description="What was typed, where that differs from the value.")
    derived_from: list[str] = Field(description="The fields from which the value follows; empty where it was given.")
    history: list[FieldValue] = Field(description="The values before, the latest first.")


class FieldList(ResponseBody):
    data: list[FieldOut]
    next: None


class TimelineOut(ResponseBody):
    data: list[dict[str, Any]]
    next: None


def show_activity(row: Record, lead_id: LeadId) -> dict[str, Any]:
    """A stored activity."""
    return {**_shown_activity(row, lead_id), "activity_key": row.activity_key, **_origin(row)}


def show_new_activity(new: NewActivity, lead_id: LeadId) -> dict[str, Any]:
    """An activity that this transaction records, as `show_activity` shows it afterwards."""
    return {**_shown_activity(new.activity, lead_id), "activity_key": new.key, **_origin(new)}


def _shown_activity(activity: Activity | Record, lead_id: LeadId) -> dict[str, Any]:
    return {
        "id": ids.show("activity", activity.id),
        "lead_id": ids.show("lead", lead_id),
        "type": activity.type,
        "kind": activity.kind,
        "occurred_at": rfc3339(activity.occurred_at),
        "recorded_at": rfc3339(activity.recorded_at),
    }


def _origin(one: NewActivity | Record) -> dict[str, Any]:
    return {"properties": one.properties, "source_id": ids.shown("source", one.source_id)}


def show_entry(entry: Entry, policy_version: int) -> dict[str, Any]:
    return {**entry_document(entry), "policy_version": policy_version}


def show_transition(row: Record) -> dict[str, Any]:
    plain = ("seq", "action", "reason_code", "note", "actor", "on_behalf_of", "policy_version", "evidence")
    return {
        "id": ids.show("transition", row.id),
        "lead_id": ids.show("lead", row.lead_id),
        "journey_no": row.number,
        "from": row.from_stage,
        "to": row.to_stage,
        **{name: getattr(row, name) for name in plain},
        "correction_of": ids.shown("transition", row.correction_of),
        "occurred_at": rfc3339(row.occurred_at),
        "recorded_at": rfc3339(row.recorded_at),
    }


def show_journey(row: Record, milestones: list[Record]) -> dict[str, Any]:
    return {
        "journey_no": row.number,
        "stage": row.stage,
        "seq": row.seq,
        "business": row.business,
        "opened_at": rfc3339(row.opened_at),
        "closed_at": rfc3339(row.closed_at),
        "closing_reason": row.closing_reason,
        "recycles": row.recycles,
        "wake_at": rfc3339(row.wake_at),
        "policy_id": ids.shown("policy", row.policy_id),
        "milestones": [
            {
                "name": one.name,
                "reached_at": rfc3339(one.reached_at),
                "skipped": one.skipped,
                "voided": one.voided_at is not None,
                "proof": one.proof,
            }
            for one in milestones
        ],
    }


def show_eligible(one: Eligible) -> dict[str, Any]:
    return {
        "action": one.action,
        "to": one.to,
        "allowed": one.allowed,
        "code": one.code,
        "unmet": list(one.unmet),
        "needs": list(one.needs),
    }
