"""A client of the stream of events, as the HTML standard describes it, over a real connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import aiohttp
import orjson

from tests.events.conftest import Service
from tests.serving import served
from tests.waiting import until


class Block(NamedTuple):
    """What came between two empty lines: its fields, and its comment."""

    id: str | None
    event: str | None
    data: Any
    comment: str | None


def block(text: str) -> Block:
    fields = {name: value.removeprefix(" ") for name, _, value in (line.partition(":") for line in text.split("\n"))}
    data = orjson.loads(fields["data"]) if "data" in fields else None
    return Block(fields.get("id"), fields.get("event"), data, fields.get(""))


class Listener:
    """One stream: what has arrived, the id of the last block, and whether the server has ended it."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response, self.blocks, self.ended = response, list[Block](), False
        self.task = asyncio.create_task(self._listen())

    async def _listen(self) -> None:
        rest = b""
        try:
            async for part in self.response.content.iter_any():
                *whole, rest = (rest + part).split(b"\n\n")
                self.blocks += [block(text.decode()) for text in whole]
        except aiohttp.ClientError:
            pass
        self.ended = True

    @property
    def events(self) -> list[Block]:
        return [each for each in self.blocks if each.data is not None]

    @property
    def types(self) -> list[str]:
        return [each.data["type"] for each in self.events]

    @property
    def last_id(self) -> str:
        return next(each.id for each in reversed(self.blocks) if each.id is not None)

    async def close(self) -> None:
        self.task.cancel()
        self.response.close()


class Streams:
    """Opens streams of a service; `key` is used where no other is given."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str) -> None:
        self.session, self.url, self.key = session, url, key

    async def ask(self, key: str | None = None, last: str | None = None, **params: str) -> aiohttp.ClientResponse:
        headers = {"Authorization": f"Bearer {key or self.key}", "Accept": "text/event-stream"}
        headers |= {"Last-Event-ID": last} if last is not None else {}
        return await self.session.get(f"{self.url}/v1/events", params=params, headers=headers)

    async def open(self, key: str | None = None, last: str | None = None, **params: str) -> Listener:
        """A stream whose first block has arrived."""
        response = await self.ask(key, last, **params)
        assert response.status == 200, await response.text()
        listener = Listener(response)
        await until(lambda: bool(listener.blocks))
        return listener


@asynccontextmanager
async def streams(service: Service) -> AsyncIterator[Streams]:
    key = service.client.headers["authorization"].removeprefix("Bearer ")
    timeout, connector = aiohttp.ClientTimeout(total=None), aiohttp.TCPConnector(limit=0)
    async with served(service.app) as url, aiohttp.ClientSession(timeout=timeout, connector=connector) as session:
        try:
            yield Streams(session, url, key)
        finally:
            service.app.state.tails.end()
