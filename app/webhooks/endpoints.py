"""/v1/subscriptions: receivers, their state, and what became of their deliveries."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response

from app.errors import CursorInvalid, StateConflict, SubscriptionNotFound, TargetRefused, VersionConflict
from app.events.waiting import AllowWaiting, short
from app.keyring import CannotOpen
from app.web.auth import Caller, allowed
from app.web.fields import SubscriptionId, answer
from app.web.pages import Cursor, Limit, Page, foreign_cursor, read_cursor, write_cursor
from app.web.problems import declared, router
from app.web.transacted import InTx, Now
from app.web.versions import Expected
from app.webhooks import lane_sql, sql, subscribe
from app.webhooks import ping as pings
from app.webhooks.receiver import Receiver
from app.webhooks.schemas import (
    AttemptPage,
    DeliveryPage,
    PingOut,
    Rotation,
    RowState,
    SubscriptionCreate,
    SubscriptionOut,
    SubscriptionPage,
    SubscriptionPatch,
    SubscriptionWithSecret,
    show_attempt,
    show_delivery,
    show_subscription,
)
from app.webhooks.subscribe import Desk

api = router("/v1/subscriptions", "subscriptions")
sending = APIRouter(prefix="/v1/subscriptions", tags=["subscriptions"])
Owner = Annotated[Caller, allowed("subscriptions")]
ONE = declared(SubscriptionNotFound, VersionConflict)


async def _desk(request: Request, caller: Owner, tx: InTx, now: Now) -> Desk:
    return Desk(tx, caller.tenant_id, request.app.state.keyring, request.app.state.egress, now)


AtDesk = Annotated[Desk, Depends(_desk)]


async def _shown(desk: Desk, subscription_id: UUID, secret: str | None = None, status: int = 200) -> Response:
    row = await sql.subscription(desk.tx, desk.tenant_id, subscription_id)
    if row is None:
        raise SubscriptionNotFound()
    shown = show_subscription(row, secret)
    location = f"/v1/subscriptions/{shown['id']}" if status == 201 else None
    return answer(shown, status, version=row.version, location=location)


@api.post("", status_code=201, response_model=SubscriptionWithSecret, responses=declared(TargetRefused, CursorInvalid))
async def create_subscription(body: SubscriptionCreate, desk: AtDesk) -> Response:
    """Tell a URL of events, from now on or from any place in the log. The secret is shown here only."""
    subscription_id, secret = await subscribe.create(desk, body)
    return await _shown(desk, subscription_id, secret, 201)


@api.get("", response_model=SubscriptionPage)
async def list_subscriptions(caller: Owner, tx: InTx, limit: Limit = 50, cursor: Cursor = None) -> Response:
    page = Page(limit, cursor)
    return answer(page.answer(await sql.list_subscriptions(tx, caller.tenant_id, page), show_subscription))


@api.get("/{subscription_id}", response_model=SubscriptionOut, responses=declared(SubscriptionNotFound))
async def get_subscription(subscription_id: SubscriptionId, desk: AtDesk) -> Response:
    return await _shown(desk, subscription_id)


@api.patch("/{subscription_id}", response_model=SubscriptionOut, responses={**ONE, **declared(TargetRefused)})
async def patch_subscription(
    subscription_id: SubscriptionId, body: SubscriptionPatch, desk: AtDesk, expected: Expected
) -> Response:
    """Change what is named. A new URL gets the next attempts too, also of deliveries that failed before."""
    await subscribe.patch(desk, subscription_id, body, expected)
    return await _shown(desk, subscription_id)


@api.delete("/{subscription_id}", status_code=204, responses=ONE)
async def delete_subscription(subscription_id: SubscriptionId, desk: AtDesk, expected: Expected) -> Response:
    """End it: what is in flight ends, nothing is tried again."""
    await subscribe.end(desk, subscription_id, expected)
    return Response(status_code=204)


@api.post("/{subscription_id}/pause", response_model=SubscriptionOut, responses={**ONE, **declared(StateConflict)})
async def pause_subscription(subscription_id: SubscriptionId, desk: AtDesk, expected: Expected) -> Response:
    """Send nothing more, within a second; nothing is lost."""
    await subscribe.pause(desk, subscription_id, expected)
    return await _shown(desk, subscription_id)


@api.post("/{subscription_id}/resume", response_model=SubscriptionOut, responses=ONE)
async def resume_subscription(subscription_id: SubscriptionId, desk: AtDesk, expected: Expected) -> Response:
    """Go on where it stopped, paused or disabled."""
    await subscribe.resume(desk, subscription_id, expected)
    return await _shown(desk, subscription_id)


@api.post("/{subscription_id}/secret", response_model=SubscriptionWithSecret, responses=ONE)
async def rotate_secret(
    subscription_id: SubscriptionId, desk: AtDesk, expected: Expected, body: Rotation | None = None
) -> Response:
    """A new secret, shown here only; requests carry a signature by each secret until the old one's grace ends."""
    grace = timedelta(seconds=(body or Rotation()).grace_seconds)
    secret = await subscribe.rotate(desk, subscription_id, grace, expected)
    return await _shown(desk, subscription_id, secret)


