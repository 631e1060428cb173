"""Request and response models of accounts, contacts and opportunities."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Any, Final, Literal, Self
from uuid import UUID

from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from app import ids
from app.database.transaction import Record, Records
from app.leads.schemas import Bant, Custom
from app.matching.company import is_of_many, is_web_address, registrable_domain
from app.matching.consent import StoredState
from app.matching.country import country_code
from app.matching.email import NOT_AN_EMAIL, read_email
from app.matching.mailboxes import is_free_mail
from app.matching.person_consents import Consent
from app.pipeline.forms import nameless
from app.pipeline.steps import category_of, state_of
from app.policy.opportunity import ForecastCategory
from app.web.fields import (
    AccountId,
    Code,
    ContactId,
    Day,
    Instant,
    Note,
    Omittable,
    RequestBody,
    ResponseBody,
    ShortText,
    UserId,
    refuse,
    rfc3339,
)
from app.web.money import Amount, money

NOT_A_DOMAIN: Final = "this is not a domain name that can be registered, such as example.com"
Business = Literal["new", "existing"]
OpenClass = Literal["unqualified", "qualified"]
Class = Literal["unqualified", "qualified", "won", "lost"]
OpenCategory = Literal["omitted", "pipeline", "upside", "commit"]


def _domain(value: str) -> str:
    domain = registrable_domain(value) if is_web_address(value) else None
    if domain is None:
        raise PydanticCustomError("domain_invalid", NOT_A_DOMAIN)
    if is_free_mail(domain):
        raise PydanticCustomError(
            "domain_free_mail", "this is the domain of a free mail provider, which does not identify a company"
        )
    if is_of_many(domain):
        raise PydanticCustomError(
            "domain_of_many", "many companies have pages under this domain, so that it does not identify one of them"
        )
    return domain


def _website(value: str) -> str:
    if not is_web_address(value):
        raise PydanticCustomError("website_invalid", "this is not a web address, such as https://www.example.com/about")
    return value


def _email(value: str) -> str:
    email = read_email(value)
    if email is None:
        raise PydanticCustomError("email_invalid", NOT_AN_EMAIL)
    return email.display


def _country(value: str) -> str:
    code = country_code(value)
    if code is None:
        raise PydanticCustomError("country_unknown", "this is neither the name of a country nor an ISO 3166 code")
    return code


Domain = Annotated[str, StringConstraints(max_length=255), AfterValidator(_domain)]
Website = Annotated[ShortText, AfterValidator(_website)]
Email = Annotated[str, StringConstraints(max_length=254), AfterValidator(_email)]
Country = Annotated[str, StringConstraints(max_length=100), AfterValidator(_country)]
Employees = Annotated[int, Field(ge=0, le=10_000_000)]


class AccountValues(RequestBody):
    """The writable members of an account; null clears a member."""

    name: ShortText | None = Field(default=None, examples=["Nordsoft"])
    domain: Domain | None = Field(default=None, examples=["nordsoft.ro"])
    website: Website | None = None
    phone: ShortText | None = Field(default=None, examples=["+40 21 555 0100"])
    industry: ShortText | None = None
    employees: Employees | None = None
    country: Country | None = None
    language: ShortText | None = None
    external_id: ShortText | None = None


class ContactValues(RequestBody):
    """The writable members of a contact; null clears a member."""

    email: Email | None = Field(default=None, examples=["anna@nordsoft.ro"])
    phone: ShortText | None = None
    first_name: ShortText | None = Field(default=None, examples=["Anna"])
    last_name: ShortText | None = Field(default=None, examples=["Zvoristeanu"])
    full_name: ShortText | None = None
    job_title: ShortText | None = None
    role: ShortText | None = None
    seniority: ShortText | None = None
    country: Country | None = None
    language: ShortText | None = None
    website: Website | None = None
    external_id: ShortText | None = None


class AccountCreate(AccountValues):
    custom: Custom = Field(default_factory=dict)
    owner_id: UserId | None = None

    @model_validator(mode="after")
    def _named(self) -> Self:
        if (why := nameless("account", vars(self))) is not None:
            refuse(self, *why)
        return self


class AccountPatch(AccountValues):
    custom: Omittable[Custom] = None
    owner_id: UserId | None = None
    archived: Omittable[bool] = Field(default=None, description="True archives the account, false restores it.")


class ContactCreate(ContactValues):
    account_id: AccountId | None = None
    custom: Custom = Field(default_factory=dict)
    owner_id: UserId | None = None
    sourced_by: UserId | None = Field(default=None, description="Who found the contact; left out: who makes it.")

    @model_validator(mode="after")
    def _named(self) -> Self:
        if (why := nameless("contact", vars(self))) is not None:
            refuse(self, *why)
        return self


class ContactPatch(ContactValues):
    account_id: AccountId | None = None
    custom: Omittable[Custom] = None
    owner_id: UserId | None = None
    archived: Omittable[bool] = Field(default=None, description="True archives the contact, false restores it.")


class OpportunityCreate(RequestBody):
    """An opportunity without a lead, for example a renewal."""

    name: ShortText = Field(examples=["Nordsoft renewal 2027"])
    account_id: AccountId | None = None
    contact_id: ContactId | None = None
    owner_id: UserId | None = None
    amount: Amount | None = None
    close_date: Day | None = Field(default=None, examples=["2027-03-31"])
    business: Business = "existing"
    custom: Custom = Field(default_factory=dict)
    external_id: ShortText | None = None
    occurred_at: Instant | None = None


class OpportunityPatch(RequestBody):
    """Everything but the stage, which only a transition changes."""

    name: Omittable[ShortText] = None
    account_id: AccountId | None = None
    contact_id: ContactId | None = None
    owner_id: UserId | None = None
    amount: Amount | None = None
    close_date: Day | None = None
    business: Omittable[Business] = None
    custom: Omittable[Custom] = None
    external_id: ShortText | None = None
    archived: Omittable[bool] = Field(default=None, description="True archives the opportunity, false restores it.")
    forecast_category: OpenCategory | None = Field(
        default=None, description="Set by the owner or a manager; null: that of the stage. It ends with the stage."
    )


class OpportunityAsk(RequestBody):
    """A transition of an opportunity: an action of its policy, or the stage to enter in `to`."""

    action: Code | None = Field(default=None, examples=["qualify"])
    to: Code | None = None
    reason_code: Code | None = None
    note: Note | None = None
    bant: Bant | None = None
    occurred_at: Instant | None = None

    @model_validator(mode="after")
    def _asks(self) -> Self:
        if self.action is None and self.to is None:
            refuse(self, "action", "action_required", "name an action, or the stage to enter in `to`")
        return self


class RecordOut(ResponseBody):
    id: str
    version: int
    owner_id: str | None
    origin_lead_id: str | None
    external_id: str | None
    custom: dict[str, Any]
    archived_at: str | None
    created_at: str
    updated_at: str


class AccountOut(RecordOut):
    name: str | None
    domain: str | None
    website: str | None
    phone: str | None
    industry: str | None
    employees: int | None
    country: str | None
    language: str | None


class ContactConsent(ResponseBody):
    """The decision that counts for a purpose, of those of the leads linked to the contact."""

    state: StoredState
    occurred_at: str | None
    text: str | None = Field(description="The wording, as it was shown.")
    channel: str | None
    source_id: str | None
    bought: bool = Field(description="Whether a list claims it, which the person has not said here.")


class ContactOut(RecordOut):
    account_id: str | None
    sourced_by: str | None = Field(description="The user who found the contact; null for one that a lead became.")
    email: str | None
    phone: str | None
    first_name: str | None
    last_name: str | None
    full_name: str | None
    job_title: str | None
    role: str | None
    seniority: str | None
    country: str | None
    language: str | None
    website: str | None
    consents: dict[str, ContactConsent]


class OpportunityOut(RecordOut):
    name: str
    stage: str
    class_: Class = Field(alias="class")
    seq: int
    stage_entered_at: str
    account_id: str | None
    contact_id: str | None
    amount: dict[str, str] | None
    close_date: str | None
    business: Business
    forecast_category: ForecastCategory
    probability: int | None
    slipped: bool = Field(description="Open, and its close date is past in the time zone of the tenant.")
    closing_reason: str | None


class OpportunityState(ResponseBody):
    """What forecasts count of an opportunity, from `recorded_at` on. `changed` names what the change was."""

    version: int
    changed: list[str]
    stage: str
    class_: Class = Field(alias="class")
    amount: dict[str, str] | None
    close_date: str | None
    owner_id: str | None
    forecast_category: ForecastCategory
    probability: int | None
    business: Business
    archived_at: str | None
    occurred_at: str
    recorded_at: str


class OpportunityHistory(ResponseBody):
    data: list[OpportunityState]
    next: None


class OpportunityTransitionOut(ResponseBody):
    id: str
    opportunity_id: str
    lead_id: str | None
    seq: int
    from_: str | None = Field(alias="from")
    to: str
    class_: Class = Field(alias="class")
    action: str
    reason_code: str | None
    note: str | None
    actor: dict[str, Any]
    occurred_at: str
    recorded_at: str
    policy_version: int
    evidence: dict[str, Any]


class AccountPage(ResponseBody):
    data: list[AccountOut]
    next: str | None


class ContactPage(ResponseBody):
    data: list[ContactOut]
    next: str | None


class OpportunityPage(ResponseBody):
    data: list[OpportunityOut]
    next: str | None


class OpportunityMoved(ResponseBody):
    transition: OpportunityTransitionOut
    opportunity: OpportunityOut


class OpportunityTransitionList(ResponseBody):
    data: list[OpportunityTransitionOut]
    next: None


def show_account(row: Record) -> dict[str, Any]:
    return {**_shown("account", row), **{name: getattr(row, name) for name in AccountValues.model_fields}}


def show_contact(row: Record) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in ContactValues.model_fields}
    consents = {purpose: _show_consent(one) for purpose, one in row.consents.items()}
    links = {"account_id": ids.shown("account", row.account_id), "sourced_by": ids.shown("user", row.sourced_by)}
    return {**_shown("contact", row), **links, **values, "consents": consents}


def _show_consent(consent: Consent) -> dict[str, Any]:
    at, source_id = consent["occurred_at"], consent["source_id"]
    return {
        "state": consent["state"],
        "occurred_at": rfc3339(datetime.fromisoformat(at)) if at else None,
        "text": consent["text"],
        "channel": consent["channel"],
        "source_id": ids.show("source", UUID(source_id)) if source_id else None,
        "bought": consent["bought"],
    }


def show_opportunity(row: Record, today: date) -> dict[str, Any]:
    """`today` is the date in the time zone of the tenant."""
    plain = ("name", "stage", "class", "seq", "business", "closing_reason")
    return {
        **_shown("opportunity", row),
        **{name: row._mapping[name] for name in plain},
        "stage_entered_at": rfc3339(row.stage_entered_at),
        "account_id": ids.shown("account", row.account_id),
        "contact_id": ids.shown("contact", row.contact_id),
        "amount": money(row.amount, row.currency),
        "close_date": row.close_date.isoformat() if row.close_date else None,
        "forecast_category": category_of(row._mapping),
        "probability": row.probability,
        "slipped": has_slipped(row, today),
        "policy_id": ids.show("policy", row.policy_id),
    }


def has_slipped(row: Record, today: date) -> bool:
    """Whether the opportunity should have been closed before today, and is not."""
    is_open = row._mapping["class"] not in ("won", "lost")
    return is_open and row.close_date is not None and row.close_date < today


def show_history(rows: Records) -> list[dict[str, Any]]:
    """The states of an opportunity, oldest first; the first one changes all that has a value."""
    states = [{"stage": row.stage, "class": row._mapping["class"], **state_of(row._mapping)} for row in rows]
    shown = []
    for row, before, state in zip(rows, [dict[str, Any](), *states], states, strict=False):
        changed = [name for name, value in state.items() if name != "version" and value != before.get(name)]
        at = {"occurred_at": rfc3339(row.occurred_at), "recorded_at": rfc3339(row.recorded_at)}
        shown.append({**state, "changed": sorted(changed), **at})
    return shown


def _shown(kind: str, row: Record) -> dict[str, Any]:
    return {
        "id": ids.show(kind, row.id),
        "version": row.version,
        "owner_id": ids.shown("user", row.owner_id),
        "origin_lead_id": ids.shown("lead", row.origin_lead_id),
        "external_id": row.external_id,
        "custom": row.custom,
        "archived_at": rfc3339(row.archived_at),
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }
