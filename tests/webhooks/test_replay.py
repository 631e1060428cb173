"""Events that are sent once more: which, how, and how far a replay is."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from standardwebhooks import Webhook

from app import ids
from app.settings import Settings
from tests.api import Api, running
from tests.webhooks.conftest import Got, inbox
from tests.webhooks.replaying import Replaying, replaying

A, B, C = (ids.new_id() for _ in range(3))


@pytest.fixture
async def delivering(settings: Settings) -> AsyncIterator[Api]:
    async with running(settings, roles=("dispatch",)) as found:
        yield found


async def test_a_replay_sends_the_same_ids_and_bytes_once_more_with_its_own_id_in_a_header(delivering: Api) -> None:
    async with replaying(delivering) as one:
        await one.world.record(A, B, A, C, A)
        await one.box.until_received(5)
        await one.until_written()
        made = await one.create()
        assert (made["state"], made["only"], made["types"], made["lead_ids"]) == ("pending", "all", ["*"], None)
        assert (made["sent"], made["failed"], made["remaining"], made["started_at"]) == (0, 0, 5, None)
        done = await one.until(made, state="done")
    assert (done["sent"], done["failed"], done["remaining"]) == (5, 0, 0)
    assert done["position"] == done["to_position"]
    assert done["finished_at"] >= done["started_at"] >= done["created_at"]
    live, replayed = one.live(), one.replayed(made)
    assert len(live) == len(replayed) == 5
    assert {got.id: got.body for got in replayed} == {got.id: got.body for got in live}
    assert {got.headers["webhook-attempt"] for got in replayed} == {"1"}
    assert one.box.all_verify(one.made["secret"])


async def test_a_replay_keeps_the_order_of_each_lead(delivering: Api) -> None:
    async with replaying(delivering, limits={"concurrency": 64}) as one:
        count = await one.world.record_many([ids.new_id() for _ in range(20)], 30)
        await one.box.until_received(count)
        await one.until_written()
        done = await one.until(await one.create(), state="done")
        one.box.ok[:] = one.replayed()
    assert (done["sent"], len(one.box.ok)) == (count, count)
    assert one.box.in_order()


async def test_replays_are_listed_the_latest_first_and_one_is_sent_after_the_other(delivering: Api) -> None:
    async with replaying(delivering) as one:
        await one.world.record(A, B)
        await one.box.until_received(2)
        await one.until_written()
        first, second = await one.create(), await one.create()
        await one.until(second, state="done")
        assert (await one.get(first))["state"] == "done"
        path = f"{one.path}/replays"
        page = await delivering.get(path, params={"limit": 1})
        assert [each["id"] for each in page["data"]] == [second["id"]]
        rest = await delivering.get(path, params={"limit": 1, "cursor": page["next"]})
        assert ([each["id"] for each in rest["data"]], rest["next"]) == ([first["id"]], None)
    assert [got.headers["webhook-replay"] for got in one.replayed()] == [first["id"]] * 2 + [second["id"]] * 2


async def test_a_replay_that_was_asked_for_twice_with_one_key_is_created_once(delivering: Api) -> None:
    async with replaying(delivering) as one:
        await one.world.record(A)
        await one.box.until_received(1)
        key = {"Idempotency-Key": "replay-of-monday"}
        made = [await delivering.call("POST", f"{one.path}/replays", {}, headers=key) for _ in range(2)]
        assert [each.status_code for each in made] == [201, 201]
        assert made[0].json()["id"] == made[1].json()["id"]
        assert made[0].headers["Location"] == f"{one.path}/replays/{made[0].json()['id']}"
        assert len((await delivering.get(f"{one.path}/replays"))["data"]) == 1


async def moved(one: Replaying) -> list[Got]:
    """To another URL: nothing is sent to the one before."""
    async with inbox() as other:
        await patch(one, url=other.url)
        made = await replayed(one)
        assert one.replayed(made) == []
        return other.got


async def in_another_format(one: Replaying) -> list[Got]:
    await patch(one, format="cloudevents_structured")
    sent = one.replayed(await replayed(one))
    assert {got.headers["content-type"] for got in sent} == {"application/cloudevents+json"}
    return sent


async def with_another_secret(one: Replaying) -> list[Got]:
    """A key without grace signs no more."""
    rotated = await one.api.post(f"{one.path}/secret", {"grace_seconds": 0}, status=200)
    sent = one.replayed(await replayed(one))
    for got in sent:
        Webhook(rotated["secret"]).verify(got.body, got.headers)
    return sent


async def patch(one: Replaying, **members: object) -> None:
    answer = await one.api.call("PATCH", one.path, members)
    assert answer.status_code == 200, answer.text


async def replayed(one: Replaying) -> dict[str, Any]:
    """A replay that was asked for at once, and is done."""
    return await one.until(await one.create(), state="done")


@pytest.mark.parametrize("change", [moved, in_another_format, with_another_secret])
async def test_a_replay_that_is_asked_for_right_after_a_change_is_sent_as_the_subscription_is_now(
    delivering: Api, change: Callable[[Replaying], Awaitable[list[Got]]]
) -> None:
    async with replaying(delivering) as one:
        await one.world.record(A, B)
        await one.box.until_received(2)
        await one.until_written()
        assert len(await change(one)) == 2


async def test_a_replay_right_after_a_condition_was_set_leaves_out_what_does_not_match_now(delivering: Api) -> None:
    async with replaying(delivering) as one:
        await one.world.record(A, B)
        await one.box.until_received(2)
        await one.until_written()
        await patch(one, **{"if": {"field": "data.lead_id", "is": ids.show("lead", A)}})
        made = await replayed(one)
    assert {got.lead for got in one.replayed(made)} == {ids.show("lead", A)}
