"""Evaluating leads that time alone has changed. The same evaluation as after a change: there is no second code path."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncEngine

from app.journeys import across, sql
from app.journeys.evaluate import evaluate
from app.journeys.load import begin_changes
from app.journeys.record import record
from app.journeys.state import Change
from app.policy.facts import POLICY

BATCH: Final = 100


async def refresh_due(engine: AsyncEngine, now: datetime) -> int:
    """One batch in one transaction; how many leads it looked at. Without a move no version rises and nothing is told."""
    async with engine.begin() as tx:
        due = await across.claim_due(tx, now, BATCH)
        by_tenant: dict[UUID, list[UUID]] = defaultdict(list)
        for row in due:
            by_tenant[row.tenant_id].append(row.id)
        for tenant_id, lead_ids in by_tenant.items():
            changes = await begin_changes(tx, tenant_id, lead_ids, now, POLICY)
            moved = [change for change in changes.values() if evaluate(change)]
            quiet = [change for change in changes.values() if change not in moved]
            await sql.refresh_scores(tx, tenant_id, [_cache(change) for change in quiet])
            await record(tx, tenant_id, moved)
        return len(due)


def _cache(change: Change) -> dict[str, object]:
    score = change.score
    assert score is not None
    return {
        "id": change.lead.id, "fit": score.fit, "engagement": score.engagement, "level": score.level,
        "temperature": score.temperature, "below_threshold_since": change.lead.below_threshold_since,
        "evaluate_at": change.evaluate_at,
    }  # fmt: skip
