"""The subscription endpoints of the whole service."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import text

from app import ids
from app.keyring import KeyRing
from app.policies.publish import publish
from app.policy.shipped import shipped
from app.settings import Settings
from app.web import auth
from app.web.application import create_app
from app.webhooks.schemas import Limits
from tests.events.conftest import new_client
from tests.events.published import faults_of
from tests.webhooks.conftest import World, inbox, verifies

PATH = "/v1/subscriptions"
URL = "http://127.0.0.1:9/hook"
UNKNOWN = ids.show("subscription", ids.new_id())


@pytest.fixture
async def app(settings: Settings) -> AsyncIterator[FastAPI]:
    auth.clear_cache()
    made = create_app(settings.model_copy(update={"roles": ("api", "dispatch")}))
    async with made.router.lifespan_context(made):
        yield made


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    made, tenant_id = await new_client(app, ("subscriptions", "events:read"))
    made.headers["x-tenant"] = str(tenant_id)
    async with app.state.engine.begin() as tx:
        await publish(tx, tenant_id, shipped("waterfall"), app.state.clock.now())
    async with made:
        yield made


async def created(client: httpx.AsyncClient, **body: Any) -> Any:
    answer = await client.post(PATH, json={"url": URL, **body})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_subscription_is_active_at_once_and_its_secret_is_shown_once(client: httpx.AsyncClient) -> None:
    answer = await client.post(
        PATH, json={"url": URL, "types": ["lead.*", "lead.converted"], "filter": {"to": ["mql"]}}
    )
    made = answer.json()
    assert answer.status_code == 201
    assert answer.headers["location"] == f"{PATH}/{made['id']}"
    assert made["secret"].startswith("whsec_")
    shown = await client.get(f"{PATH}/{made['id']}")
    expected = {name: value for name, value in made.items() if name not in ("secret", "warnings")}
    assert shown.json() == expected
    assert (made["state"], made["state_reason"], made["lag"], made["mode"]) == ("active", None, 0, "full")
    assert (made["types"], made["filter"]) == (["lead.*", "lead.converted"], {"to": ["mql"]})
    assert made["limits"] == {
        "concurrency": 8,
        "timeout_seconds": 15,
        "retry_schedule": None,
        "disable_after_days": 5,
    }
    assert shown.headers["etag"] == '"1"'
    assert (await client.get(PATH)).json()["data"] == [expected]


async def test_secret_and_headers_are_encrypted_in_the_database(client: httpx.AsyncClient, app: FastAPI) -> None:
    made = await created(client, headers={"Authorization": "Bearer very-private"})
    async with app.state.engine.connect() as tx:
        row = (await tx.execute(text("SELECT subscriptions::text AS whole FROM subscriptions"))).one()
    assert made["secret"].removeprefix("whsec_") not in row.whole
    assert "very-private" not in row.whole


async def test_a_patch_of_limits_changes_only_the_limits_that_it_names(client: httpx.AsyncClient) -> None:
    chosen = {"concurrency": 16, "timeout_seconds": 9, "retry_schedule": [1, 2], "disable_after_days": 3}
    path = f"{PATH}/{(await created(client, limits=chosen, lanes=12))['id']}"
    for change in ({}, {"timeout_seconds": 5}, {"disable_after_days": 7}, {"retry_schedule": None}):
        chosen |= change
        answer = await client.patch(path, json={"limits": change})
        assert (answer.status_code, answer.json()["limits"]) == (200, chosen)
    refused = await client.patch(path, json={"limits": {"concurrency": 11}})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "limits.concurrency")


async def test_a_patch_changes_only_given_members_and_respects_if_match(client: httpx.AsyncClient) -> None:
    made = await created(client, headers={"X-A": "1"})
    path = f"{PATH}/{made['id']}"
    changed = await client.patch(
        path, json={"types": ["lead.converted"], "limits": {"concurrency": 2}}, headers={"If-Match": '"1"'}
    )
    assert changed.status_code == 200
    assert (changed.json()["types"], changed.json()["limits"]["concurrency"]) == (["lead.converted"], 2)
    assert (changed.json()["url"], changed.headers["etag"]) == (URL, '"2"')
    for answer in (
        await client.patch(path, json={"types": ["*"]}, headers={"If-Match": '"1"'}),
        await client.post(f"{path}/pause", headers={"If-Match": '"1"'}),
        await client.post(f"{path}/secret", headers={"If-Match": '"1"'}),
        await client.delete(path, headers={"If-Match": '"1"'}),
    ):
        assert (answer.status_code, answer.json()["code"]) == (412, "version_conflict")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": "ftp://x.example/"}, "url"),
        ({"url": "http://10.0.0.1/"}, "url"),
        ({"url": "https://user:pass@127.0.0.1/"}, "url"),
        ({"url": URL, "nonsense": 1}, "nonsense"),
        ({"url": URL, "types": []}, "types"),
        ({"url": URL, "types": ["Lead"]}, "types"),
        ({"url": URL, "mode": "fat"}, "mode"),
        ({"url": URL, "headers": {"webhook-id": "x"}}, "headers"),
        ({"url": URL, "headers": {"Host": "x"}}, "headers"),
        ({"url": URL, "headers": {"X-A": "a\r\nb: c"}}, "headers"),
        ({"url": URL, "headers": {"X A": "a"}}, "headers"),
        ({"url": URL, "headers": {"X-A": "1", "x-a": "2"}}, "headers"),
        ({"url": URL, "limits": {"concurrency": 0}}, "limits.concurrency"),
        ({"url": URL, "limits": {"timeout_seconds": 21}}, "limits.timeout_seconds"),
        ({"url": URL, "limits": {"retry_schedule": [1] * 21}}, "limits.retry_schedule"),
        ({"url": URL, "filter": {"To": ["x"]}}, "filter"),
    ],
    ids=str,
)
async def test_an_invalid_body_is_422_and_names_the_field(client: httpx.AsyncClient, body: Any, field: str) -> None:
    answer = await client.post(PATH, json=body)
    assert answer.status_code == 422, answer.text
    assert answer.json()["errors"][0]["field"].startswith(field)
    assert (await client.get(PATH)).json()["data"] == []


async def test_an_invalid_start_is_422(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json={"url": URL, "start": "nowhere"})
    assert (answer.status_code, answer.json()["code"]) == (422, "cursor_invalid")
    assert [error["field"] for error in answer.json()["errors"]] == ["start"]


@pytest.mark.parametrize("at", ["", "later", "0", "-1", "1.5", "01", "٣", "9" * 19, " now", 5, None])
async def test_a_place_to_resume_at_that_is_none_is_refused_by_name(client: httpx.AsyncClient, at: Any) -> None:
    path = f"{PATH}/{(await created(client))['id']}"
    answer = await client.post(f"{path}/resume", json={"resume": at})
    assert answer.status_code == 422
    assert [each["field"] for each in answer.json()["errors"]] == ["resume"]


async def test_an_active_subscription_is_not_moved_and_one_cannot_resume_after_the_last_event(
    client: httpx.AsyncClient,
) -> None:
    path = f"{PATH}/{(await created(client))['id']}"
    assert (await client.post(f"{path}/resume", json={"resume": "now"})).json()["code"] == "state_conflict"
    assert (await client.post(f"{path}/resume", json={"resume": "cursor"})).status_code == 200
    await client.post(f"{path}/pause")
    answer = await client.post(f"{path}/resume", json={"resume": "9" * 18})
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "position_unknown")
    assert (await client.post(f"{path}/resume", json={"resume": "now"})).json()["state"] == "active"


@pytest.mark.parametrize(("days", "status"), [(0, 422), (1, 201), (30, 201), (31, 422)])
async def test_a_failing_subscription_is_disabled_after_1_to_30_days(
    client: httpx.AsyncClient, days: int, status: int
) -> None:
    answer = await client.post(PATH, json={"url": URL, "limits": {"disable_after_days": days}})
    assert answer.status_code == status


async def test_pause_resume_and_delete(client: httpx.AsyncClient) -> None:
    path = f"{PATH}/{(await created(client))['id']}"
    assert (await client.post(f"{path}/pause")).json()["state"] == "paused"
    assert (await client.post(f"{path}/pause")).json()["state"] == "paused"
    assert (await client.post(f"{path}/resume")).json()["state"] == "active"
    assert (await client.delete(path)).status_code == 204
    assert (await client.get(path)).status_code == 404
    assert (await client.delete(path)).status_code == 404


async def test_a_delete_is_refused_when_the_subscription_changes_at_the_same_time(
    client: httpx.AsyncClient, app: FastAPI
) -> None:
    path = f"{PATH}/{(await created(client))['id']}"
    async with app.state.engine.begin() as tx:
        await tx.execute(text("UPDATE subscriptions SET version = version + 1"))
        deleting = asyncio.create_task(client.delete(path, headers={"If-Match": '"1"'}))
        await asyncio.sleep(0.3)
    assert (await deleting).status_code == 412
    assert (await client.get(path)).status_code == 200
    async with app.state.engine.connect() as tx:
        assert (await tx.execute(text("SELECT count(*) FROM lanes"))).scalar_one() == 1


async def test_a_rotation_shows_a_new_secret_and_repeats_it_only_for_the_same_idempotency_key(
    client: httpx.AsyncClient,
) -> None:
    made = await created(client)
    path, key = f"{PATH}/{made['id']}/secret", {"Idempotency-Key": "rotate-1"}
    first = await client.post(path, headers=key)
    again = await client.post(path, headers=key)
    other = await client.post(path, json={"grace_seconds": 0})
    assert first.status_code == other.status_code == 200
    assert first.json()["secret"] == again.json()["secret"] != made["secret"]
    assert other.json()["secret"] != first.json()["secret"]
    assert (await client.post(path, json={"grace_seconds": 604_801})).status_code == 422


async def test_a_ping_is_sent_at_once_and_verifies(client: httpx.AsyncClient) -> None:
    async with inbox() as box:
        made = await created(client, url=box.url)
        answer = await client.post(f"{PATH}/{made['id']}/ping")
    assert answer.status_code == 200
    assert {"delivered": True, "code": 204, "error": None}.items() <= answer.json().items()
    [got] = box.got
    assert verifies(made["secret"], got)
    assert got.event["type"] == "subscription.ping"
    assert faults_of(got.event) == []
    assert got.event["data"] == {}
    assert got.event["meta"]["position"] is None
    assert (await client.get(f"{PATH}/{made['id']}/attempts")).json()["data"] == []


async def test_a_ping_without_a_response_returns_the_error(client: httpx.AsyncClient) -> None:
    made = await created(client)
    answer = await client.post(f"{PATH}/{made['id']}/ping")
    assert (answer.json()["delivered"], answer.json()["error"]) == (False, "connect_failed")


async def test_deliveries_and_attempts_are_listed_in_pages(
    client: httpx.AsyncClient, app: FastAPI, world: World
) -> None:
    world.tenant_id, lead, other = UUID(client.headers["x-tenant"]), ids.new_id(), ids.new_id()
    async with inbox(lambda got: 204 if got.lead == ids.show("lead", other) else 500) as box:
        made = await created(client, url=box.url, limits={"retry_schedule": [0, 3600]})
        await world.record(lead, lead, lead, other)
        app.state.wake.set("events")
        await box.until_received(1)
        await world.until_row("SELECT 1 FROM delivery_retries HAVING count(*) = 3")
        await world.until_row("SELECT 1 FROM attempts HAVING count(*) = 2")
        await world.until_row("SELECT 1 FROM lanes WHERE position = (SELECT max(position) FROM event_log)")
        path = f"{PATH}/{made['id']}"
        waiting = (await client.get(f"{path}/deliveries", params={"limit": 2})).json()
        rest = (await client.get(f"{path}/deliveries", params={"limit": 2, "cursor": waiting["next"]})).json()
        assert [row["state"] for row in waiting["data"] + rest["data"]] == ["retry", "held", "held"]
        assert rest["next"] is None
        assert waiting["data"][0]["last_code"] == 500
        assert waiting["data"][0]["next_at"] > waiting["data"][0]["next_at"][:10]
        assert len((await client.get(f"{path}/deliveries", params={"state": "held"})).json()["data"]) == 2
        first = (await client.get(f"{path}/attempts", params={"limit": 1})).json()
        second = (await client.get(f"{path}/attempts", params={"limit": 1, "cursor": first["next"]})).json()
        assert {row["code"] for row in first["data"] + second["data"]} == {204, 500}
        assert second["next"] is None
        assert (await client.get(path)).json()["lag"] == 0
        for query in (
            "deliveries?cursor=x",
            "attempts?cursor=x",
            "deliveries?cursor=WzEsLTFd",
            "attempts?cursor=WzEsMSwxLDFd",
            f"deliveries?state=held&cursor={waiting['next']}",
            f"attempts?cursor={waiting['next']}",
        ):
            answer = await client.get(f"{path}/{query}")
            assert (answer.status_code, answer.json()["code"]) == (422, "cursor_invalid")
            assert answer.json()["errors"][0]["field"] == "cursor"


async def test_a_ping_whose_secret_cannot_be_decrypted_is_409(client: httpx.AsyncClient, app: FastAPI) -> None:
    made = await created(client)
    app.state.keyring = KeyRing({"other": bytes(32)})
    answer = await client.post(f"{PATH}/{made['id']}/ping")
    assert (answer.status_code, answer.json()["code"]) == (409, "state_conflict")


async def test_another_tenants_subscription_and_an_unknown_one_are_404(client: httpx.AsyncClient, app: FastAPI) -> None:
    made = await created(client)
    other_client, _ = await new_client(app, ("subscriptions",))
    async with other_client:
        for subscription_id in (made["id"], UNKNOWN, "whs_nonsense"):
            path = f"{PATH}/{subscription_id}"
            for answer in (
                await other_client.get(path),
                await other_client.patch(path, json={"types": ["*"]}),
                await other_client.delete(path),
                *[await other_client.post(f"{path}/{verb}") for verb in ("ping", "pause", "resume", "secret")],
                *[await other_client.get(f"{path}/{noun}") for noun in ("deliveries", "attempts")],
            ):
                assert (answer.status_code, answer.json()["code"]) == (404, "subscription_not_found")
        assert (await other_client.get(PATH)).json()["data"] == []


async def test_a_key_without_the_scope_is_refused(app: FastAPI) -> None:
    other, _ = await new_client(app, ("leads:read", "leads:write", "events:read"))
    async with other:
        for method, path in (
            ("GET", PATH),
            ("POST", PATH),
            ("POST", f"{PATH}/{UNKNOWN}/ping"),
            ("DELETE", f"{PATH}/{UNKNOWN}"),
        ):
            answer = await other.request(method, path, json={"url": URL} if method == "POST" else None)
            assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


async def test_the_running_service_delivers_recorded_events(
    client: httpx.AsyncClient, app: FastAPI, world: World
) -> None:
    world.tenant_id = UUID(client.headers["x-tenant"])
    async with inbox() as box:
        made = await created(client, url=box.url)
        await world.record(ids.new_id())
        app.state.wake.set()
        await box.until_received(1)
        feed = (await client.get("/v1/events")).json()["data"]
        assert [event["id"] for event in feed] == [box.ok[0].id]
        assert verifies(made["secret"], box.ok[0])
        await asyncio.sleep(0)


def test_the_timeout_limit_is_shorter_than_a_lease() -> None:
    assert Limits.model_json_schema()["properties"]["timeout_seconds"]["maximum"] == 20
