"""Kinds of field that requests and answers are made of: ids, instants, text, money. Strict in, plain out."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Annotated, Any, Final
from uuid import UUID

import pycountry
from fastapi import Response
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from app import ids
from app.database.plain_json import write_json
from app.web.versions import etag

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
DATED: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
CURRENCIES: Final = frozenset(currency.alpha_3 for currency in pycountry.currencies)
ID_PATTERN: Final = "[0-7][0-9abcdefghjkmnpqrstvwxyz]{25}"


class Write(BaseModel):
    """A request body: unknown members and coerced types are refused."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Shape(BaseModel):
    """An answer, for the OpenAPI document: the named members are always there, more may stand beside them."""

    model_config = ConfigDict(extra="allow")


def public_id(kind: str) -> Any:
    """The public form of an id at the door, a UUID inside."""

    def read(value: object) -> UUID:
        if isinstance(value, UUID):
            return value
        try:
            return ids.read(kind, value if isinstance(value, str) else "")
        except ValueError:
            shape = {"example": EXAMPLES[kind]}
            raise PydanticCustomError("id_malformed", "an id of this kind looks like {example}", shape) from None

    prefix = ids.PREFIXES[kind]
    return Annotated[
        UUID,
        BeforeValidator(read),
        PlainSerializer(lambda value: ids.show(kind, value), when_used="json"),
        WithJsonSchema({"type": "string", "pattern": f"^{prefix}_{ID_PATTERN}$", "examples": [EXAMPLES[kind]]}),
    ]


EXAMPLES: Final = {kind: ids.show(kind, UUID("019a8f2c-7b1e-7c3d-8e4f-5a6b7c8d9e0f")) for kind in ids.PREFIXES}

LeadId = public_id("lead")
SourceId = public_id("source")
SubmissionId = public_id("submission")
TransitionId = public_id("transition")
ConversionId = public_id("conversion")
AccountId = public_id("account")
ContactId = public_id("contact")
OpportunityId = public_id("opportunity")
PolicyId = public_id("policy")
SubscriptionId = public_id("subscription")
EventId = public_id("event")
UserId = public_id("user")
KeyId = public_id("key")
TenantId = public_id("tenant")


def _text_only(value: object) -> object:
    """A time as RFC 3339 text: seconds since 1970, even written as text, are refused."""
    if isinstance(value, datetime | date):
        return value
    if not isinstance(value, str) or not DATED.match(value):
        raise PydanticCustomError("instant_type", "write a time as text, like 2026-08-17T09:00:00Z")
    return value


def _within(value: datetime) -> datetime:
    try:
        value = value.astimezone(UTC)
    except OverflowError:
        value = EARLIEST.replace(year=9999)
    if not EARLIEST <= value < LATEST:
        raise PydanticCustomError("instant_range", "the time must lie between 1970 and 2200")
    return value


def _within_days(value: date) -> date:
    if not EARLIEST.date() <= value < LATEST.date():
        raise PydanticCustomError("date_range", "the date must lie between 1970 and 2200")
    return value


Instant = Annotated[AwareDatetime, Field(strict=False), BeforeValidator(_text_only), AfterValidator(_within)]
Day = Annotated[date, Field(strict=False), BeforeValidator(_text_only), AfterValidator(_within_days)]


# What no text may hold (NUL, half characters) was refused when the body was read: app/web/strict_json.py.
Word = Annotated[str, StringConstraints(min_length=1, max_length=255, strip_whitespace=True)]
Code = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Note = Annotated[str, StringConstraints(max_length=10_000)]


def _currency(value: str) -> str:
    if value not in CURRENCIES:
        raise PydanticCustomError("currency_unknown", "this is not a currency code of ISO 4217")
    return value


class Money(Write):
    """An amount: decimals as text, at most two places and 16 digits before them, and an ISO 4217 currency."""

    value: Annotated[str, StringConstraints(pattern=r"^-?(0|[1-9][0-9]{0,15})(\.[0-9]{1,2})?$")] = Field(
        examples=["12000.00"]
    )
    currency: Annotated[str, StringConstraints(pattern=r"^[A-Z]{3}$"), AfterValidator(_currency)] = Field(
        examples=["EUR"]
    )

    @property
    def amount(self) -> Decimal:
        return Decimal(self.value)


def money(amount: Decimal | None, currency: str | None) -> dict[str, str] | None:
    """The shape of an amount in answers; None where there is none."""
    return None if amount is None or currency is None else {"value": f"{amount:.2f}", "currency": currency}


def z(value: datetime | None) -> str | None:
    """An instant as answers write it: RFC 3339 in UTC with Z, microseconds only where there are any."""
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def answer(document: Any, status: int = 200, *, version: int | None = None, location: str | None = None) -> Response:
    """A JSON answer from plain values, with the ETag of a single resource and where a new one is found."""
    headers = {}
    if version is not None:
        headers["ETag"] = etag(version)
    if location is not None:
        headers["Location"] = location
    return Response(write_json(document), status, headers, "application/json")
