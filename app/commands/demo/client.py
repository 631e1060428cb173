"""HTTP client of the demo: sends the API key; retries 503 and 409 with `Retry-After`, and broken connections."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

import aiohttp
import orjson

from app.commands.output import refusal
from app.settings import CannotStart

TRIES: Final = 8
TIMEOUT: Final = aiohttp.ClientTimeout(total=60)


class Client:
    """An HTTP client with the API key of one tenant."""

    def __init__(self, session: aiohttp.ClientSession, url: str, key: str) -> None:
        self.session, self.url, self.key = session, url.rstrip("/"), key

    def with_key(self, key: str) -> Client:
        """The same client with another key; an empty key sends none."""
        return Client(self.session, self.url, key)

    async def get(self, path: str) -> Any:
        """The JSON response to a GET; raises CannotStart if it fails."""
        return await self.send("GET", path)

    async def post(
        self, path: str, body: Any, *, actor: str = "", idempotency_key: str = "", allowed_error: str = ""
    ) -> Any:
        """The JSON response to a POST; raises CannotStart on a problem whose code is not `allowed_error`."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        return await self.write("POST", path, body, actor=actor, headers=headers, allowed_error=allowed_error)

    async def write(
        self,
        method: str,
        path: str,
        body: Any,
        *,
        actor: str = "",
        headers: Mapping[str, str] | None = None,
        allowed_error: str = "",
    ) -> Any:
        """The JSON response to a request with a JSON body, as `post`."""
        sent = {"Content-Type": "application/json", **({"Baton-Actor": actor} if actor else {}), **(headers or {})}
        return await self.send(method, path, orjson.dumps(body, option=orjson.OPT_UTC_Z), sent, allowed_error)

    async def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        allowed_error: str = "",
    ) -> Any:
        """Send a request, with retries; its JSON response. Raises CannotStart."""
        all_headers = {"Authorization": f"Bearer {self.key}", **(headers or {})} if self.key else headers
        for left in range(TRIES - 1, -1, -1):
            try:
                async with self.session.request(method, self.url + path, data=body, headers=all_headers) as answer:
                    result = orjson.loads(await answer.read() or b"null")
                    if answer.ok or (allowed_error and result.get("code") == allowed_error):
                        return result
                    if answer.status not in (503, 409) or not left or "Retry-After" not in answer.headers:
                        raise CannotStart(f"{method} {path}: {refusal(answer.status, result)}")
            except (aiohttp.ClientConnectionError, TimeoutError) as error:
                if not left:
                    raise CannotStart(f"{self.url} does not answer ({type(error).__name__}): is it running?") from None
            await asyncio.sleep(0.1 * (TRIES - left))
        raise AssertionError("the last try returns or raises")
