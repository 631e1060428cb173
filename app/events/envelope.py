"""The bytes of an event on the wire: one function, so that one `webhook-id` always has one body."""

from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import orjson

from app.ids import show

LARGEST = 20_000


class Sequenced(NamedTuple):
    """An event with its place in the log. `data` is the minified JSON text as it was written."""

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


def timestamp(at: datetime) -> str:
    """RFC 3339 in UTC with six digits and `Z`."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def envelope(event: Sequenced, largest: int | None = LARGEST, shown: str = "") -> bytes:
    """The body; over `largest` bytes it is thin: `data` keeps its ids, and `url` tells where the whole is.

    `shown` is the event's public id, for callers that have it anyway.
    """
    shown = shown or show("event", event.id)
    whole = _body(event, shown, event.data, "")
    if largest is None or len(whole) <= largest:
        return whole
    # The address is relative: a body must not change when the service's public address does.
    return _body(event, shown, _ids_of(event.data), f',"truncated":true,"url":"/v1/events/{shown}"')


def _body(event: Sequenced, shown: str, data: str, tail: str) -> bytes:
    version = "null" if event.lead_version is None else event.lead_version
    return (
        f'{{"id":"{shown}","type":"{event.type}","timestamp":"{timestamp(event.recorded_at)}"'
        f',"data":{data},"meta":{{"position":"{event.position}","lead_version":{version}'
        f',"transaction":{{"id":"{show("transaction", event.tx_id)}","index":{event.tx_index},"size":{event.tx_size}}}'
        f',"schema_version":{event.schema_version}}}{tail}}}'
    ).encode()


def _ids_of(data: str) -> str:
    ids = {name: value for name, value in orjson.loads(data).items() if name == "id" or name.endswith("_id")}
    return orjson.dumps(ids).decode()
