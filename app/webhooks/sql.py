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
    Integer,
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
from sqlalchemy.dialects.postgresql import JSONB

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


MOVE_LANES: Final = text(
    "UPDATE lanes SET position = :position, reached = :position, passed = '{}', fence = fence + 1,"
    " lease_until = '-infinity', due_at = '-infinity', breaker = '{}', moved_at = clock_timestamp()"
    " WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id"
)
DROP_WAITING: Final = text(
    "DELETE FROM delivery_retries WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id"
    " AND (state <> 'dead' OR position > :position)"
)
TAKE_LANE: Final = text(
    "UPDATE lanes SET fence = fence + 1 WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id"
    " AND lane_no = :lane_no"
)
# No fence is used twice, also where a lane is removed and comes back.
REPLACE_LANES: Final = text(
    """
    WITH old AS (
        DELETE FROM lanes WHERE tenant_id = :tenant_id AND subscription_id = :subscription_id RETURNING *
    ), all_of_them AS (
        SELECT max(fence) + 1 AS fence, max(delivered_at) AS delivered_at, max(moved_at) AS moved_at FROM old
    )
    INSERT INTO lanes (tenant_id, subscription_id, lane_no, lane_count, position, reached, passed, fence, due_at,
                       breaker, delivered_at, moved_at)
    SELECT old.tenant_id, old.subscription_id, number, :lanes, :position, :position, :passed, a.fence,
           old.due_at, old.breaker, a.delivered_at, a.moved_at
      FROM old, all_of_them a, generate_series(0, :lanes - 1) AS number
     WHERE old.lane_no = :from_lane
    """
).bindparams(bindparam("passed", type_=JSONB), *(bindparam(name, type_=Integer) for name in ("lanes", "from_lane")))
RESTART_LANES: Final = text(
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
    """Select subscriptions with the number of events after the lowest position of their lanes, counted up to a limit,
    and the breaker that is worst."""
    own = lanes.c.tenant_id == subscriptions.c.tenant_id, lanes.c.subscription_id == subscriptions.c.id
    position = select(func.min(lanes.c.position)).where(*own).correlate(subscriptions).scalar_subquery()
    after = event_log.c.tenant_id == subscriptions.c.tenant_id, event_log.c.position > position
    behind = select(literal(1)).where(*after).limit(COUNTED_LAG).correlate(subscriptions).subquery()
    lag = select(func.count()).select_from(behind).scalar_subquery()
    state, since = lanes.c.breaker["state"].astext, lanes.c.breaker["since"].astext
    breaker = (  # the worst, which is the last of the alphabet; of several the one that fails for longest
        select(lanes.c.breaker)
        .where(*own)
        .order_by(state.desc().nulls_last(), since)
        .limit(1)
        .correlate(subscriptions)
        .scalar_subquery()
    )
    waits = (
        select(func.greatest(func.extract("epoch", func.clock_timestamp() - event_log.c.recorded_at), 0))
        .where(*after)
        .order_by(event_log.c.position)
        .limit(1)
        .correlate(subscriptions)
        .scalar_subquery()
    )
    return select(
        subscriptions, lag.label("lag"), func.coalesce(waits, 0).label("lag_seconds"), breaker.label("breaker")
    )


async def insert_subscription(tx: Tx, tenant_id: UUID, values: Mapping[str, Any], position: int) -> None:
    """Insert a subscription and its lanes, which start after `position`."""
    await tx.execute(insert(subscriptions).values(tenant_id=tenant_id, **values))
    lane = {"tenant_id": tenant_id, "subscription_id": values["id"], "position": position, "reached": position}
    number = values["lanes"]
    await tx.execute(insert(lanes).values([{**lane, "lane_no": each, "lane_count": number} for each in range(number)]))


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
    """Change a subscription and increment its version, by which those that serve its lanes notice the change."""
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


async def lock_lanes(tx: Tx, tenant_id: UUID, subscription_id: UUID) -> Sequence[Row[Any]]:
    """Lock the lanes of a subscription, and return them in order; none where there is no such subscription.

    `served`: whether a process may serve it; `due_in`: its instant as a number. Owners lock lanes in this order, and
    before the subscription.
    """
    served = (lanes.c.lease_until > func.clock_timestamp()).label("served")
    due_in = func.extract("epoch", lanes.c.due_at).label("due_in")
    statement = (
        select(lanes.c.lane_no, lanes.c.position, lanes.c.passed, served, due_in)
        .where(lanes.c.tenant_id == tenant_id, lanes.c.subscription_id == subscription_id)
        .order_by(lanes.c.lane_no)
    )
    return (await tx.execute(statement.with_for_update())).all()


async def take_lane(tx: Tx, tenant_id: UUID, subscription_id: UUID, lane_no: int) -> None:
    """Change the fence of a lane that no process serves: one that did, and was suspended, writes nothing any more."""
    await tx.execute(TAKE_LANE, {"tenant_id": tenant_id, "subscription_id": subscription_id, "lane_no": lane_no})


async def replace_lanes(
    tx: Tx, tenant_id: UUID, subscription_id: UUID, number: int, position: int, passed: Mapping[str, Any], like: int
) -> None:
    """Replace locked lanes by so many others after `position`, whose breaker is that of the lane with the number
    `like`. The processes that serve the old ones lose them."""
    values = {"tenant_id": tenant_id, "subscription_id": subscription_id, "lanes": number, "from_lane": like}
    await tx.execute(REPLACE_LANES, {**values, "position": position, "passed": passed})


async def move_lanes(tx: Tx, tenant_id: UUID, subscription_id: UUID, position: int) -> None:
    """Go on after `position`, with whatever is there; the lanes are locked. Processes that serve them lose them."""
    values = {"tenant_id": tenant_id, "subscription_id": subscription_id, "position": position}
    await tx.execute(MOVE_LANES, values)
    await tx.execute(DROP_WAITING, values)


async def restart_lanes(tx: Tx, tenant_id: UUID, subscription_id: UUID) -> None:
    """Close the breakers, and wait for nothing, whatever the processes that serve the lanes now want to wait for."""
    await lock_lanes(tx, tenant_id, subscription_id)
    await tx.execute(RESTART_LANES, {"tenant_id": tenant_id, "subscription_id": subscription_id})


async def delete_lanes(tx: Tx, tenant_id: UUID, subscription_id: UUID) -> None:
    """Delete a subscription's lanes, its replays and its rows in delivery_retries.

    Call it before locking the subscription: lane owners lock in that order, too. The owners' next writes then match no
    lane, and they stop.
    """
    await lock_lanes(tx, tenant_id, subscription_id)
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
