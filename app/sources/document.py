"""One source = preset + overrides: the document that says how to verify, read and answer what a sender posts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.matching.consent import ConsentState
from app.matching.normalize import CANONICAL, EXTRA
from app.matching.times import zone
from app.sources.expressions import compiled

Verdict = Literal["lead", "test", "spam", "ignore", "activity", "consent", "erase", "fetch"]
Format = Literal["json", "form", "multipart", "auto"]
Purpose = Literal["process", "email_marketing", "phone", "profiling", "partners"]
_FIELDS: Final = frozenset(CANONICAL) | frozenset(EXTRA)
SNAKE: Final = r"^[a-z][a-z0-9_]{0,63}$"
TOKENS: Final = re.compile(r"\{(body|body:ascii_json|method|url|url:unescaped|secret|t|header:[A-Za-z0-9-]+)\}")


def _expression(text: str) -> str:
    compiled(text)
    return text


def _time_zone(name: str) -> str:
    zone(name)
    return name


def _format(text: str) -> str:
    if text not in ("iso", "epoch", "dmy", "mdy") and "%" not in text:
        raise ValueError("a format is iso, epoch, dmy, mdy or a strptime pattern")
    return text


def _template(text: str) -> str:
    if "{" in TOKENS.sub("", text):
        raise ValueError(
            "tokens are {body} {body:ascii_json} {method} {url} {url:unescaped} {secret} {t} {header:NAME}"
        )
    return text


def _field(name: str) -> str:
    if name not in _FIELDS:
        raise ValueError(f"not a field; fields are {', '.join(sorted(_FIELDS))}")
    return name


Expression = Annotated[str, AfterValidator(_expression)]
# A JMESPath expression, or a literal: any text that is no JMESPath, or one bare word.
ExpressionOrLiteral = Annotated[str, Field(max_length=4_000)]
FieldName = Annotated[str, AfterValidator(_field)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
SnakeCase = Annotated[str, Field(pattern=SNAKE)]


class Part(BaseModel):
    """A part of a document: unknown members are refused, so that a typing mistake is not a silent loss."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)


class Timestamp(Part):
    """Where a signature's time is (`header:NAME` or a key of a kv header), its unit, and how old it may be."""

    origin: Name = Field(alias="from")
    unit: Literal["s", "ms"] = "s"
    tolerance_s: int = Field(300, ge=1, le=86_400)


class SignatureRule(Part):
    """A hash over a template, keyed (hmac) or of a text that holds the secret (digest): where and how it is written."""

    kind: Literal["hmac", "digest"]
    secret: Name = Field("signing")
    header: Name
    parse: Literal["raw", "kv", "list"] = "raw"
    pick: str = ""
    prefix: str = ""
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    signed: Annotated[str, AfterValidator(_template)] = "{body}"
    key_encoding: Literal["text", "base64"] = "text"
    timestamp: Timestamp | None = None
    # Skip this rule when a better signature came with the request.
    unless_header: str = ""

    @model_validator(mode="after")
    def _kv_needs_pick(self) -> SignatureRule:
        if self.parse == "kv" and not self.pick:
            raise ValueError("parse: kv needs pick, the key of the signature")
        return self


class TokenRule(Part):
    """A shared text in a header, the query or the body."""

    kind: Literal["token"]
    secret: Name = Field("token")
    place: Literal["header", "query", "body"] = Field("header", alias="in")
    name: Name
    prefix: str = ""


class BasicRule(Part):
    """HTTP Basic; the secret is user:password."""

    kind: Literal["basic"]
    secret: Name = Field("basic")


Rule = Annotated[SignatureRule | TokenRule | BasicRule, Field(discriminator="kind")]


class Handshake(Part):
    """What a GET or HEAD is answered with when a sender checks the address."""

    kind: Literal["none", "ok", "echo", "hmac_echo"] = "none"
    param: str = ""
    token_param: str = ""
    secret: Name = Field("verify_token")
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    answer: str | dict[str, str] = "{challenge}"

    @model_validator(mode="after")
    def _echo_needs_param(self) -> Handshake:
        if self.kind in ("echo", "hmac_echo") and not self.param:
            raise ValueError("an echo needs param, the query parameter that holds the challenge")
        return self


