"""The API as the pages use it: requests to this process's own application, under the key that is logged in.

So a page has the scopes, limits, checks and transactions of the API, and no SQL and no rules of its own
(docs/decisions/0062).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx
import orjson
from fastapi import FastAPI
from starlette.types import Receive, Scope, Send

from app.web.auth import LOGGED_IN, Caller

AT_ONCE: Final = 4  # requests of one page, so that it takes few of the slots and connections of its process
JSON: Final = {"Content-Type": "application/json"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API answered: the document, or the problem."""

    status: int
    document: Any

    @property
    def ok(self) -> bool:
        return self.status < 400

    @property
    def rows(self) -> list[Any]:
        """The rows of a list; none where there is a problem."""
        return list(self.document["data"]) if self.ok else []

    def needed(self) -> Any:
        """The document. Raises ApiProblem where there is none."""
        if not self.ok:
            raise ApiProblem(self)
        return self.document


class ApiProblem(Exception):
    """The API refused what a page cannot do without; `answer` has its problem."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.document["detail"])
        self.answer = answer


class Api:
    """A client of the API that is logged in as `caller`."""

    def __init__(self, app: FastAPI, caller: Caller) -> None:
        slots = asyncio.Semaphore(AT_ONCE)

        async def logged_in(scope: Scope, receive: Receive, send: Send) -> None:
            async with slots:
                await app({**scope, LOGGED_IN: caller}, receive, send)

        transport = httpx.ASGITransport(logged_in)
        self._client = httpx.AsyncClient(transport=transport, base_url="http://baton", trust_env=False)

    async def get(self, path: str, **query: object) -> Answer:
        """GET; parameters that are None or empty are left out."""
        sent = {name: str(value) for name, value in query.items() if value not in (None, "")}
        return _answer(await self._client.get(path, params=sent))

    async def picture(self, path: str, **query: str) -> bytes:
        """The SVG at this path. Raises ApiProblem."""
        return await self.written(path, "image/svg+xml", **query)

    async def written(self, path: str, kind: str, **query: str) -> bytes:
        """What is at this path, in this media type. Raises ApiProblem."""
        response = await self._client.get(path, params=query, headers={"Accept": kind})
        if response.is_error:
            raise ApiProblem(_answer(response))
        return response.content

    async def try_post(self, path: str, body: Mapping[str, Any] | None = None) -> Answer:
        """POST, of a JSON object or without a body."""
        if body is None:
            return _answer(await self._client.post(path))
        return _answer(await self._client.post(path, content=orjson.dumps(body), headers=JSON))

    async def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The document that a POST answered. Raises ApiProblem."""
        return (await self.try_post(path, body)).needed()


def _answer(response: httpx.Response) -> Answer:
    return Answer(response.status_code, orjson.loads(response.content))
