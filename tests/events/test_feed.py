"""The pull feed: every event once, in order, from any position, with any filter; waiting holds no connection."""

from __future__ import annotations

import asyncio
import base64
from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest
from sqlalchemy import event, text

from app import ids
from app.events import feed, sql
from app.events.envelope import Sequenced, envelope
from app.events.record import NewEvent, record_events
from app.events.sequence import sequence
from tests.events.conftest import NOW, Service, new_client
from tests.waiting import until

LEAD, OTHER = ids.new_id(), ids.new_id()


async def record(service: Service, *types: str, lead_id: UUID | None = LEAD, at: Any = NOW, tenant: Any = None) -> None:
    """Record and sequence one event of each type, each in its own transaction."""
    for name in types:
        async with service.engine.begin() as tx:
            news = [NewEvent(name, {"lead_id": ids.shown("lead", lead_id)}, at, lead_id=lead_id, lead_version=1)]
            await record_events(tx, tenant or service.tenant_id, news, at)
    await sequence(service.engine)
    service.wake.set("log")


async def read(service: Service, **params: Any) -> Any:
    answer = await service.client.get("/v1/events", params=params)
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    return answer.json()


def types_of(page: Any) -> list[str]:
    return [event["type"] for event in page["data"]]


async def test_an_empty_log_gives_an_empty_page_whose_next_cursor_works(service: Service) -> None:
    page = await read(service)
    assert page["data"] == []
    assert page["has_more"] is False
    await record(service, "lead.captured")
    assert types_of(await read(service, after=page["next"])) == ["lead.captured"]


async def test_pages_contain_each_event_once_and_in_order(service: Service) -> None:
    names = [f"lead.n{letter}" for letter in "abcdefg"]
    await record(service, *names)
    seen: list[str] = []
    after, more = "earliest", True
    while more:
        page = await read(service, after=after, limit=3)
        seen, after, more = seen + types_of(page), page["next"], page["has_more"]
    assert seen == names
    positions = [int(event["meta"]["position"]) for event in (await read(service))["data"]]
    assert positions == sorted(set(positions))


async def test_latest_starts_after_the_last_event_and_an_instant_at_the_first_event_since_then(
    service: Service,
) -> None:
    for minutes, name in enumerate(("lead.a", "lead.b", "lead.c", "lead.d")):
        await record(service, name, at=NOW + timedelta(minutes=10 * minutes))
    assert types_of(await read(service, after="latest")) == []
    for minutes, expected in ((-5, "abcd"), (0, "abcd"), (1, "bcd"), (20, "cd"), (31, "")):
        since = (NOW + timedelta(minutes=minutes)).isoformat()
        assert types_of(await read(service, after=since)) == [f"lead.{letter}" for letter in expected]


async def test_the_next_cursor_moves_past_events_that_type_and_lead_filters_drop(service: Service) -> None:
    await record(service, "lead.captured", "lead.stage_changed", lead_id=LEAD)
    await record(service, "lead.captured", lead_id=OTHER)
    await record(service, "policy.activated", lead_id=None)
    assert types_of(await read(service, types="lead.*")) == ["lead.captured", "lead.stage_changed", "lead.captured"]
    assert types_of(await read(service, types="policy.activated,lead.stage_changed")) == [
        "lead.stage_changed",
        "policy.activated",
    ]
    assert types_of(await read(service, types="*")) == types_of(await read(service))
    mine = await read(service, lead_id=ids.show("lead", LEAD))
    assert types_of(mine) == ["lead.captured", "lead.stage_changed"]
    assert types_of(await read(service, lead_id=ids.show("lead", LEAD), types="lead.captured")) == ["lead.captured"]
    nothing = await read(service, types="lead.converted")
    assert (nothing["data"], nothing["has_more"]) == ([], False)
    assert nothing["next"] == nothing["head"], "`next` of an empty page is past the rows that were filtered out"
    await record(service, "lead.converted")
    assert types_of(await read(service, types="lead.converted", after=nothing["next"])) == ["lead.converted"]


async def test_an_underscore_in_a_type_is_not_a_wildcard(service: Service) -> None:
    await record(service, "lead.stagexchanged")
    assert types_of(await read(service, types="lead.stage_changed")) == []