class Parse(Part):
    """How bytes become a value."""

    formats: list[Format] = Field(["json"], min_length=1)
    unbracket: bool = True
    unflatten: str = ""
    decode_json: list[Name] = []
    drop: list[Name] = []


class Route(Part):
    """The first rule whose `when` holds gives the verdict; `name` is the type of the activity."""

    when: Expression
    do: Verdict
    name: SnakeCase | None = None


class ActivityRule(Part):
    """What a lead's activity is called."""

    type: ExpressionOrLiteral = "'form_fill'"
    kind: Literal["interest", "contact_attempt"] = "interest"


class Moment(Part):
    """When it happened. Formats: iso, epoch, dmy, mdy or a strptime pattern."""

    expr: Expression
    formats: list[Annotated[str, AfterValidator(_format)]] = Field(["iso"], min_length=1)
    timezone: TimeZone | None = None


class ConsentRule(Part):
    """One question of consent. An opt-out has `if_yes: refused, if_no: unknown`; a null state makes no record."""

    purpose: Purpose
    expr: Expression
    text: ExpressionOrLiteral | None = None
    if_yes: ConsentState | None = "given"
    if_no: ConsentState | None = "refused"
    if_missing: ConsentState | None = "unknown"


class Spam(Part):
    """What makes a lead spam: a filled trap, filled in too fast, too many links, a throw-away address."""

    honeypot: list[Expression] = []
    rendered_at: Expression | None = None
    min_fill_seconds: float = Field(2, ge=0, le=3_600)
    max_links: int | None = Field(None, ge=0)
    disposable: bool = False


class Defaults(Part):
    """What holds where the sender says nothing; a source's own defaults are of this shape too."""

    region: Annotated[str, Field(pattern=r"^[A-Z]{2}$")] | None = None
    timezone: TimeZone | None = None
    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    entry: SnakeCase | None = None
    activity_type: SnakeCase | None = None


class Fetch(Part):
    """Where to get what the notification only names."""

    url: str
    auth: Name | None = None
    use: Name | None = None


class Respond(Part):
    """What the sender is answered. A redirect that the sender names goes to allowed hosts only."""

    status: int = Field(200, ge=200, le=399)
    body: Any = None
    redirect: ExpressionOrLiteral | None = None
    allow_hosts: list[Annotated[str, Field(pattern=r"^(\*\.)?[A-Za-z0-9.-]+(:\d+)?$")]] = []


class Document(Part):
    """The whole document (docs: ingestion, 3.1)."""

    preset: Name
    title: str = ""
    schema_: Literal[1] = Field(1, alias="schema")
    verify: list[Rule] = []
    handshake: Handshake = Handshake()
    parse: Parse = Parse()
    items: Expression = "[@.body]"
    route: list[Route] = []
    submission_key: Expression | None = None
    activity: ActivityRule = ActivityRule()
    occurred_at: Moment | None = None
    fields: dict[FieldName, Expression] = {}
    external_ids: (
        dict[Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_:.\-]{0,63}$")], Expression] | Expression
    ) = {}
    attribution: dict[SnakeCase, Expression] = {}
    consent: list[ConsentRule] = []
    custom: Expression = "rest(item)"
    custom_omit: list[Name] = []
    entry: Expression | None = None
    spam: Spam = Spam()
    defaults: Defaults = Defaults()
    fetch: Fetch | None = None
    respond: Respond | None = None


def merge(preset: Any, overrides: Any) -> Any:
    """A preset with a source's overrides: objects merge deeply, anything else (lists too) is replaced."""
    if not isinstance(preset, Mapping) or not isinstance(overrides, Mapping):
        return overrides
    merged = dict(preset)
    for name, value in overrides.items():
        merged[name] = merge(merged[name], value) if name in merged else value
    return merged


def secrets_of(document: Document) -> frozenset[str]:
    """The names of the secrets that the document's rules and handshake use."""
    names = {rule.secret for rule in document.verify}
    if document.handshake.kind == "hmac_echo" or document.handshake.token_param:
        names.add(document.handshake.secret)
    return frozenset(names)
