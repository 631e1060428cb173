"""Dry run: maps a request with a source's document and writes nothing."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import orjson

from app.database.transaction import Tx
from app.errors import MappingHasFaults, MappingTooCostly, RequestInvalid, SourceNotFound
from app.sources import sql
from app.sources.item import Item, dry_run_to_json
from app.sources.mapping import map_request_async
from app.sources.ready import ready_source
from app.sources.request import RawRequest


async def dry_run(tx: Tx, tenant_id: UUID, source_id: UUID, values: Mapping[str, Any], now: datetime) -> list[Any]:
    """The mapped items as JSON.

    Raises SourceNotFound where there is none, MappingHasFaults for a faulty document, MappingTooCostly for one over its
    budget, RequestInvalid for invalid base64.
    """
    row = await sql.source(tx, tenant_id, source_id)
    if row is None:
        raise SourceNotFound()
    source = ready_source(row)
    if source.document is None:
        raise MappingHasFaults("The stored document is invalid in this release: correct the source's overrides.")
    items = await map_request_async(source.document, _raw_request(values, now), source.id)
    costly = next((item for item in items if item.reason == "mapping_too_costly"), None)
    if costly is not None:
        raise _too_costly(costly)
    return [dry_run_to_json(item) for item in items]


def _too_costly(item: Item) -> MappingTooCostly:
    why = str(item.unmet[0]["have"])
    fault = {"field": why.partition(": ")[0], "code": MappingTooCostly.code, "detail": why}
    return MappingTooCostly(f"Item {item.index}: {why}", errors=[fault])


def _raw_request(values: Mapping[str, Any], now: datetime) -> RawRequest:
    body, headers = values["body"], {name.lower(): value for name, value in values["headers"].items()}
    if values["body_base64"] is not None:
        try:
            raw = base64.b64decode(values["body_base64"], validate=True)
        except ValueError:
            raise RequestInvalid.of("body_base64", "base64_invalid", "must be valid base64") from None
    elif isinstance(body, str):
        raw = body.encode()
        headers.pop("content-encoding", None)  # text is not packed, whatever the headers say
    else:
        raw = b"" if body is None else orjson.dumps(body)
        headers.pop("content-encoding", None)
        headers.setdefault("content-type", "application/json")
    query = values["query"] if isinstance(values["query"], str) else urlencode(values["query"])
    return RawRequest(values["method"], headers, query, raw, now)
