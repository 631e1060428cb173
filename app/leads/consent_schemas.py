"""Request and response models of consents (api.md, section 4)."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from app import ids
from app.database.transaction import Record
from app.matching.consent import PURPOSE_LENGTH, is_purpose
from app.web.client_address import read_address
from app.web.fields import Instant, Note, RequestBody, ResponseBody, ShortText, rfc3339


def _purpose(word: str) -> str:
    if not is_purpose(word):
        example = {"longest": PURPOSE_LENGTH, "example": "sms_marketing"}
        raise PydanticCustomError(
            "purpose_invalid",
            "a purpose is one word of small letters, digits and underscores that begins with a letter, of at most"
            " {longest} characters, like {example}",
            example,
        )
    return word


Purpose = Annotated[str, AfterValidator(_purpose), Field(examples=["email_marketing"])]


def _address(text: str) -> str:
    address = read_address(text)
    if address is None:
        raise PydanticCustomError("address_invalid", "write an IPv4 or IPv6 address, like 203.0.113.7")
    return str(address)


IpAddress = Annotated[ShortText, AfterValidator(_address), Field(examples=["203.0.113.7"])]


class ConsentIn(RequestBody):
    purpose: Purpose
    state: Literal["given", "refused", "withdrawn", "unknown"]
    text: Note | None = Field(default=None, description="What the person saw.")
    text_version: ShortText | None = Field(default=None, description="Which version of the text it was.")
    client_address: IpAddress | None = Field(default=None, description="The IP address of the person, if known.")
    occurred_at: Instant | None = Field(default=None, description="When the person said so; without it now.")


class ConsentsIn(RequestBody):
    consents: Annotated[list[ConsentIn], Field(min_length=1, max_length=20)]


class ConsentEntry(ResponseBody):
    """What was recorded of one consent, and how that can be shown. Entries are added and never changed."""

    purpose: str
    state: Literal["given", "refused", "withdrawn", "unknown", "pending"]
    text: str | None = Field(description="What the person saw.")
    text_version: str | None
    text_sha256: str | None = Field(description="SHA-256 of the text in UTF-8, in hexadecimal.")
    channel: str | None = Field(
        description="The name of the source; `api`, `double_opt_in` (confirmed by a link), `withdrawal_link`."
    )
    source_id: str | None
    submission_id: str | None
    client_address: str | None = Field(description="The IP address of the person, where it is known.")
    actor: dict[str, Any] | None = Field(
        description="Who recorded it: a user, a key, or the service for a form or link. Null in old entries."
    )
    confirmation_id: str | None = Field(
        description="Of a pending consent and of the one that was given by the link, the request to confirm it."
    )
    withdrawal_link_id: str | None = Field(description="The link by which it was withdrawn.")
    bought: bool = Field(description="From a list: who made the list says it, and not the person.")
    occurred_at: str
    recorded_at: str


class ConsentsOut(ResponseBody):
    consents: dict[str, str]
    log: list[ConsentEntry]
    next: str | None


class ConsentsPut(ResponseBody):
    consents: dict[str, str]
    log: list[ConsentEntry] = Field(description="The entries that this request has added.")


class ConsentPurpose(ResponseBody):
    purpose: str
    known: bool = Field(description="Whether Baton ships it: the five that every tenant has.")
    used: bool = Field(description="Whether the tenant's consent log has it.")


class ConsentPurposes(ResponseBody):
    data: list[ConsentPurpose]
    next: None


def show_consent(row: Record) -> dict[str, Any]:
    """An entry of the consent log, as ConsentEntry."""
    names = ("purpose", "state", "text", "text_version", "channel", "client_address", "actor", "bought")
    plain = {name: getattr(row, name) for name in names}
    sha256 = None if row.text is None else hashlib.sha256(row.text.encode()).hexdigest()
    instants = {name: rfc3339(getattr(row, name)) for name in ("occurred_at", "recorded_at")}
    kinds = ("source", "submission", "confirmation", "withdrawal_link")
    return {
        **plain,
        **instants,
        **{f"{kind}_id": ids.shown(kind, getattr(row, f"{kind}_id")) for kind in kinds},
        "text_sha256": sha256,
    }
