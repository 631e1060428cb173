"""The service as the demo knows it: HTTP, a key, and patience where it says 503."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import orjson

from app.settings import CannotStart

TRIES: Final = 8
TIMEOUT: Final = aiohttp.ClientTimeout(total=60)


class Doors:
    """A client of one tenant."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str) -> None:
        self.session, self.url, self.key = session, url.rstrip("/"), key

    def of(self, key: str) -> Doors:
        """The same doors with another key."""
        return Doors(self.session, self.url, key)

    async def get(self, path: str) -> Any:
        """The answer to a GET that must succeed. CannotStart."""
        return await self.send("GET", path)

    async def post(self, path: str, body: Any, *, actor: str = "", once: str = "", passing: str = "") -> Any:
        """The answer to a POST. A refusal with the code `passing` is answered, any other raises CannotStart."""
        headers = {"Content-Type": "application/json"}
        headers |= {"Baton-Actor": actor} if actor else {}
        headers |= {"Idempotency-Key": once} if once else {}
        return await self.send("POST", path, orjson.dumps(body, option=orjson.OPT_UTC_Z), headers, passing)

    async def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        passing: str = "",
    ) -> Any:
        """One request, again where the service is busy or a connection broke; its JSON. CannotStart."""
        named = {"Authorization": f"Bearer {self.key}", **(headers or {})} if self.key else headers
        for left in range(TRIES - 1, -1, -1):
            try:
                async with self.session.request(method, self.url + path, data=body, headers=named) as answer:
                    told = orjson.loads(await answer.read() or b"null")
                    if answer.ok or (passing and told.get("code") == passing):
                        return told
                    if answer.status not in (503, 409) or not left or "Retry-After" not in answer.headers:
                        raise CannotStart(f"{method} {path}: {answer.status} {told.get('code')}: {told.get('detail')}")
            except (aiohttp.ClientConnectionError, TimeoutError) as error:
                if not left:
                    raise CannotStart(f"{self.url} does not answer ({type(error).__name__}): is it running?") from None
            await asyncio.sleep(0.1 * (TRIES - left))
        raise AssertionError("the last try returns or raises")
