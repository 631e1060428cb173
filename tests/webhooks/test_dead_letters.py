"""Dead deliveries over HTTP: their lead goes on or waits; they are listed, retried and discarded, also by a filter."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app import ids
from app.settings import Settings
from app.webhooks import lane
from app.webhooks.schemas import Limits
from tests.api import Api, running
from tests.events.published import faults_of
from tests.waiting import TIMEOUT_SECONDS, until
from tests.webhooks.conftest import Got, Inbox, World, inbox

PATH = "/v1/subscriptions"
A, B, C = (ids.new_id() for _ in range(3))
TWO_ATTEMPTS = {"retry_schedule": [0, 0]}
LATER = {"retry_schedule": [0, 3600]}


class Refusing:
    """Refuses the events whose version is in `versions`, of all leads or of those in `leads`."""

    def __init__(self, *versions: int, leads: tuple[UUID, ...] = ()) -> None:
        self.versions, self.leads = set(versions), {ids.show("lead", lead) for lead in leads}

    def __call__(self, got: Got) -> int:
        about = got.lead in self.leads or not self.leads
        return 422 if about and got.event["meta"]["lead_version"] in self.versions else 204


class Story:
    """A tenant whose events the test records, one subscription of it, and the requests about its deliveries."""

    def __init__(self, api: Api, world: World, box: Inbox, made: dict[str, Any]) -> None:
        self.api, self.world, self.box, self.path = api, world, box, f"{PATH}/{made['id']}"

    async def listed(self, **filters: Any) -> list[dict[str, Any]]:
        return list((await self.api.get(f"{self.path}/deliveries", params=filters))["data"])

    async def states(self) -> list[str]:
        return [each["state"] for each in await self.listed()]

    async def until_states(self, *states: str) -> list[dict[str, Any]]:
        """Wait until the list has these, in the order of the log."""
        end = time.monotonic() + TIMEOUT_SECONDS
        while True:
            listed = await self.listed()
            if [each["state"] for each in listed] == list(states) and not any(each["requested"] for each in listed):
                return listed
            assert time.monotonic() < end, listed
            await asyncio.sleep(0.02)

    async def until_requests(self, count: int) -> None:
        await self.box.until(lambda box: len(box.got) >= count)

    async def do(self, asked: str, position: str = "", body: Any = None, status: int = 200) -> Any:
        path = f"{self.path}/deliveries/{position}/{asked}" if position else f"{self.path}/deliveries/{asked}"
        return await self.api.post(path, body, status=status)

    def versions(self, of: UUID = A) -> list[int]:
        """The versions of a lead that the receiver took, in the order of their first 2xx."""
        return list(dict.fromkeys(got.version for got in self.box.ok if got.lead == ids.show("lead", of)))


@pytest.fixture
async def delivering(settings: Settings) -> AsyncIterator[Api]:
    async with running(settings, roles=("dispatch",)) as found:
        yield found


def world_of(api: Api) -> World:
    state = api.app.state
    return World(state.engine, state.settings.database_url, state.settings, state.wake, tenant_id=api.tenant_id)


@asynccontextmanager
async def story(api: Api, answer: Any, **members: Any) -> AsyncIterator[Story]:
    async with inbox(answer) as box:
        body = {"url": box.url, "types": ["lead.*"], "limits": TWO_ATTEMPTS, **members}
        yield Story(api, world_of(api), box, await api.post(PATH, body))


async def test_a_dead_delivery_lets_its_lead_go_on_and_can_be_sent_once_more(delivering: Api) -> None:
    refusing = Refusing(1)
    async with story(delivering, refusing) as one, inbox() as other:
        await delivering.post(PATH, {"url": other.url, "types": ["delivery.*"]})
        await one.world.record(A, A)
        [dead] = await one.until_states("dead")
        await one.box.until_received(1)
        assert (dead["attempts"], dead["last_code"], dead["blocks"]) == (2, 422, False)
        assert (dead["event_type"], dead["requested"]) == ("lead.updated", None)
        assert (await delivering.get(one.path))["on_dead"] == "skip"
        asked = await one.do("retry", dead["position"])
        assert (asked["state"], asked["requested"]) == ("dead", "retry")
        await one.until_requests(4)
        await one.until_states("dead")
        refusing.versions.clear()
        await one.do("retry", dead["position"])
        await one.box.until_received(2)
        assert await one.until_states() == []
        await other.until_received(2)
    assert one.versions() == [2, 1]
    assert [got.attempt for got in one.box.got if got.version == 1] == [1, 2, 3, 4]
    told = [got.event["data"] for got in other.ok]
    assert [(each["position"], each["attempts"], each["blocks"]) for each in told] == [
        (dead["position"], attempts, False) for attempts in (2, 3)
    ]
    assert [fault for got in other.ok for fault in faults_of(got.event)] == []


@pytest.mark.parametrize(("ends", "expected"), [("retry", [1, 2, 3]), ("discard", [2, 3]), ("skip", [2, 3])])
async def test_a_dead_delivery_that_blocks_keeps_its_lead_until_it_is_retried_or_discarded(
    delivering: Api, ends: str, expected: list[int]
) -> None:
    refusing = Refusing(1, leads=(A,))
    async with story(delivering, refusing, on_dead="block") as one, inbox() as other:
        await delivering.post(PATH, {"url": other.url, "types": ["delivery.*"]})
        await one.world.record(A, A, B, B)
        await one.box.until_received(2)
        dead, _ = await one.until_states("dead", "held")
        assert dead["blocks"] is True
        await other.until_received(1)
        assert other.ok[0].event["data"]["blocks"] is True
        assert faults_of(other.ok[0].event) == []
        await one.do("retry", dead["position"])
        await one.box.until(lambda box: sum(got.attempt == 3 for got in box.got) == 1)
        await one.until_states("dead", "held")
        await one.world.record(A)
        await one.until_states("dead", "held", "held")
        assert one.versions() == []
        refusing.versions.clear()
        if ends == "skip":
            await delivering.call("PATCH", one.path, {"on_dead": "skip"})
        else:
            await one.do(ends, dead["position"])
        await one.box.until_received(2 + len(expected))
        await one.until_states(*(["dead"] if ends == "skip" else []))
    assert one.versions() == expected
    assert one.versions(B) == [1, 2]


@pytest.mark.parametrize("change", [{"types": ["lead.captured"]}, {"filter": {"rule": ["wanted"]}}])
async def test_a_lead_goes_on_when_the_dead_delivery_that_blocks_it_is_not_wanted_any_more(
    delivering: Api, change: dict[str, Any]
) -> None:
    async with story(delivering, Refusing(1), on_dead="block") as one:
        await one.world.record(A)
        await one.world.record(A, type="lead.captured", rule="wanted")
        await one.until_states("dead", "held")
        await delivering.call("PATCH", one.path, change)
        await one.until_states("dead")
        await one.box.until_received(1)
        assert [each["blocks"] for each in await one.listed()] == [False]
    assert one.versions() == [2]


@pytest.mark.parametrize("paused", [False, True])
@pytest.mark.parametrize(
    ("asked", "of", "status", "expected", "left"),
    [
        ("retry", 0, 200, [1, 2, 3], []),
        ("retry", 1, 409, [], ["retry", "held", "held"]),
        ("discard", 0, 200, [2, 3], []),
        ("discard", 1, 200, [], ["retry", "held"]),
        ("discard", 2, 200, [], ["retry", "held"]),
    ],
)
async def test_what_waits_for_its_next_attempt_is_sent_now_or_discarded(
    delivering: Api, asked: str, of: int, status: int, expected: list[int], left: list[str], paused: bool
) -> None:
    refusing = Refusing(1)
    async with story(delivering, refusing, limits=LATER) as one:
        await one.world.record(A, A, A)
        rows = await one.until_states("retry", "held", "held")
        if paused:
            await delivering.post(f"{one.path}/pause", None, status=200)
            await one.world.until_row("SELECT 1 FROM lanes WHERE lease_until < now()")
        refusing.versions.clear()
        await one.do(asked, rows[of]["position"], status=status)
        if paused:
            assert one.versions() == []
            await delivering.post(f"{one.path}/resume", None, status=200)
        await one.until_states(*left)
    assert one.versions() == expected


FILTERS: list[tuple[dict[str, Any], list[int]]] = [
    ({}, [0, 1, 2, 3, 4, 5]),
    ({"types": ["lead.*"]}, [0, 1, 2, 3, 4, 5]),
    ({"types": ["*"]}, [0, 1, 2, 3, 4, 5]),
    ({"types": ["lead.captured"]}, [1, 3, 5]),
    ({"types": ["lead.captured", "lead.updated"]}, [0, 1, 2, 3, 4, 5]),
    ({"types": ["lead.converted"]}, []),
    ({"lead_ids": ["A"]}, [0, 1]),
    ({"lead_ids": ["A", "C"]}, [0, 1, 4, 5]),
    ({"lead_ids": ["A"], "types": ["lead.captured"]}, [1]),
    ({"from": "2026-03-02T12:00:00Z"}, [0, 1, 2, 3, 4, 5]),
    ({"from": "2026-03-02T12:00:01Z"}, []),
    ({"to": "2026-03-02T12:00:00Z"}, []),
    ({"from": "2026-03-02T12:00:00Z", "to": "2026-03-02T12:00:00.001Z"}, [0, 1, 2, 3, 4, 5]),
]


@pytest.fixture
async def dead_of_three_leads(delivering: Api) -> AsyncIterator[tuple[Story, Refusing]]:
    """Two dead deliveries of each of three leads, and one after them that was delivered."""
    refusing = Refusing(1, 2)
    async with story(delivering, refusing) as one:
        for each in (A, B, C):
            await one.world.record(each)
            await one.world.record(each, type="lead.captured")
        await one.world.record(A, B, C)
        await one.box.until_received(3)
        await one.until_states(*["dead"] * 6)
        yield one, refusing


async def test_dead_deliveries_are_listed_retried_and_discarded_by_a_filter(
    dead_of_three_leads: tuple[Story, Refusing],
) -> None:
    one, refusing = dead_of_three_leads
    public = {name: ids.show("lead", lead) for name, lead in (("A", A), ("B", B), ("C", C))}
    dead = [each["position"] for each in await one.listed()]
    for wanted, expected in FILTERS:
        leads = {"lead_ids": [public[name] for name in wanted["lead_ids"]]} if "lead_ids" in wanted else {}
        if len(wanted.get("lead_ids", "")) < 2:
            query = {**wanted, "lead_id": leads["lead_ids"][0]} if leads else wanted
            found = await one.listed(state="dead", **{name: query[name] for name in query if name != "lead_ids"})
            assert [each["position"] for each in found] == [dead[n] for n in expected], wanted
        sent = len(one.box.got)
        assert await one.do("retry", body={**wanted, **leads}) == {"count": len(expected), "more": False}, wanted
        await one.until_requests(sent + len(expected))
        again = one.box.got[sent:]
        assert sorted(got.event["meta"]["position"] for got in again) == sorted(dead[n] for n in expected), wanted
        for lead in public.values():
            versions = [got.version for got in again if got.lead == lead]
            assert versions == sorted(versions), "each lead in order"
        await one.until_states(*["dead"] * 6)
    assert await one.do("discard", body={"lead_ids": [public["B"]]}) == {"count": 2, "more": False}
    await one.until_states(*["dead"] * 4)
    refusing.versions.clear()
    assert await one.do("retry", body={"types": ["lead.captured"]}) == {"count": 2, "more": False}
    await one.until_states("dead", "dead")
    assert await one.do("discard", body={}) == {"count": 2, "more": False}
    await one.until_states()
    assert (one.versions(A), one.versions(B), one.versions(C)) == ([3, 2], [3], [3, 2])


async def test_several_dead_deliveries_of_a_lead_are_sent_in_order_before_its_new_events(delivering: Api) -> None:
    """Each lead has many dead ones; they are asked for together, while new events of the lead arrive."""
    refusing = Refusing(*range(1, 21))
    async with story(delivering, refusing) as one:
        await one.world.record_many([A, B], 20)
        await one.until_states(*["dead"] * 40)
        refusing.versions.clear()
        assert (await one.do("retry", body={}))["count"] == 40
        await one.world.record_many([A, B], 5)
        await one.box.until_received(50)
        await one.until_states()
    for lead_id in (A, B):
        taken = [version for version in one.versions(lead_id) if version <= 20]
        assert taken == sorted(taken)
        assert [version for version in one.versions(lead_id) if version > 20] == [21, 22, 23, 24, 25]


@pytest.mark.parametrize("asked", ["retry", "discard"])
async def test_the_next_owner_carries_out_what_the_one_that_crashed_was_asked(settings: Settings, asked: str) -> None:
    async with running(settings) as api, inbox(Refusing(1)) as box:
        made = await api.post(PATH, {"url": box.url, "limits": TWO_ATTEMPTS, "on_dead": "block"})
        one = Story(api, world_of(api), box, made)
        async with one.world.running(0), one.world.dispatcher() as first:
            await one.world.record(A, A)
            await one.world.until_row("SELECT 1 FROM event_log HAVING count(*) = 2")
            assert await first.claim() == 1
            dead, _ = await one.until_states("dead", "held")
            for served in first.lanes.values():
                served.mark_lost()
            await until(lambda: not first.lanes, "the lane is lost, its lease is not")
            box.answer = lambda _: 204
            assert (await one.do(asked, dead["position"]))["requested"] == asked
            assert await one.states() == ["dead", "held"]
            async with one.world.dispatcher() as second:
                assert await second.claim() == 0
                async with one.world.engine.begin() as tx:
                    await tx.execute(text("UPDATE lanes SET lease_until = '-infinity'"))
                assert await second.claim() == 1
                await one.until_states()
    assert one.versions() == ([1, 2] if asked == "retry" else [2])


async def test_an_owner_that_was_suspended_writes_nothing_after_a_lane_was_changed_by_hand(settings: Settings) -> None:
    """Its lease ran out and nobody claimed the lane; a request about a delivery changed the rows it has counted."""
    async with running(settings) as api, inbox(Refusing(1)) as box:
        made = await api.post(PATH, {"url": box.url, "limits": TWO_ATTEMPTS, "on_dead": "block"})
        one = Story(api, world_of(api), box, made)
        async with one.world.running(0), one.world.dispatcher() as first:
            await one.world.record(A, A)
            await one.world.until_row("SELECT 1 FROM event_log HAVING count(*) = 2")
            await first.claim()
            dead, _ = await one.until_states("dead", "held")
            async with one.world.engine.begin() as tx:
                await tx.execute(text("UPDATE lanes SET lease_until = now()"))
            await one.do("discard", dead["position"])
            assert await one.states() == ["retry"]
            await first.renew()
            await until(lambda: not first.lanes, "the lane is lost")
            box.answer = lambda _: 204
            await first.claim()
            await one.until_states()
    assert one.versions() == [2]


async def test_requests_about_deliveries_that_are_not_there_are_refused(delivering: Api) -> None:
    async with story(delivering, Refusing(1)) as one:
        await one.world.record(A)
        [dead] = await one.until_states("dead")
        unknown = f"{PATH}/{ids.show('subscription', ids.new_id())}"
        for asked in ("retry", "discard"):
            for position in ("0", "-1", "x", "1.5", "9" * 18, "9" * 19, "9" * 400):
                answer = await delivering.call("POST", f"{one.path}/deliveries/{position}/{asked}")
                assert (answer.status_code, answer.json()["code"]) == (404, "delivery_not_found"), position
            for path in (f"{dead['position']}/{asked}", asked):
                answer = await delivering.call("POST", f"{unknown}/deliveries/{path}", {} if path == asked else None)
                assert (answer.status_code, answer.json()["code"]) == (404, "subscription_not_found")
            refused: list[tuple[dict[str, Any], str]] = [
                ({"typo": 1}, "typo"),
                ({"types": []}, "types"),
                ({"types": ["lead.typo"]}, "types.0"),
                ({"lead_ids": []}, "lead_ids"),
                ({"lead_ids": ["lead_1"]}, "lead_ids.0"),
                ({"from": "yesterday"}, "from"),
                ({"to": "2026-03-02T12:00:00"}, "to"),
            ]
            for body, field in refused:
                answer = await delivering.call("POST", f"{one.path}/deliveries/{asked}", body)
                assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
        answer = await delivering.call("PATCH", one.path, {"on_dead": "wait"})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "on_dead")
        assert await one.states() == ["dead"]


async def test_a_dead_delivery_whose_event_is_kept_no_more_can_only_be_discarded(delivering: Api) -> None:
    async with story(delivering, Refusing(1)) as one:
        await one.world.record(A)
        [dead] = await one.until_states("dead")
        async with one.world.engine.begin() as tx:
            await tx.execute(text("DELETE FROM event_log"))
        answer = await delivering.call("POST", f"{one.path}/deliveries/{dead['position']}/retry")
        assert (answer.status_code, answer.json()["code"]) == (409, "position_expired")
        assert await one.do("retry", body={}) == {"count": 0, "more": False}
        assert (await one.listed())[0]["event_type"] is None
        await one.do("discard", dead["position"])
        await one.until_states()


async def test_more_dead_deliveries_than_one_request_takes_are_told_of(
    delivering: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.webhooks.by_hand.MOST_ASKED", 3)
    async with story(delivering, Refusing(1)) as one:
        await one.world.record(*(ids.new_id() for _ in range(7)))
        await one.until_states(*["dead"] * 7)
        await delivering.post(f"{one.path}/pause", None, status=200)
        answers = [await one.do("discard", body={}) for _ in range(3)]
        await delivering.post(f"{one.path}/resume", None, status=200)
        await one.until_states()
    assert [each["more"] for each in answers] == [True, True, False]
    assert sum(each["count"] for each in answers) == 7


async def test_a_subscription_with_too_many_waiting_rows_is_treated_as_if_its_receiver_were_down(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lane.MOST_PARKED == 10_000
    monkeypatch.setattr("app.webhooks.serve_lane.MOST_PARKED", 1000)
    poison = ids.show("lead", A)
    async with inbox(lambda got: 422 if got.lead == poison else 204) as box, world.running():
        await world.subscribe(box.url, Limits(timeout_seconds=20, retry_schedule=[0, 3600]))
        await world.record_many([A], 1)
        await world.record_many([B], 1)
        for _ in range(4):
            await world.record_many([A] * 1200, 1)
        await world.record_many([B], 5)
        await world.until_row("SELECT 1 FROM lanes WHERE breaker ->> 'state' = 'open' AND lease_until < now()")
        [count] = await world.rows("SELECT count(*) AS n FROM delivery_retries")
        assert 1000 <= count.n <= 1000 + 2048 + 256
        sent = len(box.got)
        await box.until(lambda box: len(box.got) >= sent + 3)
        [later] = await world.rows("SELECT count(*) AS n FROM delivery_retries")
        assert later.n == count.n
        assert await world.rows("SELECT 1 FROM lanes WHERE position < 4800")
