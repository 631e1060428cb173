"""Limits before routing: body size, read time, requests in flight. Also assigns the request id, and turns an unhandled
exception into a 500 problem.

Pure ASGI. The body is read before a slot is taken, so slow senders do not occupy slots. A refusal does as little work
as possible, because it runs on the same core as the requests that are served (promises.md, overload).
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
from app.database.faults import as_problem, error_fields
from app.errors import (
    BodyTooLarge,
    HeadersTooLarge,
    InternalError,
    Overloaded,
    RequestTimeout,
    UnsupportedMediaType,
)
from app.problem import Problem
from app.web.capacity import Capacity, kind_of

log = structlog.get_logger("baton.http")

MIB: Final = 1024 * 1024
MAX_BODY: Final = MIB
MAX_MULTIPART: Final = 5 * MIB
MAX_HEADERS: Final = 32 * 1024
BODY_SECONDS: Final = 20.0


class Gate:
    """ASGI middleware: request limits, request ids, request metrics, and logs of unhandled exceptions."""

    def __init__(self, app: ASGIApp, capacity: Capacity) -> None:
        self.app, self.slots = app, capacity.slots

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        sender = ResponseSender(scope, send)
        try:
            await self.serve_within_limits(scope, receive, sender)
        except ClientDisconnect:  # before the whole body had arrived
            return
        except Problem as problem:
            await sender.problem(problem)
        except Exception as error:  # a bug: logged here once; its transaction was rolled back
            log.error(
                "request_failed", request_id=sender.request_id, route=metrics.route_of(scope), **error_fields(error)
            )
            if sender.started:
                raise
            await sender.problem(as_problem(error) or InternalError())
        finally:
            metrics.observe(scope, sender.status, time.perf_counter() - sender.started_at)

    async def serve_within_limits(self, scope: Scope, receive: Receive, sender: ResponseSender) -> None:
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEADERS:
            raise HeadersTooLarge()
        kind = kind_of(scope["method"], scope["path"], scope["headers"])
        if kind is None:
            await self.app(scope, receive, sender.send)
            return
        if kind != "import":  # a list is read by its route, piece by piece
            body = await read_body(scope, receive)
            receive = replay(body, receive)
        if kind == "import" or (body and kind != "ingest"):
            refuse_coding(scope)
        if self.slots[kind] <= 0:
            raise Overloaded()
        self.slots[kind] -= 1
        try:
            await self.app(scope, receive, sender.send)
        finally:
            self.slots[kind] += 1


def refuse_coding(scope: Scope) -> None:
    """Raises UnsupportedMediaType for a packed body, which only the ingest endpoint unpacks."""
    codings = [value.strip().lower() for name, value in scope["headers"] if name == b"content-encoding"]
    if any(coding not in (b"", b"identity") for coding in codings):
        raise UnsupportedMediaType("Send the body as it is, without a Content-Encoding.")


class ResponseSender:
    """Wraps `send` of one request: adds the request id to the response and records its status."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.request_id = request_id(scope)
        self.started_at = time.perf_counter()
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
    """The caller's X-Request-Id when it is 1 to 128 visible ASCII characters, else a new one."""
    given: str = dict(scope["headers"]).get(b"x-request-id", b"").decode("latin-1")
    if 1 <= len(given) <= 128 and all("!" <= letter <= "~" for letter in given):
        return given
    return str(ids.new_id())


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The whole body, counted as it arrives; raises BodyTooLarge (413) or RequestTimeout (408)."""
    headers = dict(scope["headers"])
    if b"content-length" not in headers and b"transfer-encoding" not in headers:
        return b""
    limit = MAX_MULTIPART if headers.get(b"content-type", b"").startswith((b"multipart/", b"text/csv")) else MAX_BODY
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > limit:
        raise BodyTooLarge(f"The body is larger than {limit} bytes.")
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
            raise BodyTooLarge(f"The body is larger than {limit} bytes.")
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that returns the body that was already read, then passes on to the original."""
    first: list[dict[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

    async def replayed() -> Message:
        return first.pop() if first else await receive()

    return replayed
