"""The formats of a subscription over HTTP: what is delivered, retried, replayed and sent as a ping in each of them."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import orjson
import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http_event

from tests.api import Api
from tests.webhooks.conftest import RETRIES, Got, inbox, verifies

PATH = "/v1/subscriptions"
FORMATS = ["standard", "cloudevents_structured", "cloudevents_binary"]
CLOUDEVENTS = FORMATS[1:]
TYPES = {
    "standard": "application/json",
    "cloudevents_structured": "application/cloudevents+json",
    "cloudevents_binary": "application/json",
}


async def created(api: Api, url: str, **members: Any) -> dict[str, Any]:
    return dict(await api.post(PATH, {"url": url, "limits": {"retry_schedule": RETRIES}, "ed25519": True, **members}))


def keys(made: dict[str, Any]) -> list[str]:
    return [made["secret"], made["signing_keys"][1]["public_key"]]


def checked(got: Got, made: dict[str, Any]) -> Got:
    """The request, whose headers are those of its format, and which both keys verify."""
    assert got.headers["content-type"] == TYPES[made["format"]]
    digest = base64.b64encode(hashlib.sha256(got.body).digest()).decode()
    assert got.headers["content-digest"] == f"sha-256=:{digest}:"
    assert [verifies(key, got) for key in keys(made)] == [True, True]
    assert ("ce-id" in got.headers) is (made["format"] == "cloudevents_binary")
    return got


def read(got: Got) -> Any:
    """The event as the CloudEvents SDK reads the request."""
    return from_http_event(HTTPMessage(got.headers, got.body))


@pytest.mark.parametrize("format_", FORMATS)
async def test_a_preview_has_what_is_sent(delivering: Api, format_: str) -> None:
    api, wanted = delivering, {"types": ["lead.captured"], "include": ["lead"], "format": format_}
    async with inbox() as box:
        await created(api, box.url, **wanted)
        await api.lead()
        await box.until_received(1)
    [sample] = (await api.post(f"{PATH}/preview", wanted, status=200))["samples"]
    got = box.got[0]
    if format_ == "cloudevents_binary":
        assert sample["headers"].items() <= got.headers.items()
        assert {name for name in got.headers if name.startswith("ce-")} <= set(sample["headers"])
        sample = sample["body"]
    assert sample == orjson.loads(got.body)


@pytest.mark.parametrize("format_", FORMATS)
async def test_deliveries_retries_and_replays_have_the_same_bytes_and_verify(delivering: Api, format_: str) -> None:
    api, refusing = delivering, [True]
    async with inbox(lambda _: 404 if refusing else 204) as box:
        made = await created(api, box.url, format=format_, types=["lead.captured"])
        assert made["format"] == format_
        lead = await api.lead()
        await box.until(lambda box: len(box.got) > 1)
        refusing.clear()
        await box.until_received(1)
        await api.post(f"{PATH}/{made['id']}/replays", {"from": "earliest"})
        await box.until(lambda box: "webhook-replay" in box.got[-1].headers)
        assert {got.id for got in box.got} == {box.got[0].id}
        assert box.one_body_for_each_id()
    [event] = (await api.get("/v1/events?types=lead.captured"))["data"]
    for got in box.got:
        checked(got, made)
        assert got.id == event["id"]
        if format_ == "standard":
            assert got.event == event
            continue
        found = read(got)
        assert found.get_id() == got.id
        assert (found.get_type(), found.get_subject(), found.get_data()) == ("lead.captured", lead["id"], event["data"])
        assert found.get_source().startswith("urn:baton:tenant:ten_")
        assert int(found.get_extension("sequence")) == int(event["meta"]["position"])
        assert found.get_extension("partitionkey") == lead["id"]
        assert str(found.get_extension("leadversion")) == str(event["meta"]["lead_version"])
        assert found.get_extension("transactionid") == event["meta"]["transaction"]["id"]
        assert found.get_dataschema() == f"urn:baton:event:lead.captured:{event['meta']['schema_version']}"


@pytest.mark.parametrize("format_", CLOUDEVENTS)
async def test_a_ping_is_a_cloudevent_without_a_sequence(api: Api, format_: str) -> None:
    async with inbox() as box:
        made = await created(api, box.url, format=format_)
        assert (await api.post(f"{PATH}/{made['id']}/ping", None, status=200))["delivered"]
    found = read(checked(box.got[0], made))
    assert (found.get_id(), found.get_type(), found.get_data()) == (box.got[0].id, "subscription.ping", {})
    assert [found.get_extension(name) for name in ("sequence", "partitionkey")] == [None, None]


@pytest.mark.parametrize("format_", CLOUDEVENTS)
@pytest.mark.parametrize("thin", [False, True])
async def test_a_large_or_thin_event_has_its_ids_and_the_url_of_the_whole(
    delivering: Api, format_: str, thin: bool
) -> None:
    api = delivering
    more = {"mode": "thin"} if thin else {"include": ["lead"]}
    async with inbox() as box:
        made = await created(api, box.url, format=format_, types=["lead.captured"], **more)
        fields = {"email": "large@b.example", "message": "x" * 9_900}
        lead = await api.post("/v1/leads", {"fields": fields, "custom": {} if thin else {"more": "y" * 20_000}})
        await box.until_received(1)
    found = read(checked(box.ok[0], made))
    assert len(box.ok[0].body) < 1000
    assert str(found.get_extension("truncated")).lower() == "true"
    assert found.get_data()["lead_id"] == lead["id"]
    whole = await api.get(found.get_extension("url"))
    assert whole["id"] == found.get_id()
    assert ("lead" in whole["data"]) is not thin


async def test_the_format_can_be_changed_and_each_has_its_own_bytes_for_an_event(delivering: Api) -> None:
    api = delivering
    async with inbox() as box:
        made = await created(api, box.url, types=["lead.captured"])
        assert made["format"] == "standard"
        await api.lead()
        await box.until_received(1)
        changed = await api.call("PATCH", f"{PATH}/{made['id']}", {"format": "cloudevents_structured"})
        assert (changed.status_code, changed.json()["format"]) == (200, "cloudevents_structured")
        await api.post(f"{PATH}/{made['id']}/replays", {"from": "earliest"})
        await box.until(lambda box: len(box.got) == 2)
    before, after = box.got
    assert before.id == after.id
    assert (before.event["type"], after.event["type"]) == ("lead.captured", "lead.captured")
    assert orjson.loads(after.body)["specversion"] == "1.0"


@pytest.mark.parametrize("format_", ["xml", "cloudevents", "Standard", "", None, 1, ["standard"]])
async def test_an_unknown_format_is_refused(api: Api, format_: Any) -> None:
    answer = await api.call("POST", PATH, {"url": "http://127.0.0.1:9/hook", "format": format_})
    assert answer.status_code == 422
    assert [(error["field"], error["code"]) for error in answer.json()["errors"]] == [("format", "unknown_value")]


@pytest.mark.parametrize("name", ["ce-id", "CE-Type", "ce-anything", "Content-Digest"])
async def test_headers_that_a_format_sets_cannot_be_a_subscriptions_own(api: Api, name: str) -> None:
    answer = await api.call("POST", PATH, {"url": "http://127.0.0.1:9/hook", "headers": {name: "x"}})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "header_reserved")
