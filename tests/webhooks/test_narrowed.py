"""A subscription whose types or filter are narrowed: what waits and is not wanted any more is skipped, never sent."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import ids
from app.events.catalogue import TYPES
from app.events.feed import like_patterns
from app.events.sequence import sequence
from app.webhooks import subscribe
from app.webhooks.accepted import accepts
from app.webhooks.lane_context import Timing
from app.webhooks.schemas import Limits, SubscriptionPatch
from tests.waiting import until
from tests.webhooks.conftest import Got, World, inbox

A, B, C = (ids.new_id() for _ in range(3))
HOURS = Limits(timeout_seconds=20, retry_schedule=[0.0, 80_000.0, 80_000.0])
PROMPT = Timing(lease=600, renew=0.1, idle=5)


class Broken:
    """A receiver that answers 500 until it is mended."""

    def __init__(self) -> None:
        self.mended = False

    def __call__(self, _: Got) -> int:
        return 204 if self.mended else 500


async def fail_all(world: World, url: str) -> Any:
    """A subscription whose deliveries have failed: two of each lead, the second held behind the first."""
    subscription_id, _ = await world.subscribe(url, HOURS)
    for lead in (A, B, C):
        await world.record(lead, type="lead.activity", rule="interest")
        await world.record(lead, type="lead.updated", rule="other")
        await world.record(lead, type="lead.activity", rule="other")
    await world.until_row("SELECT 1 FROM delivery_retries HAVING count(*) = 9")
    return subscription_id


async def narrow(world: World, subscription_id: Any, **members: Any) -> None:
    async with world.context() as context:
        await subscribe.patch(context, subscription_id, SubscriptionPatch(**members), None)


async def skipped(world: World) -> int:
    return int((await world.rows("SELECT count(*) AS n FROM attempts WHERE error_kind = 'skipped'"))[0].n)


@pytest.mark.parametrize(
    ("members", "sent"),
    [
        ({"types": ["lead.updated"]}, ["lead.updated"]),
        ({"types": ["lead.updated", "lead.captured"]}, ["lead.updated"]),
        ({"types": ["opportunity.*"]}, []),
        ({"filter": {"rule": ["other"]}}, ["lead.updated", "lead.activity"]),
        ({"filter": {"rule": ["third"]}}, []),
        ({"types": ["lead.activity", "lead.assigned"], "filter": {"rule": ["other"]}}, ["lead.activity"]),
    ],
)
@pytest.mark.parametrize("served", [True, False])
async def test_what_waits_and_is_not_wanted_any_more_is_skipped_and_the_rest_is_sent_in_order(
    world: World, members: dict[str, Any], sent: list[str], served: bool
) -> None:
    broken = Broken()
    async with inbox(broken) as box:
        async with world.running(timing=PROMPT):
            subscription_id = await fail_all(world, box.url)
            if served:
                broken.mended = True
                await narrow(world, subscription_id, **members)
                await world.until_row("SELECT 1 FROM delivery_retries HAVING count(*) = 0")
        if not served:
            broken.mended = True
            await narrow(world, subscription_id, **members)
            async with world.running(timing=PROMPT):
                await world.until_row("SELECT 1 FROM delivery_retries HAVING count(*) = 0")
    assert [got.event["type"] for lead in (A, B, C) for got in box.ok if got.lead == ids.show("lead", lead)] == sent * 3
    assert box.in_order()
    assert await skipped(world) == 9 - 3 * len(sent)
    rows = await world.rows("SELECT code, ms, event_id FROM attempts WHERE error_kind = 'skipped'")
    assert {(row.code, row.ms) for row in rows} <= {(None, 0)}
    [lane] = await world.rows("SELECT l.position, max(e.position) AS head FROM lanes l, event_log e GROUP BY 1")
    assert lane.position == lane.head


async def test_a_wanted_retry_keeps_its_time_when_the_subscription_is_narrowed(world: World) -> None:
    broken = Broken()
    async with inbox(broken) as box, world.running(timing=PROMPT):
        subscription_id = await fail_all(world, box.url)
        before = await world.rows("SELECT position, next_at FROM delivery_retries WHERE state = 'retry' ORDER BY 1")
        await narrow(world, subscription_id, types=["lead.activity", "lead.assigned"])
        await narrow(world, subscription_id, filter={"rule": ["interest"]})
        after = await world.rows("SELECT position, next_at FROM delivery_retries WHERE state = 'retry' ORDER BY 1")
    assert [tuple(row) for row in before] == [tuple(row) for row in after]
    assert len(box.got) == 3


async def test_what_was_read_before_the_change_and_is_sent_after_it_is_skipped(world: World) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(_: Got) -> int:
        begun.set()
        await go_on.wait()
        return 204

    async with inbox(slow) as box, world.dispatcher() as dispatcher:
        subscription_id, _ = await world.subscribe(box.url, Limits(timeout_seconds=20, concurrency=1))
        for lead in (A, B):
            await world.record(lead, type="lead.activity")
        await sequence(world.engine)
        await dispatcher.claim()
        await begun.wait()
        await narrow(world, subscription_id, types=["lead.updated"])
        await dispatcher.renew()
        lane = dispatcher.lanes[subscription_id, 0]
        await until(lambda: lane.receiver.types == ("lead.updated",))
        go_on.set()
        await world.until_row("SELECT 1 FROM attempts HAVING count(*) = 2")
    assert [got.event["type"] for got in box.got] == ["lead.activity"]
    assert await skipped(world) == 1


def like(pattern: str, value: str) -> bool:
    """What the lane's SQL does with a pattern."""
    literal = pattern.replace(r"\_", "_")
    return value == literal if "%" not in literal else value.startswith(literal.rstrip("%"))


@given(
    types=st.lists(st.sampled_from(["*", "lead.*", "opportunity.*", *TYPES]), min_size=1),
    event=st.sampled_from([*TYPES]),
)
def test_types_match_when_sending_as_they_do_when_reading(types: list[str], event: str) -> None:
    patterns = like_patterns(tuple(types)) or ["%"]
    assert accepts(types, {}, event, "{}") == any(like(pattern, event) for pattern in patterns)


@pytest.mark.parametrize(
    ("wanted", "data", "expected"),
    [
        ({}, "{}", True),
        ({"to": ["mql"]}, '{"to":"mql"}', True),
        ({"to": ["mql", "sql"]}, '{"to":"sql"}', True),
        ({"to": ["mql"]}, '{"to":"sql"}', False),
        ({"to": ["mql"]}, "{}", False),
        ({"to": [None]}, '{"to":null}', True),
        ({"to": [None]}, "{}", False),
        ({"to": ["mql"], "seq": [2]}, '{"to":"mql","seq":2}', True),
        ({"to": ["mql"], "seq": [2]}, '{"to":"mql","seq":3}', False),
    ],
)
def test_each_member_of_a_filter_must_have_one_of_its_values(wanted: Any, data: str, expected: bool) -> None:
    assert accepts(["*"], wanted, "lead.updated", data) is expected
    assert accepts(["opportunity.*"], wanted, "lead.updated", data) is False
