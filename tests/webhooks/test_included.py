"""A subscription with `include: ["lead"]`: each event has one body, whenever and however it is delivered."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from app.settings import Settings
from app.tenants.create import create_key
from tests.api import Api, running
from tests.webhooks.conftest import RETRIES, inbox

PATH = "/v1/subscriptions"
URL = "http://127.0.0.1:9/hook"
INCLUDE = {"types": ["lead.*", "opportunity.*"], "include": ["lead"], "limits": {"retry_schedule": RETRIES}}


@pytest.fixture
async def delivering(settings: Settings) -> AsyncIterator[Api]:
    """The application with its dispatcher."""
    async with running(settings, roles=("dispatch",)) as found:
        yield found


async def key_with(api: Api, *scopes: str) -> str:
    async with api.app.state.engine.begin() as tx:
        return str((await create_key(tx, api.tenant_id, "limited", scopes, api.now)).secret)


async def test_an_event_has_the_same_body_at_once_late_on_a_retry_from_the_start_and_in_the_feed(
    delivering: Api,
) -> None:
    api, refuse = delivering, [True]
    seen: dict[str, set[bytes]] = defaultdict(set)
    async with (
        inbox() as at_once,
        inbox(lambda _: 500 if refuse else 204) as retried,
        inbox() as late,
        inbox() as from_the_start,
    ):
        secrets = [(await api.post(PATH, {"url": box.url, **INCLUDE}))["secret"] for box in (at_once, retried)]
        paused = await api.post(PATH, {"url": late.url, **INCLUDE})
        await api.post(f"{PATH}/{paused['id']}/pause", None, status=200)
        lead = await api.mql(email="anna@nordsoft.example")
        await at_once.until(lambda box: any(got.event["data"].get("to") == "mql" for got in box.ok))
        await retried.until(lambda box: box.got[-1].attempt > 1 if box.got else False)
        answer = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"email": "ada@other.example"}})
        assert answer.status_code == 200
        await api.ask(lead, "accept", await api.user("sdr"))
        ae, bant = await api.user("ae"), {name: {"status": "confirmed"} for name in ("need", "budget", "timing")}
        await api.ask(lead, "confirm", ae, bant=bant)
        await api.post(f"/v1/leads/{lead['id']}/conversion", {}, actor=ae, headers={"Idempotency-Key": "k"})
        await at_once.until(lambda box: any(got.event["type"] == "opportunity.stage_changed" for got in box.ok))
        refuse.clear()
        await api.post(f"{PATH}/{paused['id']}/resume", None, status=200)
        await api.post(PATH, {"url": from_the_start.url, "start": "earliest", **INCLUDE})
        count = len({got.id for got in at_once.ok})
        assert count > 8
        for box in (retried, late, from_the_start):
            await box.until_received(count)
        for box in (at_once, retried, late, from_the_start):
            assert box.in_order()
            for got in box.got:
                seen[got.id].add(got.body)
        assert at_once.all_verify(*secrets)
        assert retried.all_verify(*secrets)
    page = await api.get("/v1/events", params={"include": "lead"})
    for event in page["data"]:
        if event["id"] in seen:
            alone = await api.call("GET", f"/v1/events/{event['id']}", params={"include": "lead"})
            seen[event["id"]].add(alone.content)
            assert orjson.loads(alone.content) == event
    assert len(seen) == count
    assert all(len(bodies) == 1 for bodies in seen.values()), "an event has several bodies"
    emails = [event["data"]["lead"]["fields"]["email"] for event in page["data"] if event["id"] in seen]
    assert set(emails) == {"anna@nordsoft.example", "ada@other.example"}
    assert emails == sorted(emails, reverse=True), "the old address stands in the events before the change"


async def test_without_include_no_event_has_a_value_of_a_field(delivering: Api) -> None:
    api = delivering
    async with inbox() as box:
        made = await api.post(PATH, {"url": box.url, "types": ["lead.*"]})
        assert made["include"] == []
        lead = await api.mql(email="anna@nordsoft.example", company="Nordsoft", phone="+40 21 555 0100")
        await api.call(
            "PATCH", f"/v1/leads/{lead['id']}", {"fields": {"company": "Sudsoft"}, "custom": {"seats": "a dozen"}}
        )
        await box.until(lambda box: any(got.event["type"] == "lead.updated" for got in box.ok))
    [updated] = [got.event["data"] for got in box.got if got.event["type"] == "lead.updated"]
    assert updated == {"lead_id": lead["id"], "changed": ["company", "custom.seats"]}
    for value in (b"anna@", b"Nordsoft", b"Sudsoft", b"+40215550100", b"a dozen"):
        assert all(value not in got.body for got in box.got)


async def test_include_can_be_added_and_taken_away(delivering: Api) -> None:
    api = delivering
    async with inbox() as box:
        path = f"{PATH}/{(await api.post(PATH, {'url': box.url, 'types': ['lead.captured']}))['id']}"
        for include, has_lead in (([], False), (["lead"], True), ([], False)):
            changed = await api.call("PATCH", path, {"include": include})
            assert changed.json()["include"] == include
            lead, before = await api.lead(), len(box.ok)
            await box.until(lambda box, n=before: len(box.ok) > n)  # type: ignore[misc]
            assert box.ok[-1].lead == lead["id"]
            assert ("lead" in box.ok[-1].event["data"]) == has_lead


@pytest.mark.parametrize("include", ["lead", ["account"], ["lead", "lead"], [None], {"lead": True}, 1])
async def test_an_unknown_include_is_422_and_names_the_field(api: Api, include: Any) -> None:
    answer = await api.call("POST", PATH, {"url": URL, "include": include})
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"].startswith("include")


async def test_a_thin_subscription_cannot_include_a_lead(api: Api) -> None:
    made = await api.post(PATH, {"url": URL, "mode": "thin", "include": []})
    answers = [
        await api.call("POST", PATH, {"url": URL, "mode": "thin", "include": ["lead"]}),
        await api.call("PATCH", f"{PATH}/{made['id']}", {"include": ["lead"]}),
    ]
    for answer in answers:
        assert answer.status_code == 422
        [error] = answer.json()["errors"]
        assert (error["field"], error["code"]) == ("include", "include_needs_full")
        assert "`mode` to `full`" in error["detail"]


async def test_only_who_may_read_leads_may_have_them_sent(api: Api) -> None:
    key = await key_with(api, "subscriptions", "events:read")
    made = await api.post(PATH, {"url": URL, "include": ["lead"]})
    plain = await api.post(PATH, {"url": URL}, key=key)
    event = "evt_01kj7jrys5fgynx40zc4zks2gf"
    for method, path, body in (
        ("POST", PATH, {"url": URL, "include": ["lead"]}),
        ("PATCH", f"{PATH}/{plain['id']}", {"include": ["lead"]}),
        ("PATCH", f"{PATH}/{made['id']}", {"url": "http://127.0.0.1:10/elsewhere"}),
        ("GET", "/v1/events?include=lead", None),
        ("GET", f"/v1/events/{event}?include=lead", None),
    ):
        answer = await api.call(method, path, body, key=key)
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing"), (method, path)
        assert answer.json()["scope"] == "leads:read"
    assert (await api.get(f"{PATH}/{made['id']}"))["url"] == URL
    taken_away = await api.call("PATCH", f"{PATH}/{made['id']}", {"include": []}, key=key)
    assert taken_away.status_code == 200, "to send less needs no further scope"
    both = await key_with(api, "subscriptions", "leads:read")
    assert (await api.call("POST", PATH, {"url": URL, "include": ["lead"]}, key=both)).status_code == 201


async def test_a_large_lead_is_left_out_and_the_url_returns_the_event_with_it(delivering: Api) -> None:
    api, message = delivering, "x" * 9_900
    async with inbox() as box:
        await api.post(PATH, {"url": box.url, "types": ["lead.captured"], "include": ["lead"]})
        body = {"fields": {"email": "a@b.example", "message": message}, "custom": {"more": message, "again": message}}
        lead = await api.post("/v1/leads", body)
        await box.until_received(1)
    [got] = box.got
    assert len(got.body) < 1_000
    assert got.event["data"] == {"lead_id": lead["id"]}
    assert got.event["truncated"] is True
    assert got.event["url"] == f"/v1/events/{got.id}?include=lead"
    whole = await api.get(got.event["url"])
    assert whole["data"]["lead"] == lead
