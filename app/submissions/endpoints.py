"""HTTP endpoints: ingest, /v1/submissions, and replay."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from app import ids
from app.errors import (
    BodyTooLarge,
    CursorInvalid,
    DatabaseUnavailable,
    Erased,
    HeadersTooLarge,
    MethodNotAllowed,
    Overloaded,
    RateLimited,
    RequestRemoved,
    SecretKeysMissing,
    SignatureInvalid,
    SourceDisabled,
    SourceNotFound,
    StateConflict,
    SubmissionNotFound,
    UnsupportedMediaType,
)
from app.sources import sql as sources_sql
from app.submissions import ingest, show, sql
from app.submissions.review import review
from app.submissions.schemas import (
    Accepted,
    RawOut,
    Replay,
    Replayed,
    ReviewIn,
    State,
    SubmissionOut,
    SubmissionPage,
    Verdict,
    VolumeOut,
    Waited,
)
from app.submissions.volume import volume
from app.tenants import audit
from app.web.auth import Caller, allowed
from app.web.fields import LeadId, SourceId, SubmissionId, answer
from app.web.pages import Cursor, Limit, Page
from app.web.parameters import check_window
from app.web.problems import declared, router
from app.web.transacted import InTx, Now

REFUSALS: Final = declared(
    SignatureInvalid,
    HeadersTooLarge,
    BodyTooLarge,
    UnsupportedMediaType,
    SourceDisabled,
    SecretKeysMissing,
    RateLimited,
    Overloaded,
    DatabaseUnavailable,
)
ANY_BODY: Final[dict[str, Any]] = {
    "requestBody": {
        "content": {
            "application/json": {"schema": {}},
            "application/x-www-form-urlencoded": {"schema": {"type": "object"}},
        }
    }
}
WAITED: Final = {
    "model": Waited,
    "description": "Processed within the time of `Prefer: wait=n`, of a source that verifies its sender.",
}
PAGE: Final = {"description": "Redirects a browser to the page that the source sets."}

ingest_api = APIRouter(prefix="/v1/ingest", tags=["ingest"], responses=REFUSALS)
api = router("/v1", "submissions")
Reader = Annotated[Caller, allowed("leads:read")]
Writer = Annotated[Caller, allowed("leads:write")]


@ingest_api.post(
    "/{source_key}",
    status_code=202,
    response_model=Accepted,
    responses={200: WAITED, 302: PAGE, 303: PAGE},
    openapi_extra=ANY_BODY,
)
async def receive(source_key: str, request: Request) -> Response:
    """Receive a webhook of any provider, or a browser's form. 202: the submission is committed to the database."""
    return await ingest.receive(request, source_key)


class IngestFastPath:
    """Middleware that calls the ingest endpoint directly: routing would take longer than the rest of the request.

    What follows the key in the path is ignored: SDKs append a path of their own (`/v1/batch`) to the address.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_ingest = scope["type"] == "http" and scope["path"].startswith(INGEST_PATH)
        key, appended, _ = scope["path"].removeprefix(INGEST_PATH).partition("/") if is_ingest else ("", "", "")
        if not key or scope["method"] != "POST":
            inner = {**scope, "path": INGEST_PATH + key} if key and appended else scope
            await self.app(inner, receive, send)
            if "route" in inner:
                scope["route"] = inner["route"]  # for the metrics
            return
        scope["route"] = INGEST_ROUTE
        response = await ingest.receive(Request(scope, receive), key)
        await response(scope, receive, send)


INGEST_PATH: Final = "/v1/ingest/"
INGEST_ROUTE: Final = ingest_api.routes[0]


@ingest_api.head("/{source_key}", include_in_schema=False)
@ingest_api.get("/{source_key}", responses=declared(MethodNotAllowed))
async def answer_handshake(source_key: str, request: Request) -> Response:
    """Answer the handshake by which a provider verifies the ingest URL, as the source's document says."""
    return await ingest.answer_get(request, source_key)


@ingest_api.options("/{source_key}", include_in_schema=False)
async def preflight(source_key: str, request: Request) -> Response:
    return await ingest.preflight(request, source_key)