async def test_paging_continues_when_the_filter_drops_all_rows_of_a_scan(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.events.sql.SCANNED_ROWS", 4)
    await record(service, *["lead.updated"] * 10, "lead.converted")
    found: list[Any] = []
    after, pages = "earliest", 0
    while not found:
        page = await read(service, types="lead.converted", after=after)
        after, pages, found = page["next"], pages + 1, page["data"]
        assert found or page["has_more"]
    assert pages == 3
    assert types_of(await read(service, types="lead.converted", wait=5)) == ["lead.converted"]


async def test_an_event_has_the_same_bytes_in_the_feed_and_by_id(service: Service) -> None:
    await record(service, "lead.captured")
    answer = await service.client.get("/v1/events")
    body = orjson.loads(answer.content)["data"][0]
    whole = (await service.client.get(f"/v1/events/{body['id']}")).content
    assert whole in answer.content
    assert orjson.loads(whole) == body


async def test_a_large_event_is_truncated_in_the_feed_and_complete_by_id(service: Service) -> None:
    async with service.engine.begin() as tx:
        data = {"lead_id": ids.show("lead", LEAD), "text": "x" * 30_000}
        await record_events(tx, service.tenant_id, [NewEvent("lead.updated", data, NOW, LEAD, 1)], NOW)
    await sequence(service.engine)
    thin = (await read(service))["data"][0]
    assert thin["truncated"]
    assert thin["data"] == {"lead_id": ids.show("lead", LEAD)}
    assert len((await service.client.get(thin["url"])).json()["data"]["text"]) == 30_000


async def test_another_tenants_events_are_not_found(service: Service) -> None:
    await record(service, "lead.captured")
    event_id = (await read(service))["data"][0]["id"]
    other_client, _ = await new_client(service.app, ("events:read",))
    async with other_client:
        assert (await other_client.get("/v1/events")).json()["data"] == []
        answer = await other_client.get(f"/v1/events/{event_id}")
        assert (answer.status_code, answer.json()["code"]) == (404, "event_not_found")


async def test_an_event_without_a_position_is_not_found(service: Service) -> None:
    async with service.engine.begin() as tx:
        [event_id] = await record_events(tx, service.tenant_id, [NewEvent("policy.activated", {}, NOW)], NOW)
    path = f"/v1/events/{ids.show('event', event_id)}"
    assert (await service.client.get(path)).status_code == 404
    await sequence(service.engine)
    assert (await service.client.get(path)).status_code == 200


async def test_one_event_is_found_by_an_index(service: Service) -> None:
    async with service.engine.begin() as tx:
        await record_events(tx, service.tenant_id, [NewEvent("lead.a", {}, NOW, ids.new_id(), 1)] * 5_000, NOW)
        [event_id] = await record_events(tx, service.tenant_id, [NewEvent("lead.a", {}, NOW, LEAD, 1)], NOW)
    while await sequence(service.engine):
        pass
    async with service.engine.connect() as tx:
        await tx.execute(text("ANALYZE events, event_log"))
        params = {"tenant_id": service.tenant_id, "event_id": event_id}
        [row] = (await tx.execute(text("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON)" + sql.FIND.text), params)).scalars()
    assert row[0]["Plan"]["Actual Rows"] == 1
    assert row[0]["Plan"]["Shared Hit Blocks"] < 50


def forged(*members: object) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(members)).decode().rstrip("=")


@pytest.mark.parametrize(
    "after",
    [
        "x",
        "äöü",
        "====",
        "2026-03-02T12:00:00",
        "9999-12-31T23:59:59-12:00",
        "0001-01-01T00:00:00+14:00",
        "T:",
        "now",
        forged(2, 0, "x"),
        forged(1, -1, "x"),
        forged(1, 2**63, "x"),
        forged(1, 0, "x"),
        forged(1, "0", "x"),
        forged(1, True, "x"),
        forged(1, 0),
        "a" * 1000,
    ],
)
async def test_an_invalid_cursor_is_422(service: Service, after: str) -> None:
    answer = await service.client.get("/v1/events", params={"after": after})
    assert (answer.status_code, answer.json()["code"]) == (422, "cursor_invalid")
    assert [error["field"] for error in answer.json()["errors"]] == ["after"]


async def test_a_cursor_of_other_filters_is_422(service: Service) -> None:
    page = await read(service, types="lead.*")
    answer = await service.client.get("/v1/events", params={"after": page["next"], "types": "policy.*"})
    assert (answer.status_code, answer.json()["code"]) == (422, "cursor_invalid")


