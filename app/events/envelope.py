"""The bytes of an event as sent: made in one function, so that each `webhook-id` always has the same body."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from app.ids import show

MAX_BODY_BYTES = 20_000


class Sequenced(NamedTuple):
    """An event with its position in the log. `data` is the minified JSON text as stored.

    `lead_computed` has the members of the lead's answer that time alone changes, as of the lead's version; None but in
    the last event of the version, and where that is older than the column. `included` is the text of further members of
    `data`.
    """

    position: int
    id: UUID
    type: str
    data: str
    recorded_at: datetime
    lead_id: UUID | None
    lead_version: int | None
    order_key: UUID
    tx_id: UUID
    tx_index: int
    tx_size: int
    schema_version: int
    lead_computed: Mapping[str, Any] | None = None
    included: str = ""


def names_nobody(event: Sequenced) -> bool:
    """Whether the event is about an erased lead: it says so, or was recorded because of the erasure."""
    return event.type in ("lead.erased", "lead.suppressed") or '"erased":true' in event.data


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC with six digits and `Z`."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def envelope(event: Sequenced, max_bytes: int | None = MAX_BODY_BYTES, public_id: str = "") -> bytes:
    """The body. Over `max_bytes` it is thin: `data` keeps only its ids, and `url` returns the whole event.

    `public_id` saves callers that already have it from computing it again.
    """
    public_id = public_id or show("event", event.id)
    whole = _body(event, public_id, whole_data(event), "")
    if max_bytes is None or len(whole) <= max_bytes:
        return whole
    return _body(event, public_id, thin_data(event), f',"truncated":true,"url":"{whole_url(event, public_id)}"')


def whole_data(event: Sequenced) -> str:
    """The text of `data`, with what is included."""
    return f"{event.data[:-1]},{event.included}}}" if event.included else event.data


def thin_data(event: Sequenced) -> str:
    """The text of `data` with its ids only."""
    ids = {name: value for name, value in orjson.loads(event.data).items() if name == "id" or name.endswith("_id")}
    return orjson.dumps(ids).decode()


def whole_url(event: Sequenced, public_id: str) -> str:
    """Where the whole event is. Relative, so that the body does not change when the service's public address does."""
    return f"/v1/events/{public_id}{'?include=lead' if event.included else ''}"


def _body(event: Sequenced, public_id: str, data: str, extra: str) -> bytes:
    version = "null" if event.lead_version is None else event.lead_version
    return (
        f'{{"id":"{public_id}","type":"{event.type}","timestamp":"{timestamp(event.recorded_at)}"'
        f',"data":{data},"meta":{{"position":"{event.position}","lead_version":{version}'
        f',"transaction":{{"id":"{show("transaction", event.tx_id)}","index":{event.tx_index},"size":{event.tx_size}}}'
        f',"schema_version":{event.schema_version}}}{extra}}}'
    ).encode()