@sending.post(
    "/{subscription_id}/ping", response_model=PingOut, responses=declared(SubscriptionNotFound, StateConflict)
)
async def ping_subscription(
    request: Request,
    subscription_id: SubscriptionId,
    caller: Annotated[Caller, Depends(AllowWaiting("subscriptions"))],
) -> Response:
    """Send one signed test request now, also while paused; the answer tells how it ended."""
    row = await short(request.app.state, lambda tx: lane_sql.receiver(tx, caller.tenant_id, subscription_id))
    if row is None:
        raise SubscriptionNotFound()
    try:
        receiver = Receiver.of(row, caller.tenant_id, subscription_id, request.app.state.keyring)
    except CannotOpen:
        raise StateConflict("Its signing secret was sealed under a key that is not in BATON_SECRET_KEYS.") from None
    outcome = await pings.ping(request.app.state.egress, receiver, row.now)
    shown = {"delivered": outcome.delivered, "code": outcome.code, "error": outcome.error, "ms": outcome.ms}
    return answer({**shown, "response_head": outcome.head})


@api.get(
    "/{subscription_id}/deliveries",
    response_model=DeliveryPage,
    responses=declared(SubscriptionNotFound, CursorInvalid),
)
async def list_deliveries(
    subscription_id: SubscriptionId,
    desk: AtDesk,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: Annotated[RowState | None, Query()] = None,
) -> Response:
    """What is to be tried again (`retry`), waits behind it (`held`) or was given up (`dead`), in the log's order."""
    await _known(desk, subscription_id)
    filters = {"deliveries": subscription_id, "state": state}
    [after] = read_cursor(cursor, filters, 1) if cursor else [0]
    rows = await sql.list_deliveries(desk.tx, desk.tenant_id, subscription_id, state, _whole(after), limit)
    last = write_cursor(filters, rows[limit - 1].position) if len(rows) > limit else None
    return answer({"data": [show_delivery(row) for row in rows[:limit]], "next": last})


@api.get(
    "/{subscription_id}/attempts", response_model=AttemptPage, responses=declared(SubscriptionNotFound, CursorInvalid)
)
async def list_attempts(
    subscription_id: SubscriptionId, desk: AtDesk, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """Every request of the last days and its answer, the latest first."""
    await _known(desk, subscription_id)
    filters = {"attempts": subscription_id}
    before = _before(cursor, filters) if cursor else None
    rows = await sql.list_attempts(desk.tx, desk.tenant_id, subscription_id, before, limit)
    more = rows[limit - 1] if len(rows) > limit else None
    following = write_cursor(filters, more.at.isoformat(), more.position, more.n) if more else None
    return answer({"data": [show_attempt(row) for row in rows[:limit]], "next": following})


async def _known(desk: Desk, subscription_id: UUID) -> None:
    if await sql.subscription(desk.tx, desk.tenant_id, subscription_id) is None:
        raise SubscriptionNotFound()


def _before(cursor: str, filters: Mapping[str, Any]) -> tuple[datetime, int, int]:
    at, position, n = read_cursor(cursor, filters, 3)
    try:
        instant = datetime.fromisoformat(at)
    except (ValueError, TypeError):
        raise foreign_cursor() from None
    if instant.tzinfo is None or not 1970 <= instant.year <= 2200:
        raise foreign_cursor()
    return instant, _whole(position), min(_whole(n), 2**31 - 1)


def _whole(number: object) -> int:
    if type(number) is not int or not 0 <= number < 2**63:
        raise foreign_cursor()
    return number
