"""Request and response schemas of subscriptions."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError
from sqlalchemy import Row

from app import ids
from app.events.catalogue import Envelope
from app.events.schemas import Types
from app.matching.consent import is_purpose
from app.policy.shape import Like, One
from app.web.fields import Omittable, RequestBody, ResponseBody, rfc3339
from app.webhooks.consenting import CONSENT
from app.webhooks.content import Format
from app.webhooks.credentials import Credentials
from app.webhooks.secrets import COLUMNS, StoredSecret, keys_of
from app.webhooks.shares import MOST_LANES
from app.webhooks.signing import Kind

Mode = Literal["full", "thin"]
State = Literal["active", "paused", "disabled"]
Listed = Literal["active", "paused", "disabled", "failing"]
OnDead = Literal["skip", "block"]
Url = Annotated[str, StringConstraints(min_length=1, max_length=2048)]
Start = Annotated[str, StringConstraints(min_length=1, max_length=1000)]
ResumeAt = Annotated[str, Like("now", "write cursor, now or a position", r"^(cursor|now|[1-9]\d{0,17})$")]
Scalar = str | int | bool | None

HEADER_NAME: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,64}")
HEADER_VALUE: Final = re.compile(r"[\x20-\x7e]{0,1024}")
# Headers that the HTTP client writes itself, and those that would change how the request is read or signed.
RESERVED: Final = {
    "host",
    "content-length",
    "content-type",
    "content-encoding",
    "content-digest",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "te",
    "trailer",
    "upgrade",
    "expect",
    "user-agent",
    "accept-encoding",
    "traceparent",
    "proxy-authorization",
}
RESERVED_PREFIXES: Final = ("webhook-", "ce-", "ce_", "proxy-", "sec-", "nats-")


def _why_not(name: str, value: str) -> PydanticCustomError | None:
    if not HEADER_NAME.fullmatch(name) or not HEADER_VALUE.fullmatch(value):
        detail = "header names have 1 to 64 characters, values up to 1024, all visible ASCII"
        return PydanticCustomError("header_invalid", detail)
    if name.lower() in RESERVED or name.lower().startswith(RESERVED_PREFIXES):
        return PydanticCustomError("header_reserved", "this header is set by the service")
    return None


def _check_headers(headers: dict[str, str]) -> dict[str, str]:
    wrong = [
        InitErrorDetails(type=why, loc=(name,), input=None)
        for name, value in headers.items()
        if (why := _why_not(name, value))
    ]
    if wrong:
        raise ValidationError.from_exception_data("headers", wrong)
    if len({name.lower() for name in headers}) < len(headers):
        raise PydanticCustomError("header_twice", "header names must be unique, whatever their case")
    return headers


Headers = Annotated[dict[str, str], Field(max_length=20), AfterValidator(_check_headers)]
Member = Annotated[str, Like("reason_code", "write the name of a member of `data`", r"^[a-z][a-z0-9_]{0,63}$")]


def _check_purposes(wanted: dict[str, list[Scalar]]) -> dict[str, list[Scalar]]:
    purposes = wanted.get(CONSENT)
    if purposes is not None and not (purposes and all(isinstance(one, str) and is_purpose(one) for one in purposes)):
        raise PydanticCustomError("purpose_invalid", 'list purposes of consents in `consent`, like ["email_marketing"]')
    return wanted


Filter = Annotated[
    dict[Member, Annotated[list[Scalar], Field(max_length=50)]],
    AfterValidator(_check_purposes),
    Field(
        max_length=10,
        description='Members of `data` and the values to accept, for example `{"to": ["mql", "sql"]}`. `consent` lists'
        " purposes: only events of leads that have given one of them when the event is sent; besides these"
        " `lead.consent_changed` of these purposes and `lead.erased`, which say what the receiver has to forget. Needs"
        " the scope leads:read.",
    ),
]
If = Annotated[
    dict[str, Any],
    Field(
        description="A condition as in policies (docs/receivers.md), over `data.MEMBER` of the event and"
        " the lead as of the event; `{}` is none. Conditions about leads need the scope leads:read.",
        examples=[{"all": [{"field": "data.to", "is": "mql"}, {"field": "country", "in": ["RO", "PL"]}]}],
    ),
]
SchemaVersion = Annotated[One, Field(description="Of the bodies: `meta.schema_version`. There is one.")]
Include = Annotated[
    list[Literal["lead"]],
    Field(
        max_length=1,
        description='`["lead"]` adds `data.lead`, the lead as of the event, and to `lead.updated` old and new values.'
        " Needs the mode `full` and the scope leads:read.",
    ),
]
Ed25519 = Annotated[
    bool,
    Field(
        description="Also sign with an ed25519 key (`v1a` of Standard Webhooks): `signing_keys` has its public half, by"
        " which a receiver verifies without a secret."
    ),
]
FormatOf = Annotated[
    Format,
    Field(
        description="`standard`: the event as the feed has it. `cloudevents_structured`: CloudEvents 1.0 as one JSON"
        " body. `cloudevents_binary`: `data` as the body, the attributes as headers `ce-…`."
    ),
]
Seconds = Annotated[float, Field(ge=0, le=86_400)]


class Limits(RequestBody):
    """How many requests at a time a receiver gets, how long each may take, and when it is retried."""

    concurrency: int = Field(default=8, ge=1, le=64, description="Maximum requests in flight; at most one per lead.")
    timeout_seconds: int = Field(default=15, ge=1, le=20)
    retry_schedule: Annotated[list[Seconds], Field(min_length=1, max_length=20)] | None = Field(
        default=None,
        description="One number for each attempt: so many seconds are waited before it, or down to half as many. The"
        " first attempt is made at once. Null means the service's default.",
    )
    disable_after_days: int = Field(
        default=5, ge=1, le=30, description="Days without a success, while only probes are sent, until it is disabled."
    )


Lanes = Annotated[
    int,
    Field(
        ge=1,
        le=MOST_LANES,
        description="By how many lanes it is served: several dispatch processes share those of one subscription. Events"
        " of a lead are of one lane, and in order. They divide `limits.concurrency`, which must be at least as many.",
    ),
]
Handshake = Annotated[
    bool,
    Field(
        description="Send nothing before the receiver has agreed to a handshake (`POST …/handshake`), and no more"
        " requests a minute than it allows."
    ),
]


class SubscriptionPreview(RequestBody):
    """What a subscription says of events; `mode`, `include` and `format` say how their bodies are."""

    types: Types = Field(default=["*"], examples=[["lead.*"]])
    filter: Filter = Field(default_factory=dict)
    condition: If = Field(default_factory=dict, alias="if")
    mode: Mode = "full"
    schema_version: SchemaVersion = 1
    include: Include = Field(default_factory=list, examples=[["lead"]])
    format: FormatOf = "standard"


class SubscriptionCreate(SubscriptionPreview):
    """A receiver, and which events it is sent."""

    url: Url = Field(
        examples=["https://hooks.acme.example/baton"],
        description="Of a receiver, https://; or of a broker: `kafka+tls://host:port/topic`, or"
        " `nats+tls://host:port/subject`, whose subject may have `{tenant}`, `{lead}` and `{type}`.",
    )
    credentials: Credentials | None = Field(default=None, description="Of a broker; never shown.")
    start: Start = Field(default="now", description="`now`, `earliest`, an instant, or a cursor of the feed.")
    headers: Headers = Field(default_factory=dict)
    ed25519: Ed25519 = False
    handshake: Handshake = False
    limits: Limits = Limits()
    lanes: Lanes = 1
    on_dead: OnDead = Field(
        default="skip",
        description="After the last attempt of a delivery: `skip`, its lead goes on; `block`, later events of the lead"
        " wait until it is retried with success or discarded.",
    )


class SubscriptionPatch(RequestBody):
    """Absent members are left unchanged. Waiting deliveries that new types, filter or `if` exclude are skipped."""

    url: Omittable[Url] = None
    credentials: Credentials | None = Field(
        default=None, description="`{}` or null removes them. A URL of another broker needs its own."
    )
    types: Omittable[Types] = None
    filter: Omittable[Filter] = None
    condition: Omittable[If] = Field(default=None, alias="if")
    mode: Omittable[Mode] = None
    schema_version: Omittable[SchemaVersion] = None
    include: Omittable[Include] = None
    headers: Omittable[Headers] = None
    format: Omittable[FormatOf] = None
    ed25519: Omittable[Ed25519] = Field(default=None, description="`false` removes the ed25519 keys at once.")
    handshake: Omittable[Handshake] = None
    limits: Omittable[Limits] = None
    lanes: Omittable[Lanes] = Field(
        default=None, description="When it changes, what is in flight may be sent twice (docs/receivers.md)."
    )
    on_dead: Omittable[OnDead] = Field(default=None, description="`skip` also lets the leads go on that wait.")


class Rotation(RequestBody):
    """Which key is replaced, and how long the previous ones stay valid alongside the new one."""

    kind: Kind = Field(default="v1", description="`v1`: the shared secret; `v1a`: the ed25519 key.")
    grace_seconds: int = Field(default=86_400, ge=0, le=7 * 86_400, description="Up to seven days.")
    secret: Annotated[str, StringConstraints(max_length=200)] | None = Field(
        default=None,
        description="A key of your own: `whsec_` and 24 to 64 bytes in base64, or for `v1a` `whsk_` and 32 bytes, or 64"
        " with the public key. Null makes a new one.",
    )


class Resumption(RequestBody):
    """Where to go on: where it stopped, with the next event, or with the event at a position."""

    resume: ResumeAt = Field(
        default="cursor",
        description="`cursor`, `now` (what waits is not sent), or a position as in `meta.position`: what was delivered"
        " from there on is sent again.",
    )


class Warned(ResponseBody):
    """Something that was saved, and may be wrong; as an entry of `errors`."""

    field: str
    code: str
    detail: str


class PreviewOut(ResponseBody):
    examined: int = Field(description="Events of the log that were looked at: the last thousand, or all there are.")
    matched: int = Field(description="How many of them would have been sent.")
    since: str | None = Field(description="When the oldest of them was recorded; null where the log is empty.")
    samples: list[Envelope | dict[str, Any]] = Field(
        description="The latest three that match, as they would be sent in `format`: the event, a CloudEvent, or"
        " `headers` and `body` of a CloudEvent in binary mode."
    )
    warnings: list[Warned]


class SigningKey(ResponseBody):
    kind: Kind
    id: str | None = Field(
        description="The first 12 digits of the SHA-256 of the key as it was shown, to compare it with that of the"
        " receiver; null for one that an older release made."
    )
    created_at: str | None = Field(description="When it was made; null for one that an older release made.")
    public_key: str | None = Field(description="`whpk_` and 32 bytes in base64; null for `v1`, whose secret is shared.")
    expires_at: str | None = Field(description="Until then requests are signed with it; null: until it is rotated.")


class SubscriptionOut(ResponseBody):
    id: str
    url: str
    types: list[str]
    filter: dict[str, Any]
    condition: dict[str, Any] = Field(alias="if", description="`{}` where there is none.")
    mode: Mode
    schema_version: int
    include: list[Literal["lead"]]
    state: State
    state_reason: str | None
    breaker: Literal["closed", "open", "half_open"] = Field(
        description="`open`: the receiver is down and only probed; `half_open`: it gets few requests at first."
    )
    failing_since: str | None = Field(description="When the breaker opened; null while it is closed.")
    lag: int = Field(
        description="Events after the subscription's position in the log, the lowest of its lanes; up to 10,000."
    )
    lag_seconds: int = Field(description="Age of the first of them; 0 if there is none.")
    format: Format
    ed25519: bool
    signing_keys: list[SigningKey] = Field(
        description="Newest first, of each kind; expired ones until the next rotation."
    )
    handshake: bool
    consented_at: str | None = Field(description="When its receiver agreed; null where it did not, or was not asked.")
    allowed_rate: int | None = Field(description="Requests a minute that it allowed; null: any number.")
    limits: dict[str, Any]
    lanes: int
    on_dead: OnDead
    version: int


class SubscriptionSaved(SubscriptionOut):
    warnings: list[Warned] = Field(description="Parts of `if` that hold for no event now, but may do so later.")


class SubscriptionWithSecret(SubscriptionOut):
    secret: str = Field(description="Shown only in this response.")


class SubscriptionCreated(SubscriptionWithSecret, SubscriptionSaved):
    """A new subscription."""


class SubscriptionRotated(SubscriptionOut):
    secret: str | None = Field(description="The new secret, shown only in this response; null for `v1a`.")


class SubscriptionPage(ResponseBody):
    data: list[SubscriptionOut]
    next: str | None


class PingOut(ResponseBody):
    """The receiver's response; `delivered` is true for a 2xx, and for the acknowledgement of a broker."""

    delivered: bool
    code: int | None
    error: str | None
    ms: int
    response_head: str


