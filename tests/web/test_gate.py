"""Limits before routing: body and header size, read time, slots; request ids; unhandled exceptions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from app.web import capacity, gate
from app.web.capacity import Capacity
from app.web.gate import Gate
from tests.api import Api

MESSAGES = list[dict[str, Any]]


def scope(path: str = "/v1/leads", method: str = "POST", **headers: str) -> dict[str, Any]:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "headers": raw, "query_string": b""}


async def call(app: Gate, asgi_scope: dict[str, Any], parts: AsyncIterator[bytes] | None = None) -> MESSAGES:
    """The ASGI messages sent in response to one request whose body arrives in parts."""
    sent: MESSAGES = []

    async def receive() -> dict[str, Any]:
        async for part in parts or _nothing():
            return {"type": "http.request", "body": part, "more_body": True}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(asgi_scope, receive, send)
    return sent


async def _nothing() -> AsyncIterator[bytes]:
    for part in list[bytes]():
        yield part


async def endless_parts(part: bytes) -> AsyncIterator[bytes]:
    while True:
        yield part


async def slow_parts() -> AsyncIterator[bytes]:
    while True:
        await asyncio.sleep(0.01)
        yield b"x"


async def ok(asgi_scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def test_a_body_without_a_content_length_is_refused_once_too_much_has_arrived(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent = await call(Gate(ok, Capacity()), scope(transfer_encoding="chunked"), endless_parts(b"x" * 65536))
    assert sent[0]["status"] == 413
    assert (b"connection", b"close") in sent[0]["headers"]


async def test_a_body_that_arrives_too_slowly_takes_no_slot_and_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "BODY_SECONDS", 0.2)
    app = Gate(ok, Capacity(1))
    pending = asyncio.create_task(call(app, scope(content_length="100"), slow_parts()))
    await asyncio.sleep(0.05)
    assert (await call(app, scope(method="GET")))[0]["status"] == 200
    assert (await pending)[0]["status"] == 408


async def test_without_a_free_slot_the_response_is_503_at_once_and_ingest_has_slots_of_its_own() -> None:
    waiting = asyncio.Event()

    async def busy(asgi_scope: Any, receive: Any, send: Any) -> None:
        if asgi_scope["path"] == "/v1/leads":
            await waiting.wait()
        await ok(asgi_scope, receive, send)

    app = Gate(busy, Capacity(1, 1))
    first = asyncio.create_task(call(app, scope()))
    await asyncio.sleep(0)
    refused = await call(app, scope())
    assert refused[0]["status"] == 503
    assert (b"retry-after", b"1") in refused[0]["headers"]
    assert (await call(app, scope("/v1/ingest/k")))[0]["status"] == 200
    assert (await call(app, scope("/healthz", "GET")))[0]["status"] == 200
    waiting.set()
    assert (await first)[0]["status"] == 200
    assert (await call(app, scope()))[0]["status"] == 200


async def test_requests_that_wait_for_events_or_for_a_ping_take_no_slots_of_the_others() -> None:
    waiting = asyncio.Event()

    async def busy(asgi_scope: Any, receive: Any, send: Any) -> None:
        if asgi_scope["path"] != "/v1/leads":
            await waiting.wait()
        await ok(asgi_scope, receive, send)

    app = Gate(busy, Capacity(1))
    ping, feed = scope("/v1/subscriptions/sub_1/ping"), scope("/v1/events", "GET")
    pings = [asyncio.create_task(call(app, ping)) for _ in range(capacity.MAX_PINGS)]
    readers = [asyncio.create_task(call(app, feed)) for _ in range(capacity.MAX_FEED_READERS)]
    await asyncio.sleep(0)
    assert (await call(app, scope()))[0]["status"] == 200
    assert (await call(app, ping))[0]["status"] == 503
    assert (await call(app, feed))[0]["status"] == 503
    waiting.set()
    assert {answer[0]["status"] for answer in await asyncio.gather(*pings, *readers)} == {200}


async def test_headers_that_are_too_large_are_refused() -> None:
    assert (await call(Gate(ok, Capacity()), scope(x="y" * 40_000)))[0]["status"] == 431


@pytest.mark.parametrize(("given", "kept"), [("abc-1", True), ("", False), ("x" * 200, False), ("a b", False)])
async def test_a_request_keeps_the_id_its_sender_gave_if_it_is_valid_and_else_gets_a_new_one(
    api: Api, given: str, kept: bool
) -> None:
    answer = await api.client.get("/healthz", headers={"X-Request-Id": given})
    assert (answer.headers["x-request-id"] == given) is kept
    assert answer.headers["x-request-id"]


async def test_an_unhandled_exception_is_a_500_and_neither_response_nor_log_has_its_text(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("ALTER TABLE leads ADD CHECK (fields ->> 'company' <> 'Secret Company')"))
    answer = await api.call("POST", "/v1/leads", {"fields": {"email": "a@example.com", "company": "Secret Company"}})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "Secret Company" not in answer.text
    output = capsys.readouterr()
    assert "request_failed" in output.out + output.err
    assert "Secret Company" not in output.out + output.err
