"""The mapping document of a source (preset + overrides): how to verify, parse, map and answer a request."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from app.matching.channel import Channel
from app.matching.consent import PURPOSE_LENGTH, ConsentState, is_purpose
from app.matching.normalize import CANONICAL, EXTRA
from app.matching.times import zone
from app.policy.shape import NAMESPACE, NAMESPACE_SENTENCE, NOT_BOOLEAN, SNAKE_CASE, Like, One
from app.sources.expressions import compiled, meant

Verdict = Literal["lead", "test", "spam", "ignore", "activity", "consent", "erase", "fetch"]
Format = Literal["json", "form", "multipart", "csv", "auto"]
Whole = Annotated[int, NOT_BOOLEAN]
_FIELDS: Final = frozenset(CANONICAL) | frozenset(EXTRA)
EVERY_PURPOSE: Final = "*"
MAX_DOCUMENT: Final = 64 * 1024  # characters of a source's overrides as JSON
MAX_DIRECTIVES: Final = 10
MAX_PATTERNS: Final = 5
MAX_RATE: Final = 1_000_000
SNAKE: Final = r"^[a-z][a-z0-9_]{0,63}$"
PLACEHOLDER: Final = re.compile(r"\{([^{}]+)\}")
TOKENS: Final = re.compile(r"\{(body|body:ascii_json|method|url|url:unescaped|secret|t|header:[A-Za-z0-9-]+)\}")


def _expression(text: str) -> str:
    compiled(text)
    return text


def _time_zone(name: str) -> str:
    zone(name)
    return name


def is_pattern(time_format: str) -> bool:
    """Whether a format of a time is a strptime pattern."""
    return time_format not in ("iso", "epoch", "dmy", "mdy")


def _format(text: str) -> str:
    if not is_pattern(text):
        return text
    if "%" not in text:
        raise ValueError("unknown format; formats are iso, epoch, dmy, mdy or a strptime pattern")
    if text.count("%") > MAX_DIRECTIVES:
        raise ValueError(f"a strptime pattern has at most {MAX_DIRECTIVES} directives")
    return text


def _formats(given: list[str]) -> list[str]:
    # The library keeps five compiled patterns; with more, each would be compiled again for every item.
    if sum(map(is_pattern, given)) > MAX_PATTERNS:
        raise ValueError(f"at most {MAX_PATTERNS} strptime patterns")
    return given


def _template(text: str) -> str:
    if text.count("{body") > 1:
        raise ValueError("the body stands in a template at most once")
    if "{" in TOKENS.sub("", text):
        raise ValueError(
            "unknown token; tokens are {body} {body:ascii_json} {method} {url} {url:unescaped} {secret} {t}"
            " {header:NAME}"
        )
    return text


def _field(name: str) -> str:
    if name not in _FIELDS:
        raise ValueError(f"unknown field{meant(name, _FIELDS)}; fields are {', '.join(sorted(_FIELDS))}")
    return name


def _purpose(word: str) -> str:
    if word != EVERY_PURPOSE and not is_purpose(word):
        raise ValueError(
            f"a purpose is a snake_case word of at most {PURPOSE_LENGTH} characters, such as sms_marketing, or"
            f" {EVERY_PURPOSE} for an object of answers by purpose"
        )
    return word


Expression = Annotated[str, AfterValidator(_expression)]
# A JMESPath expression, or a literal: text that is not valid JMESPath, or a single bare word.
ExpressionOrLiteral = Annotated[str, Field(max_length=4_000)]
FieldName = Annotated[str, AfterValidator(_field)]
TimeZone = Annotated[str, AfterValidator(_time_zone)]
Name = Annotated[str, Field(min_length=1, max_length=100)]
SnakeCase = Annotated[str, Like("demo_request", f"{SNAKE_CASE}, at most 64", SNAKE)]
Namespace = Annotated[str, Like("crm:lead", NAMESPACE_SENTENCE, NAMESPACE)]
Region = Annotated[str, Like("RO", "write the ISO 3166 code of a country in capitals", r"^[A-Z]{2}$")]
Host = Annotated[
    str, Like("*.acme.example", "write a host, which may begin with *.", r"^(\*\.)?[A-Za-z0-9.-]+(:[0-9]+)?$")
]
HeaderName = Annotated[str, Like("X-Api-Version", "write the name of a header", r"^[A-Za-z0-9-]{1,100}$")]
RecordId = Annotated[str, Field(max_length=40)]  # checked when the source is saved
Reply = Annotated[str, Field(max_length=1_000)]
TimeFormat = Annotated[str, Field(max_length=100), AfterValidator(_format)]


class Part(BaseModel):
    """A part of the document. Unknown members are refused, so that a misspelt one is not ignored silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True, serialize_by_alias=True)


class Timestamp(Part):
    """Where the timestamp of a signature is (`header:NAME`, or a key of a kv header), its unit, and its maximum age."""

    origin: Name = Field(alias="from")
    unit: Literal["s", "ms"] = "s"
    tolerance_s: Whole = Field(300, ge=1, le=86_400)


