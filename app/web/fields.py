"""Field types of requests and responses: ids, instants, text. Parsed strictly, written as plain JSON."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, NoReturn, TypeAlias, TypeVar
from uuid import UUID

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
    ValidationError,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core import InitErrorDetails, PydanticCustomError

from app import ids
from app.database.plain_json import write_json
from app.policy.fault import ABSENT
from app.policy.sentences import DATE, TIME
from app.policy.shape import SNAKE_CASE, Like
from app.web.versions import etag

EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
DAY: Final = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
BEGINS_WITH_DAY: Final = re.compile(rf"{DAY.pattern}.*", re.ASCII | re.DOTALL)
ID_PATTERN: Final = "[0-7][0-9abcdefghjkmnpqrstvwxyz]{25}"


class RequestBody(BaseModel):
    """A request body: unknown members and coerced types are refused. `read_alone`: its lists of items that are read one
    by one."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
    read_alone: ClassVar[Collection[str]] = ()


def refuse(model: BaseModel, member: str, code: str, sentence: str) -> NoReturn:
    """For a rule over several members of a body: the fault names one of them, whether it was given or not. A member of
    an object in it is written with a dot."""
    why = PydanticCustomError(code, sentence, {ABSENT: True})
    raise ValidationError.from_exception_data(
        type(model).__name__, [InitErrorDetails(type=why, loc=tuple(member.split(".")), input=None)]
    )


class ResponseBody(BaseModel):
    """A response body in the OpenAPI document: the declared members are always present, others may be added."""

    model_config = ConfigDict(extra="allow")


def _not_null(value: object) -> object:
    if value is None:
        raise PydanticCustomError("required", "must not be null: leave it out instead")
    return value


if TYPE_CHECKING:
    T = TypeVar("T")
    Omittable: TypeAlias = T | None
else:

    class Omittable:
        """`Omittable[T] = None`: a member that may be left out, and is None then, but null is refused.

        One of a PATCH that null clears is `T | None`. One that narrows what a request is about is `Omittable`: null,
        which a program may write by mistake, must not mean everything.
        """

        def __class_getitem__(cls, kind: Any) -> Any:
            return Annotated[kind, BeforeValidator(_not_null)]


def public_id(kind: str) -> Any:
    """The field type of an id: the public form in JSON, a UUID in Python."""

    def read(value: object) -> UUID:
        if isinstance(value, UUID):
            return value
        try:
            return ids.read(kind, value if isinstance(value, str) else "")
        except ValueError:
            context = {"example": EXAMPLES[kind]}
            raise PydanticCustomError("id_malformed", "an id of this kind looks like {example}", context) from None

    prefix = ids.PREFIXES[kind]
    return Annotated[
        UUID,
        BeforeValidator(read),
        PlainSerializer(lambda value: ids.show(kind, value), when_used="json"),
        WithJsonSchema({"type": "string", "pattern": f"^{prefix}_{ID_PATTERN}$", "examples": [EXAMPLES[kind]]}),
    ]


def shown_id(kind: str) -> Any:
    """The type of an id in events and answers, which have it in its public form."""
    return Annotated[str, StringConstraints(pattern=f"^{ids.PREFIXES[kind]}_{ID_PATTERN}$")]


EXAMPLES: Final = {kind: ids.show(kind, UUID("019a8f2c-7b1e-7c3d-8e4f-5a6b7c8d9e0f")) for kind in ids.PREFIXES}

LeadId = public_id("lead")
SourceId = public_id("source")
SubmissionId = public_id("submission")
ImportId = public_id("import")
TransitionId = public_id("transition")
AccountId = public_id("account")
ContactId = public_id("contact")
OpportunityId = public_id("opportunity")
PolicyId = public_id("policy")
BacktestId = public_id("backtest")
SubscriptionId = public_id("subscription")
ReplayId = public_id("replay")
EventId = public_id("event")
UserId = public_id("user")
KeyId = public_id("key")
TenantId = public_id("tenant")
DuplicateId = public_id("duplicate")
ShownAccountId = shown_id("account")
ShownActivityId = shown_id("activity")
ShownContactId = shown_id("contact")
ShownJourneyId = shown_id("journey")
ShownLeadId = shown_id("lead")
ShownOpportunityId = shown_id("opportunity")
ShownUserId = shown_id("user")


def _written_like(sentence: str, form: re.Pattern[str]) -> WrapValidator:
    """Accepts a date or time as RFC 3339 text of this form only, and refuses everything else with the sentence.

    Pydantic would also take seconds since 1970, as a number or as text, and a time of midnight as a date.
    """

    def read(value: object, parse: ValidatorFunctionWrapHandler) -> Any:
        if not isinstance(value, date) and not (isinstance(value, str) and form.fullmatch(value)):
            raise PydanticCustomError("wrong_form", sentence)
        try:
            return parse(value)
        except ValidationError as error:
            raise PydanticCustomError(error.errors()[0]["type"], sentence) from None

    return WrapValidator(read)


def _within(value: datetime) -> datetime:
    try:
        value = value.astimezone(UTC)
    except OverflowError:
        value = EARLIEST.replace(year=9999)
    if not EARLIEST <= value < LATEST:
        raise PydanticCustomError("instant_range", "the time must be from 1970 to 2199")
    return value


def _within_days(value: date) -> date:
    if not EARLIEST.date() <= value < LATEST.date():
        raise PydanticCustomError("date_range", "the date must be from 1970 to 2199")
    return value


Instant = Annotated[AwareDatetime, Field(strict=False), _written_like(TIME, BEGINS_WITH_DAY), AfterValidator(_within)]
Day = Annotated[date, Field(strict=False), _written_like(DATE, DAY), AfterValidator(_within_days)]

# NUL and lone surrogates need no check here: app/web/strict_json.py refuses them when the body is read.
ShortText = Annotated[str, StringConstraints(min_length=1, max_length=255, strip_whitespace=True)]
Code = Annotated[str, Like("demo_request", f"{SNAKE_CASE}, at most 64", r"^[a-z][a-z0-9_]{0,63}$")]
Note = Annotated[str, StringConstraints(max_length=10_000)]


@lru_cache(maxsize=2048)  # the instant of a change is shown many times
def rfc3339(value: datetime | None) -> str | None:
    """An instant as responses write it: RFC 3339 in UTC with Z, with microseconds only where they are not zero."""
    return None if value is None else value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def answer(
    document: Any, status: int = 200, *, version: int | None = None, moved: Any = None, location: str | None = None
) -> Response:
    """A JSON response from plain values; `version` (and `moved`) set the ETag, `location` the Location header."""
    headers = {}
    if version is not None:
        headers["ETag"] = etag(version, moved)
    if location is not None:
        headers["Location"] = location
    return Response(write_json(document), status, headers, "application/json")


def plus_hint(typed: str) -> str:
    """What to add to the message about a wrong value of a query that holds a blank."""
    return "; a plus in a query stands for a blank: write %2B" if " " in typed else ""
