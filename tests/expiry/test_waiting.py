"""What follows for deliveries that wait, for subscriptions and for readers when their events go."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from app import ids
from app.events.sequence import sequence
from app.ids import new_id
from app.reports.summaries import summarize_due
from tests.api import Api
from tests.expiry.steps import SECOND, drop, fill, record, rows, tables
from tests.webhooks.conftest import delivering  # noqa: F401 - a fixture
from tests.webhooks.replaying import replaying

A, B = new_id(), new_id()
URL = "http://127.0.0.1:9/hook"
LATER = {"retry_schedule": [0, 3600], "timeout_seconds": 20}


@pytest.mark.parametrize("on_dead", ["skip", "block"])
async def test_a_delivery_that_waits_keeps_its_events_for_twice_as_long_and_is_dead_then(
    delivering: Api,  # noqa: F811
    on_dead: str,
) -> None:
    refused = True

    def answer(got: Any) -> int:
        return 422 if refused and got.lead == ids.show("lead", A) else 204

    async with replaying(delivering, answer, limits=LATER, on_dead=on_dead) as one:
        await one.world.record(A, A, B)
        await one.world.until_row("SELECT 1 FROM delivery_retries WHERE state = 'held'")
        await fill(delivering.app.state.engine)
        await one.world.record(A)
        await one.world.until_row("SELECT 1 FROM delivery_retries WHERE position > 5000000")
        assert await drop(delivering, 31) == 0
        assert await drop(delivering, 60) == 0
        refused = False
        assert await drop(delivering, 61) == 2
        dead = (await delivering.get(f"{one.path}/deliveries?state=dead"))["data"]
        assert [(each["attempts"], each["last_code"], each["last_error"], each["blocks"]) for each in dead] == [
            (1, 422, "expired", False),
            (0, None, "expired", False),
        ]
        await one.box.until(lambda box: any(got.lead == ids.show("lead", A) for got in box.ok))
        assert [got.version for got in one.box.ok if got.lead == ids.show("lead", A)] == [3]
        told = await one.world.rows("SELECT data FROM events WHERE type = 'delivery.dead' ORDER BY seq")
        assert [(row["position"], row["last_error"]) for row in map(orjson.loads, (each.data for each in told))] == [
            (each["position"], "expired") for each in dead
        ]
        answered = await delivering.call("POST", f"{one.path}/deliveries/{dead[0]['position']}/retry")
        assert (answered.status_code, answered.json()["code"]) == (409, "position_expired")
        await delivering.post(f"{one.path}/deliveries/{dead[0]['position']}/discard", None, status=200)


async def test_a_retry_that_was_asked_for_is_dropped_with_its_event(api: Api) -> None:
    made = await subscribe(api)
    await record(api, A)
    await rows(
        api.app.state.engine,
        "INSERT INTO delivery_retries (tenant_id, subscription_id, position, order_key, event_id, state, request)"
        " SELECT tenant_id, :id, 1, id, id, 'dead', 'retry' FROM events",
        id=read(made),
    )
    await fill(api.app.state.engine)
    await record(api, A)
    assert await drop(api, 31) == 2
    (dead,) = (await api.get(f"/v1/subscriptions/{made['id']}/deliveries"))["data"]
    assert (dead["state"], dead["requested"], dead["event_type"]) == ("dead", None, None)


async def test_an_active_subscription_goes_on_after_a_gap_and_a_paused_one_is_told_when_it_is_resumed(
    api: Api,
) -> None:
    missing, paused, done = [await subscribe(api, start="earliest") for _ in range(3)]
    await record(api, A)
    await act(api, paused, "pause")
    await lanes_at(api, done, 1)
    await act(api, done, "pause")
    await fill(api.app.state.engine)
    await record(api, A)
    assert await drop(api, 31) == 2
    while await sequence(api.app.state.engine):
        pass
    gaps = [event["data"] for event in await feed(api) if event["type"] == "subscription.gap"]
    assert gaps == [{"subscription_id": missing["id"], "from_position": "1", "to_position": str(SECOND - 1)}]
    problem = await act(api, paused, "resume", 409)
    assert (problem["code"], problem["first_position"]) == ("position_expired", str(SECOND))
    await act(api, done, "resume")
    found = await rows(api.app.state.engine, "SELECT subscription_id, position FROM lanes")
    assert {row.subscription_id: row.position for row in found} == {
        read(missing): SECOND - 1,
        read(paused): 0,
        read(done): SECOND - 1,
    }
    assert await drop(api, 31) == 0
    assert len([event for event in await feed(api) if event["type"] == "subscription.gap"]) == 1


async def test_each_lane_of_a_subscription_goes_on_and_the_gap_begins_with_the_one_that_is_behind(api: Api) -> None:
    made = await subscribe(api, start="earliest")
    await record(api, A, B, A)
    await rows(
        api.app.state.engine,
        "INSERT INTO lanes (tenant_id, subscription_id, lane_no, position)"
        " SELECT tenant_id, subscription_id, 1, 2 FROM lanes",
    )
    await lanes_at(api, made, 1, lane_no=0)
    await fill(api.app.state.engine)
    await record(api, A)
    await drop(api, 31)
    while await sequence(api.app.state.engine):
        pass
    (gap,) = [event["data"] for event in await feed(api) if event["type"] == "subscription.gap"]
    assert gap["from_position"] == "2"
    found = await rows(api.app.state.engine, "SELECT position, fence FROM lanes ORDER BY lane_no")
    assert [tuple(row) for row in found] == [(SECOND - 1, 1), (SECOND - 1, 1)]


async def test_a_consumer_that_has_acknowledged_all_goes_on_and_one_that_has_not_is_told(api: Api) -> None:
    for name in ("done", "behind"):
        await consumer(api, name, {"start": "earliest"})
    await record(api, A)
    page = await api.get("/v1/consumers/done/events")
    await api.post("/v1/consumers/done/ack", {"cursor": page["next"]}, status=200)
    await fill(api.app.state.engine)
    await record(api, B)
    assert await drop(api, 31) == 2
    page = await api.get("/v1/consumers/done/events")
    assert [event["data"]["lead_id"] for event in page["data"]] == [ids.show("lead", B)]
    refused = await api.call("GET", "/v1/consumers/behind/events")
    assert (refused.status_code, refused.json()["code"], refused.json()["earliest"]) == (
        410,
        "cursor_expired",
        "earliest",
    )
    await consumer(api, "behind", {"seek": "earliest"}, status=200)
    assert len((await api.get("/v1/consumers/behind/events"))["data"]) == 1


async def test_a_cursor_of_the_feed_is_410_only_where_events_after_it_are_gone(api: Api) -> None:
    await record(api, A, B)
    first = (await api.get("/v1/events?after=earliest&limit=1"))["next"]
    await rows(api.app.state.engine, f"ALTER TABLE event_log ALTER position RESTART WITH {SECOND - 1}")
    await record(api, A)
    last = (await api.get("/v1/events?after=earliest"))["next"]
    await fill(api.app.state.engine)
    await record(api, B)
    assert await drop(api, 31) == 2
    refused = await api.call("GET", f"/v1/events?after={first}")
    assert (refused.status_code, refused.json()["code"], refused.json()["earliest"]) == (
        410,
        "cursor_expired",
        "earliest",
    )
    assert [event["meta"]["position"] for event in await feed(api)] == [str(SECOND)]
    assert len((await api.get(f"/v1/events?after={last}"))["data"]) == 1


@pytest.mark.parametrize("start", ["earliest", "latest"])
async def test_a_tenant_without_events_reads_on_from_its_cursor(api: Api, start: str) -> None:
    await record(api)
    await fill(api.app.state.engine)
    await record(api)
    await drop(api, 31)
    other = await api.post("/v1/tenants", {"name": "Other"})
    key = other["key"]["secret"]
    page = await api.get(f"/v1/events?after={start}", key=key)
    assert (page["data"], page["has_more"]) == ([], False)
    again = await api.get(f"/v1/events?after={page['next']}", key=key)
    assert (again["data"], again["next"]) == ([], page["next"])
    await consumer(api, "first", {"start": start}, key=key)
    assert (await api.get("/v1/consumers/first/events", key=key))["data"] == []


async def test_a_replay_whose_events_go_fails_and_says_why(api: Api) -> None:
    made = await subscribe(api)
    await record(api, A)
    replay = await api.post(f"/v1/subscriptions/{made['id']}/replays", {})
    await fill(api.app.state.engine)
    await record(api, A)
    await drop(api, 31)
    shown = await api.get(f"/v1/subscriptions/{made['id']}/replays/{replay['id']}")
    assert (shown["state"], shown["state_reason"]) == ("failed", "position_expired")
    refused = await api.call("POST", f"/v1/subscriptions/{made['id']}/replays", {"from": "2026-03-01T00:00:00Z"})
    assert (refused.status_code, refused.json()["code"]) == (409, "position_expired")


async def test_answers_to_events_that_go_are_not_kept(api: Api) -> None:
    made = await subscribe(api)
    await record(api, A)
    await fill(api.app.state.engine)
    await record(api, A)
    await rows(
        api.app.state.engine,
        "INSERT INTO attempts (tenant_id, subscription_id, position, n, at, event_id, ms, trigger, response_head)"
        " SELECT tenant_id, :id, position, n, now(), tenant_id, 1, 'retry', 'Hello' FROM event_log,"
        " generate_series(1, 600) n",
        id=read(made),
    )
    await drop(api, 31)
    found = await rows(
        api.app.state.engine, "SELECT position, count(*) AS n, count(response_head) AS kept FROM attempts GROUP BY 1"
    )
    assert {row.position: (row.n, row.kept) for row in found} == {1: (600, 0), SECOND: (600, 600)}


async def test_summaries_that_have_not_read_the_events_keep_them_and_are_made_anew_when_they_go(api: Api) -> None:
    engine = api.app.state.engine
    await api.mql()
    while await sequence(engine):
        pass
    while await summarize_due(engine, api.now + timedelta(hours=1)):
        pass
    await rows(engine, "UPDATE summary_cursors SET position = 0, times_position = 0")
    await rows(engine, "DELETE FROM journey_summaries")
    await rows(engine, "UPDATE events SET recorded_at = '2026-03-02T12:00:00Z'")
    await rows(engine, "UPDATE event_log SET recorded_at = '2026-03-02T12:00:00Z'")
    await fill(engine)
    await record(api)
    assert await drop(api, 31) == 0
    assert "event_log_00000" in await tables(api)
    assert await drop(api, 61) == 2
    while await summarize_due(engine, api.now + timedelta(hours=1)):
        pass
    assert len(await rows(engine, "SELECT 1 FROM journey_summaries")) == 1


async def subscribe(api: Api, **members: Any) -> Any:
    return await api.post("/v1/subscriptions", {"url": URL, "types": ["lead.*"], **members})


def read(made: Any) -> UUID:
    return ids.read("subscription", made["id"])


async def act(api: Api, made: Any, verb: str, status: int = 200) -> Any:
    return await api.post(f"/v1/subscriptions/{made['id']}/{verb}", None, status=status)


async def lanes_at(api: Api, made: Any, position: int, lane_no: int = 0) -> None:
    await rows(
        api.app.state.engine,
        "UPDATE lanes SET position = :position WHERE subscription_id = :id AND lane_no = :lane_no",
        position=position,
        id=read(made),
        lane_no=lane_no,
    )


async def consumer(api: Api, name: str, body: Any, status: int = 201, key: str | None = None) -> None:
    answer = await api.call("PUT", f"/v1/consumers/{name}", body, key=key)
    assert answer.status_code == status, answer.text


async def feed(api: Api) -> list[Any]:
    return list((await api.get("/v1/events?after=earliest"))["data"])
