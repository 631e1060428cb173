"""/v1/consumers: readers of the feed whose place the service keeps."""

from __future__ import annotations

from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Depends, Request, Response

from app.consumers import acknowledge, keep, sql
from app.consumers import read as reading
from app.consumers.problems import AlreadyAcknowledged, ConsumerLimitReached, ConsumerNotFound, FiltersFixed
from app.consumers.schemas import (
    Ack,
    ConsumerEvents,
    ConsumerName,
    ConsumerOut,
    ConsumerPage,
    ConsumerPut,
    NewName,
    moving_members,
    show_consumer,
)
from app.database.transaction import Tx
from app.errors import CursorExpired, TooManyRequests, VersionConflict
from app.events.cursors import CURSOR_PROBLEMS
from app.events.included import included_in
from app.events.schemas import Include, PageSize, Wait
from app.events.waiting import AllowLongRequest
from app.web.auth import Caller, allowed
from app.web.fields import answer
from app.web.pages import Cursor, Limit, Page
from app.web.problems import declared, router
from app.web.transacted import InTx, Now
from app.web.versions import Expected

reading_api = APIRouter(prefix="/v1/consumers", tags=["events"])
api = router("/v1/consumers", "events")
Reader = Annotated[Caller, allowed("events:read")]
ONE = (ConsumerNotFound, VersionConflict)
MADE: dict[int | str, dict[str, Any]] = {201: {"model": ConsumerOut, "description": "The consumer is new."}}


@api.put(
    "/{name}",
    response_model=ConsumerOut,
    responses={**MADE, **declared(*ONE, FiltersFixed, ConsumerLimitReached, *CURSOR_PROBLEMS)},
)
async def put_consumer(
    name: NewName, body: ConsumerPut, caller: Reader, tx: InTx, now: Now, expected: Expected
) -> Response:
    """Make a consumer, which begins at `start`. One that exists stays where it is, unless `seek` moves it."""
    is_new = await keep.put(tx, caller.tenant_id, name, body, expected, now)
    return await _shown(tx, caller.tenant_id, name, 201 if is_new else 200)


@api.get("", response_model=ConsumerPage)
async def list_consumers(caller: Reader, tx: InTx, limit: Limit = 50, cursor: Cursor = None) -> Response:
    page = Page(limit, cursor)
    return answer(page.answer(await sql.list_consumers(tx, caller.tenant_id, page), show_consumer))


@api.get("/{name}", response_model=ConsumerOut, responses=declared(ConsumerNotFound))
async def get_consumer(name: ConsumerName, caller: Reader, tx: InTx) -> Response:
    return await _shown(tx, caller.tenant_id, name)


@reading_api.get(
    "/{name}/events",
    response_model=ConsumerEvents,
    responses=declared(ConsumerNotFound, CursorExpired, TooManyRequests),
)
async def read_consumer(
    request: Request,
    name: ConsumerName,
    caller: Annotated[Caller, Depends(AllowLongRequest("events:read"))],
    limit: PageSize = 100,
    wait: Wait = 0,
    include: Include = None,
) -> Response:
    """The events after the place that was acknowledged, again and again until they are: at least once."""
    included = included_in(request, caller, include)
    body = await reading.read(request.app.state, caller.tenant_id, name, limit, wait, included)
    return Response(body, headers={"Cache-Control": "no-store"}, media_type="application/json")


@api.post(
    "/{name}/ack",
    response_model=ConsumerOut,
    responses=declared(*ONE, AlreadyAcknowledged, *CURSOR_PROBLEMS),
)
async def acknowledge_events(
    name: ConsumerName, body: Ack, caller: Reader, tx: InTx, now: Now, expected: Expected
) -> Response:
    """Acknowledge all events up to a place: reading goes on after it. It goes forward only."""
    await acknowledge.acknowledge(tx, caller.tenant_id, name, body, expected, now)
    return await _shown(tx, caller.tenant_id, name)


@api.delete("/{name}", status_code=204, responses=declared(*ONE))
async def delete_consumer(name: ConsumerName, caller: Reader, tx: InTx, expected: Expected) -> Response:
    await keep.delete(tx, caller.tenant_id, name, expected)
    return Response(status_code=204)


async def _shown(tx: Tx, tenant_id: UUID, name: str, status: int = 200) -> Response:
    row = await sql.shown_consumer(tx, tenant_id, name)
    if row is None:
        raise ConsumerNotFound()
    shown = show_consumer(row)
    location = f"/v1/consumers/{name}" if status == 201 else None
    return answer(shown, status, version=row.version, moved=moving_members(shown), location=location)
