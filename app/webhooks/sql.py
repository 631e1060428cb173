"""Statements over the subscriptions of one tenant, their deliveries and attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    BigInteger,
    ColumnElement,
    Row,
    Select,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    or_,
    select,
    text,
    tuple_,
    update,
)

from app.database.tables import attempts, delivery_retries, event_log, lanes, replays, subscriptions
from app.database.transaction import Tx
from app.events.feed import like_patterns
from app.events.sql import MEMBERS
from app.web.pages import Page

COUNTED_LAG: Final = 10_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which deliveries: of a state, of types and leads, of events recorded from `since` to before `until`; or any."""

    state: str | None = None
    types: tuple[str, ...] | None = None
    lead_ids: tuple[UUID, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None


WAITING_EVENTS: Final = text(
    f"""
    SELECT r.position, {MEMBERS}, r.blocks
      FROM delivery_retries r
      JOIN event_log l ON l.tenant_id = r.tenant_id AND l.position = r.position
      JOIN events e ON e.tenant_id = l.tenant_id AND e.seq = l.event_seq
     WHERE r.tenant_id = :tenant_id AND r.subscription_id = :subscription_id AND (r.state = 'retry' OR r.blocks)
    """  # noqa: S608 - constants
)
MAKE_DUE: Final = text(
    "UPDATE delivery_retries SET next_at = clock_timestamp() WHERE tenant_id = :tenant_id"
    " AND subscription_id = :subscription_id AND state = 'retry' AND position = ANY (:positions)"
).bindparams(bindparam("positions", type_=ARRAY(BigInteger)))


MOVE_LANE: Final = text(
    "UPDATE lanes SET position = :position, fence = fence + 1, lease_until = '-infinity', due_at = '-infinity',"
    " breaker = '{}', moved_at = clock_timestamp()"
    " WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id"
)
DROP_WAITING: Final = text(
    "DELETE FROM delivery_retries WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id"
    " AND (state <> 'dead' OR position > :position)"
)
TAKE_LANE: Final = text(
    "UPDATE lanes SET fence = fence + 1 WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id"
)
RESTART_LANE: Final = text(
    "UPDATE lanes SET due_at = '-infinity', breaker = '{}'"
    " WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id"
)
ASK: Final = text(
    "UPDATE delivery_retries SET request = :request WHERE tenant_id = :tenant_id"
    " AND subscription_id = :subscription_id AND position = ANY (:positions)"
).bindparams(bindparam("positions", type_=ARRAY(BigInteger)))
ASK_TO_GO_ON: Final = text(
    "UPDATE delivery_retries SET request = 'skip' WHERE tenant_id = :tenant_id"
    " AND subscription_id = :subscription_id AND blocks AND request IS NULL"
    " AND (:positions IS NULL OR position = ANY (:positions))"
).bindparams(bindparam("positions", type_=ARRAY(BigInteger)))


def _with_lag() -> Select[Any]:
    """Select subscriptions with the number of events after their position, counted up to a limit."""
    behind = (
        select(literal(1))
        .select_from(event_log)
        .where(event_log.c.tenant_id == lanes.c.tenant_id, event_log.c.position > lanes.c.position)
        .limit(COUNTED_LAG)
        .correlate(lanes)
        .lateral()
    )
    lag = (
        select(func.count())
        .select_from(lanes.join(behind, literal(True)))
        .where(lanes.c.tenant_id == subscriptions.c.tenant_id, lanes.c.subscription_id == subscriptions.c.id)
        .correlate(subscriptions)
        .scalar_subquery()
    )
    own = lanes.c.tenant_id == subscriptions.c.tenant_id, lanes.c.subscription_id == subscriptions.c.id
    breaker = select(lanes.c.breaker).where(*own).correlate(subscriptions).scalar_subquery()
    waits = (
        select(func.greatest(func.extract("epoch", func.clock_timestamp() - event_log.c.recorded_at), 0))
        .select_from(lanes.join(event_log, event_log.c.tenant_id == lanes.c.tenant_id))
        .where(*own, event_log.c.position > lanes.c.position)
        .order_by(event_log.c.position)
        .limit(1)
        .correlate(subscriptions)
        .scalar_subquery()
    )
    return select(
        subscriptions, lag.label("lag"), func.coalesce(waits, 0).label("lag_seconds"), breaker.label("breaker")
    )


async def insert_subscription(tx: Tx, tenant_id: UUID, values: Mapping[str, Any], position: int) -> None:
    """Insert a subscription and its lane, which starts after `position`."""
    await tx.execute(insert(subscriptions).values(tenant_id=tenant_id, **values))
    await tx.execute(
        insert(lanes).values(tenant_id=tenant_id, subscription_id=values["id"], lane_no=0, position=position)
    )


async def subscription(tx: Tx, tenant_id: UUID, subscription_id: UUID) -> Row[Any] | None:
    """A subscription with its lag."""
    rows = _with_lag().where(subscriptions.c.tenant_id == tenant_id, subscriptions.c.id == subscription_id)
    found: Row[Any] | None = (await tx.execute(rows)).one_or_none()
    return found


async def list_subscriptions(tx: Tx, tenant_id: UUID, page: Page, state: str | None = None) -> Sequence[Row[Any]]:
    """Those of a state; `failing`: active ones whose breaker is not closed."""
    rows = _with_lag().where(subscriptions.c.tenant_id == tenant_id)
    if state is not None:
        rows = rows.where(subscriptions.c.state == ("active" if state == "failing" else state))
    if state == "failing":
        own = lanes.c.tenant_id == subscriptions.c.tenant_id, lanes.c.subscription_id == subscriptions.c.id
        rows = rows.where(exists().where(*own, lanes.c.breaker.has_key("state")))
    return (await tx.execute(page.statement(rows, subscriptions))).all()


async def lock_subscription(tx: Tx, tenant_id: UUID, subscription_id: UUID) -> Row[Any] | None:
    statement = select(subscriptions).where(
        subscriptions.c.tenant_id == tenant_id, subscriptions.c.id == subscription_id
    )
    row: Row[Any] | None = (await tx.execute(statement.with_for_update(key_share=True))).one_or_none()
    return row


async def update_subscription(
    tx: Tx, tenant_id: UUID, subscription_id: UUID, values: Mapping[str, Any], now: datetime
) -> None:
    """Change a subscription and increment its version, by which the process that serves its lane notices the change."""
    await tx.execute(
        update(subscriptions)
        .where(subscriptions.c.tenant_id == tenant_id, subscriptions.c.id == subscription_id)
        .values(version=subscriptions.c.version + 1, updated_at=now, **values)
    )


async def waiting_events(tx: Tx, tenant_id: UUID, subscription_id: UUID) -> Sequence[Row[Any]]:
    """The first delivery of each lead that waits, a retry or a dead one that blocks: its event, and `blocks`."""
    return (await tx.execute(WAITING_EVENTS, {"tenant_id": tenant_id, "subscription_id": subscription_id})).all()


async def make_due(tx: Tx, tenant_id: UUID, subscription_id: UUID, positions: Sequence[int]) -> None:
    """Make these retries due at once, by the database's clock."""
    values = {"tenant_id": tenant_id, "subscription_id": subscription_id, "positions": list(positions)}
    await tx.execute(MAKE_DUE, values)


async def lock_lane(tx: Tx, tenant_id: UUID, subscription_id: UUID) -> Row[Any] | None:
    """Lock the lane: its `position`, and whether it may be `served`. Its owner locks it before the subscription."""
    served = lanes.c.lease_until > func.clock_timestamp()
    statement = select(lanes.c.position, served.label("served")).where(
        lanes.c.tenant_id == tenant_id, lanes.c.subscription_id == subscription_id
    )
    row: Row[Any] | None = (await tx.execute(statement.with_for_update())).one_or_none()
    return row


async def take_lane(tx: Tx, tenant_id: UUID, subscription_id: UUID) -> None:
    """Change the fence of a lane that no process serves: one that did, and was suspended, writes nothing any more."""
    await tx.execute(TAKE_LANE, {"tenant_id": tenant_id, "subscription_id": subscription_id})


async def move_lane(tx: Tx, tenant_id: UUID, subscription_id: UUID, position: int) -> None:
    """Go on after `position`, with whatever is there. The process that serves the lane loses it."""
    values = {"tenant_id": tenant_id, "subscription_id": subscription_id, "position": position}
    await tx.execute(MOVE_LANE, values)
    await tx.execute(DROP_WAITING, values)


async def restart_lane(tx: Tx, tenant_id: UUID, subscription_id: UUID) -> None:
    """Close the breaker, and wait for nothing, whatever the process that serves the lane now wants to wait for."""
    await tx.execute(RESTART_LANE, {"tenant_id": tenant_id, "subscription_id": subscription_id})


async def delete_lanes(tx: Tx, tenant_id: UUID, subscription_id: UUID) -> None:
    """Delete a subscription's lane, its replays and its rows in delivery_retries.

    Call it before locking the subscription: lane owners lock in that order, too. The owner's next write then matches no
    lane, and it stops.
    """
    for table in (lanes, delivery_retries, replays):
        await tx.execute(
            delete(table).where(table.c.tenant_id == tenant_id, table.c.subscription_id == subscription_id)
        )


async def delete_subscription(tx: Tx, tenant_id: UUID, subscription_id: UUID) -> None:
    await tx.execute(
        delete(subscriptions).where(subscriptions.c.tenant_id == tenant_id, subscriptions.c.id == subscription_id)
    )


def _deliveries(tenant_id: UUID, subscription_id: UUID, wanted: Wanted) -> Select[Any]:
    """Select the wanted deliveries with the type of their event, null where the log has it no more; in its order."""
    table = delivery_retries
    of_event = (event_log.c.tenant_id == table.c.tenant_id) & (event_log.c.position == table.c.position)
    rows = (
        select(table, event_log.c.type.label("event_type"))
        .join(event_log, of_event, isouter=True)
        .where(table.c.tenant_id == tenant_id, table.c.subscription_id == subscription_id)
        .order_by(table.c.position)
    )
    if wanted.state is not None:
        rows = rows.where(table.c.state == wanted.state)
    if (patterns := like_patterns(wanted.types)) is not None:
        rows = rows.where(or_(*(event_log.c.type.like(each) for each in patterns)))
    if wanted.lead_ids is not None:
        rows = rows.where(table.c.lead_id.in_(wanted.lead_ids))
    if wanted.since is not None:
        rows = rows.where(event_log.c.recorded_at >= wanted.since)
    if wanted.until is not None:
        rows = rows.where(event_log.c.recorded_at < wanted.until)
    return rows


async def list_deliveries(
    tx: Tx, tenant_id: UUID, subscription_id: UUID, wanted: Wanted, after: int, limit: int
) -> Sequence[Row[Any]]:
    """The wanted deliveries that wait or are dead, in the order of the log; one more than the limit."""
    rows = _deliveries(tenant_id, subscription_id, wanted).where(delivery_retries.c.position > after)
    return (await tx.execute(rows.limit(limit + 1))).all()


async def delivery(tx: Tx, tenant_id: UUID, subscription_id: UUID, position: int) -> Row[Any] | None:
    """The delivery at this position, if it waits or is dead."""
    rows = _deliveries(tenant_id, subscription_id, Wanted()).where(delivery_retries.c.position == position)
    found: Row[Any] | None = (await tx.execute(rows)).one_or_none()
    return found


async def ask(tx: Tx, tenant_id: UUID, subscription_id: UUID, positions: Sequence[int], request: str) -> None:
    """Ask the owner of the lane to retry or discard these deliveries."""
    values = {"tenant_id": tenant_id, "subscription_id": subscription_id, "request": request}
    await tx.execute(ASK, values | {"positions": list(positions)})


async def unasked(
    tx: Tx, tenant_id: UUID, subscription_id: UUID, wanted: Wanted, request: str, limit: int
) -> list[int]:
    """Positions of the wanted deliveries for which this is not asked yet, one more than the limit.

    What the log has no more cannot be sent again.
    """
    rows = _deliveries(tenant_id, subscription_id, wanted)
    rows = rows.where(delivery_retries.c.request.is_distinct_from(request))
    if request == "retry":
        rows = rows.where(event_log.c.position.is_not(None))
    return list((await tx.execute(rows.with_only_columns(delivery_retries.c.position).limit(limit + 1))).scalars())


async def ask_to_go_on(tx: Tx, tenant_id: UUID, subscription_id: UUID, positions: Sequence[int] | None) -> None:
    """Ask the owner of the lane to let the leads go on that wait behind these dead deliveries, or behind any."""
    values = {"tenant_id": tenant_id, "subscription_id": subscription_id, "positions": positions}
    await tx.execute(ASK_TO_GO_ON, values)


async def list_attempts(
    tx: Tx,
    tenant_id: UUID,
    subscription_id: UUID,
    position: int | None,
    before: tuple[datetime, int, int] | None,
    limit: int,
) -> Sequence[Row[Any]]:
    """Attempts, or those of the delivery at a position, the latest first; one more than the limit."""
    order: tuple[ColumnElement[Any], ...] = (attempts.c.at, attempts.c.position, attempts.c.n)
    rows = select(attempts).where(attempts.c.tenant_id == tenant_id, attempts.c.subscription_id == subscription_id)
    if position is not None:
        rows = rows.where(attempts.c.position == position)
    if before is not None:
        at, position, n = before
        rows = rows.where(tuple_(*order) < tuple_(literal(at), literal(position, BigInteger), literal(n)))
    return (await tx.execute(rows.order_by(*(each.desc() for each in order)).limit(limit + 1))).all()
