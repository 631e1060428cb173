"""Request and response models of tenants, users and keys."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    EmailStr,
    Field,
    StringConstraints,
    ValidationError,
    ValidatorFunctionWrapHandler,
    WrapValidator,
    model_serializer,
    model_validator,
)
from pydantic_core import PydanticCustomError

from app import ids
from app.database.transaction import Record
from app.matching.email import NOT_AN_EMAIL
from app.matching.times import ZONES
from app.policy.shape import Like
from app.web.auth import SCOPES
from app.web.fields import Day, Instant, Omittable, RequestBody, ResponseBody, ShortText, UserId, refuse, rfc3339

Role = Literal["marketing", "sdr", "ae", "manager", "admin"]
PolicyName = Literal["waterfall", "pipeline"]
Scope = Literal[SCOPES]  # type: ignore[valid-type]


def _zone(value: str) -> str:
    if value not in ZONES:
        raise PydanticCustomError(
            "time_zone_unknown", "this is not a time zone of the IANA database, such as Europe/Bucharest"
        )
    return value


def _read_email(value: Any, parse: ValidatorFunctionWrapHandler) -> str:
    """In lower case. Raises `email_invalid` in place of Pydantic's own error, which has no code of its own."""
    try:
        return str(parse(value)).lower()
    except ValidationError as error:
        if error.errors()[0]["type"] != "value_error":
            raise
        raise PydanticCustomError("email_invalid", NOT_AN_EMAIL) from None


def _span(value: list[str]) -> list[str]:
    if value[0] >= value[1]:
        raise PydanticCustomError("hours_order", "working hours must end after they begin")
    return value


def _day(spans: list[list[str]]) -> list[list[str]]:
    if any(before[1] > after[0] for before, after in pairwise(spans)):
        raise PydanticCustomError("hours_overlap", "the hours of a day must be in order and must not overlap")
    return spans


TimeZone = Annotated[str, StringConstraints(max_length=64), AfterValidator(_zone)]
Email = Annotated[EmailStr, StringConstraints(max_length=254), WrapValidator(_read_email)]
Hour = Annotated[
    str, Like("09:00", "write an hour of the day from 00:00 to 24:00", r"^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$")
]
Span = Annotated[list[Hour], Field(min_length=2, max_length=2), AfterValidator(_span)]
Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
WorkingHours = dict[Weekday, Annotated[list[Span], Field(max_length=8), AfterValidator(_day)]]
Weight = Annotated[int, Field(ge=0, le=100)]
Capacity = Annotated[int, Field(ge=0, le=100_000)]
Rate = Annotated[int, Field(ge=1, le=100_000_000, examples=[6000])]


class TenantCreate(RequestBody):
    name: ShortText = Field(examples=["acme"])
    policy: PolicyName = "waterfall"


class TenantPatch(RequestBody):
    name: ShortText


class LimitsPut(RequestBody):
    """The limits of a tenant; a member that is null or missing stands for the default."""

    submissions_per_minute: Rate | None = None
    requests_per_minute: Rate | None = None
    in_flight: Annotated[int, Field(ge=1, le=10_000)] | None = Field(default=None, examples=[16])


class Fiscal(RequestBody):
    """How the years of the forecast are divided (docs/forecast.md)."""

    first_month: Annotated[int, Field(ge=1, le=12)] = 1
    layout: Literal["months", "4-4-5"] = "months"
    first_weekday: Weekday = "mon"


class CalendarPut(RequestBody):
    """By which clocks count that run for leads without an owner, or of owners without working hours."""

    time_zone: TimeZone = Field(default="UTC", examples=["Europe/Bucharest"])
    working_hours: WorkingHours = Field(
        default_factory=dict,
        description="Without any hours every hour counts.",
        examples=[{"mon": [["09:00", "18:00"]], "tue": [["09:00", "13:00"], ["14:00", "18:00"]]}],
    )
    holidays: Annotated[list[Day], Field(max_length=1000)] = Field(
        default_factory=list, description="Dates without working hours, for every user.", examples=[["2026-12-25"]]
    )

    fiscal: Omittable[Fiscal] = Field(default=None, description="Left out, the fiscal calendar stays as it is.")

    def document(self) -> dict[str, Any]:
        """The calendar as JSON, each holiday once and in order."""
        days = [day.isoformat() for day in sorted(set(self.holidays))]
        fiscal = {"fiscal": self.fiscal.model_dump()} if self.fiscal else {}
        return {"time_zone": self.time_zone, "working_hours": self.working_hours, "holidays": days, **fiscal}


class Absence(RequestBody):
    """A time in which routes give the user no lead. Without `ends_at` it lasts until it is removed."""

    starts_at: Instant
    ends_at: Instant | None = None

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.ends_at is not None and self.ends_at <= self.starts_at:
            refuse(self, "ends_at", "absence_order", "an absence must end after it begins")
        return self

    @model_serializer
    def _as_stored(self) -> dict[str, str | None]:
        return {"starts_at": rfc3339(self.starts_at), "ends_at": rfc3339(self.ends_at)}