class HandshakeOut(ResponseBody):
    """The receiver's response; `allowed` is true for a 2xx with its consent."""

    allowed: bool
    allowed_rate: int | None = Field(description="Requests a minute; null: any number.")
    code: int | None
    error: str | None = Field(
        description="Among others `origin_not_allowed`: the header `WebHook-Allowed-Origin` has neither our host nor"
        " `*`; `rate_invalid`: `WebHook-Allowed-Rate` is neither a number above zero nor `*`."
    )
    ms: int
    response_head: str


def show_subscription(row: Row[Any]) -> dict[str, Any]:
    """A subscription as responses show it."""
    return {
        "id": ids.show("subscription", row.id),
        "url": row.url,
        "types": row.types,
        "filter": row.filter or {},
        "if": row.condition,
        "mode": row.mode,
        "schema_version": row.schema_version,
        "include": row.include,
        "state": row.state,
        "state_reason": row.state_reason,
        "breaker": row.breaker.get("state", "closed"),
        "failing_since": _shown_since(row.breaker),
        "lag": row.lag,
        "lag_seconds": int(row.lag_seconds),
        "format": row.format,
        "ed25519": row.ed25519_keys is not None,
        "signing_keys": [_show_key(kind, key) for kind in COLUMNS for key in keys_of(row, kind)],
        "handshake": row.handshake,
        "consented_at": rfc3339(row.consented_at),
        "allowed_rate": row.allowed_rate,
        "limits": {**row.limits, "disable_after_days": row.disable_after_days},
        "lanes": row.lanes,
        "on_dead": row.on_dead,
        "version": row.version,
        "created_at": rfc3339(row.created_at),
        "updated_at": rfc3339(row.updated_at),
    }


def _show_key(kind: Kind, key: StoredSecret) -> dict[str, Any]:
    made = {"kind": kind, "id": key.id, "created_at": rfc3339(key.created_at)}
    return {**made, "public_key": key.public_key, "expires_at": rfc3339(key.expires_at)}


def moving_members(shown: dict[str, Any]) -> dict[str, Any] | None:
    """The members that change without a new version of the subscription, for its entity tag; None where none has."""
    names = ("breaker", "failing_since", "lag", "lag_seconds")
    at_rest = shown["breaker"] == "closed" and shown["lag"] == 0
    return None if at_rest else {name: shown[name] for name in names}


def _shown_since(breaker: dict[str, Any]) -> str | None:
    return rfc3339(datetime.fromisoformat(breaker["since"])) if "since" in breaker else None
