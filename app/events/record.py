"""Record events of submissions, opportunities, policies and deliveries.

Events about a change of a lead are recorded by journeys/record.py in the same statement as the change.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from app.database.transaction import Tx
from app.events import sql
from app.ids import new_id


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to record. `data` is JSON-serialisable; `order_key` is the opportunity's id where there is one."""

    type: str
    data: Mapping[str, Any]
    occurred_at: datetime
    lead_id: UUID | None = None
    lead_version: int | None = None
    order_key: UUID | None = None


async def record_events(
    tx: Tx, tenant_id: UUID, news: Sequence[NewEvent], now: datetime, tx_id: UUID | None = None
) -> list[UUID]:
    """Insert the events in the given order as events of one transaction; their ids.

    The caller has locked the rows that the events are about, so that events of one row are written in order.
    """
    ids = [new_id() for _ in news]
    rows = [
        {
            "id": event_id,
            "lead_id": new.lead_id,
            "order_key": new.lead_id or new.order_key or event_id,
            "lead_version": new.lead_version,
            "type": new.type,
            "occurred_at": new.occurred_at,
            "data": minified(new.data),
        }
        for event_id, new in zip(ids, news, strict=True)
    ]
    if rows:
        await sql.insert_events(tx, tenant_id, rows, now, tx_id or new_id())
    return ids


def minified(data: Mapping[str, Any]) -> str:
    """`data` as minified JSON, as it is stored and sent; instants become RFC 3339 with Z."""
    return orjson.dumps(data, option=orjson.OPT_UTC_Z).decode()
