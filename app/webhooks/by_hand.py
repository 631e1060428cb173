"""Retry or discard deliveries by hand: one by its position, or the dead ones that a filter names.

Rows of delivery_retries belong to the process that serves the lane of their lead, which counts them in memory. So a
request is written into the row, and that process carries it out within a second; where none serves the lane it is done
at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Row

from app.database.transaction import Tx
from app.errors import DeliveryNotFound, PositionExpired, StateConflict, SubscriptionNotFound
from app.events import across
from app.webhooks import lane_sql, sql
from app.webhooks.shares import Share
from app.webhooks.sql import Wanted

Asked = Literal["retry", "discard"]
MOST_ASKED: Final = 10_000  # deliveries by one request


async def ask_one(tx: Tx, tenant_id: UUID, subscription_id: UUID, position: int, asked: Asked) -> Row[Any]:
    """Retry a dead or waiting delivery now, or discard one; the delivery, as it was when this was asked.

    Raises SubscriptionNotFound, DeliveryNotFound, StateConflict for the retry of one that is held, PositionExpired for
    the retry of one of which the log has the event no more.
    """
    lanes = await _locked(tx, tenant_id, subscription_id)
    row = await sql.delivery(tx, tenant_id, subscription_id, position)
    if row is None:
        raise DeliveryNotFound()
    if asked == "retry" and row.state == "held":
        detail = "It waits behind an earlier delivery of its lead: retry or discard that one."
        raise StateConflict(detail, state=row.state)
    if asked == "retry" and row.event_type is None:
        first = await across.first_position(tx)
        raise PositionExpired("Its event is kept no more, so it can only be discarded.", first_position=str(first))
    await sql.ask(tx, tenant_id, subscription_id, [position], asked)
    shown = await sql.delivery(tx, tenant_id, subscription_id, position)
    assert shown is not None
    await _carry_out_unserved(tx, tenant_id, subscription_id, lanes)
    return shown


async def ask_dead(tx: Tx, tenant_id: UUID, subscription_id: UUID, wanted: Wanted, asked: Asked) -> tuple[int, bool]:
    """Retry or discard the dead deliveries that are wanted, at most 10,000; how many, and whether there are more.

    Raises SubscriptionNotFound.
    """
    lanes = await _locked(tx, tenant_id, subscription_id)
    positions = await sql.unasked(tx, tenant_id, subscription_id, wanted, asked, MOST_ASKED)
    await sql.ask(tx, tenant_id, subscription_id, positions[:MOST_ASKED], asked)
    await _carry_out_unserved(tx, tenant_id, subscription_id, lanes)
    return min(len(positions), MOST_ASKED), len(positions) > MOST_ASKED


async def let_go_on(tx: Tx, tenant_id: UUID, subscription_id: UUID, positions: Sequence[int] | None = None) -> None:
    """Let the leads go on that wait behind these dead deliveries, by default behind any; they stay dead.

    Raises SubscriptionNotFound.
    """
    lanes = await _locked(tx, tenant_id, subscription_id)
    await sql.ask_to_go_on(tx, tenant_id, subscription_id, positions)
    await _carry_out_unserved(tx, tenant_id, subscription_id, lanes)


async def _locked(tx: Tx, tenant_id: UUID, subscription_id: UUID) -> Sequence[Row[Any]]:
    lanes = await sql.lock_lanes(tx, tenant_id, subscription_id)
    if not lanes:
        raise SubscriptionNotFound()
    return lanes


async def _carry_out_unserved(tx: Tx, tenant_id: UUID, subscription_id: UUID, lanes: Sequence[Row[Any]]) -> None:
    for lane in lanes:
        if not lane.served:
            share = Share(lane.lane_no, len(lanes))
            await sql.take_lane(tx, tenant_id, subscription_id, lane.lane_no)
            await lane_sql.carry_out(tx, tenant_id, subscription_id, share, lane.position, [], 2 * MOST_ASKED)
