"""What stands before routing: size, time and number of requests, a request id, and the last word on faults of ours.

Pure ASGI. The bounded body is read first and only then a slot is taken, so slow senders cannot shut others out; a
refusal is a ready-made answer, because it competes for the same core (promises.md, overload).
"""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import orjson
import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app import ids, metrics
from app.database.faults import error_fields
from app.errors import BodyTooLarge, HeadersTooLarge, InternalError, Overloaded, Problem, RequestTimeout

log = structlog.get_logger("baton.http")

MIB: Final = 1024 * 1024
MAX_BODY: Final = MIB
MAX_MULTIPART: Final = 5 * MIB
MAX_HEADERS: Final = 32 * 1024
BODY_SECONDS: Final = 20.0
INGEST: Final = "/v1/ingest/"
OPEN: Final = ("/healthz", "/readyz", "/metrics")
FEED: Final = "/v1/events"
PING: Final = "/ping"
# Who may wait for long, for an event or for a stranger, has slots of his own: he must not hold those of the others.
MOST_READERS: Final = 600
MOST_PINGS: Final = 16


class Gate:
    """Limits, ids and logs around the application."""

    def __init__(self, app: ASGIApp, max_in_flight: int = 64, max_ingest_in_flight: int = 32) -> None:
        self.app = app
        self.slots = {
            "api": max_in_flight,
            "ingest": max_ingest_in_flight,
            "feed": MOST_READERS,
            "ping": MOST_PINGS,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = Answer(scope, send)
        try:
            await self.pass_through(scope, receive, answer)
        except ClientDisconnect:  # before its body was here
            return
        except Problem as problem:
            await answer.problem(problem)
        except Exception as error:  # the one place where a fault of ours ends; nothing was committed
            log.error(
                "request_failed", request_id=answer.request_id, route=metrics.route_of(scope), **error_fields(error)
            )
            if answer.started:
                raise
            await answer.problem(InternalError())
        finally:
            metrics.observe(scope, answer.status, time.perf_counter() - answer.began)

    async def pass_through(self, scope: Scope, receive: Receive, answer: Answer) -> None:
        path: str = scope["path"]
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADERS:
            raise HeadersTooLarge()
        if path in OPEN:
            await self.app(scope, receive, answer.send)
            return
        body = await read_body(scope, receive)
        kind = kind_of(path)
        if self.slots[kind] <= 0:
            raise Overloaded()
        self.slots[kind] -= 1
        try:
            await self.app(scope, replay(body, receive), answer.send)
        finally:
            self.slots[kind] += 1


def kind_of(path: str) -> str:
    """Whose slots a request takes."""
    if path.startswith(INGEST):
        return "ingest"
    return "feed" if path == FEED else "ping" if path.endswith(PING) else "api"


class Answer:
    """The sending side of one request: it names the request and remembers what was answered."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.request_id = request_id(scope)
        self.began = time.perf_counter()
        self.status = 0
        self._send = send
        scope["request_id"] = self.request_id

    @property
    def started(self) -> bool:
        return self.status != 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [
                *message.get("headers", ()),
                (b"x-request-id", self.request_id.encode()),
                (b"x-content-type-options", b"nosniff"),
            ]
        await self._send(message)

    async def problem(self, problem: Problem) -> None:
        body = orjson.dumps(problem.document())
        headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
        headers += [(name.lower().encode(), value.encode()) for name, value in (problem.headers or {}).items()]
        if isinstance(problem, BodyTooLarge | RequestTimeout):
            headers.append((b"connection", b"close"))
        await self.send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})


def request_id(scope: Scope) -> str:
    """The caller's X-Request-Id when it is short and visible, else a new one."""
    given: str = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    if 1 <= len(given) <= 128 and all("!" <= letter <= "~" for letter in given):
        return given
    return str(ids.new_id())


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The whole body, counted as it arrives; BodyTooLarge (413) or RequestTimeout (408)."""
    headers = dict(scope["headers"])
    if b"content-length" not in headers and b"transfer-encoding" not in headers:
        return b""
    limit = MAX_MULTIPART if headers.get(b"content-type", b"").startswith(b"multipart/") else MAX_BODY
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit:
        raise BodyTooLarge(f"The body may have {limit} bytes.")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _collect(receive, limit)
    except TimeoutError:
        raise RequestTimeout() from None


async def _collect(receive: Receive, limit: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise BodyTooLarge(f"The body may have {limit} bytes.")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that hands out the body that was read, then what comes after it."""
    first: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return first.pop() if first else await receive()

    return replayed
