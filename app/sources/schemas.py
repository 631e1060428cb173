"""Request and response models of sources, presets and dry runs (api.md, sections 3 and 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, Field, StringConstraints
from pydantic_core import PydanticCustomError

from app import ids
from app.database.transaction import Record
from app.leads.consent_schemas import Purpose
from app.matching.channel import Channel
from app.matching.host import host_of_url
from app.policy.shape import Like
from app.sources.document import Defaults, Part, Whole
from app.web.fields import Omittable, RequestBody, ResponseBody, ShortText, SourceId, rfc3339

ORIGIN: Final = r"^(\*|null|https?://[A-Za-z0-9.\-\[\]:]{1,253})$"


def _page_address(value: str) -> str:
    if host_of_url(value) is None:
        raise PydanticCustomError(
            "url_invalid", "must be the http(s) URL of a page, such as https://www.acme.example/thanks"
        )
    return value


def _origin(value: str) -> str:
    if value not in ("*", "null") and host_of_url(value) is None:
        raise PydanticCustomError(
            "origin_invalid", "must be `*`, `null` or an origin, such as https://www.acme.example"
        )
    return value


Secret = Annotated[str, StringConstraints(min_length=1, max_length=4_096)]
Rotating = Annotated[list[Secret], Field(min_length=1, max_length=2)]
SecretName = Annotated[str, StringConstraints(min_length=1, max_length=100)]
PageAddress = Annotated[str, StringConstraints(max_length=2_000), AfterValidator(_page_address)]
Method = Annotated[str, Like("POST", "write the method of a request in capitals", r"^[A-Z]{3,10}$")]
Origin = Annotated[
    str, Like("https://www.acme.example", "write * or the origin of a site", ORIGIN), AfterValidator(_origin)
]


class DoubleOptInRule(Part):
    """Consents of these purposes are pending until the person confirms them by a link. `ask` says which forms ask:
    those that give the consent, or also those without an answer (a form that is only there to sign up)."""

    purposes: list[Purpose] = Field(["email_marketing"], min_length=1, max_length=10)
    ask: Literal["given", "always"] = "given"
    valid_hours: Whole = Field(168, ge=1, le=8_760)
    confirmed_url: PageAddress | None = None


class SourceDefaults(Defaults):
    """Values used where the request has none, how browsers are answered, and which consents have to be confirmed."""

    thank_you_url: PageAddress | None = None
    allowed_origins: Annotated[list[Origin], Field(min_length=1, max_length=50)] | None = None
    double_opt_in: DoubleOptInRule | None = None


class SourceCreate(RequestBody):
    name: ShortText = Field(examples=["Demo form"])
    preset: ShortText = Field(examples=["html-form"])
    overrides: dict[str, Any] = Field(
        default_factory=dict, description="Merged into the preset: objects deeply, other values and lists replaced."
    )
    secrets: dict[SecretName, Secret | Rotating] = Field(
        default_factory=dict,
        description="By the names in the document, which has to use each; a list of two while a secret is rotated.",
        examples=[{"signing": "the secret that the provider signs with"}],
    )
    defaults: SourceDefaults = SourceDefaults()
    enabled: bool = True


class SourcePatch(RequestBody):
    """Only the members given are changed. `secrets` are merged by name; null removes one."""

    name: Omittable[ShortText] = None
    preset: Omittable[ShortText] = None
    overrides: Omittable[dict[str, Any]] = None
    secrets: Omittable[dict[SecretName, Secret | Rotating | None]] = None
    defaults: Omittable[SourceDefaults] = None
    enabled: Omittable[bool] = None


class DryRun(RequestBody):
    """A raw request, in the form in which `/submissions/{id}/raw` returns one."""

    method: Method = "POST"
    query: str | dict[str, str] = ""
    headers: dict[str, str] = Field(default_factory=dict)
    body: Any = Field(default=None, description="The body as text, or a JSON value.")
    body_base64: str | None = None


class SourceOut(ResponseBody):
    id: SourceId
    key: str
    ingest_url: str
    name: str
    preset: str
    overrides: dict[str, Any]
    defaults: dict[str, Any]
    enabled: bool
    builtin: bool
    secret_names: list[str]
    missing_secrets: list[str] = Field(
        description="Secrets that the document names and that are not set; a rule that needs one never holds."
    )
    unused_secrets: list[str] = Field(
        description="Secrets that are set and that nothing of the document uses, which earlier releases took."
    )
    secrets_readable: bool = Field(
        description="False while the service lacks the key that they are encrypted with; senders then get 503."
    )
    created_at: str
    updated_at: str
    archived_at: str | None


class SourcePage(ResponseBody):
    data: list[SourceOut]
    next: str | None


class PresetOut(ResponseBody):
    preset: str
    title: str


class PresetPage(ResponseBody):
    data: list[PresetOut]
    next: str | None


class DryRunItem(ResponseBody):
    verdict: str
    submission_key: str
    fields: dict[str, Any]
    external_ids: dict[str, str]
    attribution: dict[str, str]
    channel: Channel | None = Field(description="That of the attribution, else of the source's or preset's defaults.")
    consent: list[dict[str, Any]]
    occurred_at: str
    custom: dict[str, Any]
    unmet: list[dict[str, Any]]
    fetch_url: str | None = Field(
        None, description="Of an item with verdict `fetch`: where its record would be fetched."
    )


class DryRunOut(ResponseBody):
    items: list[DryRunItem]


def show_source(row: Record, address: str, secrets: Mapping[str, object]) -> dict[str, Any]:
    """The body of a source; `secrets` are the members about its secrets."""
    plain = {
        name: getattr(row, name) for name in ("key", "name", "preset", "overrides", "defaults", "enabled", "builtin")
    }
    instants = {name: rfc3339(getattr(row, name)) for name in ("created_at", "updated_at", "archived_at")}
    return {
        "id": ids.show("source", row.id),
        "ingest_url": f"{address}/v1/ingest/{row.key}",
        **plain,
        **secrets,
        **instants,
    }
