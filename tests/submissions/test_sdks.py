"""The SDKs of Segment and RudderStack, pointed at the ingest address of a source: what they send is in Baton once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

import pytest
import uvicorn
from rudderstack.analytics import Client as RudderStackClient
from segment.analytics import Client as SegmentClient
from starlette.types import ASGIApp, Receive, Scope, Send

from tests.api import Api
from tests.submissions.sender import Sender, make_sender, process


class Client(Protocol):
    """The client of an SDK; those of both have the same methods."""

    def identify(self, user_id: str | None = None, traits: Any = None, *, anonymous_id: str | None = None) -> Any: ...
    def track(
        self, user_id: str | None = None, event: str = "", properties: Any = None, *, anonymous_id: str | None = None
    ) -> Any: ...
    def page(self, user_id: str, category: str, name: str) -> Any: ...
    def shutdown(self) -> None: ...


SDKS: list[tuple[str, Callable[..., Client]]] = [("segment", SegmentClient), ("rudderstack", RudderStackClient)]
with_each_sdk = pytest.mark.parametrize(("preset", "sdk"), SDKS, ids=["segment", "rudderstack"])
KEY = "the-write-key"
TRAITS = {"email": "ana@nordsoft.example", "name": "Ana Țepeș", "company": {"name": "Nordsoft"}, "plan": "pro"}


class Lossy:
    """A proxy in front of the application that loses the answers to the first requests, after the service took them."""

    def __init__(self, app: ASGIApp, losses: int) -> None:
        self.app, self.losses, self.taken = app, losses, 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.taken += 1
        if self.taken > self.losses:
            await self.app(scope, receive, send)
            return

        async def lost(message: Any) -> None:
            return None

        await self.app(scope, receive, lost)
        await send({"type": "http.response.start", "status": 502, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def served(api: Api, sender: Sender, losses: int = 0) -> AsyncIterator[tuple[str, Lossy]]:
    """The ingest address of a source on a real socket."""
    proxy = Lossy(api.app, losses)
    server = uvicorn.Server(uvicorn.Config(proxy, port=0, lifespan="off", log_config=None))
    task = asyncio.create_task(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    yield f"http://127.0.0.1:{port}{sender.path}", proxy
    server.should_exit = True
    await task


async def send(sdk: Callable[..., Client], host: str, calls: Callable[[Client], Any], **options: Any) -> list[Any]:
    """Makes the calls by a client of the SDK and flushes it; the errors that it reports."""
    errors: list[Any] = []

    def run() -> None:
        client = sdk(KEY, host=host, on_error=lambda error, _: errors.append(error), **options)
        calls(client)
        client.shutdown()

    logging.getLogger("backoff").setLevel(logging.ERROR)
    await asyncio.to_thread(run)
    return errors


async def people(api: Api) -> list[tuple[dict[str, Any], list[str]]]:
    """Each lead with the types of its activities, the oldest first."""
    found = []
    for lead in (await api.get("/v1/leads"))["data"]:
        activities = (await api.get(f"/v1/leads/{lead['id']}/activities"))["data"]
        found.append((lead, sorted(one["type"] for one in activities)))
    return found


def identify_and_track(client: Client) -> None:
    client.identify("u-1", dict(TRAITS))
    client.track("u-1", "Demo Requested!", {"seats": 5})


@with_each_sdk
@pytest.mark.parametrize("gzip", [False, True])
async def test_identify_makes_a_lead_and_track_its_activity(
    api: Api, preset: str, sdk: Callable[..., Client], gzip: bool
) -> None:
    sender = await make_sender(api, preset, secrets={})
    async with served(api, sender) as (host, _):
        assert await send(sdk, host, identify_and_track, gzip=gzip) == []
    await process(api)
    ((lead, types),) = await people(api)
    assert types == ["demo_requested", "identify"]
    assert (lead["fields"]["email"], lead["fields"]["full_name"]) == (TRAITS["email"], TRAITS["name"])
    assert (lead["fields"]["company"], lead["custom"], lead["channel"]) == ("Nordsoft", {"plan": "pro"}, "api")
    identities = {(one["namespace"], one["value"]) for one in lead["identities"] if one["kind"] == "external"}
    assert identities == {(f"{preset}:userId", "u-1")}
    listed = (await api.get(f"/v1/leads/{lead['id']}/activities"))["data"]
    (tracked,) = (one for one in listed if one["type"] == "demo_requested")
    assert tracked["properties"]["seats"] == 5


@with_each_sdk
async def test_a_batch_of_many_people_is_recorded_once(api: Api, preset: str, sdk: Callable[..., Client]) -> None:
    def batch(client: Client) -> None:
        for n in range(30):
            client.identify(f"u-{n}", {"email": f"p{n}@nordsoft.example"})
            client.track(f"u-{n}", "Webinar")
            client.page(f"u-{n}", "Docs", "Home")
            client.identify(anonymous_id=f"a-{n}", traits={"plan": "free"})
            client.track(anonymous_id=f"a-{n}", event="Page Viewed")

    sender = await make_sender(api, preset, secrets={})
    async with served(api, sender) as (host, proxy):
        assert await send(sdk, host, batch) == []
    assert proxy.taken < 30, "several events in a request"
    await process(api)
    found = await people(api)
    assert len(found) == 30
    assert {tuple(types) for _, types in found} == {("identify", "webinar")}


@with_each_sdk
async def test_a_retry_of_what_was_taken_is_recorded_once(api: Api, preset: str, sdk: Callable[..., Client]) -> None:
    sender = await make_sender(api, preset, secrets={})
    async with served(api, sender, losses=1) as (host, proxy):
        assert await send(sdk, host, identify_and_track) == []
    assert proxy.taken >= 2
    await process(api)
    ((_, types),) = await people(api)
    assert types == ["demo_requested", "identify"]
    listed = (await api.get("/v1/submissions"))["data"]
    verdicts = sorted(item["verdict"] for one in listed for item in one["items"])
    assert verdicts == ["activity", "duplicate", "duplicate", "lead"]


@with_each_sdk
async def test_a_write_key_is_checked_once_it_is_set(api: Api, preset: str, sdk: Callable[..., Client]) -> None:
    for secret, is_taken in ((f"{KEY}:", True), ("another:", False)):
        sender = await make_sender(api, preset, secrets={"basic": secret})
        async with served(api, sender) as (host, _):
            errors = await send(sdk, host, identify_and_track, max_retries=0)
        assert (errors == []) is is_taken
        listed = await api.get("/v1/submissions", params={"source_id": sender.source["id"]})
        assert bool(listed["data"]) is is_taken


BODIES: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/identify", {"userId": "u-1", "traits": {"email": "ana@nordsoft.example"}, "messageId": "m-1"}, "lead"),
    ("/v1/i", {"type": "identify", "userId": "u-1", "traits": {"email": "a@b.example"}, "messageId": "m-1"}, "lead"),
    ("/v1/track", {"userId": "u-1", "event": "Demo", "messageId": "m-1"}, "activity"),
    ("/v1/track", {"context": {"traits": {"email": "a@b.example"}}, "event": "1", "messageId": "m-1"}, "activity"),
    ("/v1/track", {"anonymousId": "a-1", "event": "Demo", "messageId": "m-1"}, "ignore"),
    ("/v1/identify", {"anonymousId": "a-1", "traits": {"plan": "free"}, "messageId": "m-1"}, "ignore"),
    ("/v1/page", {"userId": "u-1", "name": "Home", "messageId": "m-1"}, "ignore"),
    ("/v1/group", {"type": "group", "userId": "u-1", "traits": {"name": "Nordsoft"}, "messageId": "m-1"}, "ignore"),
]


@pytest.mark.parametrize(("path", "body", "verdict"), BODIES)
async def test_a_single_event_is_told_by_its_members(api: Api, path: str, body: dict[str, Any], verdict: str) -> None:
    sender = await make_sender(api, "segment", secrets={})
    answer = await api.client.post(sender.path + path, json=body)
    assert answer.status_code == 202, answer.text
    await process(api)
    (item,) = (await sender.submission(answer.json()["submission"]["id"]))["items"]
    assert (item["verdict"], item["submission_key"]) == (verdict, "m-1")


@pytest.mark.parametrize(
    ("event", "expected"),
    [("Order Completed", "order_completed"), ("sign-up: v2", "sign_up_v2"), ("Înscriere", "inscriere")]
    + [(text, "track") for text in ("", "2", "заказ", "!")],
)
async def test_the_name_of_an_event_becomes_a_type_of_activity(api: Api, event: str, expected: str) -> None:
    sender = await make_sender(api, "segment", secrets={})
    lead = {"type": "identify", "userId": "u-1", "traits": {"email": "a@b.example"}, "messageId": "m-1"}
    await sender.post_and_process({"batch": [lead, {"type": "track", "userId": "u-1", "event": event}]})
    ((_, types),) = await people(api)
    assert types == sorted(["identify", expected])
