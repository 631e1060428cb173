"""The operational events of a subscription: how it is, and its dead deliveries. No I/O."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from app import ids
from app.database.transaction import Record
from app.events.catalogue import OPERATIONAL
from app.events.record import NewEvent
from app.webhooks.lane import Changes, DisabledFor, Item
from app.webhooks.retry import Outcome


def of_changes(subscription: str, changes: Changes, now: datetime, warned: int = 0) -> list[NewEvent]:
    """The events of one flush, but for `disabled`. A dead operational event causes no further one.

    `warned`: how many warnings other lanes of the subscription have given.
    """
    of_events = [each for each in changes.dead if is_told(each[0].event.type)]
    blocking = {row.position for row in changes.retries if row.blocks}
    news = [_dead(subscription, item, outcome, item.event.position in blocking, now) for item, outcome in of_events]
    breaker = changes.breaker
    if breaker is not None and breaker.recovered is not None and not warned:
        data = {"subscription_id": subscription, "failing_since": breaker.recovered.since}
        news.append(NewEvent("subscription.recovered", data, now))
    outage = breaker.outage if breaker is not None and not changes.disabled else None
    if breaker is not None and outage is not None and breaker.warning is not None and outage.warned > warned:
        hours = round(breaker.warning.total_seconds() / 3600)
        data = {"subscription_id": subscription, "failing_since": outage.since, "hours": hours}
        news.append(NewEvent("subscription.failing", data, now))
    return news


def disabled(subscription: str, reason: DisabledFor, now: datetime) -> NewEvent:
    return NewEvent("subscription.disabled", {"subscription_id": subscription, "reason": reason}, now)


def gap(subscription: str, first: int, last: int, now: datetime) -> NewEvent:
    data = {"subscription_id": subscription, "from_position": str(first), "to_position": str(last)}
    return NewEvent("subscription.gap", data, now)


def is_told(event_type: str | None) -> bool:
    """Whether others hear of a dead delivery: of an operational event, or one that is gone, they do not."""
    return event_type is not None and not event_type.startswith(OPERATIONAL)


def expired(subscription: str, row: Record, now: datetime) -> NewEvent:
    """Of a row of delivery_retries whose event goes."""
    event = row.event_id, row.type, row.position, row.lead_id
    return _told(subscription, event, row.attempts, Outcome(row.last_code, "expired"), False, now)


def _dead(subscription: str, item: Item, outcome: Outcome, blocks: bool, now: datetime) -> NewEvent:
    event = item.event.id, item.event.type, item.event.position, item.event.lead_id
    return _told(subscription, event, item.attempts, outcome, blocks, now)


def _told(
    subscription: str,
    event: tuple[UUID, str, int, UUID | None],
    attempts: int,
    outcome: Outcome,
    blocks: bool,
    now: datetime,
) -> NewEvent:
    event_id, event_type, position, lead_id = event
    data = {
        "subscription_id": subscription,
        "event_id": ids.show("event", event_id),
        "event_type": event_type,
        "position": str(position),
        "lead_id": ids.shown("lead", lead_id),
        "attempts": attempts,
        "last_code": outcome.code,
        "last_error": outcome.error,
        "blocks": blocks,
    }
    return NewEvent("delivery.dead", data, now)
