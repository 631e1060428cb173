"""Activity keys of activities that are too old to be loaded, so that a key is recorded only once, however old it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from uuid import UUID

from app.database.transaction import Tx
from app.journeys.state import Change
from app.leads import sql
from app.policy.facts import MOST_ACTIVITIES


async def load_older_keys(
    tx: Tx, tenant_id: UUID, changes: Mapping[UUID, Change], wanted: Iterable[tuple[UUID | None, str | None]]
) -> None:
    """Adds to each change the wanted keys that its lead already has on activities older than the loaded ones."""
    asked = [
        (lead_id, key)
        for lead_id, key in wanted
        if lead_id is not None and key is not None and _is_truncated(changes.get(lead_id))
    ]
    for row in await sql.activities_by_key(tx, tenant_id, asked):
        changes[row.lead_id].lead.activity_keys.add(row.activity_key)


def _is_truncated(change: Change | None) -> bool:
    return change is not None and len(change.lead.activities) >= MOST_ACTIVITIES
