"""Stored submissions without what they say of a person: of one that was erased, or that came again afterwards."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import orjson
from sqlalchemy import Uuid, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB

from app.database.transaction import Record, Tx

# Without its body a submission has no hash of it either, by which it is known to be erased. That of a list's part is
# the hash of the whole file, and stays.
ERASE = text(
    """
    UPDATE submissions s SET body = decode(r.body, 'base64'), listed = coalesce(r.listed, s.listed), query = '',
           headers = '{}', sha256 = CASE WHEN r.listed IS NULL THEN '' ELSE s.sha256 END
      FROM jsonb_to_recordset(:rows) AS r(id uuid, body text, listed jsonb)
     WHERE s.tenant_id = :tenant_id AND s.id = r.id
    """
).bindparams(bindparam("tenant_id", type_=Uuid), bindparam("rows", type_=JSONB))
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
        await tx.execute(ERASE, {"tenant_id": tenant_id, "rows": rows})


def _without(row: Record, places: Iterable[int]) -> Mapping[str, Any]:
    if row.listed is None:
        return {"body": "", "listed": None}
    gone = set(places)
    rows = [{} if place in gone else cells for place, cells in enumerate(orjson.loads(row.body))]
    faults = {place: fault for place, fault in row.listed["faults"].items() if int(place) not in gone}
    body = base64.b64encode(orjson.dumps(rows)).decode()
    return {"body": body, "listed": {**row.listed, "faults": faults}}
