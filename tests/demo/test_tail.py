"""`baton tail`: what a receiver on this machine would hear, in order and signed."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from aiohttp import web
from standardwebhooks import Webhook

from app.commands import tail
from app.commands.tail import Reading
from app.events.partitions import keep_ahead
from app.events.sequence import sequence
from app.settings import CannotStart
from app.webhooks.signing import new_secret
from tests.api import Api


@asynccontextmanager
async def served(app: Any) -> AsyncIterator[str]:
    """The application behind a real socket."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
    task = asyncio.create_task(server.serve(sockets=[listener]))
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    await task


@asynccontextmanager
async def receiver(heard: list[tuple[dict[str, str], bytes]], *, fails: int = 0) -> AsyncIterator[str]:
    """Takes what is posted, after so many answers of 503."""
    left = [None] * fails

    async def take(request: web.Request) -> web.Response:
        body = await request.read()
        if left:
            left.pop()
            return web.Response(status=503)
        heard.append(({name.lower(): value for name, value in request.headers.items()}, body))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/", take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


async def test_each_event_is_printed_and_handed_on_signed_and_in_order(
    api: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = await api.mql()
    await keep_ahead(api.app.state.engine)
    await sequence(api.app.state.engine)
    told = (await api.get(f"/v1/events?lead_id={lead['id']}"))["data"]
    heard: list[tuple[dict[str, str], bytes]] = []
    secret = new_secret()
    monkeypatch.setattr(tail, "WAITS", (0.01, 0.01))
    async with served(api.app) as url, receiver(heard, fails=2) as forward:
        await tail._follow(Reading(url, api.key, "earliest", "lead.*", len(told)), forward, secret)
    events = [Webhook(secret).verify(body, headers) for headers, body in heard]
    assert [event["id"] for event in events] == [event["id"] for event in told]
    printed = capsys.readouterr().out
    assert printed.count(lead["id"]) == len(told)
    assert "inquiry → mql by qualify" in printed


async def test_a_wrong_key_is_said_in_one_line(api: Api) -> None:
    async with served(api.app) as url:
        with pytest.raises(CannotStart, match="401 key_unknown"):
            await tail._follow(Reading(url, "btn_wrong"), None, "")


async def test_a_service_that_is_not_there_is_waited_for_and_then_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "WAITS", (0.01, 0.01))
    with pytest.raises(CannotStart, match="is the service running"):
        await tail._follow(Reading("http://127.0.0.1:1", "btn_any"), None, "")
