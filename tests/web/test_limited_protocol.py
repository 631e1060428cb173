"""A connection whose headers are late or too large is closed; other connections are served meanwhile."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from fastapi import FastAPI, Request

from app.web.capacity import LATE_SECONDS, MANY_CONNECTIONS, MANY_REQUESTS, Capacity, kind_of
from app.web.gate import Gate
from app.web.limited_protocol import MAX_HEADER_BYTES, LimitedProtocol
from tests.waiting import TIMEOUT_SECONDS, until
from tests.web.test_gate import ok


class ShortTimeout(LimitedProtocol):
    header_seconds = 0.3


class LongTimeout(LimitedProtocol):
    header_seconds = 600  # enough on any machine


@asynccontextmanager
async def serving(protocol: type[LimitedProtocol], app: Any = ok) -> AsyncIterator[int]:
    server = uvicorn.Server(uvicorn.Config(app, port=0, http=protocol, ws="none", lifespan="off", log_config=None))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.1\r\nX-Slow: 1", b"GET / HTTP/1.1\r\nHost: a\r\n"])
async def test_a_connection_with_incomplete_headers_is_closed_after_the_timeout_and_others_are_served(
    sent: bytes,
) -> None:
    async with serving(ShortTimeout) as port, asyncio.timeout(TIMEOUT_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert await closed(reader)
    async with serving(LongTimeout) as port, asyncio.timeout(TIMEOUT_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert await get(port) == b"HTTP/1.1 200 OK"
        writer.close()


async def test_a_connection_is_closed_when_its_headers_are_too_large() -> None:
    async with serving(LongTimeout) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET / HTTP/1.1\r\n" + b"X-More: " + b"y" * 1000 + b"\r\n")
        line = b"X-More: " + b"y" * 8000 + b"\r\n"
        for _ in range(MAX_HEADER_BYTES // 8000 + 2):
            writer.write(line)
        async with asyncio.timeout(TIMEOUT_SECONDS):
            assert await closed(reader)


class Busy(FastAPI):
    """An application with a capacity, whose requests wait until they are let go."""

    def __init__(self, capacity: Capacity) -> None:
        super().__init__()
        self.state.capacity = capacity
        self.go_on = asyncio.Event()
        self.add_api_route("/healthz", self.health)
        self.add_api_route("/v1/leads", self.wait, methods=["POST"])
        self.add_middleware(Gate, capacity=capacity)

    async def health(self) -> str:
        return "ok"

    async def wait(self, request: Request) -> str:
        await request.body()
        await self.go_on.wait()
        return "done"


POST = b"POST /v1/leads?a=1 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, dict[bytes, bytes], bytes]:
    """The status line, headers and body of the next response."""
    head = (await reader.readuntil(b"\r\n\r\n")).splitlines()
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(b":") for line in head[1:] if line)}
    return head[0], headers, await reader.readexactly(int(headers[b"content-length"]))


async def test_without_a_free_slot_a_request_is_refused_at_its_headers_and_its_connection_stays_usable() -> None:
    capacity = Capacity(1)
    app = Busy(capacity)
    async with serving(LongTimeout, app) as port, asyncio.timeout(TIMEOUT_SECONDS):
        first, sending = await asyncio.open_connection("127.0.0.1", port)
        sending.write(POST % 2 + b"{}")
        await until(lambda: capacity.slots["api"] == 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(POST % 10)  # the answer comes before the body
        status, headers, body = await answer(reader)
        assert (status, headers[b"retry-after"]) == (b"HTTP/1.1 503 Service Unavailable", b"1")
        assert json.loads(body)["code"] == "overloaded"
        assert await get(port, b"/healthz") == b"HTTP/1.1 200 OK"
        app.go_on.set()
        assert (await answer(first))[0] == b"HTTP/1.1 200 OK"
        writer.write(b"0123456789" + POST % 2 + b"{}")  # the rest of the refused body, then another request
        assert (await answer(reader))[0] == b"HTTP/1.1 200 OK"
        for each in (writer, sending):
            each.close()


async def test_a_client_that_does_not_keep_its_connection_is_refused_with_connection_close() -> None:
    capacity = Capacity(1)
    capacity.slots["api"] = 0
    async with serving(LongTimeout, Busy(capacity)) as port, asyncio.timeout(TIMEOUT_SECONDS):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /v1/leads HTTP/1.0\r\n\r\n")
        status, headers, _ = await answer(reader)
        assert (status[-23:], headers[b"connection"]) == (b"503 Service Unavailable", b"close")
        assert await closed(reader)
        writer.close()


async def test_while_the_loop_is_late_and_many_connections_are_open_new_ones_are_closed() -> None:
    capacity = Capacity()
    app = Busy(capacity)
    async with serving(LongTimeout, app) as port, asyncio.timeout(TIMEOUT_SECONDS):
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(MANY_CONNECTIONS - 1)]
        capacity.late = 10.0
        assert await get(port, b"/healthz") == b"HTTP/1.1 200 OK"
        held.append(await asyncio.open_connection("127.0.0.1", port))
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await closed(reader)
        capacity.late = 0.0
        assert await get(port, b"/healthz") == b"HTTP/1.1 200 OK"
        for _, each in [*held, (reader, writer)]:
            each.close()


@pytest.mark.parametrize(
    ("path", "late", "in_progress", "free", "refused"),
    [
        ("/v1/leads", 0.0, 1_000, 1, False),
        ("/v1/leads", 0.0, 0, 0, True),
        ("/v1/leads", LATE_SECONDS, MANY_REQUESTS, 1, False),
        ("/v1/leads", LATE_SECONDS + 0.001, MANY_REQUESTS, 1, True),
        ("/v1/leads", LATE_SECONDS + 0.001, MANY_REQUESTS - 1, 1, False),
        ("/healthz", 10.0, 1_000, 0, False),
        ("/readyz", 10.0, 1_000, 0, False),
        ("/metrics", 10.0, 1_000, 0, False),
    ],
)
def test_what_is_refused_before_its_body(path: str, late: float, in_progress: int, free: int, *, refused: bool) -> None:
    capacity = Capacity(free)
    capacity.late = late
    assert capacity.refuses(kind_of("POST", path, ()), in_progress) is refused


def test_a_flood_of_writes_takes_no_slot_of_reads_or_of_ingest() -> None:
    capacity = Capacity()
    capacity.slots["api"] = 0
    asked = [
        ("POST", "/v1/leads"),
        ("PATCH", "/v1/leads/x"),
        ("GET", "/v1/leads"),
        ("HEAD", "/v1/leads"),
        ("GET", "/v1/events"),
        ("POST", "/v1/ingest/x"),
        ("POST", "/v1/subscriptions/x/ping"),
    ]
    assert [capacity.refuses(kind_of(*one, ()), 0) for one in asked] == [True, True, False, False, False, False, False]


def test_a_single_pause_of_the_loop_is_no_overload_but_several_are() -> None:
    capacity = Capacity()
    lateness = []
    for _ in range(6):
        capacity.measured(2 * LATE_SECONDS)
        lateness.append(capacity.late > LATE_SECONDS)
    assert lateness == [False, False, True, True, True, True]
    for _ in range(6):
        capacity.measured(0.0)
    assert capacity.late < LATE_SECONDS


@pytest.mark.parametrize("seconds", [0.6, 2, 60])
def test_a_pause_counts_as_one_however_long_it_was(seconds: float) -> None:
    capacity = Capacity()
    capacity.measured(seconds)
    assert 0 < capacity.late < LATE_SECONDS
    capacity.measured(seconds)
    assert capacity.late > LATE_SECONDS


async def test_the_lateness_of_the_loop_is_measured() -> None:
    capacity = Capacity()
    watching = asyncio.create_task(capacity.watch())
    await asyncio.sleep(0)
    time.sleep(0.3)
    await until(lambda: capacity.late > 0)
    watching.cancel()


async def closed(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


async def get(port: int, path: bytes = b"/") -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET %b HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" % path)
    answer = await reader.read()
    writer.close()
    return answer.split(b"\r\n")[0]
