"""Ingest: look up the source, verify the sender, store the raw request, respond. The mapping runs later.

An unknown source key and a failed verification get the same 401, so that keys cannot be probed. A disabled source
answers 503, not 404 or 410, on which some providers disable their webhook for good.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

import orjson
import structlog
from fastapi import Request, Response
from sqlalchemy.exc import SQLAlchemyError

from app import ids, metrics
from app.clock import ReadClock
from app.database.transaction import Database
from app.errors import (
    BodyTooLarge,
    MethodNotAllowed,
    RateLimited,
    SecretKeysMissing,
    SignatureInvalid,
    SourceDisabled,
    UnsupportedMediaType,
)
from app.matching.host import same_origin
from app.sources.answer import Answer, answer, filled
from app.sources.coding import ContentInvalid, ContentTooLarge, coding_of
from app.sources.document import Document
from app.sources.handshake import handshake_answer
from app.sources.known import CachedSource, source_by_key
from app.sources.ready import ReadySource
from app.sources.request import RawRequest, Suspicion, header_text
from app.sources.verify import proves_sender, verify
from app.submissions import show, sql
from app.submissions.accept import Committer
from app.submissions.limits import SourceLimits
from app.submissions.process import process_one
from app.submissions.received import Received, kept_headers, kept_query
from app.web.accept import prefers
from app.web.client_address import Address, address_of, client_key

log = structlog.get_logger("baton.ingest")

MAX_WAIT_SECONDS: Final = 10
POLL_SECONDS: Final = 0.05
WAIT_PREFERENCE: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,6})")
METHODS: Final = "GET, HEAD, OPTIONS, POST"
PREFLIGHT: Final = {"Allow": METHODS, "Access-Control-Allow-Methods": METHODS, "Access-Control-Max-Age": "600"}
MAX_PROCESSING: Final = 2  # connections of the pool that requests with `Prefer: wait` may use at a time


class IngestState:
    """State that the ingest requests of one process share."""

    def __init__(self, engine: Database, processes: int) -> None:
        self.engine = engine
        self.committer = Committer(engine)
        self.limits = SourceLimits(processes)
        self.processing = asyncio.Semaphore(MAX_PROCESSING)
        self.tasks: set[asyncio.Task[None]] = set()

    def start(self, received: Received, clock: ReadClock) -> asyncio.Task[None]:
        """Starts to process a submission. It may outlast the request; a worker processes what fails here."""
        task = asyncio.create_task(self._process(received, clock))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def _process(self, received: Received, clock: ReadClock) -> None:
        async with self.processing:
            try:
                await process_one(self.engine, received.tenant_id, received.id, clock)
            except Exception as error:  # the submission is stored; a worker tries again
                log.warning("processing_failed", error=type(error).__name__)


def _ingest_state(state: Any) -> IngestState:
    found: IngestState | None = getattr(state, "ingest", None)
    if found is None or found.engine is not state.engine:
        found = state.ingest = IngestState(state.engine, state.settings.workers)
    return found


async def receive(request: Request, key: str) -> Response:
    """Answers 202 once the submission is stored durably.

    Raises SignatureInvalid, SourceDisabled, SecretKeysMissing, RateLimited, DatabaseUnavailable; for its
    Content-Encoding UnsupportedMediaType and BodyTooLarge.
    """
    state, now = request.app.state, request.app.state.clock.now()
    _check_coding(request)
    known, raw = await _read_request(request, key, now)
    document = _enabled_document(known.source)
    quota = state.quotas.of("submissions", known.source.tenant_id)
    quota.check(now)
    is_checkable = known.secrets_readable or not document.verify
    if not is_checkable or not verify(document, known.secrets, raw, now):
        raise _refusal(known, "signature")
    suspicion = _take(request, known.source, document, raw, now)
    with quota.admitted(now):  # only now: what somebody else sends uses up no quota
        raw = replace(raw, suspicion=suspicion) if suspicion else raw
        return await _accept(request, known, document, raw, now)


def _take(
    request: Request, source: ReadySource, document: Document, raw: RawRequest, now: datetime
) -> Suspicion | None:
    """Counts a submission within the limits of its source; why it is taken for spam at once.

    Raises RateLimited, with the headers by which a page of an allowed origin may read the answer.
    """
    origin = raw.headers.get("origin")
    is_counted = document.limits.per_client_per_minute or document.spam.max_per_client
    found = address_of(request, request.app.state.settings) if is_counted else None
    client = client_key(found) if found else None
    try:
        too_many = _ingest_state(request.app.state).limits.take(source.id, document, client, now)
    except RateLimited as problem:
        problem.headers = {**(problem.headers or {}), **_cors(source, origin)}
        raise
    # A page that hides where it is from, such as a sandboxed frame of any site, has the origin `null`: a source that
    # names its origins takes it only if it names `null` too. A signature says more than an origin.
    if origin is not None and not document.verify and not _allows(source, origin):
        return "origin_not_allowed"
    return "too_many_of_client" if too_many else None


async def _accept(
    request: Request, known: CachedSource, document: Document, raw: RawRequest, now: datetime
) -> Response:
    _check_unpacked_size(raw)
    state = request.app.state
    is_from_person = not document.verify and document.consent  # whom a form asks, and no server that passes it on
    address = address_of(request, state.settings) if is_from_person else None
    received = _received(known.source, document, raw, address, now)
    await _ingest_state(state).committer.accept(received)
    state.wake.set("submissions" if received.bot_check is None else "checks")
    headers = _cors(known.source, raw.headers.get("origin"))
    seconds = preferred_wait(raw.headers.get("prefer", ""))
    if seconds and proves_sender(document, known.secrets):  # a stranger learns neither a verdict nor who is known
        return await _wait_response(state, received, seconds, now, headers)
    values = await _response_values(state, document, received, now)
    return _response(known.source, document, raw, values, headers)


async def answer_get(request: Request, key: str) -> Response:
    """The response to a GET or HEAD: a handshake, or 200 for a provider that checks that the URL responds."""
    known, raw = await _read_request(request, key, request.app.state.clock.now())
    document = known.source.document
    reply = handshake_answer(document, known.secrets, raw) if document is not None else None
    if reply is None:
        _enabled_document(known.source)
        if raw.query:  # a form sent with GET would be lost, so its author must see an error
            raise MethodNotAllowed("A source takes submissions by POST only.")
        reply = Answer(200, {"status": "ok"})
    if reply.status == 401:
        raise _refusal(known, "handshake")
    return _as_response(reply, _cors(known.source, raw.headers.get("origin")))


async def preflight(request: Request, key: str) -> Response:
    """CORS preflight. An unknown key is answered like a source for all origins, so that keys cannot be probed."""
    state = request.app.state
    known = await source_by_key(state.engine, state.keyring, key)
    asked = request.headers.get("access-control-request-headers", "content-type")[:1_000]
    headers = _cors(known.source if known else None, request.headers.get("origin"))
    return Response(status_code=204, headers={**headers, **PREFLIGHT, "Access-Control-Allow-Headers": asked})


def preferred_wait(prefer: str) -> int:
    """The seconds of a `Prefer: wait=n` header, at most ten; 0 without one."""
    found = WAIT_PREFERENCE.search(prefer.lower())
    return min(int(found[1]), MAX_WAIT_SECONDS) if found else 0


def prefers_html(accept: str) -> bool:
    """Whether an Accept header weighs text/html over application/json, as browsers do."""
    return prefers(accept, "text/html", "application/json")


def _check_coding(request: Request) -> None:
    try:
        coding_of(", ".join(request.headers.getlist("content-encoding")))
    except ContentInvalid as error:
        raise UnsupportedMediaType(f"Content-Encoding: {error}.") from None


def _check_unpacked_size(raw: RawRequest) -> None:
    try:
        _ = raw.content
    except ContentTooLarge as error:
        raise BodyTooLarge(f"Content-Encoding: {error}.") from None
    except ContentInvalid:  # it is stored all the same: processing quarantines it with the reason
        return


async def _read_request(request: Request, key: str, now: datetime) -> tuple[CachedSource, RawRequest]:
    state = request.app.state
    known = await source_by_key(state.engine, state.keyring, key)
    if known is None:
        raise _refusal(known, "unknown_key")
    query = request.scope["query_string"].decode("latin-1")
    url = state.settings.address + request.scope["path"] + (f"?{query}" if query else "")
    headers: dict[str, str] = {}
    for raw_name, raw_value in request.scope["headers"]:
        name, value = raw_name.decode("latin-1"), header_text(raw_value)
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return known, RawRequest(request.method, headers, query, await request.body(), now, url)


def _enabled_document(source: ReadySource) -> Document:
    if not source.enabled or source.document is None:
        metrics.REFUSED.labels("disabled").inc()
        raise SourceDisabled()
    return source.document


def _refusal(known: CachedSource | None, reason: str) -> SignatureInvalid | SecretKeysMissing:
    if known is not None and not known.secrets_readable:  # not 401, on which a sender would give up: the fault is ours
        metrics.REFUSED.labels(SecretKeysMissing.code).inc()
        return SecretKeysMissing("The secrets of this source cannot be decrypted at present; nothing was stored.")
    metrics.REFUSED.labels(reason).inc()
    return SignatureInvalid()


def _received(
    source: ReadySource, document: Document, raw: RawRequest, address: Address | None, now: datetime
) -> Received:
    return Received(
        tenant_id=source.tenant_id,
        id=ids.new_id(),
        source_id=source.id,
        method=raw.method,
        query=kept_query(document, raw.query),
        headers=kept_headers(document, raw.headers),
        body=raw.body,
        sha256=hashlib.sha256(raw.body).hexdigest(),
        received_at=now,
        suspicion=raw.suspicion,
        bot_check="waiting" if document.bot_check else None,
        client_address=None if address is None else str(address),
    )


def _response(
    source: ReadySource,
    document: Document,
    raw: RawRequest,
    values: Mapping[str, str | None],
    headers: Mapping[str, str],
) -> Response:
    """A redirect for a browser, the response that the document sets, or the plain 202."""
    own = answer(document, raw)
    if own is not None and own.location is not None:
        return _as_response(own, headers)
    if source.thank_you_url is not None and prefers_html(raw.header("accept")):
        return _as_response(Answer(303, location=source.thank_you_url), headers)
    if own is not None:
        return _as_response(replace(own, body=filled(own.body, values)), headers)
    body = b'{"submission":{"id":"%b","state":"received"}}' % str(values["submission_id"]).encode()
    return Response(body, 202, headers, "application/json")


def _as_response(reply: Answer, headers: Mapping[str, str]) -> Response:
    if reply.location is not None:
        return Response(status_code=reply.status, headers={**headers, "Location": reply.location})
    if isinstance(reply.body, str) or reply.body is None:
        return Response(reply.body, reply.status, headers, "text/plain")
    return Response(orjson.dumps(reply.body), reply.status, headers, "application/json")


async def _wait_response(
    state: Any, received: Received, seconds: int, now: datetime, headers: Mapping[str, str]
) -> Response:
    """200 with the items when the submission is processed in time, else 202: it is stored in any case."""
    shown = await _shown_in_time(state, received, seconds, now)
    status = 202 if shown["state"] == "received" else 200
    body = orjson.dumps({"submission": shown})
    return Response(body, status, {**headers, "Preference-Applied": f"wait={seconds}"}, "application/json")


async def _response_values(state: Any, document: Document, received: Received, now: datetime) -> dict[str, str | None]:
    """What the texts of a document's response may name; of the lead only where the document waits for it."""
    values: dict[str, str | None] = {"submission_id": ids.show("submission", received.id)}
    if document.respond is None or not document.respond.wait_s:
        return values
    shown = await _shown_in_time(state, received, document.respond.wait_s, now)
    for item in shown.get("items", [])[:1]:
        values |= {"verdict": item["verdict"], "lead_id": item["lead_id"], "stage": await _stage(state, received, item)}
    return values


