"""Create, pause, resume and cancel replays: events that a subscription gets once more.

The process that serves the subscription's lane sends them (serve.py); it looks for changes each second.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from pydantic import TypeAdapter, ValidationError
from sqlalchemy import null

from app.database.transaction import Tx
from app.errors import (
    CursorExpired,
    CursorInvalid,
    Erased,
    PositionExpired,
    ReplayNotFound,
    RequestInvalid,
    StateConflict,
    SubscriptionNotFound,
)
from app.events import across, cursors
from app.events import sql as events_sql
from app.events.feed import like_patterns
from app.ids import new_id
from app.leads import sql as leads_sql
from app.web.fields import Instant
from app.webhooks import sql
from app.webhooks.consenting import CONSENT
from app.webhooks.members import stored_members, types_of
from app.webhooks.replays import sql as replays_sql
from app.webhooks.replays.schemas import ReplayCreate
from app.webhooks.replays.sql import Range, State

INSTANT: Final[TypeAdapter[datetime]] = TypeAdapter(Instant)
FROM_BEFORE: Final[dict[State, tuple[State, ...]]] = {
    "paused": ("pending", "running"),
    "pending": ("paused",),
    "cancelled": ("pending", "running", "paused"),
}


async def create(tx: Tx, tenant_id: UUID, subscription_id: UUID, body: ReplayCreate, now: datetime) -> UUID:
    """Create a replay, which is sent as soon as the lane is served; its id.

    Raises SubscriptionNotFound, StateConflict for a subscription that is not active, RequestInvalid for an end before
    the beginning, unknown leads and where nothing matches, Erased, CursorInvalid, LogDiverged and PositionExpired.
    """
    row = await sql.lock_subscription(tx, tenant_id, subscription_id)
    if row is None:
        raise SubscriptionNotFound()
    if row.state != "active":
        detail = f"The subscription is {row.state}: resume it, then replay what you need."
        raise StateConflict(detail, state=row.state)
    await _check_leads(tx, tenant_id, body.lead_ids or [])
    after, to = await _range(tx, tenant_id, body)
    leads = tuple(body.lead_ids) if body.lead_ids else None
    types = _sent_types(row.types, row.filter, body.types)
    asked = Range(after, to, tuple(like_patterns(types) or ["%"]), leads, body.only)
    if not types or not await replays_sql.sends_any(tx, tenant_id, subscription_id, asked):
        raise _empty(body, row.types, any_type=bool(types))
    replay_id = new_id()
    values = {
        "id": replay_id,
        "subscription_id": subscription_id,
        "types": body.types,
        "lead_ids": null() if leads is None else [str(each) for each in leads],
        "only": body.only,
        "rate": body.rate,
        "after_position": after,
        "to_position": to,
        "position": after,
        "created_at": now,
        "updated_at": now,
    }
    await replays_sql.insert_replay(tx, tenant_id, values)
    return replay_id


async def change(tx: Tx, tenant_id: UUID, subscription_id: UUID, replay_id: UUID, state: State, now: datetime) -> None:
    """Pause, resume (`pending`) or cancel a replay; one that is in this state already stays as it is.

    Raises ReplayNotFound, and StateConflict for one that has ended, or cannot be resumed as it is not paused.
    """
    row = await replays_sql.lock_replay(tx, tenant_id, subscription_id, replay_id)
    if row is None:
        raise ReplayNotFound()
    if row.state == state or (state == "pending" and row.state == "running"):
        return
    if row.state not in FROM_BEFORE[state]:
        raise StateConflict(f"The replay is {row.state}.", state=row.state)
    await replays_sql.set_state(tx, tenant_id, replay_id, state, now)


async def _check_leads(tx: Tx, tenant_id: UUID, lead_ids: Sequence[UUID]) -> None:
    known = await leads_sql.erased_at(tx, tenant_id, lead_ids)
    for n, lead_id in enumerate(lead_ids):
        field = f"lead_ids.{n}"
        if lead_id not in known:
            raise RequestInvalid.of(field, "lead_not_found", "there is no such lead")
        if known[lead_id] is not None:
            detail = "The person of this lead was erased: there is nothing to send of it."
            raise Erased(detail, errors=[{"field": field, "code": Erased.code, "detail": detail}])


async def _range(tx: Tx, tenant_id: UUID, body: ReplayCreate) -> tuple[int, int]:
    """The position after which the replay begins, and its last one."""
    after = await _position(tx, tenant_id, "from", body.from_)
    to = await _position(tx, tenant_id, "to", body.to)
    start, end = _instant(body.from_), _instant(body.to)
    if after > to or body.from_ == body.to or (start is not None and end is not None and start >= end):
        raise RequestInvalid.of("to", "not_after_from", "write an end that is after `from`")
    kept = await across.first_position(tx)
    if start is not None and kept > 1 and await _is_before_log(tx, tenant_id, start):
        raise _expired("from", kept)
    return max(after, min(kept - 1, to)), to


async def _is_before_log(tx: Tx, tenant_id: UUID, start: datetime) -> bool:
    """Whether the first event that the log still has was recorded later: there may have been others before it."""
    first = await events_sql.at_or_after(tx, tenant_id, 0)
    return first is None or bool(start < first.recorded_at)


async def _position(tx: Tx, tenant_id: UUID, field: str, text: str) -> int:
    try:
        return await cursors.position_of(tx, tenant_id, text, filters=None)
    except CursorInvalid as problem:
        raise CursorInvalid.of(field, problem.detail) from None
    except CursorExpired:
        raise _expired(field, await across.first_position(tx)) from None


def _expired(field: str, kept: int) -> PositionExpired:
    detail = "Events of this range are kept no more: begin later, or write `earliest` for all that are."
    errors = [{"field": field, "code": PositionExpired.code, "detail": detail}]
    return PositionExpired(detail, first_position=str(kept), errors=errors)


def _sent_types(accepted: Sequence[str], wanted: Iterable[str], asked: Sequence[str]) -> tuple[str, ...]:
    """The types that the replay asks for and the subscription accepts, and whose events have what its filter wants."""
    every, members = types_of(["*"]), {*wanted} - {CONSENT}
    both = {*types_of(accepted)} & {*types_of(asked)}
    found = tuple(each for each in every if each in both and members <= stored_members(each))
    return ("*",) if len(found) == len(every) else found


def _empty(body: ReplayCreate, accepted: Sequence[str], *, any_type: bool) -> RequestInvalid:
    """Names the member that leaves the least: the types that are never sent, else the first of these that is given."""
    if not any_type:
        detail = f"the subscription is sent no event of these types: its own are {', '.join(accepted)}, and its filter"
        return RequestInvalid.of("types", "nothing_to_send", f"{detail} may leave out some of them")
    given = {"only": body.only == "failed", "lead_ids": bool(body.lead_ids), "types": body.types != ["*"]}
    field = next((name for name, is_given in given.items() if is_given), "from")
    return RequestInvalid.of(field, "nothing_to_send", "no event of this range matches: there is nothing to send again")


def _instant(text: str) -> datetime | None:
    try:
        return INSTANT.validate_python(text)
    except ValidationError:
        return None
