"""Request bodies of conversions. An empty body matches or creates account and contact, and creates an opportunity."""

from __future__ import annotations

from collections.abc import Collection
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import InitErrorDetails, PydanticCustomError

from app.pipeline.schemas import AccountValues, Business, ContactValues, OpenClass
from app.web.fields import (
    AccountId,
    Code,
    ContactId,
    Day,
    Instant,
    LeadId,
    Note,
    OpportunityId,
    RequestBody,
    ShortText,
    UserId,
    refuse,
)
from app.web.items import one_by_one
from app.web.money import Amount

AccountField = Literal[
    "company", "name", "domain", "website", "phone", "industry", "employees", "country", "language", "external_id"
]
ContactField = Literal[
    "email",
    "phone",
    "first_name",
    "last_name",
    "full_name",
    "job_title",
    "role",
    "seniority",
    "country",
    "language",
    "website",
    "external_id",
]


OF_NEW: Final = ("name", "amount", "close_date", "owner_id", "business")  # members of an opportunity that is made


def _refuse(order: RequestBody, mode: str, names: Collection[str]) -> None:
    """Raises for members with a value that this mode does not use."""
    why = PydanticCustomError("not_with_mode", "mode `{mode}` does not use this: leave it out", {"mode": mode})
    told = [InitErrorDetails(type=why, loc=(name,), input=None) for name in names]
    if told:
        raise ValidationError.from_exception_data(type(order).__name__, told)


def _check_id(order: RequestBody, mode: str, record_id: object) -> None:
    if mode == "use" and record_id is None:
        refuse(order, "id", "id_required", "mode `use` needs the `id` of the record to use")
    if mode != "use" and record_id is not None:
        refuse(order, "id", "id_unexpected", "an `id` is accepted with mode `use` only")


class AccountOrder(RequestBody):
    mode: Literal["match_or_create", "use", "create", "none"] = "match_or_create"
    id: AccountId | None = None
    values: AccountValues = Field(default_factory=AccountValues)
    overwrite: Annotated[list[AccountField], Field(max_length=20)] = Field(default_factory=list)

    @model_validator(mode="after")
    def _fits_mode(self) -> Self:
        _check_id(self, self.mode, self.id)
        unused = {"none": ("values", "overwrite"), "create": ("overwrite",)}.get(self.mode, ())
        given = {"values": self.values.model_fields_set, "overwrite": self.overwrite}
        _refuse(self, self.mode, [name for name in unused if given[name]])
        return self


class ContactOrder(RequestBody):
    mode: Literal["match_or_create", "use", "create"] = "match_or_create"
    id: ContactId | None = None
    values: ContactValues = Field(default_factory=ContactValues)
    overwrite: Annotated[list[ContactField], Field(max_length=20)] = Field(default_factory=list)
    relink: bool = Field(default=False, description="Moves the contact to this account where it belongs to another.")

    @model_validator(mode="after")
    def _fits_mode(self) -> Self:
        _check_id(self, self.mode, self.id)
        if self.mode == "create":
            given = {"overwrite": self.overwrite, "relink": self.relink}
            _refuse(self, self.mode, [name for name, value in given.items() if value])
        return self


class OpportunityOrder(RequestBody):
    mode: Literal["create", "use", "none"] = "create"
    id: OpportunityId | None = None
    name: ShortText | None = Field(default=None, examples=["Nordsoft"])
    amount: Amount | None = None
    close_date: Day | None = Field(default=None, examples=["2026-12-31"])
    of_class: OpenClass | None = Field(
        default=None, alias="class", description="Default: the class the policy opens from the lead's stage."
    )
    owner_id: UserId | None = None
    business: Business | None = None

    @model_validator(mode="after")
    def _fits_mode(self) -> Self:
        _check_id(self, self.mode, self.id)
        if self.mode != "create":
            given = [name for name in OF_NEW if getattr(self, name) is not None]
            _refuse(self, self.mode, given + ["class"] * (self.mode == "none" and self.of_class is not None))
        return self


class Verification(RequestBody):
    by: UserId | None = Field(default=None, description="Who verified the person. Default: the actor.")
    note: Note | None = Field(default=None, examples=["called, confirmed"])


class ConversionOrder(RequestBody):
    account: AccountOrder = Field(default_factory=AccountOrder)
    contact: ContactOrder = Field(default_factory=ContactOrder)
    opportunity: OpportunityOrder = Field(default_factory=OpportunityOrder)
    owner_id: UserId | None = Field(
        default=None, description="The owner of the records created. Default: the owner of the lead."
    )
    verification: Verification = Field(default_factory=Verification)
    carry_activities: bool = True
    occurred_at: Instant | None = None

    def caller_values(self, part: Literal["account", "contact"]) -> dict[str, Any]:
        """The values that the caller gave for a part, null included; they take precedence over the lead's."""
        values = (self.account if part == "account" else self.contact).values
        return values.model_dump(exclude_unset=True) if values.model_fields_set else {}


class RevertOrder(RequestBody):
    reason_code: Code | None = Field(default=None, examples=["mistake"])
    note: Note | None = None
    occurred_at: Instant | None = None


class BatchItem(ConversionOrder):
    lead_id: LeadId


class BatchOrder(RequestBody):
    read_alone: ClassVar[Collection[str]] = ("items",)
    items: Annotated[list[Annotated[Any, one_by_one(BatchItem)]], Field(min_length=1, max_length=100)]
    atomic: bool = Field(
        default=False, description="True: if one item is refused or has a wrong form, none is converted."
    )
