"""`baton tail`: prints events in order and forwards them as signed webhooks."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import orjson
import pytest
from aiohttp import web
from standardwebhooks import Webhook

from app import ids
from app.commands import tail
from app.commands.output import refusal
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
    monkeypatch.setattr(tail, "FORWARD_WAITS", (0.01, 0.01))
    async with served(api.app) as url, receiver(received, fails=5) as forward:
        await tail._follow(FeedOptions(url, api.key, "earliest", "lead.*", len(expected)), forward, secret)
    events = [Webhook(secret).verify(body, headers) for headers, body in received]
    assert [event["id"] for event in events] == [event["id"] for event in expected]
    assert [headers["webhook-attempt"] for headers, _ in received] == ["6", *["1"] * (len(expected) - 1)]
    printed = capsys.readouterr()
    assert [orjson.loads(line) for line in printed.out.splitlines()] == expected, "one event a line"
    assert printed.err.count("answers 503") == 5


class Refused(Exception):
    """Ends a run in the middle of a page, as Ctrl-C does."""


async def test_a_consumer_goes_on_after_the_last_event_that_was_accepted(
    api: Api, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.mql()
    await create_partitions(api.app.state.engine)
    await sequence(api.app.state.engine)
    expected = [event["id"] for event in (await api.get("/v1/events"))["data"]]
    received: list[tuple[dict[str, str], bytes]] = []
    secret, forward_event = new_secret(), tail._forward

    async def interrupted(session: Any, forward: str, secret: str, event: Any) -> None:
        if event["id"] == expected[2] and not resumed:
            raise Refused
        await forward_event(session, forward, secret, event)

    monkeypatch.setattr(tail, "_forward", interrupted)
    async with served(api.app) as url, receiver(received) as forward:
        for resumed, most in ((False, None), (True, 1), (True, len(expected) - 3)):
            options = FeedOptions(url, api.key, "earliest", None, most, "mine")
            with nullcontext() if resumed else pytest.raises(Refused):
                await tail._follow(options, forward, secret)
    assert [headers["webhook-id"] for headers, _ in received] == expected, "each once, in order"
    assert (await api.get("/v1/consumers/mine"))["lag"] == 0


async def test_each_parameter_that_is_refused_is_named_with_what_is_wrong(api: Api) -> None:
    async with served(api.app) as url:
        with pytest.raises(CannotStart) as told:
            await tail._follow(FeedOptions(url, api.key, types="lead.nonsense,polici.*"), None, "")
    assert "422 request_invalid: types: there is no event type lead.nonsense" in str(told.value)


def test_of_a_refused_request_every_member_is_printed_with_what_is_wrong() -> None:
    faults = [{"field": "name", "detail": "too long"}, {"field": "types.1", "detail": "no such type"}]
    problem = {"code": "request_invalid", "detail": "Not valid: name, types.1. See `errors`.", "errors": faults}
    assert refusal(422, problem) == "422 request_invalid: name: too long; types.1: no such type"
    assert refusal(409, {"code": "in_use", "detail": "It is in use.", "errors": []}) == "409 in_use: It is in use."


@pytest.mark.parametrize(("consumer", "status"), [("Not a name", "422 request_invalid"), ("mine", "409 filters_fixed")])
async def test_a_consumer_that_cannot_be_used_ends_with_the_problem(api: Api, consumer: str, status: str) -> None:
    assert (await api.call("PUT", "/v1/consumers/mine", {"types": ["lead.*"]})).status_code == 201
    async with served(api.app) as url:
        with pytest.raises(CannotStart, match=status):
            await tail._follow(FeedOptions(url, api.key, consumer=consumer), None, "")


@pytest.mark.parametrize("secret", ["", "secret", "whsec_x", "whsec_" + "A" * 8])
def test_a_secret_that_cannot_sign_is_refused_at_once(secret: str) -> None:
    with pytest.raises(CannotStart, match="--secret cannot be used"):
        tail.tail(FeedOptions("http://127.0.0.1:1", "btn_any"), "http://127.0.0.1:1", secret)


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_the_command_without_an_error(api: Api, sent: signal.Signals) -> None:
    await api.mql()
    await create_partitions(api.app.state.engine)
    await sequence(api.app.state.engine)
    async with served(api.app) as url:
        # A shell that starts the tests in the background has SIGINT ignored in all processes below it.
        heeding = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
        command = ("-c", f"{heeding}; from app.commands.cli import main; main()")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, *command, "tail", "--url", url, "--after", "earliest", "--types", "lead.*"),
            env={**os.environ, "KEY": api.key},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert orjson.loads(await process.stdout.readline())["type"].startswith("lead.")
        process.send_signal(sent)
        _, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b"")


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
