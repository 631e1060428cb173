"""Response models of conversions."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from app.conversion.plan import OwnerReason
from app.leads.schemas import LeadOut, TransitionOut
from app.web.fields import ResponseBody

Outcome = Literal["created", "linked", "none"]
OWNER_REASON = (
    "`requested`: the request names the owner. `lead_owner`: it is the lead's. `converted_by`: it is who converted, "
    "because the lead's owner is no longer an active sdr, ae or manager. null: there is no owner."
)


class Made(ResponseBody):
    id: str | None
    outcome: Outcome


class MadeOpportunity(Made):
    class_: Literal["unqualified", "qualified"] | None = Field(alias="class")
    owner_id: str | None = Field(default=None, description="The owner of an opportunity that was created.")
    owner_reason: OwnerReason | None = Field(default=None, description=OWNER_REASON)


class FieldOutcome(ResponseBody):
    field: str
    target: str | None
    outcome: Literal["copied", "filled", "kept_existing", "overwritten", "unmapped"]


class Conversion(ResponseBody):
    id: str
    lead_id: str
    journey_no: int
    converted_at: str
    policy_version: int
    verified_by: str | None
    account: Made
    contact: Made
    opportunity: MadeOpportunity
    field_outcomes: list[FieldOutcome]
    transition_id: str
    carry_activities: bool
    reverted_at: str | None


class ConversionOut(ResponseBody):
    conversion: Conversion


class Blocked(ResponseBody):
    code: str
    detail: str


class Previewed(ResponseBody):
    outcome: Outcome | None
    id: str | None


class PreviewedOpportunity(Previewed):
    owner_id: str | None = Field(default=None, description="The owner of an opportunity that would be created.")
    owner_reason: OwnerReason | None = Field(default=None, description=OWNER_REASON)


class Preview(ResponseBody):
    possible: bool
    blocked: list[Blocked]
    account: Previewed
    contact: Previewed
    opportunity: PreviewedOpportunity
    field_outcomes: list[FieldOutcome]


class Undone(ResponseBody):
    type: Literal["account", "contact", "opportunity"]
    id: str


class Emptied(Undone):
    fields: list[str]


class LeftInPlace(Undone):
    why: Literal[
        "changed_since",
        "has_other_contact",
        "has_other_opportunity",
        "has_other_lead",
        "consent_refused",
        "key_taken",
        "not_recorded",
    ] = Field(
        description="`changed_since`: somebody has changed it. `has_other_…`: such a record belongs to it. "
        "`consent_refused`: who refused a consent is held to it. `key_taken`: another record has the old value by now. "
        "`not_recorded`: the conversion was made by a release that did not keep what it replaced."
    )
    fields: list[str] | None = Field(default=None, description="The fields that keep their values.")


class RevertPlan(ResponseBody):
    archived: list[Undone] = Field(description="What the conversion made, and nobody has changed or uses since.")
    emptied: list[Emptied] = Field(description="Fields that have the value again that the conversion replaced.")
    left_in_place: list[LeftInPlace]


class RevertPreview(RevertPlan):
    possible: bool
    blocked: list[Blocked]
    to: str | None = Field(description="The stage that the journey would return to.")
    voids: list[str] = Field(description="The milestones that would not count any more.")


class RevertOut(RevertPlan):
    conversion: Conversion
    transition: TransitionOut
    lead: LeadOut


class BatchResult(ResponseBody):
    index: int
    lead_id: str | None = Field(description="Null for an item of a wrong form.")
    status: int
    conversion: Conversion | None = None
    problem: dict[str, Any] | None = None


class BatchOut(ResponseBody):
    results: list[BatchResult]


class Reached(ResponseBody):
    people: int
    journeys: int


class AccountCounts(ResponseBody):
    people: int = Field(description="Contacts of the account, and people among its leads who are no contact yet.")
    journeys: int = Field(description="Of these people: one who came twice has two.")
    open_journeys: int
    milestones: dict[str, Reached] = Field(
        description="How many have reached each milestone, as people and as journeys."
    )


class AccountPerson(ResponseBody):
    """A contact with all leads that are linked to it, or a lead without a contact."""

    contact_id: str | None
    lead_id: str | None = Field(description="Of several leads the one with an open journey, else the last.")
    by: Literal["link", "domain"] = Field(description="Linked to the account, or in none and of its domain.")
    full_name: str | None
    email: str | None
    job_title: str | None
    stage: str | None
    score: dict[str, Any] | None
    owner_id: str | None
    last_activity_at: str | None


class AccountPeople(ResponseBody):
    data: list[AccountPerson]
    next: str | None


class AccountLine(ResponseBody):
    """`kind` names the member that tells what happened."""

    at: str
    kind: Literal["activity", "transition", "opportunity"]


class AccountTimeline(ResponseBody):
    data: list[AccountLine]
    next: str | None
