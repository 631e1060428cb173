"""The content of a request in the format of a subscription: body, and the headers that describe it."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import Final, Literal, NamedTuple
from uuid import UUID

from app.events import cloudevents
from app.events.cloudevents import binary_headers, structured_body
from app.events.envelope import Sequenced, envelope, timestamp

Format = Literal["standard", "cloudevents_structured", "cloudevents_binary"]
STANDARD: Final = {"content-type": "application/json"}
STRUCTURED: Final = {"content-type": cloudevents.STRUCTURED_TYPE}
PING: Final = "subscription.ping"


class Content(NamedTuple):
    """`headers` are those that describe the body."""

    headers: dict[str, str]
    body: bytes


def digest(body: bytes) -> str:
    """The value of `content-digest` (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(body).digest()).decode()}:"


def content(format_: Format, event: Sequenced, public_id: str, tenant_id: UUID, max_bytes: int) -> Content:
    """An event; over `max_bytes`, which counts the body, with the ids of `data` only."""
    match format_:
        case "standard":
            return Content(STANDARD, envelope(event, max_bytes, public_id))
        case "cloudevents_structured":
            return Content(STRUCTURED, cloudevents.structured(event, public_id, tenant_id, max_bytes))
        case "cloudevents_binary":
            return Content(*cloudevents.binary(event, public_id, tenant_id, max_bytes))


def ping(format_: Format, public_id: str, tenant_id: UUID, now: datetime) -> Content:
    """`subscription.ping`: empty data, and no position."""
    if format_ == "standard":
        body = (
            f'{{"id":"{public_id}","type":"{PING}","timestamp":"{timestamp(now)}","data":{{}},'
            '"meta":{"position":null,"lead_version":null,"transaction":null,"schema_version":1}}'
        )
        return Content(STANDARD, body.encode())
    known = cloudevents.base_attributes(public_id, PING, now, tenant_id, 1)
    if format_ == "cloudevents_structured":
        return Content(STRUCTURED, structured_body(known, "{}"))
    return Content(binary_headers(known), b"{}")
