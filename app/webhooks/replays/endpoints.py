"""/v1/subscriptions/{subscription_id}/replays: send events to a subscription once more."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

from fastapi import Response

from app.errors import (
    CursorInvalid,
    Erased,
    PositionExpired,
    ReplayNotFound,
    StateConflict,
    SubscriptionNotFound,
)
from app.events.cursors import CURSOR_PROBLEMS
from app.web.auth import Caller, allowed
from app.web.fields import ReplayId, SubscriptionId, answer
from app.web.pages import Cursor, Limit, Page
from app.web.problems import declared, router
from app.web.transacted import InTx, Now
from app.webhooks import sql
from app.webhooks.replays import replay
from app.webhooks.replays import sql as replays_sql
from app.webhooks.replays.schemas import ReplayCreate, ReplayOut, ReplayPage, show_replay
from app.webhooks.replays.sql import State

api = router("/v1/subscriptions/{subscription_id}/replays", "subscriptions")
Owner = Annotated[Caller, allowed("subscriptions")]
CHANGED = declared(ReplayNotFound, StateConflict)


@api.post(
    "",
    status_code=201,
    response_model=ReplayOut,
    responses=declared(SubscriptionNotFound, StateConflict, Erased, PositionExpired, *CURSOR_PROBLEMS),
)
async def create_replay(
    subscription_id: SubscriptionId, body: ReplayCreate, caller: Owner, tx: InTx, now: Now
) -> Response:
    """Send events of the log once more, as they were and with the same `webhook-id`, behind live deliveries."""
    replay_id = await replay.create(tx, caller.tenant_id, subscription_id, body, now)
    return await _shown(tx, caller, subscription_id, replay_id, 201)


@api.get("", response_model=ReplayPage, responses=declared(SubscriptionNotFound, CursorInvalid))
async def list_replays(
    subscription_id: SubscriptionId, caller: Owner, tx: InTx, limit: Limit = 50, cursor: Cursor = None
) -> Response:
    """The replays of a subscription, the latest first."""
    if await sql.subscription(tx, caller.tenant_id, subscription_id) is None:
        raise SubscriptionNotFound()
    page = Page(limit, cursor, filters={"replays": subscription_id})
    return answer(page.answer(await replays_sql.list_replays(tx, caller.tenant_id, subscription_id, page), show_replay))


@api.get("/{replay_id}", response_model=ReplayOut, responses=declared(ReplayNotFound))
async def get_replay(subscription_id: SubscriptionId, replay_id: ReplayId, caller: Owner, tx: InTx) -> Response:
    """How far a replay is. It is written at least four times a second."""
    return await _shown(tx, caller, subscription_id, replay_id)


@api.post("/{replay_id}/pause", response_model=ReplayOut, responses=CHANGED)
async def pause_replay(
    subscription_id: SubscriptionId, replay_id: ReplayId, caller: Owner, tx: InTx, now: Now
) -> Response:
    """Stop sending within a second; requests in flight finish."""
    return await _change(tx, caller, subscription_id, replay_id, "paused", now)


@api.post("/{replay_id}/resume", response_model=ReplayOut, responses=CHANGED)
async def resume_replay(
    subscription_id: SubscriptionId, replay_id: ReplayId, caller: Owner, tx: InTx, now: Now
) -> Response:
    """Go on where it was paused; it waits while another replay of the subscription is running."""
    return await _change(tx, caller, subscription_id, replay_id, "pending", now)


@api.post("/{replay_id}/cancel", response_model=ReplayOut, responses=CHANGED)
async def cancel_replay(
    subscription_id: SubscriptionId, replay_id: ReplayId, caller: Owner, tx: InTx, now: Now
) -> Response:
    """End it within a second; requests in flight finish."""
    return await _change(tx, caller, subscription_id, replay_id, "cancelled", now)


async def _change(tx: InTx, caller: Owner, subscription_id: UUID, replay_id: UUID, state: State, now: Now) -> Response:
    await replay.change(tx, caller.tenant_id, subscription_id, replay_id, state, now)
    return await _shown(tx, caller, subscription_id, replay_id)


async def _shown(tx: InTx, caller: Owner, subscription_id: UUID, replay_id: UUID, status: int = 200) -> Response:
    row = await replays_sql.replay(tx, caller.tenant_id, subscription_id, replay_id)
    if row is None:
        raise ReplayNotFound()
    shown = show_replay(row)
    location = f"/v1/subscriptions/{shown['subscription_id']}/replays/{shown['id']}" if status == 201 else None
    return answer(shown, status, location=location)
