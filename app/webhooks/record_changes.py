"""Record what a flush of a lane tells others: dead deliveries, and how the subscription is."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from app import ids
from app.database.transaction import Tx
from app.events.record import record_events
from app.webhooks import lane_sql, notices
from app.webhooks.lane import Changes
from app.webhooks.shares import Share


async def record_changes(
    tx: Tx, tenant_id: UUID, subscription_id: UUID, share: Share, changes: Changes, now: datetime
) -> None:
    """Record the operational events, and disable the subscription where the lane found it to be gone or failing.

    Of several lanes the first tells that the receiver is failing, and the last that it has recovered.
    """
    place, tells = (
        (tx, tenant_id, subscription_id, share.lane_no),
        changes.breaker is not None and changes.breaker.tells,
    )
    warned = await lane_sql.warned_by_others(*place) if tells and share.lanes > 1 else 0
    shown, reason = ids.show("subscription", subscription_id), changes.disabled
    events = notices.of_changes(shown, changes, now, warned)
    if reason and await lane_sql.disable(*place, reason, now):
        events.append(notices.disabled(shown, reason, now))
    await record_events(tx, tenant_id, events, now)
