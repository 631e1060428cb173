"""`baton tail`: prints events in order and forwards them as signed webhooks."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from standardwebhooks import Webhook

from app import ids
from app.commands import tail
from app.commands.tail import FeedOptions
from app.events import cursors
from app.events.cursors import Filters
from app.events.partitions import create_partitions
from app.events.sequence import sequence
from app.events.sql import Place
from app.settings import CannotStart
from app.webhooks.signing import new_secret
from tests.api import Api
from tests.serving import served


@asynccontextmanager
async def receiver(received: list[tuple[dict[str, str], bytes]], *, fails: int = 0) -> AsyncIterator[str]:
    """An HTTP receiver that stores each POST, after answering the first `fails` with 503."""
    left = [None] * fails

    async def receive(request: web.Request) -> web.Response:
        body = await request.read()
        if left:
            left.pop()
            return web.Response(status=503)
        received.append(({name.lower(): value for name, value in request.headers.items()}, body))
        return web.Response(status=204)

    app = web.Application()
    app.router.add_post("/", receive)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    await runner.cleanup()


async def test_each_event_is_printed_and_forwarded_signed_and_in_order(
    api: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lead = await api.mql()
    await create_partitions(api.app.state.engine)
    await sequence(api.app.state.engine)
    expected = (await api.get(f"/v1/events?lead_id={lead['id']}"))["data"]
    received: list[tuple[dict[str, str], bytes]] = []
    secret = new_secret()
    monkeypatch.setattr(tail, "RETRY_WAITS", (0.01, 0.01))
    async with served(api.app) as url, receiver(received, fails=2) as forward:
        await tail._follow(FeedOptions(url, api.key, "earliest", "lead.*", len(expected)), forward, secret)
    events = [Webhook(secret).verify(body, headers) for headers, body in received]
    assert [event["id"] for event in events] == [event["id"] for event in expected]
    printed = capsys.readouterr().out
    assert printed.count(lead["id"]) == len(expected)
    assert "inquiry → mql by qualify" in printed


async def test_a_wrong_key_ends_with_the_problem_in_one_line(api: Api) -> None:
    async with served(api.app) as url:
        with pytest.raises(CannotStart, match="401 key_unknown"):
            await tail._follow(FeedOptions(url, "btn_wrong"), None, "")


@pytest.mark.parametrize("old", ["lead.captured", "nothing"])
async def test_a_restored_log_ends_with_a_sentence_that_says_how_to_go_on(api: Api, old: str) -> None:
    if old != "nothing":
        await api.mql()
    await create_partitions(api.app.state.engine)
    await sequence(api.app.state.engine)
    head = (await api.get("/v1/events?after=latest"))["next"]
    lost = cursors.write(Place(1_000, ids.new_id()), Filters())
    async with served(api.app) as url:
        with pytest.raises(CannotStart, match="restored from a backup") as told:
            await tail._follow(FeedOptions(url, api.key, lost), None, "")
    sentence, _, way_on = str(told.value).rpartition(" ")
    assert sentence.endswith("run the command again with --after")
    assert (way_on == "earliest") == (old == "nothing")
    assert (await api.get("/v1/events", params={"after": way_on}))["next"] == head


async def test_an_unreachable_service_is_retried_and_then_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "RETRY_WAITS", (0.01, 0.01))
    with pytest.raises(CannotStart, match="is the service running"):
        await tail._follow(FeedOptions("http://127.0.0.1:1", "btn_any"), None, "")