Absences = Annotated[list[Absence], Field(max_length=100)]


class UserCreate(RequestBody):
    name: ShortText = Field(examples=["Sofia Dumitru"])
    email: Email = Field(examples=["sofia@acme.example"])
    role: Role
    team: ShortText | None = None
    time_zone: TimeZone = "UTC"
    working_hours: WorkingHours = Field(default_factory=dict, examples=[{"mon": [["09:00", "18:00"]]}])
    capacity: Capacity | None = Field(
        default=None, description="Routes give no lead to a user who owns so many open ones; null: no limit."
    )
    weight: Weight = Field(default=1, description="How often the user comes in a turn of a round robin; 0: never.")
    absences: Absences = Field(default_factory=list)
    active: bool = True
    external_id: ShortText | None = None
    manager_id: UserId | None = Field(default=None, description="To whom the user reports, for the forecast.")


class UserPatch(RequestBody):
    name: Omittable[ShortText] = None
    email: Omittable[Email] = None
    role: Omittable[Role] = None
    team: ShortText | None = None
    time_zone: Omittable[TimeZone] = None
    working_hours: Omittable[WorkingHours] = None
    capacity: Capacity | None = None
    weight: Omittable[Weight] = None
    absences: Omittable[Absences] = None
    active: Omittable[bool] = None
    external_id: ShortText | None = None
    manager_id: UserId | None = None


class KeyCreate(RequestBody):
    name: ShortText = Field(examples=["CRM"])
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=len(SCOPES))] = Field(
        examples=[["leads:read", "leads:write"]]
    )
    expires_at: Instant | None = None


class TenantOut(ResponseBody):
    id: str
    name: str
    created_at: str


class LimitsOut(ResponseBody):
    submissions_per_minute: int | None
    requests_per_minute: int | None
    in_flight: int | None
    effective: dict[str, int | None] = Field(
        description="The limits that hold: the default where none is set. For `in_flight` that is null: no own limit."
    )


class CalendarOut(ResponseBody):
    time_zone: str
    working_hours: dict[str, Any]
    holidays: list[str]
    fiscal: dict[str, Any]


class UserOut(ResponseBody):
    id: str
    name: str
    email: str
    role: Role
    team: str | None
    time_zone: str
    working_hours: dict[str, Any]
    capacity: int | None
    weight: int
    absences: list[dict[str, Any]]
    active: bool
    external_id: str | None
    manager_id: str | None


class KeyOut(ResponseBody):
    id: str
    name: str
    prefix: str
    scopes: list[str]
    created_at: str
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None
    secret: str | None = Field(default=None, description="Shown once, in the response that creates the key.")


class NewTenantKey(ResponseBody):
    id: str
    secret: str


class TenantCreated(ResponseBody):
    tenant: TenantOut
    key: NewTenantKey


class MeOut(ResponseBody):
    tenant: TenantOut
    key: dict[str, Any]
    actor: dict[str, Any]


class TenantPage(ResponseBody):
    data: list[TenantOut]
    next: str | None


class UserPage(ResponseBody):
    data: list[UserOut]
    next: str | None


class KeyPage(ResponseBody):
    data: list[KeyOut]
    next: str | None


class AuditRow(ResponseBody):
    """`hash`: SHA-256 of the hash of the row before and of this row's values (docs/operations.md)."""

    id: str
    number: int = Field(description="Counts the rows of the tenant, from 1 and without gaps.")
    recorded_at: str
    act: str
    subject: str | None
    actor: dict[str, Any]
    detail: dict[str, Any]
    hash: str


class AuditHead(ResponseBody):
    """The last row that was written. Who keeps it elsewhere can prove later that no row before it is gone."""

    number: int
    hash: str


class AuditPage(ResponseBody):
    data: list[AuditRow]
    next: str | None
    head: AuditHead | None


def show_tenant(row: Record) -> dict[str, Any]:
    return {
        "id": ids.show("tenant", row.id),
        "version": row.version,
        "name": row.name,
        "created_at": rfc3339(row.created_at),
    }


def show_user(row: Record) -> dict[str, Any]:
    written = {name: getattr(row, name) for name in UserCreate.model_fields}
    stamps = {"created_at": rfc3339(row.created_at), "updated_at": rfc3339(row.updated_at)}
    written["manager_id"] = ids.shown("user", row.manager_id)
    return {"id": ids.show("user", row.id), "version": row.version, **written, **stamps}


def show_key(row: Record) -> dict[str, Any]:
    plain = {name: getattr(row, name) for name in ("version", "name", "prefix", "scopes")}
    instants = {
        name: rfc3339(getattr(row, name)) for name in ("created_at", "expires_at", "revoked_at", "last_used_at")
    }
    return {"id": ids.show("key", row.id), **plain, **instants}
