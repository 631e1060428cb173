"""Stored submissions without what they say of a person: of one that was erased, or that came again afterwards."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import orjson

from app.database.transaction import Record, Tx
from app.submissions.erased_sql import write_erased

KEY: Final = "erased"


def own_key(submission_id: UUID, place: int) -> str:
    """The key of an erased item, in place of the sender's, which may name somebody."""
    return f"{KEY}|{submission_id.hex}-{place}"


async def erase_bodies(tx: Tx, tenant_id: UUID, parts: Sequence[tuple[Record, Iterable[int]]]) -> None:
    """Erases the items at these places from the bodies of submissions: a body is dropped whole, and of a list the rows.

    The rows have `id`, `body` and `listed`, and are locked.
    """
    if parts:
        rows = [{"id": row.id, **_without(row, places)} for row, places in parts]
        await write_erased(tx, tenant_id, rows)


def _without(row: Record, places: Iterable[int]) -> Mapping[str, Any]:
    if row.listed is None:
        return {"body": "", "listed": None}
    gone = set(places)
    rows = [{} if place in gone else cells for place, cells in enumerate(orjson.loads(row.body))]
    faults = {place: fault for place, fault in row.listed["faults"].items() if int(place) not in gone}
    body = base64.b64encode(orjson.dumps(rows)).decode()
    return {"body": body, "listed": {**row.listed, "faults": faults}}
