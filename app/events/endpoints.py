"""/v1/events: the feed of all events, and single events by id."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response

from app.errors import EventNotFound, TooManyRequests
from app.events import feed, sql
from app.events.catalogue import Envelope
from app.events.cursors import CURSOR_PROBLEMS, Filters
from app.events.envelope import envelope
from app.events.included import included_in
from app.events.schemas import After, EventPage, Include, LastEventId, PageSize, TypesParameter, Wait
from app.events.stream import Stream
from app.events.waiting import AllowLongRequest
from app.web.auth import Caller, allowed
from app.web.capacity import STREAM_MEDIA, asks_for_stream
from app.web.fields import EventId, LeadId
from app.web.problems import declared, router
from app.web.transacted import InTx

NO_STORE = {"Cache-Control": "no-store"}
STREAMED: dict[int | str, dict[str, Any]] = {
    200: {"description": "A page, or a stream.", "content": {STREAM_MEDIA: {"schema": {"type": "string"}}}}
}


feed_api = APIRouter(prefix="/v1/events", tags=["events"])
api = router("/v1/events", "events")


@feed_api.get("", response_model=EventPage, responses={**STREAMED, **declared(*CURSOR_PROBLEMS, TooManyRequests)})
async def read_events(
    request: Request,
    caller: Annotated[Caller, Depends(AllowLongRequest("events:read"))],
    after: After = "earliest",
    limit: PageSize = 100,
    types: TypesParameter = None,
    lead_id: Annotated[LeadId | None, Query()] = None,
    wait: Wait = 0,
    include: Include = None,
    last_event_id: LastEventId = None,
) -> Response:
    """The log in order, each event once. Pass `next` as `after` for the next page; `wait` waits for new events.

    With `Accept: text/event-stream` the answer is a stream of server-sent events that goes on for 15 minutes: `id` is
    the cursor, `event` the type, `data` the event. `limit` and `wait` are for pages only.
    """
    filters = Filters(tuple(types) if types else None, lead_id)
    included = included_in(request, caller, include)
    if asks_for_stream(request.scope["headers"]):
        start = (last_event_id, "Last-Event-ID") if last_event_id else (after, "after")
        return Stream(request.app.state, caller, *start, filters, included)
    page = await feed.page(request.app.state, caller.tenant_id, after, limit, filters, wait, included)
    return Response(page.body(filters), headers=NO_STORE, media_type="application/json")


@api.get("/{event_id}", response_model=Envelope, responses=declared(EventNotFound))
async def get_event(
    request: Request,
    event_id: EventId,
    caller: Annotated[Caller, allowed("events:read")],
    tx: InTx,
    include: Include = None,
) -> Response:
    """One event with all of its `data`, whatever its size."""
    included = included_in(request, caller, include)
    event = await sql.find_event(tx, caller.tenant_id, event_id)
    if event is None:
        raise EventNotFound()
    if included is not None:
        [event] = await included(tx, caller.tenant_id, [event])
    return Response(envelope(event, max_bytes=None), headers=NO_STORE, media_type="application/json")
