"""The public door: whose address is it, is the sender who it says, write it down, answer. Nothing is parsed before.

A stranger learns nothing: an unknown key and a wrong signature get the same answer. A disabled source answers 503,
never 404 or 410: some senders switch themselves off for good on those.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import orjson
import structlog
from fastapi import Request, Response
from sqlalchemy.exc import SQLAlchemyError

from app import ids, metrics
from app.database.transaction import Database
from app.errors import MethodNotAllowed, SignatureInvalid, SourceDisabled
from app.sources.answer import Answer, answer
from app.sources.document import Document
from app.sources.handshake import shake_hands
from app.sources.known import Known, source_behind
from app.sources.ready import ReadySource
from app.sources.request import RawRequest
from app.sources.verify import verify
from app.submissions import show
from app.submissions.accept import Committer
from app.submissions.process import process_one
from app.submissions.received import Received, kept_headers, kept_query

log = structlog.get_logger("baton.door")

LONGEST_WAIT: Final = 10
LOOK_SECONDS: Final = 0.05
WAIT: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?([0-9]{1,6})")
PREFLIGHT: Final = {"Access-Control-Allow-Methods": "POST, GET, HEAD, OPTIONS", "Access-Control-Max-Age": "600"}
TURNS: Final = 2  # connections of the pool that requests which wait may take from those that do not


class Desk:
    """What the door of one process shares between requests."""

    def __init__(self, engine: Database) -> None:
        self.engine = engine
        self.committer = Committer(engine)
        self.turns = asyncio.Semaphore(TURNS)
        self.at_work: set[asyncio.Task[None]] = set()

    def start(self, received: Received, now: datetime) -> asyncio.Task[None]:
        """Processes a submission now. It may go on after the answer; what it does not finish, a worker does."""
        work = asyncio.create_task(self._process(received, now))
        self.at_work.add(work)
        work.add_done_callback(self.at_work.discard)
        return work

    async def _process(self, received: Received, now: datetime) -> None:
        async with self.turns:
            try:
                await process_one(self.engine, received.tenant_id, received.id, now)
            except Exception as error:  # it is stored, and waits for the next try
                log.warning("processing_waits", error=type(error).__name__)


def _desk(state: Any) -> Desk:
    found: Desk | None = getattr(state, "desk", None)
    if found is None or found.engine is not state.engine:
        found = state.desk = Desk(state.engine)
    return found


async def receive(request: Request, key: str) -> Response:
    """202 once the submission is durable; SignatureInvalid, SourceDisabled, DatabaseUnavailable."""
    state, now = request.app.state, request.app.state.clock.now()
    known, raw = await _enter(request, key, now)
    document = _open(known.source)
    if not verify(document, known.secrets, raw, now):
        raise _refused("signature")
    received = _received(known.source, document, raw, now)
    await _desk(state).committer.accept(received)
    state.wake.set("submissions")
    headers = _cors(known.source, raw.headers.get("origin"))
    seconds = wanted_wait(raw.headers.get("prefer", ""))
    if seconds:
        return await _waited(state, received, seconds, now, headers)
    return _answered(known.source, document, raw, received, headers)


async def greet(request: Request, key: str) -> Response:
    """The answer to a GET or HEAD: a handshake, or a plain yes to a sender that looks whether somebody is there."""
    known, raw = await _enter(request, key, request.app.state.clock.now())
    document = known.source.document
    shaken = shake_hands(document, known.secrets, raw) if document is not None else None
    if shaken is None:
        _open(known.source)
        if raw.query:  # whoever sends a form like this must see that it does not arrive
            raise MethodNotAllowed("This source takes POST.")
        shaken = Answer(200, {"status": "ok"})
    if shaken.status == 401:
        raise _refused("handshake")
    return _as_response(shaken, _cors(known.source, raw.headers.get("origin")))


async def preflight(request: Request, key: str) -> Response:
    """What a browser asks before it posts from a page: without credentials, and an unknown key is like most others."""
    state = request.app.state
    known = await source_behind(state.engine, state.keyring, key)
    asked = request.headers.get("access-control-request-headers", "content-type")[:1_000]
    headers = _cors(known.source if known else None, request.headers.get("origin"))
    return Response(status_code=204, headers={**headers, **PREFLIGHT, "Access-Control-Allow-Headers": asked})


def wanted_wait(prefer: str) -> int:
    """The seconds of `Prefer: wait=n`, at most ten; 0 without it."""
    found = WAIT.search(prefer.lower())
    return min(int(found[1]), LONGEST_WAIT) if found else 0


def prefers_html(accept: str) -> bool:
    """Whether a browser would rather see a page than JSON."""
    weights = {"text/html": 0.0, "application/json": 0.0}
    for part in accept.lower().split(","):
        media, *parameters = (piece.strip() for piece in part.split(";"))
        weight = next((_weight(one[2:]) for one in parameters if one.startswith("q=")), 1.0)
        if media in weights:
            weights[media] = max(weights[media], weight)
    return weights["text/html"] > weights["application/json"]


def _weight(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return 0.0


async def _enter(request: Request, key: str, now: datetime) -> tuple[Known, RawRequest]:
    state = request.app.state
    known = await source_behind(state.engine, state.keyring, key)
    if known is None:
        raise _refused("unknown_key")
    query = request.scope["query_string"].decode("latin-1")
    url = state.settings.address + request.scope["path"] + (f"?{query}" if query else "")
    headers: dict[str, str] = {}
    for raw_name, raw_value in request.scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return known, RawRequest(request.method, headers, query, await request.body(), now, url)


def _open(source: ReadySource) -> Document:
    if not source.enabled or source.document is None:
        metrics.REFUSED.labels("disabled").inc()
        raise SourceDisabled()
    return source.document


def _refused(reason: str) -> SignatureInvalid:
    metrics.REFUSED.labels(reason).inc()
    return SignatureInvalid()


def _received(source: ReadySource, document: Document, raw: RawRequest, now: datetime) -> Received:
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
    )


def _answered(
    source: ReadySource, document: Document, raw: RawRequest, received: Received, headers: Mapping[str, str]
) -> Response:
    """A page for a browser's form, what the source's document says, or the plain 202."""
    own = answer(document, raw)
    if own is not None and own.location is not None:
        return _as_response(own, headers)
    if source.thank_you_url is not None and prefers_html(raw.header("accept")):
        return _as_response(Answer(303, location=source.thank_you_url), headers)
    if own is not None:
        return _as_response(own, headers)
    body = b'{"submission":{"id":"%b","state":"received"}}' % ids.show("submission", received.id).encode()
    return Response(body, 202, headers, "application/json")


def _as_response(said: Answer, headers: Mapping[str, str]) -> Response:
    if said.location is not None:
        return Response(status_code=said.status, headers={**headers, "Location": said.location})
    if isinstance(said.body, str) or said.body is None:
        return Response(said.body, said.status, headers, "text/plain")
    return Response(orjson.dumps(said.body), said.status, headers, "application/json")


async def _waited(state: Any, received: Received, seconds: int, now: datetime, headers: Mapping[str, str]) -> Response:
    """200 with the items when it is processed in time, else 202: it is stored, whatever comes of processing it here."""
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    work = _desk(state).start(received, now)
    await asyncio.wait({work}, timeout=seconds)
    state.wake.set("events")
    shown = {"id": ids.show("submission", received.id), "state": "received"}
    while shown["state"] == "received" and work.done() and loop.time() < until:
        shown = await _look(state, received) or shown
        if shown["state"] == "received":
            await asyncio.sleep(LOOK_SECONDS)
    status = 202 if shown["state"] == "received" else 200
    body = orjson.dumps({"submission": shown})
    return Response(body, status, {**headers, "Preference-Applied": f"wait={seconds}"}, "application/json")


async def _look(state: Any, received: Received) -> dict[str, Any] | None:
    try:
        async with state.engine.connect() as tx:
            return await show.submission(tx, received.tenant_id, received.id)
    except (SQLAlchemyError, OSError):  # it is stored, so the answer is 202 at worst
        return None


def _cors(source: ReadySource | None, origin: str | None) -> dict[str, str]:
    if origin is None:
        return {}
    allowed = source.allowed_origins if source is not None else ("*",)
    if "*" in allowed:
        return {"Access-Control-Allow-Origin": "*"}
    return {"Vary": "Origin", **({"Access-Control-Allow-Origin": origin} if origin in allowed else {})}