class SignatureRule(Part):
    """A signature: an HMAC of the `signed` template, or (digest) a plain hash of a template that has the secret."""

    kind: Literal["hmac", "digest"]
    secret: Name = Field("signing")
    header: Name
    parse: Literal["raw", "kv", "list"] = "raw"
    pick: str = ""
    prefix: str = ""
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    signed: Annotated[str, Field(max_length=500), AfterValidator(_template)] = "{body}"
    key_encoding: Literal["text", "base64"] = "text"
    timestamp: Timestamp | None = None
    # The rule is skipped for a request with this header, which carries a stronger signature.
    unless_header: str = ""

    @model_validator(mode="after")
    def _kv_needs_pick(self) -> SignatureRule:
        if self.parse == "kv" and not self.pick:
            raise ValueError("`parse: kv` requires `pick`, the key that holds the signature")
        return self


class TokenRule(Part):
    """A shared secret sent in a header, the query or the body."""

    kind: Literal["token"]
    secret: Name = Field("token")
    place: Literal["header", "query", "body"] = Field("header", alias="in")
    name: Name
    prefix: str = ""


class BasicRule(Part):
    """HTTP Basic authentication; the secret is `user:password`."""

    kind: Literal["basic"]
    secret: Name = Field("basic")


Rule = Annotated[SignatureRule | TokenRule | BasicRule, Field(discriminator="kind")]


class Handshake(Part):
    """How to answer the GET or HEAD by which a provider verifies the ingest URL."""

    kind: Literal["none", "ok", "echo", "hmac_echo"] = "none"
    param: str = ""
    token_param: str = ""
    secret: Name = Field("verify_token")
    algorithm: Literal["sha1", "sha256", "sha512"] = "sha256"
    encoding: Literal["hex", "base64"] = "hex"
    answer: Reply | Annotated[dict[str, Reply], Field(max_length=20)] = "{challenge}"

    @property
    def template(self) -> str | dict[str, str]:
        """The answer; without one given, hmac_echo answers the HMAC, so that the challenge alone proves nothing."""
        return "{hmac}" if self.kind == "hmac_echo" and "answer" not in self.model_fields_set else self.answer

    @property
    def asks_token(self) -> bool:
        """Whether the request has to carry the secret. Only a handshake that answers a challenge looks at it."""
        return bool(self.token_param) and self.kind in ("echo", "hmac_echo")

    @property
    def proves(self) -> bool:
        """Whether the answer holds the HMAC of the challenge."""
        return self.holds("{hmac}")

    def holds(self, token: str) -> bool:
        """Whether the answer holds this token."""
        texts = self.template.values() if isinstance(self.template, dict) else [self.template]
        return any(token in text for text in texts)

    @property
    def keys(self) -> tuple[str, ...]:
        """The secrets that may sign a challenge, by preference: the named one, `signing`, `verify_token`."""
        named = (self.secret,) if "secret" in self.model_fields_set else ()
        return tuple(dict.fromkeys((*named, "signing", "verify_token")))

    @model_validator(mode="after")
    def _echo_needs_param(self) -> Handshake:
        if self.kind in ("echo", "hmac_echo") and not self.param:
            raise ValueError("echo and hmac_echo require `param`, the query parameter that holds the challenge")
        return self


class Parse(Part):
    """How the body is parsed: accepted formats, then structure, then members to drop (secrets)."""

    formats: list[Format] = Field(["json"], min_length=1, max_length=4)
    unbracket: bool = True
    unflatten: str = ""
    decode_json: list[Name] = Field([], max_length=50)
    drop: list[Name] = Field([], max_length=50)


class Route(Part):
    """A rule that gives the verdict; the first whose `when` is true applies. `name` is the activity type."""

    when: Expression
    do: Verdict
    name: SnakeCase | None = None


class ActivityRule(Part):
    """Type and kind of the activity that an item makes, and its properties: an object."""

    type: ExpressionOrLiteral = "'form_fill'"
    kind: Literal["interest", "contact_attempt"] = "interest"
    properties: Expression | None = None


class Moment(Part):
    """When the submission occurred. Formats: iso, epoch, dmy, mdy or a strptime pattern."""

    expr: Expression
    formats: Annotated[list[TimeFormat], Field(min_length=1, max_length=10), AfterValidator(_formats)] = ["iso"]
    timezone: TimeZone | None = None


class ConsentRule(Part):
    """One consent question. An opt-out has `if_yes: refused, if_no: unknown`; a null state records nothing.

    `text`: what the person saw, `version`: which version of that text it was.

    With the purpose `*` the expression gives an object of answers by purpose; purposes of other rules are left out.
    """

    purpose: Annotated[str, AfterValidator(_purpose)]
    expr: Expression
    text: ExpressionOrLiteral | None = None
    version: ExpressionOrLiteral | None = None
    if_yes: ConsentState | None = "given"
    if_no: ConsentState | None = "refused"
    if_missing: ConsentState | None = "unknown"