async def _stage(state: Any, received: Received, item: Mapping[str, Any]) -> str | None:
    if item["lead_id"] is None:
        return None
    try:
        async with state.engine.connect() as tx:
            return await sql.stage_of(tx, received.tenant_id, ids.read("lead", item["lead_id"]))
    except (SQLAlchemyError, OSError):  # the submission is stored, so the response is without it
        return None


async def _shown_in_time(state: Any, received: Received, seconds: int, now: datetime) -> dict[str, Any]:
    """The submission as soon as it is processed, or as it was received when that takes longer."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    task = _ingest_state(state).start(received, state.clock.now)
    await asyncio.wait({task}, timeout=seconds)
    state.wake.set("events")
    shown: dict[str, Any] = {"id": ids.show("submission", received.id), "state": "received"}
    while task.done() and loop.time() < until:
        found = await _shown_submission(state, received)
        if found is not None and found["state"] != "received":
            is_spam = any(item["verdict"] == "spam" for item in found["items"])
            return shown if is_spam else found  # a bot does not learn that it was found
        await asyncio.sleep(POLL_SECONDS)
    return shown


async def _shown_submission(state: Any, received: Received) -> dict[str, Any] | None:
    try:
        async with state.engine.connect() as tx:
            return await show.submission(tx, received.tenant_id, received.id)
    except (SQLAlchemyError, OSError):  # the submission is stored, so the response is 202 at worst
        return None


def _cors(source: ReadySource | None, origin: str | None) -> dict[str, str]:
    if origin is None:
        return {}
    if source is None or "*" in source.allowed_origins:
        return {"Access-Control-Allow-Origin": "*"}
    return {"Vary": "Origin", **({"Access-Control-Allow-Origin": origin} if _allows(source, origin) else {})}


def _allows(source: ReadySource, origin: str) -> bool:
    return "*" in source.allowed_origins or same_origin(origin) in source.allowed_origins
