"""Consumers: the service keeps the place of a reader, which gets every event until it has acknowledged it."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import httpx
import pytest

from app import ids
from app.consumers import keep
from app.consumers.across import count_consumers
from app.events import across
from tests.databases import Databases
from tests.events.conftest import NOW, Service, new_client
from tests.events.test_feed import LEAD, OTHER, read, record, types_of
from tests.events.test_restored import backup
from tests.waiting import until

BILLING = "/v1/consumers/billing"


async def put(service: Service, name: str = "billing", status: int = 201, **body: Any) -> Any:
    answer = await service.client.put(f"/v1/consumers/{name}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def events(service: Service, name: str = "billing", **params: Any) -> Any:
    answer = await service.client.get(f"/v1/consumers/{name}/events", params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


async def ack(service: Service, status: int = 200, name: str = "billing", **body: Any) -> Any:
    answer = await service.client.post(f"/v1/consumers/{name}/ack", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


async def shown(service: Service, name: str = "billing") -> Any:
    return (await service.client.get(f"/v1/consumers/{name}")).json()


async def test_a_consumer_reads_the_same_events_until_they_are_acknowledged(service: Service) -> None:
    await record(service, "lead.a", "lead.b", "lead.c")
    made = await put(service, start="earliest")
    assert (made["lag"], made["acknowledged_at"], made["types"], made["lead_id"]) == (3, None, None, None)
    page = await events(service, limit=2)
    assert types_of(page) == types_of(await events(service, limit=2)) == ["lead.a", "lead.b"]
    assert page["data"] == (await read(service, limit=2))["data"], "the same envelopes as the feed"
    after = await ack(service, cursor=page["next"])
    assert (after["lag"], after["cursor"]) == (1, page["next"])
    assert after["acknowledged_at"] is not None
    rest = await events(service)
    assert types_of(rest) == ["lead.c"]
    assert (await ack(service, cursor=rest["next"]))["lag"] == 0
    assert types_of(await events(service)) == []


@pytest.mark.parametrize(
    ("start", "expected"),
    [("earliest", "abc"), ("latest", ""), (None, ""), ((NOW + timedelta(minutes=5)).isoformat(), "bc")],
)
async def test_a_consumer_begins_where_it_is_asked_to(service: Service, start: str | None, expected: str) -> None:
    for minutes, name in enumerate(("lead.a", "lead.b", "lead.c")):
        await record(service, name, at=NOW + timedelta(minutes=10 * minutes))
    body: dict[str, Any] = {"start": start} if start else {}
    await put(service, **body)
    assert types_of(await events(service)) == [f"lead.{letter}" for letter in expected]
    await record(service, "lead.d")
    assert types_of(await events(service)) == [f"lead.{letter}" for letter in f"{expected}d"]


async def test_a_consumer_begins_at_a_cursor_of_the_feed_with_any_filters(service: Service) -> None:
    await record(service, "lead.captured", "lead.updated", "lead.converted")
    place = (await read(service, limit=1, types="lead.captured"))["next"]
    await put(service, start=place)
    assert types_of(await events(service)) == ["lead.updated", "lead.converted"]


async def test_filters_are_those_of_the_feed_and_the_lag_counts_what_passes_them(service: Service) -> None:
    await record(service, "lead.captured", "lead.stagexchanged", "lead.updated")
    await record(service, "lead.captured", lead_id=OTHER)
    await record(service, "policy.activated", lead_id=None)
    for name, asked, expected in (
        ("one", {"types": ["lead.captured"]}, ["lead.captured", "lead.captured"]),
        ("noun", {"types": ["policy.*"]}, ["policy.activated"]),
        (
            "all",
            {"types": ["*"]},
            ["lead.captured", "lead.stagexchanged", "lead.updated", "lead.captured", "policy.activated"],
        ),
        ("none", {"types": ["lead.stage_changed"]}, []),
        ("lead", {"lead_id": ids.show("lead", OTHER)}, ["lead.captured"]),
        ("both", {"lead_id": ids.show("lead", LEAD), "types": ["lead.updated"]}, ["lead.updated"]),
    ):
        made = await put(service, name, start="earliest", **asked)
        assert (made["lag"], made["types"]) == (len(expected), asked.get("types"))
        page = await events(service, name)
        assert types_of(page) == expected
        assert (await ack(service, name=name, cursor=page["next"]))["lag"] == 0


async def test_two_readers_of_one_name_share_nothing_and_lose_nothing(service: Service) -> None:
    await put(service, start="earliest")
    names = [f"lead.n{letter}" for letter in "abcdefgh"]
    seen: list[set[str]] = [set(), set()]

    async def reader(mine: set[str]) -> None:
        while len(mine) < len(names):
            page = await events(service, limit=3, wait=1)
            mine |= set(types_of(page))
            await service.client.post(
                f"{BILLING}/ack", json={"cursor": page["next"]}
            )  # 409 where the other was quicker
            if (
                set(types_of(page)) <= {names[-1], *mine}
                and page["next"] == page["head"]
                and names[-1] in seen[0] | seen[1]
            ):
                return

    async def writer() -> None:
        for name in names:
            await record(service, name)

    await asyncio.gather(reader(seen[0]), reader(seen[1]), writer())
    assert seen[0] | seen[1] == set(names)
    assert (await shown(service))["lag"] == 0


async def test_an_acknowledgement_goes_forward_only_and_may_be_repeated(service: Service) -> None:
    await record(service, "lead.a", "lead.b", "lead.c")
    await put(service, start="earliest")
    first, second = [(await events(service, limit=limit))["next"] for limit in (1, 2)]
    done = await ack(service, cursor=second)
    again = await ack(service, cursor=second)
    assert again["version"] == done["version"], "nothing has changed"
    problem = await ack(service, 409, cursor=first)
    assert (problem["code"], problem["cursor"]) == ("already_acknowledged", second)
    assert types_of(await events(service)) == ["lead.c"]
    await put(service, status=200, seek=first)
    assert types_of(await events(service)) == ["lead.b", "lead.c"]
    await ack(service, cursor=second)


async def test_of_acknowledgements_at_the_same_time_the_furthest_holds(service: Service) -> None:
    await record(service, *(f"lead.n{letter}" for letter in "abcdefgh"))
    await put(service, start="earliest")
    places = [(await events(service, limit=limit))["next"] for limit in range(1, 9)]
    posts = [service.client.post(f"{BILLING}/ack", json={"cursor": place}) for place in reversed(places)]
    answers = await asyncio.gather(*posts)
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert (await shown(service))["cursor"] == places[-1]


async def test_an_event_can_be_acknowledged_by_its_id(service: Service) -> None:
    await record(service, "lead.a", "lead.b", "lead.c")
    await put(service, start="earliest")
    second = (await events(service))["data"][1]["id"]
    await ack(service, event_id=second)
    assert types_of(await events(service)) == ["lead.c"]
    unknown = await ack(service, 422, event_id=ids.show("event", ids.new_id()))
    assert [(fault["field"], fault["code"]) for fault in unknown["errors"]] == [("event_id", "unknown_value")]
    both = await ack(service, 422, event_id=second, cursor="x")
    assert both["code"] == "request_invalid"
    await ack(service, 422)


@pytest.mark.parametrize("cursor", ["x", "latest", "earliest", NOW.isoformat()])
async def test_only_a_cursor_of_the_consumer_is_acknowledged(service: Service, cursor: str) -> None:
    await record(service, "lead.captured")
    await put(service, start="earliest", types=["lead.*"])
    foreign = (await read(service))["next"]
    for given in (cursor, foreign):
        problem = await ack(service, 422, cursor=given)
        assert (problem["code"], problem["errors"][0]["field"]) == ("cursor_invalid", "cursor")
    assert types_of(await events(service)) == ["lead.captured"]


async def test_to_put_a_consumer_again_leaves_it_where_it_is(service: Service) -> None:
    await record(service, "lead.a", "lead.b")
    await put(service, start="earliest", types=["lead.*"])
    await ack(service, cursor=(await events(service, limit=1))["next"])
    before = await shown(service)
    assert await put(service, status=200, start="earliest", types=["lead.*"]) | {"lag_seconds": 0} == before | {
        "lag_seconds": 0
    }
    for other in ({}, {"types": ["lead.captured"]}, {"types": ["lead.*"], "lead_id": ids.show("lead", LEAD)}):
        answer = await service.client.put(BILLING, json=other)
        assert (answer.status_code, answer.json()["code"]) == (409, "filters_fixed")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"start": "now"}, "start"),
        ({"seek": "x"}, "seek"),
        ({"start": ""}, "start"),
        ({"types": []}, "types"),
        ({"types": ["lead.nonsense"]}, "types"),
        ({"lead_id": "x"}, "lead_id"),
        ({"strat": "earliest"}, "strat"),
    ],
)
async def test_a_body_that_is_not_valid_names_the_field(service: Service, body: dict[str, Any], field: str) -> None:
    answer = await service.client.put(BILLING, json=body)
    assert answer.status_code == 422, answer.text
    assert field in answer.json()["errors"][0]["field"]


@pytest.mark.parametrize("name", ["Billing", "-x", "x" * 65, "a b", "ä", "a%00b"])
async def test_a_name_of_another_form_makes_no_consumer(service: Service, name: str) -> None:
    answer = await service.client.put(f"/v1/consumers/{name}", json={})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "name")
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/ack"), ("DELETE", "")):
        body: dict[str, Any] = {"json": {"cursor": "x"}} if method == "POST" else {}
        assert (await service.client.request(method, f"/v1/consumers/{name}{path}", **body)).status_code == 404


@pytest.mark.parametrize("name", ["x", "x" * 64, "0.billing_eu-1"])
async def test_names_of_consumers(service: Service, name: str) -> None:
    assert (await put(service, name))["name"] == name


async def test_an_unknown_consumer_is_not_found(service: Service) -> None:
    for method, path in (("GET", ""), ("GET", "/events"), ("POST", "/ack"), ("DELETE", "")):
        body: dict[str, Any] = {"json": {"cursor": "x"}} if method == "POST" else {}
        answer = await service.client.request(method, f"/v1/consumers/nobody{path}", **body)
        assert (answer.status_code, answer.json()["code"]) == (404, "consumer_not_found")


async def test_consumers_are_listed_deleted_and_of_one_tenant(service: Service) -> None:
    for name in "abc":
        await put(service, name)
    first = (await service.client.get("/v1/consumers", params={"limit": 2})).json()
    rest = (await service.client.get("/v1/consumers", params={"limit": 2, "cursor": first["next"]})).json()
    assert [each["name"] for each in first["data"] + rest["data"]] == ["c", "b", "a"]
    other, _ = await new_client(service.app, ("events:read",))
    async with other:
        assert (await other.get("/v1/consumers")).json()["data"] == []
        assert (await other.get("/v1/consumers/a")).status_code == 404
        assert (await other.put("/v1/consumers/a", json={})).status_code == 201
        assert (await other.delete("/v1/consumers/a")).status_code == 204
    assert (await service.client.delete("/v1/consumers/a")).status_code == 204
    assert (await service.client.delete("/v1/consumers/a")).status_code == 404


async def test_a_change_of_another_version_is_refused(service: Service) -> None:
    await record(service, "lead.a")
    await put(service, start="earliest")
    old = (await service.client.get(BILLING)).headers["etag"]
    await ack(service, cursor=(await events(service))["next"])
    stale = {"If-Match": old}
    for answer in (
        await service.client.put(BILLING, json={"seek": "earliest"}, headers=stale),
        await service.client.delete(BILLING, headers=stale),
        await service.client.post(f"{BILLING}/ack", json={"cursor": "x"}, headers=stale),
    ):
        assert (answer.status_code, answer.json()["code"]) == (412, "version_conflict")
    missing = await service.client.put("/v1/consumers/none", json={}, headers=stale)
    assert missing.status_code == 404


async def test_a_tenant_has_at_most_a_hundred_consumers(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    assert keep.MOST == 100
    monkeypatch.setattr(keep, "MOST", 2)
    await put(service, "a")
    await put(service, "b")
    answer = await service.client.put("/v1/consumers/c", json={})
    assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (409, "consumer_limit_reached", 2)
    await put(service, "a", status=200)


async def test_one_of_many_puts_at_the_same_time_makes_the_consumer(service: Service) -> None:
    answers: list[httpx.Response] = await asyncio.gather(*(service.client.put(BILLING, json={}) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 7 + [201]


async def test_a_waiting_read_returns_with_the_first_event(service: Service) -> None:
    await put(service)
    waiting = asyncio.create_task(events(service, wait=30))
    await until(lambda: service.app.state.waiters.waiting == 1)
    await record(service, "lead.captured")
    assert types_of(await asyncio.wait_for(waiting, 28)) == ["lead.captured"]


async def test_a_key_without_the_scope_is_refused(service: Service) -> None:
    await put(service)
    other, _ = await new_client(service.app, ("leads:read", "subscriptions"))
    async with other:
        for method, path in (("GET", ""), ("GET", "/events"), ("PUT", ""), ("DELETE", ""), ("POST", "/ack")):
            body: dict[str, Any] = {"json": {}} if method in ("PUT", "POST") else {}
            answer = await other.request(method, BILLING + path, **body)
            assert answer.json()["code"] == "scope_missing"
    assert (await service.client.get(f"{BILLING}/events?include=lead")).status_code == 403


@pytest.mark.parametrize(("position", "expired"), [(1, True), (2, False), (3, False)])
async def test_a_place_whose_next_events_were_deleted_is_410_until_it_is_moved(
    service: Service, monkeypatch: pytest.MonkeyPatch, position: int, expired: bool
) -> None:
    await record(service, *(f"lead.n{letter}" for letter in "abcd"))
    await put(service, start="earliest")
    await ack(service, cursor=(await events(service, limit=position))["next"])

    async def third(*_: object) -> int:
        return 3

    monkeypatch.setattr(across, "first_position", third)
    answer = await service.client.get(f"{BILLING}/events")
    assert answer.status_code == (410 if expired else 200)
    if expired:
        assert (answer.json()["code"], answer.json()["earliest"]) == ("cursor_expired", "earliest")
        await put(service, status=200, seek="earliest")
        assert (await service.client.get(f"{BILLING}/events")).status_code == 200


@pytest.mark.own_database
async def test_after_a_restore_a_consumer_goes_on_where_the_backup_has_it(
    service: Service, server: Databases, dsn: str
) -> None:
    await record(service, "lead.old")
    await put(service, start="earliest")
    await ack(service, cursor=(await events(service))["next"])
    async with backup(service, server, dsn) as restore:
        await record(service, "lead.lost")
        lost = (await events(service))["next"]
        await ack(service, cursor=lost)
        await restore()
        await record(service, "lead.new")
        assert types_of(await events(service)) == ["lead.new"]
        assert (await ack(service, 409, cursor=lost))["code"] == "log_diverged"
        assert types_of(await events(service)) == ["lead.new"]


async def test_the_lag_of_consumers_is_measured(service: Service) -> None:
    async with service.engine.connect() as tx:
        assert (await count_consumers(tx)).consumers == 0
        assert (await count_consumers(tx)).worst_seconds == 0
    await record(service, "lead.a")
    await put(service, "behind", start="earliest")
    await put(service, "done")
    async with service.engine.connect() as tx:
        row = await count_consumers(tx)
    assert row.consumers == 2
    assert row.worst_seconds == row.seconds > 0
