"""Read for one claimed lane what it is about to send: events as they are stored now, and what a probe may send."""

from __future__ import annotations

from itertools import compress
from typing import Protocol
from uuid import UUID

from app.database.transaction import Tx
from app.events.envelope import Sequenced
from app.events.sql import event_of
from app.leads.included import include_leads
from app.webhooks import lane_sql
from app.webhooks.accepted import accepted
from app.webhooks.consenting import agreeing
from app.webhooks.lane import Item, Lane
from app.webhooks.lane_context import LaneLost
from app.webhooks.receiver import Receiver
from app.webhooks.shares import Share


class Memory(Protocol):
    """Where deliveries wait after they were read: a lane, or a replay."""

    def late(self, at: float) -> list[Item]: ...


async def included(tx: Tx, tenant_id: UUID, receiver: Receiver, events: list[Sequenced]) -> list[Sequenced]:
    """The events, with the lead where the receiver needs it."""
    return await include_leads(tx, tenant_id, events) if receiver.needs_lead else events


async def still_wanted(tx: Tx, tenant_id: UUID, receiver: Receiver, item: Item, memory: Memory, at: float) -> bool:
    """Whether the receiver may be told of the event now; one that was read some time ago, or without the lead that is
    needed, is read again before.

    So are all that are in the same memory as long. Raises LaneLost where one is no longer retained, so that the log is
    read anew. `at` as in Item.read_at.
    """
    if item.is_late(at) or receiver.lacks_lead(item.event):
        late = {one.event.position: one for one in (item, *memory.late(at))}
        rows = await lane_sql.read_again(tx, tenant_id, list(late))
        if len(rows) < len(late):
            raise LaneLost
        for event in await included(tx, tenant_id, receiver, [event_of(row) for row in rows]):
            late[event.position].event, late[event.position].read_at = event, at
    [agrees] = await agreeing(tx, tenant_id, receiver.purposes, [item.event])
    return agrees and receiver.accepts(item.event)


async def find_probe(
    tx: Tx, tenant_id: UUID, subscription_id: UUID, share: Share, lane: Lane, receiver: Receiver, probes: int
) -> Item | None:
    """Take the oldest waiting delivery, and after each failed probe the next one: one event alone may be refused."""
    place = tx, tenant_id, subscription_id, share
    waiting = await lane_sql.read_waiting(*place)
    rows = await lane_sql.read_log(*place, lane.position, receiver.patterns)
    items = [Item(event_of(row), row.attempts, stored=True) for row in waiting]
    items += [Item(event) for event in share.only(event_of(row) for row in rows if row.id is not None)]
    found = {one.position: one for one in await accepted(tx, tenant_id, receiver, [item.event for item in items])}
    items = [item for item in items if item.event.position in found]
    for item in items:
        item.event = found[item.event.position]
    agree = await agreeing(tx, tenant_id, receiver.purposes, [item.event for item in items])
    chosen = lane.choose_probe(list(compress(items, agree)), probes)
    if chosen is not None:
        lane.take_probe(chosen)
    return chosen
