"""/v1/subscriptions: create and change subscriptions, and list their deliveries and attempts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Depends, Query, Request, Response
from starlette.exceptions import HTTPException

from app.errors import (
    CursorInvalid,
    DeliveryNotFound,
    PositionExpired,
    StateConflict,
    SubscriptionNotFound,
    TargetRefused,
    VersionConflict,
)
from app.events.cursors import CURSOR_PROBLEMS
from app.events.schemas import TypesParameter
from app.events.waiting import AllowLongRequest, with_connection
from app.keyring import CannotOpen
from app.web.auth import Caller, allowed
from app.web.bodies import check_no_body
from app.web.fields import Instant, LeadId, SubscriptionId, answer
from app.web.pages import Cursor, Limit, Page, malformed_cursor, read_cursor, write_cursor
from app.web.parameters import check_window
from app.web.problems import declared, router
from app.web.transacted import InTx, Now
from app.web.versions import Expected
from app.webhooks import handshake as handshakes
from app.webhooks import lane_sql, sql, subscribe
from app.webhooks import ping as pings
from app.webhooks.by_hand import Asked, ask_dead, ask_one
from app.webhooks.delivery_schemas import (
    AttemptPage,
    DeadLetters,
    DeadLettersAsked,
    DeliveryOut,
    DeliveryPage,
    DeliveryState,
    Position,
    show_attempt,
    show_delivery,
)
from app.webhooks.preview import preview
from app.webhooks.receiver import Receiver
from app.webhooks.schemas import (
    HandshakeOut,
    Listed,
    PingOut,
    PreviewOut,
    Resumption,
    Rotation,
    SubscriptionCreate,
    SubscriptionCreated,
    SubscriptionOut,
    SubscriptionPage,
    SubscriptionPatch,
    SubscriptionPreview,
    SubscriptionRotated,
    SubscriptionSaved,
    moving_members,
    show_subscription,
)
from app.webhooks.sql import Wanted
from app.webhooks.subscribe import SubscriptionContext

api = router("/v1/subscriptions", "subscriptions")
ping_api = APIRouter(prefix="/v1/subscriptions", tags=["subscriptions"])
Owner = Annotated[Caller, allowed("subscriptions")]
ONE = declared(SubscriptionNotFound, VersionConflict)


async def _subscription_context(request: Request, caller: Owner, tx: InTx, now: Now) -> SubscriptionContext:
    state, may_read_leads = request.app.state, caller.may("leads:read")
    return SubscriptionContext(tx, caller.tenant_id, state.keyring, state.egress, now, may_read_leads)


ListedState = Annotated[
    Listed | None,
    Query(description="`failing`: active, and the receiver is taken to be down (`breaker` is not closed)."),
]
AtPosition = Annotated[int | None, Query(ge=1, lt=2**63, description="Of a delivery, as in `meta.position`.")]
InContext = Annotated[SubscriptionContext, Depends(_subscription_context)]


async def _shown(context: SubscriptionContext, subscription_id: UUID, status: int = 200, **more: Any) -> Response:
    row = await sql.subscription(context.tx, context.tenant_id, subscription_id)
    if row is None:
        raise SubscriptionNotFound()
    shown = {**show_subscription(row), **more}
    location = f"/v1/subscriptions/{shown['id']}" if status == 201 else None
    return answer(shown, status, version=row.version, moved=moving_members(shown), location=location)


@api.post("", status_code=201, response_model=SubscriptionCreated, responses=declared(TargetRefused, *CURSOR_PROBLEMS))
async def create_subscription(body: SubscriptionCreate, context: InContext) -> Response:
    """Subscribe a URL to events, from now on or from any position in the log. The secret is shown only here."""
    subscription_id, secret, warnings = await subscribe.create(context, body)
    return await _shown(context, subscription_id, 201, secret=secret, warnings=warnings)


@api.post("/preview", response_model=PreviewOut)
async def preview_subscription(body: SubscriptionPreview, context: InContext) -> Response:
    """How many of the last thousand events would have been sent, and three of them. Nothing is sent or stored."""
    return answer(await preview(context, body))


@api.api_route("/preview", methods=["GET", "PATCH", "DELETE"], include_in_schema=False)
async def refuse_other_methods(_body: Annotated[Any, Body()] = None) -> Response:
    """This path takes POST only; `/{subscription_id}`, which takes these methods, would match it."""
    raise HTTPException(405)


@api.get("", response_model=SubscriptionPage, responses=declared(CursorInvalid))
async def list_subscriptions(
    caller: Owner, tx: InTx, state: ListedState = None, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    page = Page(limit, cursor, filters={"state": state})
    rows = await sql.list_subscriptions(tx, caller.tenant_id, page, state)
    return answer(page.answer(rows, show_subscription))


@api.get("/{subscription_id}", response_model=SubscriptionOut, responses=declared(SubscriptionNotFound))
async def get_subscription(subscription_id: SubscriptionId, context: InContext) -> Response:
    return await _shown(context, subscription_id)


@api.patch("/{subscription_id}", response_model=SubscriptionSaved, responses={**ONE, **declared(TargetRefused)})
async def patch_subscription(
    subscription_id: SubscriptionId, body: SubscriptionPatch, context: InContext, expected: Expected
) -> Response:
    """Change the given members. A new URL also gets the next attempts of deliveries that failed before."""
    warnings = await subscribe.patch(context, subscription_id, body, expected)
    return await _shown(context, subscription_id, warnings=warnings)


@api.delete("/{subscription_id}", status_code=204, responses=ONE)
async def delete_subscription(subscription_id: SubscriptionId, context: InContext, expected: Expected) -> Response:
    """Delete it. Requests in flight finish; nothing is retried."""
    await subscribe.delete(context, subscription_id, expected)
    return Response(status_code=204)


@api.post("/{subscription_id}/pause", response_model=SubscriptionOut, responses={**ONE, **declared(StateConflict)})
async def pause_subscription(subscription_id: SubscriptionId, context: InContext, expected: Expected) -> Response:
    """Stop sending within a second. The position is kept, so no event is lost."""
    await subscribe.pause(context, subscription_id, expected)
    return await _shown(context, subscription_id)


@api.post(
    "/{subscription_id}/resume",
    response_model=SubscriptionOut,
    responses={**ONE, **declared(StateConflict, PositionExpired)},
)
async def resume_subscription(
    subscription_id: SubscriptionId, context: InContext, expected: Expected, body: Resumption | None = None
) -> Response:
    """Continue a paused or disabled subscription where it stopped, or elsewhere: events left out are told in one."""
    await subscribe.resume(context, subscription_id, expected, (body or Resumption()).resume)
    return await _shown(context, subscription_id)


@api.post("/{subscription_id}/secret", response_model=SubscriptionRotated, responses=ONE)
async def rotate_secret(
    subscription_id: SubscriptionId, context: InContext, expected: Expected, body: Rotation | None = None
) -> Response:
    """Create a new key, its secret shown only here. Until its grace ends requests are signed with the older, too."""
    secret = await subscribe.rotate(context, subscription_id, body or Rotation(), expected)
    return await _shown(context, subscription_id, secret=secret)


@ping_api.post(
    "/{subscription_id}/ping", response_model=PingOut, responses=declared(SubscriptionNotFound, StateConflict)
)
async def ping_subscription(
    request: Request,
    subscription_id: SubscriptionId,
    caller: Annotated[Caller, Depends(AllowLongRequest("subscriptions"))],
) -> Response:
    """Send one signed test request now, also while paused, and return its outcome."""
    check_no_body(request, await request.body())
    row = await with_connection(request.app.state, lambda tx: lane_sql.receiver(tx, caller.tenant_id, subscription_id))
    if row is None:
        raise SubscriptionNotFound()
    try:
        receiver = Receiver.stored(row, caller.tenant_id, subscription_id, request.app.state.keyring)
    except CannotOpen:
        detail = "The signing secret cannot be decrypted; add the key it was encrypted with to BATON_SECRET_KEYS."
        raise StateConflict(detail) from None
    outcome = await pings.ping(request.app.state.egress, receiver, row.now)
    shown = {"delivered": outcome.delivered, "code": outcome.code, "error": outcome.error, "ms": outcome.ms}
    return answer({**shown, "response_head": outcome.head})


@ping_api.post(
    "/{subscription_id}/handshake", response_model=HandshakeOut, responses=declared(SubscriptionNotFound, StateConflict)
)
async def ask_receiver(
    request: Request,
    subscription_id: SubscriptionId,
    caller: Annotated[Caller, Depends(AllowLongRequest("subscriptions"))],
) -> Response:
    """Ask the receiver now whether events may be sent (OPTIONS of CloudEvents' web hooks): it starts when it agrees."""
    check_no_body(request, await request.body())
    state = request.app.state
    row = await with_connection(state, lambda tx: sql.subscription(tx, caller.tenant_id, subscription_id))
    if row is None:
        raise SubscriptionNotFound()
    if not row.handshake:
        raise StateConflict("This subscription asks for no handshake: change `handshake` to true.", state=row.state)
    outcome, consent = await handshakes.ask(state.egress, row.url, state.settings.address)
    if outcome.code is not None:
        place = {"tenant_id": caller.tenant_id, "subscription_id": subscription_id, "url": row.url}
        keep = partial(handshakes.keep, **place, consent=consent, now=state.clock.now())
        await with_connection(state, keep, transaction=True)
    shown = {"allowed": consent.allowed, "allowed_rate": consent.per_minute, "code": outcome.code}
    return answer({**shown, "error": consent.error, "ms": outcome.ms, "response_head": outcome.head})


@api.get(
    "/{subscription_id}/deliveries",
    response_model=DeliveryPage,
    responses=declared(SubscriptionNotFound, CursorInvalid),
)
async def list_deliveries(
    subscription_id: SubscriptionId,
    context: InContext,
    limit: Limit = 50,
    cursor: Cursor = None,
    state: Annotated[DeliveryState | None, Query()] = None,
    types: TypesParameter = None,
    lead_id: Annotated[LeadId | None, Query()] = None,
    from_: Annotated[Instant | None, Query(alias="from", description="The event was recorded then or later.")] = None,
    to: Annotated[Instant | None, Query(description="The event was recorded before.")] = None,
) -> Response:
    """Deliveries to be retried (`retry`), waiting behind one (`held`) or given up (`dead`), in the order of the log."""
    await _require_subscription(context, subscription_id)
    check_window(from_, to)
    leads = (lead_id,) if lead_id else None
    wanted = Wanted(state, tuple(types) if types else None, leads, from_, to)
    filters = {"deliveries": subscription_id, **asdict(wanted)}
    [after] = read_cursor(cursor, filters, 1) if cursor else [0]
    rows = await sql.list_deliveries(context.tx, context.tenant_id, subscription_id, wanted, _position(after), limit)
    last = write_cursor(filters, rows[limit - 1].position) if len(rows) > limit else None
    return answer({"data": [show_delivery(row) for row in rows[:limit]], "next": last})


@api.post(
    "/{subscription_id}/deliveries/retry", response_model=DeadLettersAsked, responses=declared(SubscriptionNotFound)
)
async def retry_dead(subscription_id: SubscriptionId, context: InContext, body: DeadLetters) -> Response:
    """Send dead deliveries once more, those of a lead in order, between other events; one that fails is dead again."""
    return await _ask_dead(context, subscription_id, body, "retry")


@api.post(
    "/{subscription_id}/deliveries/discard", response_model=DeadLettersAsked, responses=declared(SubscriptionNotFound)
)
async def discard_dead(subscription_id: SubscriptionId, context: InContext, body: DeadLetters) -> Response:
    """Remove dead deliveries from the list; the leads that wait behind them go on. The feed keeps the events."""
    return await _ask_dead(context, subscription_id, body, "discard")


@api.post(
    "/{subscription_id}/deliveries/{position}/retry",
    response_model=DeliveryOut,
    responses=declared(SubscriptionNotFound, DeliveryNotFound, StateConflict, PositionExpired),
)
async def retry_delivery(subscription_id: SubscriptionId, position: Position, context: InContext) -> Response:
    """Send a delivery that is dead, or waits for its next attempt, now. One without attempts left gets one more."""
    return answer(show_delivery(await ask_one(context.tx, context.tenant_id, subscription_id, position, "retry")))


@api.post(
    "/{subscription_id}/deliveries/{position}/discard",
    response_model=DeliveryOut,
    responses=declared(SubscriptionNotFound, DeliveryNotFound),
)
async def discard_delivery(subscription_id: SubscriptionId, position: Position, context: InContext) -> Response:
    """Do not send this delivery, and let its lead go on. The feed keeps the event."""
    return answer(show_delivery(await ask_one(context.tx, context.tenant_id, subscription_id, position, "discard")))


async def _ask_dead(context: SubscriptionContext, subscription_id: UUID, body: DeadLetters, asked: Asked) -> Response:
    count, more = await ask_dead(context.tx, context.tenant_id, subscription_id, body.wanted, asked)
    return answer({"count": count, "more": more})


@api.get(
    "/{subscription_id}/attempts", response_model=AttemptPage, responses=declared(SubscriptionNotFound, CursorInvalid)
)
async def list_attempts(
    subscription_id: SubscriptionId,
    context: InContext,
    position: AtPosition = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """Every request of the last days and the first KiB of its response, the latest first; or those of one delivery."""
    await _require_subscription(context, subscription_id)
    filters = {"attempts": subscription_id, "position": position}
    before = _before(cursor, filters) if cursor else None
    rows = await sql.list_attempts(context.tx, context.tenant_id, subscription_id, position, before, limit)
    more = rows[limit - 1] if len(rows) > limit else None
    following = write_cursor(filters, more.at.isoformat(), more.position, more.n) if more else None
    return answer({"data": [show_attempt(row) for row in rows[:limit]], "next": following})


async def _require_subscription(context: SubscriptionContext, subscription_id: UUID) -> None:
    if await sql.subscription(context.tx, context.tenant_id, subscription_id) is None:
        raise SubscriptionNotFound()


def _before(cursor: str, filters: Mapping[str, Any]) -> tuple[datetime, int, int]:
    at, position, n = read_cursor(cursor, filters, 3)
    try:
        instant = datetime.fromisoformat(at)
    except (ValueError, TypeError):
        raise malformed_cursor() from None
    if instant.tzinfo is None or not 1970 <= instant.year <= 2200:
        raise malformed_cursor()
    return instant, _position(position), min(_position(n), 2**31 - 1)


def _position(value: object) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise malformed_cursor()
    return value
