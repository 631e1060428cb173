"""A receiver that stays down is told of and disabled; a subscription goes on where its owner says."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from sqlalchemy import text

from app import ids
from app.errors import PositionExpired
from app.webhooks import subscribe
from app.webhooks.breaker import Waits
from app.webhooks.schemas import SubscriptionPatch
from tests.waiting import until
from tests.webhooks.conftest import FAST, Got, World, inbox
from tests.webhooks.test_outage import LEADS, LIMITS, OPEN

A, B = LEADS[:2]
STATES = {"resumed": "disabled", "another URL": "active"}
# Probes are far apart: the test lets each out.
PATIENT = replace(FAST, breaker=Waits(first_probe=36_000, longest_probe=36_000, step=0.1))


async def probe_as_if_down_for(world: World, hours: float) -> None:
    """The next probe goes out now, and the receiver is down for so long."""
    async with world.engine.begin() as tx:
        sql = "breaker || jsonb_build_object('since', clock_timestamp() - make_interval(secs => :seconds))"
        await tx.execute(text(f"UPDATE lanes SET due_at = now(), breaker = {sql}"), {"seconds": hours * 3600})
    world.wake.set("log")


@pytest.mark.parametrize(
    ("days", "hours", "told"),
    [
        (5, [0.9, 1.1, 2, 25, 30, 73, 100], [("failing", 1), ("failing", 24), ("failing", 72)]),
        (5, [80, 90], [("failing", 72)]),
        (5, [119, 121], [("failing", 72), ("disabled", None)]),
        (1, [23, 25], [("failing", 1), ("disabled", None)]),
        (30, [719, 721], [("failing", 72), ("disabled", None)]),
    ],
)
async def test_a_receiver_that_stays_down_is_told_of_and_disabled_and_keeps_its_position(
    world: World, days: int, hours: list[float], told: list[tuple[str, int | None]]
) -> None:
    down = True
    async with inbox(lambda _: 500 if down else 204) as box, inbox() as other, world.running(timing=PATIENT):
        limits = LIMITS.model_copy(update={"disable_after_days": days})
        subscription_id, _ = await world.subscribe(box.url, limits)
        await world.subscribe(other.url, types=["subscription.*"])
        await world.record_many(LEADS, 1)
        for probe, each in enumerate(hours, 1):
            await world.until_row(f"{OPEN} AND (breaker ->> 'probes')::int = {probe - 1}")
            await probe_as_if_down_for(world, each)
        await world.until_row(f"SELECT 1 FROM lanes WHERE (breaker ->> 'probes')::int = {len(hours)}")
        await other.until_received(len(told))
        events = [(got.event["type"].partition(".")[2], got.event["data"].get("hours")) for got in other.ok]
        assert events == told
        assert {got.event["data"]["subscription_id"] for got in other.ok} == {ids.show("subscription", subscription_id)}
        [row] = await world.rows(f"SELECT state, state_reason FROM subscriptions WHERE url = '{box.url}'")
        disabled = told[-1][0] == "disabled"
        assert (row.state, row.state_reason) == (("disabled", "failing") if disabled else ("active", None))
        down = False
        if disabled:
            async with world.context() as context:
                await subscribe.resume(context, subscription_id, None)
        else:
            await world.until_row(f"{OPEN} AND (breaker ->> 'probes')::int = {len(hours)}")
            await probe_as_if_down_for(world, 0)
        await box.until_received(len(LEADS))
        if not disabled:
            await other.until_received(len(told) + 1)
            assert other.ok[-1].event["type"] == "subscription.recovered"
    assert all(got.event["type"] == "lead.updated" for got in box.got), "it gets no event about itself"


async def test_a_probe_that_gets_410_disables(world: World) -> None:
    code = 500
    async with inbox(lambda _: code) as box, world.running(timing=PATIENT):
        await world.subscribe(box.url, LIMITS)
        await world.record_many(LEADS, 1)
        await world.until_row(OPEN)
        code = 410
        await probe_as_if_down_for(world, 0)
        row = await world.until_row("SELECT state_reason FROM subscriptions WHERE state = 'disabled'")
    assert row.state_reason == "gone"


@pytest.mark.parametrize("restart", ["resumed", "another URL"])
async def test_a_subscription_that_starts_again_does_not_wait_for_what_its_last_requests_brought(
    world: World, restart: str
) -> None:
    held, answered = asyncio.Event(), asyncio.Event()

    async def answer(got: Got) -> int | bytes:
        if answered.is_set():
            return 204
        if got.lead == ids.show("lead", A):
            await held.wait()
            return b"HTTP/1.1 503 X\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n"
        return 410 if restart == "resumed" else 422

    async with inbox(answer) as box, inbox() as another, world.running(timing=PATIENT):
        subscription_id, _ = await world.subscribe(box.url, LIMITS)
        await world.record(A, B)
        await world.until_row("SELECT 1 FROM delivery_retries")
        await world.until_row(f"SELECT 1 FROM subscriptions WHERE state = '{STATES[restart]}'")
        async with world.context() as context:
            if restart == "resumed":
                await subscribe.resume(context, subscription_id, None)
            else:
                await subscribe.patch(context, subscription_id, SubscriptionPatch(url=another.url), None)
        answered.set()
        held.set()
        await (box if restart == "resumed" else another).until_received(1)


@pytest.mark.parametrize(
    ("at", "expected", "gap"),
    [
        ("cursor", [3, 4, 5, 6], None),
        ("now", [6], ("3", "5")),
        ("1", [1, 2, 3, 4, 5, 6], None),
        ("2", [2, 3, 4, 5, 6], None),
        ("3", [3, 4, 5, 6], None),
        ("5", [5, 6], ("3", "4")),
        ("6", [6], ("3", "5")),
    ],
)
async def test_a_subscription_goes_on_at_its_cursor_now_or_at_a_position(
    world: World, at: str, expected: list[int], gap: tuple[str, str] | None
) -> None:
    async with inbox() as box, world.running():
        subscription_id, _ = await world.subscribe(box.url)
        await world.record(A, A)
        await world.until_row("SELECT 1 FROM lanes WHERE position = 2")
        async with world.context() as context:
            await subscribe.pause(context, subscription_id, None)
        await world.until_row("SELECT 1 FROM lanes WHERE lease_until < now()")
        await world.record(A, A, A)
        await world.until_row("SELECT 1 FROM event_log HAVING count(*) = 5")
        box.ok.clear()
        async with world.context() as context:
            await subscribe.resume(context, subscription_id, None, at)
        await world.record(A)
        await box.until_received(len(expected))
        await until(lambda: len(box.ok) == len(expected), "everything from there on was sent")
    assert [got.version for got in box.ok] == expected
    found = await world.rows("SELECT data FROM events WHERE type = 'subscription.gap'")
    assert len(found) == (gap is not None)
    if gap:
        assert f'"from_position":"{gap[0]}","to_position":"{gap[1]}"' in found[0].data


async def test_deliveries_that_waited_are_dropped_by_now_and_sent_by_a_position(world: World) -> None:
    refused = True
    async with inbox(lambda got: 422 if refused and got.lead == ids.show("lead", A) else 204) as box, world.running():
        limits = LIMITS.model_copy(update={"retry_schedule": [0.0, 3600.0]})
        subscription_id, _ = await world.subscribe(box.url, limits)
        await world.record(A, A, B)
        await world.until_row("SELECT 1 FROM delivery_retries WHERE state = 'held'")
        for at in ("now", "1"):
            async with world.context() as context:
                await subscribe.pause(context, subscription_id, None)
            refused = False
            async with world.context() as context:
                await subscribe.resume(context, subscription_id, None, at)
            assert await world.states() == {}
        await box.until(lambda box: len(box.ok) >= 4)
    assert [got.version for got in box.ok if got.lead == ids.show("lead", A)] == [1, 2]


async def test_events_that_are_kept_no_more_are_named_with_the_first_position_that_is(world: World) -> None:
    async with inbox() as box:
        subscription_id, _ = await world.subscribe(box.url)
        async with world.context() as context:
            await subscribe.pause(context, subscription_id, None)
        async with world.engine.begin() as tx:
            [first] = (await tx.execute(text(FIRST_PARTITION))).scalars()
            await tx.execute(text(f'DROP TABLE "{first}"'))
            await tx.execute(text("ALTER TABLE event_log ALTER position RESTART WITH 5000001"))
        async with world.context() as context:
            for at in ("cursor", "1"):
                with pytest.raises(PositionExpired) as raised:
                    await subscribe.resume(context, subscription_id, None, at)
                assert raised.value.members["first_position"] == "5000001"
            assert raised.value.status == 409
            await subscribe.resume(context, subscription_id, None, "now")


FIRST_PARTITION = """
    SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
     WHERE i.inhparent = 'event_log'::regclass
     ORDER BY (regexp_match(pg_get_expr(c.relpartbound, c.oid), '[0-9]+'))[1]::bigint LIMIT 1
"""