class Spam(Part):
    """Spam rules: filled honeypot field, form filled in too fast, too many links, disposable e-mail address, and more
    than `max_per_client` submissions of one client address within ten minutes."""

    honeypot: list[Expression] = []
    rendered_at: Expression | None = None
    min_fill_seconds: Annotated[float, NOT_BOOLEAN] = Field(2, ge=0, le=3_600)
    max_links: Whole | None = Field(None, ge=0)
    disposable: bool = False
    max_per_client: Whole | None = Field(None, ge=1, le=MAX_RATE)


class BotCheck(Part):
    """The service that says whether a person has sent a form: its address, the name of the secret that the service has
    given, and the field of the form in which its script leaves the token."""

    url: Annotated[str, Field(max_length=2_000)]
    secret: Name = Field("bot_check")
    field: Name


class Limits(Part):
    """How many submissions a minute are taken, of all clients and of one client address; the others get 429."""

    per_minute: Whole | None = Field(None, ge=1, le=MAX_RATE)
    per_client_per_minute: Whole | None = Field(None, ge=1, le=MAX_RATE)


class Defaults(Part):
    """Values used where the request has none. A source's own `defaults` have the same shape."""

    region: Region | None = None
    timezone: TimeZone | None = None
    source: str | None = None
    medium: str | None = None
    campaign: str | None = None
    entry: SnakeCase | None = None
    activity_type: SnakeCase | None = None
    channel: Channel | None = None
    referred_by_contact_id: RecordId | None = None
    partner_account_id: RecordId | None = None


class Fetch(Part):
    """Where to get the record of which a notification holds only the id, and the preset (`use`) that maps it.

    `{…}` in the path and query of the URL is an expression. The secret `auth` is sent in `header`, after `prefix`.
    Without `use` the record is mapped by this document.
    """

    url: str
    auth: Name | None = None
    header: HeaderName = "Authorization"
    prefix: Annotated[str, Field(max_length=100)] = "Bearer "
    headers: Annotated[dict[HeaderName, Reply], Field(max_length=20)] = {}
    use: Name | None = None


class Respond(Part):
    """The response to the sender. A redirect URL taken from the request must have a host in `allow_hosts`.

    In the texts of `body`, {submission_id} is filled in, and {verdict}, {lead_id} and {stage} of the first item when it
    is processed within `wait_s`.
    """

    status: Whole = Field(200, ge=200, le=399)
    body: Any = None
    wait_s: Whole = Field(0, ge=0, le=10)
    redirect: ExpressionOrLiteral | None = None
    allow_hosts: list[Host] = []


class Document(Part):
    """The whole document (docs: ingestion, 3.1)."""

    preset: Name
    title: str = ""
    schema_: One = Field(1, alias="schema")
    verify: list[Rule] = Field([], max_length=10)
    # While none of the secrets of `verify` is set, every request is accepted: the source's key authenticates it.
    open_without_secrets: bool = False
    handshake: Handshake = Handshake()
    parse: Parse = Parse()
    items: Expression = "[@.body]"
    route: list[Route] = []
    submission_key: Expression | None = None
    activity: ActivityRule = ActivityRule()
    occurred_at: Moment | None = None
    fields: dict[FieldName, Expression] = {}
    external_ids: dict[Namespace, Expression] | Expression = {}
    attribution: dict[SnakeCase, Expression] = {}
    consent: list[ConsentRule] = []
    custom: Expression = "rest(item)"
    custom_omit: list[Name] = Field([], max_length=200)
    entry: Expression | None = None
    spam: Spam = Spam()
    bot_check: BotCheck | None = None
    limits: Limits = Limits()
    defaults: Defaults = Defaults()
    fetch: Fetch | None = None
    respond: Respond | None = None


def merge(preset: Any, overrides: Any) -> Any:
    """A preset with overrides applied: objects are merged deeply, other values and lists are replaced."""
    if not isinstance(preset, Mapping) or not isinstance(overrides, Mapping):
        return overrides
    merged = dict(preset)
    for name, value in overrides.items():
        merged[name] = merge(merged[name], value) if name in merged else value
    return merged


def secrets_of(document: Document, known: Collection[str] = ()) -> frozenset[str]:
    """The names of the secrets that the document's rules, bot check, handshake and fetch need, given the known ones."""
    names = {rule.secret for rule in document.verify}
    if document.open_without_secrets:
        names.intersection_update(known)
    handshake = document.handshake
    if handshake.kind == "hmac_echo":
        names.add(next((name for name in handshake.keys if name in known), handshake.keys[0]))
    return frozenset(names | _named(document))


def usable_secrets(document: Document) -> frozenset[str]:
    """The names of all secrets that the document can use. One of another name would do nothing."""
    names = {rule.secret for rule in document.verify} | _named(document)
    return frozenset(names.union(document.handshake.keys if document.handshake.kind == "hmac_echo" else ()))


def _named(document: Document) -> set[str]:
    names = {document.bot_check.secret} if document.bot_check else set()
    if document.fetch and document.fetch.auth:
        names.add(document.fetch.auth)
    if document.handshake.asks_token:
        names.add(document.handshake.secret)
    return names
