"""A connection whose headers are late or too large is closed; other connections are served meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import uvicorn

from app.web.header_limits import MAX_HEADER_BYTES, LimitedHeaders
from tests.waiting import TIMEOUT_SECONDS
from tests.web.test_gate import ok


class ShortTimeout(LimitedHeaders):
    header_seconds = 0.3


class LongTimeout(LimitedHeaders):
    header_seconds = 600  # enough on any machine


@asynccontextmanager
async def serving(protocol: type[LimitedHeaders]) -> AsyncIterator[int]:
    server = uvicorn.Server(uvicorn.Config(ok, port=0, http=protocol, ws="none", lifespan="off", log_config=None))
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


async def closed(reader: asyncio.StreamReader) -> bool:
    try:
        return await reader.read() == b""
    except ConnectionResetError:
        return True


async def get(port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer.split(b"\r\n")[0]