@pytest.mark.parametrize(
    "params",
    [
        {"limit": 0},
        {"limit": 1001},
        {"wait": 31},
        {"wait": -1},
        {"types": "Lead.*"},
        {"types": "lead"},
        {"types": ""},
        {"types": "lead.*,"},
        {"lead_id": "x"},
        {"after": ""},
        {"types": "a.%"},
    ],
    ids=str,
)
async def test_an_invalid_parameter_is_422(service: Service, params: dict[str, Any]) -> None:
    assert (await service.client.get("/v1/events", params=params)).status_code == 422


async def test_a_key_without_the_scope_is_refused(service: Service) -> None:
    other, _ = await new_client(service.app, ("leads:read",))
    async with other:
        for path in ("/v1/events", f"/v1/events/{ids.show('event', ids.new_id())}"):
            assert (await other.get(path)).json()["code"] == "scope_missing"
        other.headers.pop("authorization")
        assert (await other.get("/v1/events")).status_code == 401


@pytest.fixture
def no_polling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting requests get events only by being woken, not by polling."""
    monkeypatch.setattr(feed, "POLL_SECONDS", 600)


async def waiting(service: Service, count: int, **params: Any) -> list[asyncio.Task[Any]]:
    """Start `count` requests and return when all of them are waiting."""
    tasks = [asyncio.create_task(read(service, after="latest", wait=30, **params)) for _ in range(count)]
    await until(lambda: service.app.state.waiters.waiting == count)
    return tasks


@pytest.mark.usefixtures("no_polling")
async def test_a_waiting_request_gets_the_first_event_at_once_and_holds_no_connection_while_waiting(
    service: Service,
) -> None:
    waiters = await waiting(service, 30)
    assert service.engine.engine.pool.checkedout() == 0  # type: ignore[attr-defined]
    await record(service, "lead.captured")
    pages = await asyncio.wait_for(asyncio.gather(*waiters), 28)  # less than their `wait`
    assert {tuple(types_of(page)) for page in pages} == {("lead.captured",)}
    assert service.app.state.waiters.waiting == 0


@pytest.mark.usefixtures("no_polling")
async def test_waiting_requests_woken_together_leave_connections_to_others(service: Service) -> None:
    most = 0

    def count(*_: object) -> None:
        nonlocal most
        most = max(most, service.engine.engine.pool.checkedout())  # type: ignore[attr-defined]

    event.listen(service.engine.engine.sync_engine, "checkout", count)
    waiters = await waiting(service, 40)
    await record(service, "lead.captured")
    pages = await asyncio.wait_for(asyncio.gather(*waiters), 28)
    assert all(types_of(page) == ["lead.captured"] for page in pages)
    assert most <= 3, "two of the waiting requests and one of the writer"


async def test_a_request_whose_filter_drops_every_new_event_waits_until_its_time_is_over(service: Service) -> None:
    waiting = asyncio.create_task(read(service, after="latest", wait=1, types="lead.converted"))
    await asyncio.sleep(0.1)
    await record(service, "lead.captured")
    page = await waiting
    assert (page["data"], page["next"]) == ([], page["head"])


async def test_over_the_limit_of_waiting_requests_the_answer_is_429_with_retry_after(service: Service) -> None:
    await read(service)
    service.app.state.waiters.limit = 0
    answer = await service.client.get("/v1/events", params={"wait": 5})
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")
    await record(service, "lead.captured")
    assert types_of(await read(service, wait=5)) == ["lead.captured"], "a request that need not wait is answered"


async def test_an_event_is_returned_as_it_was_recorded(service: Service) -> None:
    async with service.engine.begin() as tx:
        news = [
            NewEvent("opportunity.stage_changed", {"é": 1}, NOW, order_key=OTHER),
            NewEvent("lead.updated", {}, NOW, LEAD, 3),
        ]
        [first, _] = await record_events(tx, service.tenant_id, news, NOW, tx_id=OTHER)
    await sequence(service.engine)
    expected = Sequenced(1, first, "opportunity.stage_changed", '{"é":1}', NOW, None, None, OTHER, OTHER, 1, 2, 1)
    assert (await service.client.get("/v1/events")).content.startswith(b'{"data":[' + envelope(expected))
