"""After an activation: schedule all leads of the tenant for evaluation, in batches that do not keep others waiting."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from app.database.transaction import Database
from app.policies import across, sql

BATCH: Final = 500


async def schedule_leads(engine: Database, now: datetime) -> int:
    """Schedules the next batch of leads of each tenant with a new active policy; how many tenants there were.

    How far it got is stored with the batch, so another worker goes on from there. A worker skips the tenant of which
    another one schedules a batch at the moment.
    """
    async with engine.connect() as tx:
        rows = await across.unscheduled(tx)
    batches = 0
    for row in rows:
        async with engine.begin() as tx:
            batches += await sql.schedule_batch(tx, row.tenant_id, row.at, BATCH, now)
    return batches
