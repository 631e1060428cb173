"""The gate: sizes, times, slots and ids, before anything is looked at."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from app.web import gate
from app.web.gate import Gate
from tests.api import Api

MESSAGES = list[dict[str, Any]]


def scope(path: str = "/v1/leads", method: str = "POST", **headers: str) -> dict[str, Any]:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "headers": raw, "query_string": b""}


async def through(app: Gate, asked: dict[str, Any], parts: AsyncIterator[bytes] | None = None) -> MESSAGES:
    """What the gate sends for one request whose body comes in parts."""
    sent: MESSAGES = []

    async def receive() -> dict[str, Any]:
        async for part in parts or _nothing():
            return {"type": "http.request", "body": part, "more_body": True}
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    await app(asked, receive, send)
    return sent


async def _nothing() -> AsyncIterator[bytes]:
    for part in list[bytes]():
        yield part


async def endless(part: bytes) -> AsyncIterator[bytes]:
    while True:
        yield part


async def dripping() -> AsyncIterator[bytes]:
    while True:
        await asyncio.sleep(0.01)
        yield b"x"


async def ok(asked: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


async def test_a_body_without_end_is_cut_by_what_was_received(monkeypatch: pytest.MonkeyPatch) -> None:
    sent = await through(Gate(ok), scope(transfer_encoding="chunked"), endless(b"x" * 65536))
    assert sent[0]["status"] == 413
    assert (b"connection", b"close") in sent[0]["headers"]


async def test_a_body_that_drips_takes_no_slot_and_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "BODY_SECONDS", 0.2)
    app = Gate(ok, max_in_flight=1)
    slow = asyncio.create_task(through(app, scope(content_length="100"), dripping()))
    await asyncio.sleep(0.05)
    assert (await through(app, scope(method="GET")))[0]["status"] == 200
    assert (await slow)[0]["status"] == 408


async def test_beyond_the_slots_the_answer_is_503_at_once_and_ingest_has_its_own() -> None:
    waiting = asyncio.Event()

    async def busy(asked: Any, receive: Any, send: Any) -> None:
        if asked["path"] == "/v1/leads":
            await waiting.wait()
        await ok(asked, receive, send)

    app = Gate(busy, max_in_flight=1, max_ingest_in_flight=1)
    first = asyncio.create_task(through(app, scope()))
    await asyncio.sleep(0)
    refused = await through(app, scope())
    assert refused[0]["status"] == 503
    assert (b"retry-after", b"1") in refused[0]["headers"]
    assert (await through(app, scope("/v1/ingest/k")))[0]["status"] == 200
    assert (await through(app, scope("/healthz", "GET")))[0]["status"] == 200
    waiting.set()
    assert (await first)[0]["status"] == 200
    assert (await through(app, scope()))[0]["status"] == 200


async def test_who_waits_for_events_or_for_a_stranger_takes_no_slot_of_the_others() -> None:
    waiting = asyncio.Event()

    async def busy(asked: Any, receive: Any, send: Any) -> None:
        if asked["path"] != "/v1/leads":
            await waiting.wait()
        await ok(asked, receive, send)

    app = Gate(busy, max_in_flight=1)
    ping, feed = scope("/v1/subscriptions/sub_1/ping"), scope("/v1/events", "GET")
    pings = [asyncio.create_task(through(app, ping)) for _ in range(gate.MOST_PINGS)]
    readers = [asyncio.create_task(through(app, feed)) for _ in range(gate.MOST_READERS)]
    await asyncio.sleep(0)
    assert (await through(app, scope()))[0]["status"] == 200
    assert (await through(app, ping))[0]["status"] == 503
    assert (await through(app, feed))[0]["status"] == 503
    waiting.set()
    assert {answer[0]["status"] for answer in await asyncio.gather(*pings, *readers)} == {200}


async def test_headers_without_measure_are_refused() -> None:
    assert (await through(Gate(ok), scope(x="y" * 40_000)))[0]["status"] == 431


@pytest.mark.parametrize(("given", "kept"), [("abc-1", True), ("", False), ("x" * 200, False), ("a b", False)])
async def test_a_request_has_an_id_of_its_senders_or_of_ours(api: Api, given: str, kept: bool) -> None:
    answer = await api.client.get("/healthz", headers={"X-Request-Id": given})
    assert (answer.headers["x-request-id"] == given) is kept
    assert answer.headers["x-request-id"]


async def test_a_fault_of_ours_is_a_problem_without_a_word_of_what_it_was(
    api: Api, capsys: pytest.CaptureFixture[str]
) -> None:
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("ALTER TABLE leads ADD CHECK (fields ->> 'company' <> 'Secret Company')"))
    answer = await api.call("POST", "/v1/leads", {"fields": {"email": "a@example.com", "company": "Secret Company"}})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert "Secret Company" not in answer.text
    said = capsys.readouterr()
    assert "request_failed" in said.out + said.err
    assert "Secret Company" not in said.out + said.err
