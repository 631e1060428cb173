"""Receivers on loopback whose behaviour tests define byte by byte."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_network

from app.webhooks.egress import Egress, Limits
from app.webhooks.resolver import Lookup
from app.webhooks.targets import Address, Targets, address_of

LOOPBACK = Targets(allowed=(ip_network("127.0.0.0/8"), ip_network("::1/128")))
# Only one of the three limits is short at a time: on a slow machine another short one might end first.
LONG = Limits(total=60, connect=60, body=60)
SHORT_TOTAL, SHORT_CONNECT, SHORT_BODY = (
    replace(LONG, total=0.4),
    replace(LONG, connect=0.4),
    replace(LONG, body=0.4),
)


@dataclass
class Connection:
    """One accepted connection of a receiver."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> tuple[dict[str, str], bytes]:
        """Read one whole request: lower-case headers and the body."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        lines = head.decode().split("\r\n")[1:-2]
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        return headers, await self.reader.readexactly(int(headers.get("content-length", 0)))

    async def answer(self, raw: bytes) -> None:
        self.writer.write(raw)
        await self.writer.drain()

    def reset(self) -> None:
        """Close with RST instead of FIN."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def hang(self) -> None:
        await asyncio.Event().wait()


Behaviour = Callable[[Connection], Awaitable[None]]


@dataclass
class Receiver:
    port: int
    connections: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"


@asynccontextmanager
async def receiver(behave: Behaviour, tls: ssl.SSLContext | None = None) -> AsyncIterator[Receiver]:
    """A server that runs `behave` on each connection, then closes it."""
    made = Receiver(0)

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        made.connections += 1
        task = asyncio.current_task()
        assert task is not None
        made.tasks.add(task)
        try:
            await behave(Connection(reader, writer))
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, ssl.SSLError):
            pass
        finally:
            made.tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        for task in list(made.tasks):
            task.cancel()
        await asyncio.gather(*made.tasks, return_exceptions=True)


def always(raw: bytes) -> Behaviour:
    """Answer each request with `raw` until the connection is closed."""

    async def behave(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.answer(raw)

    return behave


def once(raw: bytes, then: Callable[[Connection], Awaitable[None]] | None = None) -> Behaviour:
    """Answer one request with `raw`, run `then`, close."""

    async def behave(connection: Connection) -> None:
        await connection.request()
        await connection.answer(raw)
        if then is not None:
            await then(connection)

    return behave


def names(**known: str) -> Lookup:
    """A DNS lookup with fixed answers: `names(hook_test="127.0.0.1 10.0.0.1")`; dots of a name are written as `_`."""

    async def lookup(host: str) -> list[Address]:
        text = known.get(host.replace(".", "_"))
        if text is None:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [address for each in text.split() if (address := address_of(each))]

    return lookup


@asynccontextmanager
async def egress(
    targets: Targets = LOOPBACK,
    limits: Limits = LONG,
    lookup: Lookup | None = None,
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[Egress]:
    made = Egress(targets, limits, tls, lookup)
    try:
        yield made
    finally:
        await made.close()
