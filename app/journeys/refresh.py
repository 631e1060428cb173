"""Evaluating leads that time alone has changed. The same evaluation as after a change: there is no second code path."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from app.journeys import across
from app.journeys.evaluate import evaluate
from app.journeys.load import begin_changes
from app.journeys.record import settle
from app.policy.facts import POLICY

BATCH: Final = 100


async def refresh_due(engine: AsyncEngine, now: datetime) -> int:
    """One batch in one transaction; how many leads it looked at. Without a move no version rises, nothing is told."""
    async with engine.begin() as tx:
        due = await across.claim_due(tx, now, BATCH)
        by_tenant: dict[UUID, list[UUID]] = defaultdict(list)
        for row in due:
            by_tenant[row.tenant_id].append(row.id)
        for tenant_id, lead_ids in by_tenant.items():
            changes = await begin_changes(tx, tenant_id, lead_ids, now, POLICY)
            for change in changes.values():
                evaluate(change)
            await settle(tx, tenant_id, list(changes.values()))
        return len(due)
