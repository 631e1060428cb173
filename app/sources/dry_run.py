"""What a source would make of a request, without making it."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import orjson

from app.database.transaction import Tx
from app.errors import MappingHasFaults, RequestInvalid, SourceNotFound
from app.sources import sql
from app.sources.item import shown
from app.sources.mapping import map_aside
from app.sources.ready import ready
from app.sources.request import RawRequest


async def dry_run(tx: Tx, tenant_id: UUID, source_id: UUID, asked: Mapping[str, Any], now: datetime) -> list[Any]:
    """The items as documents. SourceNotFound, RequestInvalid for base64 that is none."""
    row = await sql.source(tx, tenant_id, source_id)
    if row is None:
        raise SourceNotFound()
    source = ready(row)
    if source.document is None:
        raise MappingHasFaults("The stored document does not fit this release: save the source's overrides anew.")
    items = await map_aside(source.document, _request(asked, now), source.id)
    return [shown(item) for item in items]


def _request(asked: Mapping[str, Any], now: datetime) -> RawRequest:
    body, headers = asked["body"], {name.lower(): value for name, value in asked["headers"].items()}
    if asked["body_base64"] is not None:
        try:
            raw = base64.b64decode(asked["body_base64"], validate=True)
        except ValueError:
            raise RequestInvalid.of("body_base64", "base64_invalid", "this is not base64") from None
    elif isinstance(body, str):
        raw = body.encode()
    else:
        raw = b"" if body is None else orjson.dumps(body)
        headers.setdefault("content-type", "application/json")
    query = asked["query"] if isinstance(asked["query"], str) else urlencode(asked["query"])
    return RawRequest(asked["method"], headers, query, raw, now)
