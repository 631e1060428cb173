"""Read for one claimed lane what it is about to send: events as they are stored now, and what a probe may send."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import compress
from uuid import UUID

from app.database.transaction import Tx
from app.events.envelope import Sequenced
from app.events.sql import event_of
from app.leads.included import include_leads
from app.webhooks import lane_sql
from app.webhooks.consenting import agreeing
from app.webhooks.lane import Item
from app.webhooks.lane_context import LaneLost
from app.webhooks.receiver import Receiver


async def included(tx: Tx, tenant_id: UUID, receiver: Receiver, events: list[Sequenced]) -> list[Sequenced]:
    """The events, with the lead where the receiver wants it."""
    return await include_leads(tx, tenant_id, events) if receiver.include else events


async def read_again(tx: Tx, tenant_id: UUID, receiver: Receiver, items: Mapping[int, Item], at: float) -> None:
    """Put in each item its event as it is stored now; `items` by position, `at` as in Item.read_at.

    Raises LaneLost where an event is no longer retained, so that the log is read anew.
    """
    rows = await lane_sql.read_again(tx, tenant_id, list(items))
    if len(rows) < len(items):
        raise LaneLost
    for event in await included(tx, tenant_id, receiver, [event_of(row) for row in rows]):
        items[event.position].event, items[event.position].read_at = event, at


async def probe_items(tx: Tx, tenant_id: UUID, subscription_id: UUID, receiver: Receiver, after: int) -> Sequence[Item]:
    """The oldest waiting retries, and the first events of the log after `after`, that the receiver is to be sent."""
    waiting = await lane_sql.read_waiting(tx, tenant_id, subscription_id)
    rows = await lane_sql.read_log(tx, tenant_id, subscription_id, after, receiver.patterns)
    items = [Item(event_of(row), row.attempts, stored=True) for row in waiting]
    items += [Item(event_of(row)) for row in rows if row.id is not None]
    accepted = [item for item in items if receiver.accepts(item.event)]
    agree = await agreeing(tx, tenant_id, receiver.purposes, [item.event for item in accepted])
    return list(compress(accepted, agree))
