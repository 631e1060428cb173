"""A provider on loopback that has one record and answers as a test says."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

Answer = Callable[[], web.Response]


@dataclass
class Provider:
    """The requests that came, and what is answered: `answers` one after the other, then `last`."""

    last: Answer
    answers: list[Answer] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    async def handle(self, request: web.Request) -> web.Response:
        """Keeps the request and gives the next answer."""
        self.asked.append((request.raw_path, {name.lower(): value for name, value in request.headers.items()}))
        return (self.answers.pop(0) if self.answers else self.last)()


def record(body: Any) -> Answer:
    """An answer with a record."""
    return lambda: web.json_response(body)


def status(code: int, **headers: str) -> Answer:
    """An answer without a record."""
    return lambda: web.Response(status=code, headers={name.replace("_", "-"): text for name, text in headers.items()})


@asynccontextmanager
async def provider(last: Answer, *answers: Answer) -> AsyncIterator[Provider]:
    """Serves on a free port of loopback until the block ends."""
    made = Provider(last, list(answers))
    app = web.Application()
    app.router.add_route("GET", "/{path:.*}", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()
