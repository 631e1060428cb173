"""Activity keys beyond the history that is loaded: what was recorded once is not recorded again, however long ago."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final
from uuid import UUID

from app.database.transaction import Tx
from app.journeys.state import Change
from app.leads import sql

LOADED: Final = 500  # activities of a lead that `LOAD_LEADS` reads


async def know_older_keys(
    tx: Tx, tenant_id: UUID, changes: Mapping[UUID, Change], wanted: Iterable[tuple[UUID | None, str | None]]
) -> None:
    """Adds to each change those of its wanted keys that stand on activities older than the loaded ones."""
    asked = [
        (lead_id, key)
        for lead_id, key in wanted
        if lead_id is not None and key is not None and _is_long(changes.get(lead_id))
    ]
    for row in await sql.activities_by_key(tx, tenant_id, asked):
        changes[row.lead_id].lead.activity_keys.add(row.activity_key)


def _is_long(change: Change | None) -> bool:
    return change is not None and len(change.lead.activities) >= LOADED
