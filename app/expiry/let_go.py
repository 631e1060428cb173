"""What follows for those who have not read events that go, tenant by tenant; each step can be repeated."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from app import ids
from app.database.transaction import Database
from app.events.record import record_events
from app.expiry import sql
from app.webhooks import lane_sql, notices
from app.webhooks.lane import Changes


async def let_go(engine: Database, tenant_id: UUID, end: int, now: datetime) -> None:
    """Deliveries that wait for events before the end are dead, and active subscriptions go on after a gap."""
    async with engine.connect() as tx:
        await sql.move_readers(tx, tenant_id, end)
        subscriptions = await sql.concerned(tx, tenant_id, end)
    for subscription_id in subscriptions:
        while await _let_go_one(engine, tenant_id, subscription_id, end, now):
            pass
    async with engine.connect() as tx:
        while await sql.forget_answers(tx, tenant_id, end):
            pass


async def _let_go_one(engine: Database, tenant_id: UUID, subscription_id: UUID, end: int, now: datetime) -> bool:
    """The next deliveries of a subscription, and its gap; whether there may be more."""
    shown = ids.show("subscription", subscription_id)
    async with engine.begin() as tx:
        lanes = await sql.lock_lanes(tx, tenant_id, subscription_id, end)
        rows = await sql.expire(tx, tenant_id, subscription_id, end)
        missing = [lane.position for lane in lanes if lane.misses]
        if not rows and not missing:
            return False
        keys = Changes(promoted={row.order_key for row in rows})
        await lane_sql.write_retries(tx, tenant_id, subscription_id, keys)
        await sql.take_lanes(tx, tenant_id, subscription_id, end, passing=bool(missing))
        news = [notices.expired(shown, row, now) for row in rows if notices.is_told(row.type)]
        if missing:
            news.append(notices.gap(shown, min(missing) + 1, end - 1, now))
        await record_events(tx, tenant_id, news, now)
    return len(rows) == sql.TOGETHER


async def keep_scores(engine: Database, tenant_id: UUID, first: int, end: int) -> None:
    """Copies the scores that events of this range told, which reports as of the past read."""
    after: int | None = first - 1
    while after is not None:
        async with engine.connect() as tx:
            after = await sql.keep_scores(tx, tenant_id, after, end)
