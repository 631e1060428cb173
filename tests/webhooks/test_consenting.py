"""A subscription with `filter.consent` hears only of leads that have agreed when something is sent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.policy.document import Policy
from app.policy.shipped import shipped
from app.settings import Settings
from tests.api import Api, running
from tests.merging.steps import merged
from tests.waiting import until
from tests.webhooks.conftest import Inbox, inbox
from tests.webhooks.test_included import key_with

PATH = "/v1/subscriptions"
MARKETING, PHONE = "email_marketing", "phone"
NAMED = ("lead.updated", "lead.activity")


@pytest.fixture
async def delivering(settings: Settings) -> AsyncIterator[Api]:
    async with running(settings, roles=("dispatch",)) as found:
        yield found


async def subscribe(api: Api, url: str, *purposes: str, **more: Any) -> str:
    body = {"url": url, "types": ["lead.*"], "filter": {"consent": list(purposes)}, "start": "earliest", **more}
    return str((await api.post(PATH, body))["id"])


async def say(api: Api, lead: dict[str, Any], purpose: str, state: str) -> None:
    body = {"consents": [{"purpose": purpose, "state": state}]}
    assert (await api.call("PUT", f"/v1/leads/{lead['id']}/consents", body)).status_code == 200


async def call(api: Api, lead: dict[str, Any]) -> None:
    assert (await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"company": "Later"}})).status_code == 200


async def read_to_the_end(api: Api) -> None:
    """Until each lane has settled the whole log."""
    query = "SELECT bool_and(l.position >= (SELECT max(position) FROM event_log)) FROM lanes l"

    async def is_read() -> bool:
        async with api.app.state.engine.connect() as tx:
            pending = await tx.run(query, tx.driver.fetchval(f"SELECT NOT EXISTS (SELECT FROM pending) AND ({query})"))
            return bool(pending)

    await until(is_read)


def told(box: Inbox) -> list[tuple[str, str]]:
    return [(got.lead, got.event["type"]) for got in box.ok]


async def test_only_leads_that_have_given_one_of_the_purposes_are_told_of(delivering: Api) -> None:
    api = delivering
    leads = {state: await api.lead() for state in ("given", "refused", "withdrawn", "unknown", "nothing", "other")}
    for state, lead in leads.items():
        if state != "nothing":
            await say(api, lead, *((PHONE, "given") if state == "other" else (MARKETING, state)))
        await call(api, lead)
    async with inbox() as one, inbox() as either:
        await subscribe(api, one.url, MARKETING)
        await subscribe(api, either.url, MARKETING, PHONE)
        await read_to_the_end(api)
    updated = [{lead for lead, kind in told(box) if kind == "lead.updated"} for box in (one, either)]
    assert updated == [{leads["given"]["id"]}, {leads["given"]["id"], leads["other"]["id"]}]
    changed = {lead for lead, kind in told(one) if kind == "lead.consent_changed"}
    assert changed == {leads[state]["id"] for state in ("given", "refused", "withdrawn", "unknown")}
    async with api.app.state.engine.connect() as tx:
        assert await tx.driver.fetchval("SELECT count(*) FROM attempts WHERE error_kind IS NOT NULL") == 0


async def test_who_withdraws_is_told_of_no_more_but_that_they_withdrew_and_nothing_of_them(delivering: Api) -> None:
    api = delivering
    lead = await api.lead(email="ana@nordsoft.example")
    await say(api, lead, MARKETING, "given")
    async with inbox() as box:
        await subscribe(api, box.url, MARKETING, include=["lead"])
        await call(api, lead)
        await box.until(lambda box: (lead["id"], "lead.updated") in told(box))
        before = len(box.ok)
        await say(api, lead, MARKETING, "withdrawn")
        await call(api, lead)
        await api.add_activity(lead, "demo_request")
        await read_to_the_end(api)
    assert [got.event["type"] for got in box.ok[before:]] == ["lead.consent_changed"]
    assert set(box.ok[before].event["data"]) == {"lead_id", "consents"}
    assert b"ana@nordsoft.example" not in box.ok[before].body
    assert b"ana@nordsoft.example" in box.ok[before - 1].body


async def test_what_waits_for_a_retry_is_never_sent_once_the_consent_is_withdrawn(delivering: Api) -> None:
    api, refuse = delivering, [True]
    lead, other = await api.lead(), await api.lead()
    for one in (lead, other):
        await say(api, one, MARKETING, "given")
    async with inbox(lambda got: 500 if refuse and got.event["type"] == "lead.updated" else 204) as box:
        await subscribe(api, box.url, MARKETING, limits={"retry_schedule": [0.0] + [0.5] * 19})
        for one in (lead, other):
            await call(api, one)
        await box.until(lambda box: {got.lead for got in box.got if got not in box.ok} >= {lead["id"], other["id"]})
        await say(api, lead, MARKETING, "withdrawn")
        refuse.clear()
        await box.until(lambda box: (other["id"], "lead.updated") in told(box))
        await box.until(lambda box: told(box).count((lead["id"], "lead.consent_changed")) == 2)
        await read_to_the_end(api)
    assert (lead["id"], "lead.updated") not in told(box)


async def test_of_a_merged_lead_the_consent_of_the_one_that_remained_counts(delivering: Api) -> None:
    api = delivering
    gone, kept = await api.lead(), await api.lead()
    await say(api, gone, MARKETING, "given")
    await call(api, gone)
    await merged(api, gone, kept)
    await say(api, kept, MARKETING, "withdrawn")
    async with inbox() as box:
        await subscribe(api, box.url, MARKETING)
        await read_to_the_end(api)
    assert {kind for _, kind in told(box)} == {"lead.consent_changed"}


async def test_events_of_no_lead_are_not_sent_to_who_hears_of_leads_that_agree(delivering: Api) -> None:
    api = delivering
    lead = await api.lead()
    await say(api, lead, MARKETING, "given")
    await api.publish(shipped("pipeline"))
    async with inbox() as all_of_them, inbox() as box:
        await subscribe(api, box.url, MARKETING, types=["*"])
        await api.post(PATH, {"url": all_of_them.url, "types": ["*"], "start": "earliest"})
        await read_to_the_end(api)
    assert {lead for lead, _ in told(box)} == {lead["id"]}
    assert {lead for lead, _ in told(all_of_them)} > {lead["id"]}


@pytest.mark.parametrize("consent", [[], ["E-Mail"], [""], [1], [True], [None], ["x" * 61], ["phone", "no no"]])
async def test_a_filter_by_what_is_no_purpose_is_refused(api: Api, consent: list[Any]) -> None:
    url = "http://127.0.0.1:9/hook"
    refused = await api.call("POST", PATH, {"url": url, "filter": {"consent": consent}})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "filter")
    await say(api, await api.lead(), "x" * 60, "refused")
    made = await api.post(PATH, {"url": url, "filter": {"consent": ["x" * 60]}})
    refused = await api.call("PATCH", f"{PATH}/{made['id']}", {"filter": {"consent": consent}})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "filter")
    assert (await api.get(f"{PATH}/{made['id']}"))["filter"] == {"consent": ["x" * 60]}


async def test_a_purpose_that_nothing_of_the_tenant_names_is_refused_with_the_nearest_one(api: Api) -> None:
    async def asked(purpose: str) -> httpx.Response:
        return await api.call("POST", f"{PATH}/preview", {"filter": {"consent": [purpose]}})

    told = (await asked("email_marketting")).json()["errors"]
    assert [(one["field"], one["code"]) for one in told] == [("filter.consent.0", "unknown_purpose")]
    assert told[0]["detail"].endswith("did you mean `email_marketing`?")
    for purpose in ("sms", "letters", "calls", "visits"):
        assert (await asked(purpose)).json()["errors"][0]["code"] == "unknown_purpose"
    await say(api, await api.lead(), "sms", "given")
    form = {"name": "a", "preset": "generic", "overrides": {"consent": [{"purpose": "letters", "expr": "body.ok"}]}}
    await api.post("/v1/sources", form)
    asks = {"double_opt_in": {"purposes": ["calls"]}}
    await api.post("/v1/sources", {"name": "b", "preset": "generic", "defaults": asks})
    document = shipped("waterfall").model_dump(mode="json", by_alias=True, exclude_none=True)
    document["conditions"]["visited"] = {"consent": {"purpose": "visits", "state": ["given"]}}
    await api.publish(Policy.model_validate_json(json.dumps(document)))
    for purpose in ("sms", "letters", "calls", "visits"):
        assert (await asked(purpose)).status_code == 200, purpose


async def test_who_may_not_read_leads_cannot_learn_from_a_filter_who_agreed(api: Api) -> None:
    url, by_consent = "http://127.0.0.1:9/hook", {"filter": {"consent": [MARKETING]}}
    made, key = await api.post(PATH, {"url": url, **by_consent}), await key_with(api, "subscriptions")
    for method, path, body in (
        ("POST", PATH, {"url": url, **by_consent}),
        ("POST", f"{PATH}/preview", by_consent),
        ("PATCH", f"{PATH}/{made['id']}", {"url": f"{url}/2"}),
    ):
        answer = await api.call(method, path, body, key=key)
        assert (answer.status_code, answer.json()["scope"]) == (403, "leads:read"), (method, path)
    assert (await api.call("PATCH", f"{PATH}/{made['id']}", {"filter": {}}, key=key)).status_code == 200


async def test_a_filter_by_consent_skips_what_waits_of_leads_that_have_not_agreed(delivering: Api) -> None:
    api = delivering
    lead, other = await api.lead(), await api.lead()
    await say(api, lead, MARKETING, "given")
    async with inbox(lambda got: 500 if got.event["type"] == "lead.updated" else 204) as box:
        later = {"retry_schedule": [0.0, 80_000.0, 80_000.0]}
        subscription = await api.post(PATH, {"url": box.url, "types": ["lead.*"], "limits": later})
        path = f"{PATH}/{subscription['id']}"

        async def waiting() -> list[dict[str, Any]]:
            return list((await api.get(f"{path}/deliveries", params={"state": "retry"}))["data"])

        async def are_waiting(count: int) -> bool:
            return len(await waiting()) == count

        for one in (lead, other):
            await call(api, one)
        await until(lambda: are_waiting(2))
        await api.call("PATCH", path, {"filter": {"consent": [MARKETING]}})
        await until(lambda: are_waiting(1))
        assert [one["lead_id"] for one in await waiting()] == [lead["id"]]
