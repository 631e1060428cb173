"""What a request for a replay is answered: which events it may name, and what cannot be sent again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app import ids
from app.settings import Settings
from tests.api import Api, running
from tests.webhooks.conftest import NOON
from tests.webhooks.replaying import Replaying, replaying, shown

A, B, C = (ids.new_id() for _ in range(3))


@pytest.fixture
async def delivering(settings: Settings) -> AsyncIterator[Api]:
    async with running(settings, roles=("dispatch",)) as found:
        yield found


def faults(problem: dict[str, Any]) -> list[tuple[str, str]]:
    return [(each["field"], each["code"]) for each in problem["errors"]]


async def recorded(one: Replaying, *minutes: int) -> None:
    """Record an event of A at each of these minutes after noon, all delivered."""
    for minute in minutes:
        await one.world.record(A)
        await one.box.until_received(len(one.box.ok) + 1)
        async with one.world.engine.begin() as tx:
            at = {"at": NOON + timedelta(minutes=minute)}
            for table, order in (("event_log", "position"), ("events", "seq")):
                await tx.execute(
                    text(f"UPDATE {table} SET recorded_at = :at WHERE {order} = (SELECT max({order}) FROM {table})"),
                    at,
                )
    await one.until_written()


def minute(n: float) -> str:
    return (NOON + timedelta(minutes=n)).isoformat()


@pytest.mark.parametrize(
    ("start", "end", "versions"),
    [
        (10, 30, [1, 2]),
        (10.001, 30, [2]),
        (10, 30.001, [1, 2, 3]),
        (10, 20, [1]),
        (0, 10.001, [1]),
        (30, 300, [3]),
    ],
)
async def test_a_range_of_instants_has_what_was_recorded_from_the_first_to_before_the_second(
    delivering: Api, start: float, end: float, versions: list[int]
) -> None:
    async with replaying(delivering) as one:
        await recorded(one, 10, 20, 30)
        await one.until(await one.create(start=minute(start), to=minute(end)), state="done")
    assert [got.version for got in one.replayed()] == versions


async def test_a_range_of_cursors_has_what_is_after_the_first_up_to_the_second(delivering: Api) -> None:
    async with replaying(delivering) as one:
        await recorded(one, 10, 20, 30, 40)
        first = (await delivering.get("/v1/events", params={"after": "earliest", "limit": 1}))["next"]
        third = (await delivering.get("/v1/events", params={"after": "earliest", "limit": 3}))["next"]
        await one.until(await one.create(start=first, to=third), state="done")
        assert [got.version for got in one.replayed()] == [2, 3]
        for start, end in ((third, first), (first, first), (third, minute(30))):
            problem = await one.create(status=422, start=start, to=end)
            assert faults(problem) in ([("to", "not_after_from")], [("from", "nothing_to_send")])


async def test_an_end_that_is_not_after_the_beginning_is_refused(delivering: Api) -> None:
    async with replaying(delivering) as one:
        await recorded(one, 10)
        for first, last in ((20, 10), (10, 10), (10.001, 10)):
            problem = await one.create(status=422, start=minute(first), to=minute(last))
            assert faults(problem) == [("to", "not_after_from")]
        for start, end in (("latest", "earliest"), ("latest", "latest"), ("earliest", "earliest")):
            assert faults(await one.create(status=422, start=start, to=end)) == [("to", "not_after_from")]


async def test_types_and_leads_choose_events_and_nothing_to_send_is_told(delivering: Api) -> None:
    async with replaying(delivering) as one:
        leads = [(await delivering.lead(email=f"n{n}@nord.example"))["id"] for n in range(2)]
        await one.box.until(lambda box: {got.lead for got in box.ok} == set(leads))
        await one.until_written()
        await one.world.record(A)
        await one.box.until(lambda box: box.ok[-1].lead == shown(A)[0])
        await one.until_written()
        await one.until(await one.create(lead_ids=leads[:1]), state="done")
        assert {got.lead for got in one.replayed()} == {leads[0]}
        made = await one.until(await one.create(types=["lead.updated"]), state="done")
        assert {got.event["type"] for got in one.replayed(made)} == {"lead.updated"}
        problem = await one.create(status=422, types=["lead.converted"])
        assert faults(problem) == [("types", "nothing_to_send")]
        problem = await one.create(status=422, lead_ids=leads, start="2020-01-01T00:00:00Z", to="2020-01-02T00:00:00Z")
        assert faults(problem) == [("lead_ids", "nothing_to_send")]
        problem = await one.create(status=422, to="2020-01-02T00:00:00Z")
        assert faults(problem) == [("from", "nothing_to_send")]


async def test_a_replay_sends_only_what_its_subscription_accepts(delivering: Api) -> None:
    async with replaying(delivering, filter={"rule": ["red"]}) as one:
        await one.world.record(A, type="lead.assigned", rule="red")
        await one.world.record(A, type="lead.assigned", rule="blue")
        await one.world.record(A, type="lead.assigned", rule="red")
        await one.box.until_received(2)
        await one.until_written()
        done = await one.until(await one.create(), state="done")
    assert (done["sent"], [got.version for got in one.replayed()]) == (2, [1, 3])


@pytest.mark.parametrize(
    ("accepted", "asked", "field"),
    [
        ({"types": ["lead.updated"]}, {"types": ["opportunity.*"]}, "types"),
        ({"types": ["lead.*", "policy.*"]}, {"types": ["opportunity.updated", "submission.*"]}, "types"),
        ({"filter": {"to": ["mql"]}}, {"types": ["lead.updated"]}, "types"),
        ({"types": ["opportunity.*"]}, {}, "from"),
        ({"types": ["lead.*", "policy.*"]}, {"types": ["policy.activated", "opportunity.*"]}, "types"),
        ({"types": ["opportunity.*"]}, {"only": "failed"}, "only"),
    ],
    ids=str,
)
async def test_a_replay_of_types_that_are_never_sent_or_not_in_the_log_has_nothing_to_send(
    delivering: Api, accepted: dict[str, Any], asked: dict[str, Any], field: str
) -> None:
    async with replaying(delivering, **accepted) as one:
        await one.world.record(A)
        problem = await one.create(status=422, **asked)
        assert faults(problem) == [(field, "nothing_to_send")], problem
        assert (await delivering.get(f"{one.path}/replays"))["data"] == []


async def test_a_lead_that_was_erased_or_is_unknown_is_told_by_its_place(delivering: Api) -> None:
    async with replaying(delivering) as one:
        lead, erased = [(await delivering.lead(email=f"n{n}@nord.example"))["id"] for n in range(2)]
        async with one.world.engine.begin() as tx:
            await tx.execute(
                text("UPDATE leads SET erased_at = now() WHERE id = :id"), {"id": ids.read("lead", erased)}
            )
        problem = await one.create(status=410, lead_ids=[lead, erased])
        assert (problem["code"], faults(problem)) == ("erased", [("lead_ids.1", "erased")])
        problem = await one.create(status=422, lead_ids=[*shown(C), lead])
        assert faults(problem) == [("lead_ids.0", "lead_not_found")]


@pytest.mark.parametrize("state", ["paused", "disabled"])
async def test_a_subscription_that_is_not_active_is_told_to_be_resumed(delivering: Api, state: str) -> None:
    async with replaying(delivering) as one:
        await recorded(one, 10)
        async with one.world.engine.begin() as tx:
            await tx.execute(text("UPDATE subscriptions SET state = :state"), {"state": state})
        problem = await one.create(status=409)
        assert (problem["code"], problem["state"]) == ("state_conflict", state)
        assert (await delivering.get(f"{one.path}/replays"))["data"] == []


@pytest.mark.parametrize(
    ("body", "field", "code"),
    [
        ({"types": ["lead.unheard_of"]}, "types.0", "type_unknown"),
        ({"types": []}, "types", "too_few_items"),
        ({"lead_ids": []}, "lead_ids", "too_few_items"),
        ({"lead_ids": ["lead_1"]}, "lead_ids.0", "id_malformed"),
        ({"lead_ids": shown(A) * 101}, "lead_ids", "too_many_items"),
        ({"only": "dead"}, "only", "unknown_value"),
        ({"rate": 0}, "rate", "out_of_range"),
        ({"rate": 1000.1}, "rate", "out_of_range"),
        ({"rate": "1"}, "rate", "wrong_type"),
        ({"from": "yesterday"}, "from", "cursor_invalid"),
        ({"to": "2026-99-99T00:00:00Z"}, "to", "cursor_invalid"),
        ({"from": ""}, "from", "too_short"),
        ({"to": "x" * 1001}, "to", "too_long"),
        ({"state": "done"}, "state", "unknown_member"),
    ],
)
async def test_a_member_that_is_wrong_is_named(delivering: Api, body: dict[str, Any], field: str, code: str) -> None:
    async with replaying(delivering) as one:
        assert faults(await one.create(status=422, **body)) == [(field, code)]


async def test_a_beginning_before_what_is_kept_is_refused_and_earliest_begins_with_what_is(delivering: Api) -> None:
    async with replaying(delivering) as one:
        await recorded(one, 10, 20)
        cursor = (await delivering.get("/v1/events", params={"after": "earliest", "limit": 1}))["next"]
        async with one.world.engine.begin() as tx:  # as if the partition of the first events had been dropped
            for table, order in (("event_log", "position"), ("events", "seq")):
                await tx.execute(text(f"DROP TABLE {table}_00000"))
                await tx.execute(text(f"ALTER TABLE {table} ALTER COLUMN {order} RESTART WITH 5000001"))
            await tx.execute(text("UPDATE lanes SET position = 5000000"))
        await recorded(one, 30)
        for start in (minute(29), cursor):
            problem = await one.create(status=409, start=start)
            assert (problem["code"], problem["first_position"]) == ("position_expired", "5000001")
            assert faults(problem) == [("from", "position_expired")]
        for start in ("earliest", minute(30)):
            done = await one.until(await one.create(start=start), state="done")
            assert (done["from_position"], done["sent"]) == ("5000001", 1)


async def test_a_replay_whose_events_are_dropped_before_they_are_sent_fails_and_says_why(delivering: Api) -> None:
    async with replaying(delivering) as one:
        await recorded(one, 10, 20)
        made = await one.create(rate=0.01)
        await one.change(made, "pause")
        await one.until(made, state="paused")
        async with one.world.engine.begin() as tx:
            for table in ("event_log", "events"):
                await tx.execute(text(f"DROP TABLE {table}_00000"))
        await one.change(made, "resume")
        failed = await one.until(made, state="failed")
        assert failed["state_reason"] == "position_expired"
        assert failed["finished_at"] is not None
        assert (await one.change(made, "resume", 409))["state"] == "failed"


async def test_replays_of_another_subscription_or_tenant_are_not_found(delivering: Api) -> None:
    async with replaying(delivering) as one, replaying(delivering) as other:
        await recorded(one, 10)
        made = await one.create()
        for path in (f"{other.path}/replays/{made['id']}", f"{one.path}/replays/{ids.show('replay', A)}"):
            for method, end in (("GET", ""), ("POST", "/pause"), ("POST", "/resume"), ("POST", "/cancel")):
                answer = await delivering.call(method, path + end)
                assert (answer.status_code, answer.json()["code"]) == (404, "replay_not_found")
        gone = f"/v1/subscriptions/{ids.show('subscription', A)}/replays"
        for method in ("GET", "POST"):
            answer = await delivering.call(method, gone, {} if method == "POST" else None)
            assert (answer.status_code, answer.json()["code"]) == (404, "subscription_not_found")


@pytest.mark.parametrize(("start", "versions"), [(minute(20), [2, 3]), (minute(20.001), [3]), ("earliest", [1, 2, 3])])
async def test_a_subscription_may_start_in_the_past(delivering: Api, start: str, versions: list[int]) -> None:
    async with replaying(delivering) as one:
        await recorded(one, 10, 20, 30)
        async with replaying(delivering, start=start) as late:
            await late.box.until_received(len(versions))
            await late.until_written()
    assert [got.version for got in late.box.ok] == versions
