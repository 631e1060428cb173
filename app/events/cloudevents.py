"""An event in CloudEvents 1.0, structured and binary: every member of the envelope is an attribute, `data` is the data.

Like those of the envelope, the bytes of an event never change.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final
from uuid import UUID

import orjson

from app.events.envelope import Sequenced, thin_data, timestamp, whole_data, whole_url
from app.ids import show

STRUCTURED_TYPE: Final = "application/cloudevents+json"
DATA_TYPE: Final = "application/json"
# With leading zeros, because the extension `sequence` must sort as text. A position has at most 19 digits.
SEQUENCE_DIGITS: Final = 19

Attributes = dict[str, str | int | bool]


def base_attributes(public_id: str, type_: str, at: datetime, tenant_id: UUID, schema_version: int) -> Attributes:
    """The attributes of every message; `source` names the tenant, `dataschema` the type and version of `data`."""
    return {
        "specversion": "1.0",
        "id": public_id,
        "source": f"urn:baton:tenant:{show('tenant', tenant_id)}",
        "type": type_,
        "time": timestamp(at),
        "datacontenttype": DATA_TYPE,
        "dataschema": f"urn:baton:event:{type_}:{schema_version}",
    }


def attributes(event: Sequenced, public_id: str, tenant_id: UUID) -> Attributes:
    """The attributes of an event. Those about a lead are left out where there is none: no attribute may be null."""
    found = base_attributes(public_id, event.type, event.recorded_at, tenant_id, event.schema_version)
    lead = None if event.lead_id is None else show("lead", event.lead_id)
    if lead is not None:
        found["subject"] = lead
    found["sequence"] = f"{event.position:0{SEQUENCE_DIGITS}d}"
    found["partitionkey"] = lead or str(event.order_key)
    if event.lead_version is not None:
        found["leadversion"] = event.lead_version
    found["transactionid"] = show("transaction", event.tx_id)
    found["transactionindex"], found["transactionsize"] = event.tx_index, event.tx_size
    return found


def structured(event: Sequenced, public_id: str, tenant_id: UUID, max_bytes: int) -> bytes:
    """The body of structured mode; over `max_bytes` with the ids of `data` only and the attribute `truncated`."""
    known = attributes(event, public_id, tenant_id)
    whole = structured_body(known, whole_data(event))
    if len(whole) <= max_bytes:
        return whole
    return structured_body(known | _truncated(event, public_id), thin_data(event))


def binary(event: Sequenced, public_id: str, tenant_id: UUID, max_bytes: int) -> tuple[dict[str, str], bytes]:
    """The headers of binary mode, and `data` as the body; thin as in structured mode."""
    known, data = attributes(event, public_id, tenant_id), whole_data(event).encode()
    if len(data) > max_bytes:
        known, data = known | _truncated(event, public_id), thin_data(event).encode()
    return binary_headers(known), data


def structured_body(known: Attributes, data: str) -> bytes:
    return b'%b,"data":%b}' % (orjson.dumps(known)[:-1], data.encode())


def binary_headers(known: Attributes) -> dict[str, str]:
    """`ce-` and the name of each attribute, but for the content type. All values are printable ASCII without a quote or
    percent sign, so nothing has to be encoded."""
    shown = {f"ce-{name}": _text(value) for name, value in known.items() if name != "datacontenttype"}
    return {"content-type": DATA_TYPE, **shown}


def _truncated(event: Sequenced, public_id: str) -> Attributes:
    return {"truncated": True, "url": whole_url(event, public_id)}


def _text(value: str | int | bool) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