@api.get("/submissions", response_model=SubmissionPage, responses=declared(CursorInvalid))
async def list_submissions(
    caller: Reader,
    tx: InTx,
    source_id: Annotated[SourceId | None, Query()] = None,
    state: Annotated[State | None, Query()] = None,
    lead_id: Annotated[LeadId | None, Query()] = None,
    verdict: Annotated[Verdict | None, Query()] = None,
    limit: Limit = 50,
    cursor: Cursor = None,
) -> Response:
    """List submissions, newest first; with `lead_id` or `verdict`, those with an item of that lead or verdict."""
    filters: dict[str, Any] = {"source_id": source_id, "state": state, "lead_id": lead_id, "verdict": verdict}
    page = Page(limit, cursor, "received_at", filters)
    rows = await sql.list_submissions(tx, caller.tenant_id, page, filters)
    shown = await show.page_of(tx, caller.tenant_id, rows[:limit])
    return answer(page.answer(rows, lambda row: shown[row.id]))


@api.get("/submissions/{submission_id}", response_model=SubmissionOut, responses=declared(SubmissionNotFound))
async def get_submission(submission_id: SubmissionId, caller: Reader, tx: InTx) -> Response:
    """A submission with the verdict of each of its items, and the reason."""
    return answer(await show.submission(tx, caller.tenant_id, submission_id))


@api.get(
    "/submissions/{submission_id}/raw",
    response_model=RawOut,
    responses=declared(SubmissionNotFound, Erased, RequestRemoved),
)
async def get_raw_submission(submission_id: SubmissionId, caller: Reader, tx: InTx, now: Now) -> Response:
    """The raw request without its secrets, in the form that a dry run takes. The audit log tells who read it."""
    raw = await show.raw(tx, caller.tenant_id, submission_id)
    await audit.record(tx, caller, caller.tenant_id, "submission.raw_read", ids.show("submission", submission_id), now)
    return answer(raw)


@api.post(
    "/submissions/{submission_id}/replay",
    status_code=202,
    response_model=Accepted,
    responses=declared(SubmissionNotFound, Erased, RequestRemoved),
)
async def replay_submission(submission_id: SubmissionId, caller: Writer, tx: InTx) -> Response:
    """Process a submission again, for example after a mapping fix. It creates no second lead and no second activity."""
    if not await sql.replay_one(tx, caller.tenant_id, submission_id):
        raise show.why_without_request(await sql.submission(tx, caller.tenant_id, submission_id))
    return answer({"submission": await show.submission(tx, caller.tenant_id, submission_id)}, 202)


@api.post(
    "/submissions/{submission_id}/verdict",
    status_code=202,
    response_model=Accepted,
    responses=declared(SubmissionNotFound, StateConflict, Erased, RequestRemoved),
)
async def review_submission(
    submission_id: SubmissionId, body: ReviewIn, caller: Writer, tx: InTx, now: Now
) -> Response:
    """Say that a submission with the verdict `spam` is none: it is processed as the others are, once."""
    await review(tx, caller, submission_id, now)
    return answer({"submission": await show.submission(tx, caller.tenant_id, submission_id)}, 202)


@api.post("/sources/{source_id}/replay", status_code=202, response_model=Replayed, responses=declared(SourceNotFound))
async def replay_source(source_id: SourceId, caller: Writer, tx: InTx, body: Replay | None = None) -> Response:
    """Process a source's quarantined submissions again, or all of them; the oldest ten thousand per request."""
    wanted = body or Replay()
    if await sources_sql.source(tx, caller.tenant_id, source_id) is None:
        raise SourceNotFound()
    states = ["quarantined", "processed"] if wanted.all else ["quarantined"]
    between = wanted.received_after, wanted.received_before
    check_window(*between, ("received_after", "received_before"))
    replayed = await sql.replay(tx, caller.tenant_id, source_id, states, *between)
    return answer({"replayed": replayed, "more": replayed == sql.REPLAYED_AT_ONCE}, 202)


@api.get("/sources/{source_id}/volume", response_model=VolumeOut, responses=declared(SourceNotFound))
async def get_volume(
    source_id: SourceId,
    caller: Reader,
    tx: InTx,
    now: Now,
    days: Annotated[int, Query(ge=1, le=92, description="How many days, today included.")] = 14,
) -> Response:
    """How many items of each verdict a source sent each day."""
    return answer(await volume(tx, caller.tenant_id, source_id, days, now))
