"""Many subscriptions of a tenant: lanes are claimed, read for and written together, and each is served as if alone."""

from __future__ import annotations

import asyncio
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import TextClause
from sqlalchemy.exc import DBAPIError

from app import ids
from app.database.transaction import compiled
from app.events.sequence import sequence
from app.webhooks import across, lane_sql, subscribe
from app.webhooks.deliver import Dispatcher
from app.webhooks.egress import MAX_CONNECTING, Egress
from app.webhooks.lane import AttemptRow, Changes
from app.webhooks.schemas import Limits, SubscriptionCreate, SubscriptionPatch
from app.webhooks.subscribe import SubscriptionContext
from app.webhooks.write import Writer
from tests.plans import Statement, statements_of
from tests.waiting import until
from tests.webhooks.conftest import RETRIES, Got, Inbox, World, inbox
from tests.webhooks.receivers import LONG, LOOPBACK, receiver
from tests.webhooks.test_crash import dispatcher as dispatcher_process

MANY = 200
LEADS = [ids.new_id() for _ in range(4)]


async def subscribe_many(world: World, box: Inbox, count: int, **more: Any) -> list[UUID]:
    """Make subscriptions in one transaction; their ids."""
    limits = Limits(timeout_seconds=20, retry_schedule=RETRIES)
    body = SubscriptionCreate(url=box.url, **{"limits": limits, **more})
    async with world.context() as context:
        return [(await subscribe.create(context, body))[0] for _ in range(count)]


def by_subscription(box: Inbox) -> dict[UUID, list[Got]]:
    """The requests answered with 2xx, by the subscription they were for."""
    found: dict[UUID, list[Got]] = defaultdict(list)
    for got in box.ok:
        found[ids.read("subscription", got.headers["webhook-subscription"])].append(got)
    return found


async def all_written(world: World) -> None:
    await world.until_row(
        "SELECT 1 FROM lanes HAVING min(position) = (SELECT max(position) FROM event_log)"
        " AND NOT EXISTS (SELECT 1 FROM delivery_retries)"
    )


def named(ran: list[Statement]) -> Counter[str]:
    """How often each statement over lanes ran, by its name."""
    names = {
        compiled(value)[0]: name
        for module in (across, lane_sql)
        for name, value in vars(module).items()
        if isinstance(value, TextClause)
    }
    return Counter(names[query] for query, _ in ran if query in names)


async def test_an_event_is_read_once_for_all_lanes_which_are_claimed_by_one_statement(world: World) -> None:
    async with inbox() as box, world.dispatcher() as dispatcher:
        await subscribe_many(world, box, MANY)
        await world.record(LEADS[0])
        await sequence(world.engine)
        with statements_of(world.engine) as ran:
            assert await dispatcher.claim() == MANY
            await until(lambda: len(box.ok) == MANY)
        cold = named(ran)
        assert {
            name: cold[name] for name in ("CLAIM", "PARKED", "SETTLED_AFTER", "READ_LOGS", "CHANGED")
        } == dict.fromkeys(("CLAIM", "PARKED", "SETTLED_AFTER", "READ_LOGS", "CHANGED"), 1)
        assert cold["READ"] == cold["RECEIVER"] == cold["DUE"] == 0
        for n in range(2, 5):
            await world.record(LEADS[n % 2])
            await sequence(world.engine)
            with statements_of(world.engine) as ran:
                await dispatcher.read_log()
                await until(lambda n=n: len(box.ok) == n * MANY)  # type: ignore[misc]
            hot = named(ran)
            assert (hot["READ_LOGS"], hot["CHANGED"], hot["READ"]) == (1, 1, 0)
        await all_written(world)
    for received in by_subscription(box).values():
        assert [got.event["meta"]["position"] for got in received] == sorted(
            (got.event["meta"]["position"] for got in received), key=int
        )
        assert len({got.id for got in received}) == len(received) == 4


async def test_results_of_many_lanes_that_wait_are_written_by_one_statement(world: World) -> None:
    owner, gate = ids.new_id(), asyncio.Semaphore(1)
    async with inbox() as box:
        await subscribe_many(world, box, MANY)
    await world.record(LEADS[0])
    await sequence(world.engine)
    async with world.engine.begin() as tx:
        rows = await across.claim_lanes(tx, owner, [], 600, MANY)
    writer = Writer(world.engine, gate)
    lanes = [(row.tenant_id, row.subscription_id, row.lane_no, row.fence) for row in rows]
    lost = lanes[7] = (*lanes[7][:3], lanes[7][3] - 1)
    head = (await world.rows("SELECT max(position) AS head FROM event_log"))[0].head
    with statements_of(world.engine) as ran:
        async with gate:
            writing = [asyncio.create_task(writer.write(lane, delivered(head))) for lane in lanes]
            await asyncio.sleep(0)
        written = await asyncio.gather(*writing)
    assert named(ran)["ADVANCE"] == 1
    assert [lane for lane, row in zip(lanes, written, strict=True) if row is None] == [lost]
    moved = {row.subscription_id for row in await world.rows("SELECT subscription_id FROM lanes WHERE position > 0")}
    recorded = [row.subscription_id for row in await world.rows("SELECT subscription_id FROM attempts")]
    assert moved == set(recorded) == {lane[1] for lane in lanes} - {lost[1]}
    assert len(recorded) == MANY - 1


def delivered(position: int, at: datetime | None = None) -> Changes:
    attempt = AttemptRow(position, 1, at or datetime.now(UTC), ids.new_id(), None, 5, 204, None, None, "live")
    return Changes(position=position, attempts=[attempt])


async def test_a_result_that_the_database_refuses_is_that_of_its_own_lane_only(world: World) -> None:
    owner, gate = ids.new_id(), asyncio.Semaphore(1)
    async with inbox() as box:
        await subscribe_many(world, box, 5)
    await world.record(LEADS[0])
    await sequence(world.engine)
    async with world.engine.begin() as tx:
        rows = await across.claim_lanes(tx, owner, [], 600, 5)
    writer = Writer(world.engine, gate)
    no_partition = datetime.now(UTC) - timedelta(days=900)
    async with gate:
        writing = [
            asyncio.create_task(
                writer.write(
                    (row.tenant_id, row.subscription_id, row.lane_no, row.fence),
                    delivered(1, no_partition if n == 2 else None),
                )
            )
            for n, row in enumerate(rows)
        ]
        await asyncio.sleep(0)
    written = await asyncio.gather(*writing, return_exceptions=True)
    assert [n for n, row in enumerate(written) if isinstance(row, DBAPIError)] == [2]
    assert len(await world.rows("SELECT 1 FROM attempts")) == 4


async def test_leases_are_renewed_while_results_are_written_without_a_deadlock(world: World) -> None:
    owner = ids.new_id()
    async with inbox() as box:
        await subscribe_many(world, box, 50)
    await world.record(LEADS[0])
    await sequence(world.engine)
    async with world.engine.begin() as tx:
        rows = await across.claim_lanes(tx, owner, [], 600, 50)
    lanes, chance = [(row.tenant_id, row.subscription_id, row.lane_no, row.fence) for row in rows], random.Random(5)

    async def repeat(work: Callable[[list[across.Owned]], Awaitable[int]]) -> None:
        for _ in range(40):
            assert await work(chance.sample(lanes, len(lanes))) == len(lanes)

    async def renew(some: list[across.Owned]) -> int:
        async with world.engine.begin() as tx:
            return len(await across.renew_lanes(tx, owner, some, 600))

    async def advance(some: list[across.Owned]) -> int:
        async with world.engine.begin() as tx:
            return len([row for row in await across.advance_lanes(tx, some, [Changes()] * len(some)) if row])

    await asyncio.gather(*(repeat(work) for work in (renew, renew, advance, advance)))


async def test_lanes_at_different_places_of_the_log_each_get_what_they_accept_in_order(world: World) -> None:
    chance, refused = random.Random(9), []

    def sometimes_refuses(got: Got) -> int:
        if got.attempt == 1 and chance.random() < 0.05:
            refused.append(got.id)
            return 500
        return 204

    kinds: dict[UUID, list[str]] = {}
    async with inbox(sometimes_refuses) as box:
        for types, concurrency in ((["*"], 8), (["lead.updated"], 1), (["lead.activity"], 3), (["opportunity.*"], 8)):
            limits = Limits(timeout_seconds=20, retry_schedule=RETRIES, concurrency=concurrency)
            for one in await subscribe_many(world, box, 2, types=types, limits=limits):
                kinds[one] = types
        async with world.running(dispatchers=2):
            await burst(world, chance, 150)
            for one in await subscribe_many(world, box, 2, start="earliest"):
                kinds[one] = ["*"]
            for count in (1, 3, 200, 1, 10):
                await burst(world, chance, count)
            wanted = {one: await accepted(world, types) for one, types in kinds.items()}
            await box.until(
                lambda box: (
                    len({(got.id, got.headers["webhook-subscription"]) for got in box.ok})
                    >= sum(map(len, wanted.values()))
                )
            )
            await all_written(world)
    assert refused
    found = by_subscription(box)
    for one, events in wanted.items():
        assert Counter(got.id for got in found[one]) == Counter(events), kinds[one]
        last: dict[str, int] = {}
        for got in found[one]:
            assert got.version > last.get(got.lead, 0)
            last[got.lead] = got.version


async def test_a_subscription_or_an_event_that_cannot_be_read_stops_only_the_lanes_that_it_concerns(
    world: World,
) -> None:
    async with inbox() as box, world.dispatcher() as dispatcher:
        good = await subscribe_many(world, box, 5)
        broken, filtering = await subscribe_many(world, box, 2, filter={"rule": ["interest"]})
        await world.rows(
            "UPDATE subscriptions SET limits = jsonb_build_object('concurrency', 'many') WHERE id = :id RETURNING 1",
            id=broken,
        )
        including = (await subscribe_many(world, box, 1))[0]
        await world.rows(
            "UPDATE subscriptions SET include = jsonb_build_array('lead') WHERE id = :id RETURNING 1", id=including
        )
        await world.record(LEADS[0])
        await world.rows("UPDATE events SET data = '[]' RETURNING 1")  # a filter cannot read it
        await sequence(world.engine)
        await dispatcher.claim()
        await until(lambda: len(box.ok) == len(good) + 1)
        await world.record(LEADS[0])
        await world.rows("ALTER TABLE lead_changes RENAME TO away")
        await sequence(world.engine)
        await dispatcher.read_log()
        await until(lambda: len(box.ok) == 2 * len(good) + 1)
        received = by_subscription(box)
    assert {len(received[one]) for one in good} == {2}
    assert (len(received[broken]), len(received[filtering]), len(received[including])) == (0, 0, 1)


async def burst(world: World, chance: random.Random, count: int) -> None:
    for _ in range(count):
        await world.record(chance.choice(LEADS), type=chance.choice(("lead.updated", "lead.activity")))


async def accepted(world: World, types: list[str]) -> list[str]:
    like = [one.replace("*", "%") for one in types]
    rows = await world.rows("SELECT id FROM events WHERE type LIKE ANY (CAST(:types AS text[]))", types=like)
    return [ids.show("event", row.id) for row in rows]


CHANGES: dict[str, Callable[[SubscriptionContext, UUID], Awaitable[Any]]] = {
    "narrowed": lambda context, one: subscribe.patch(context, one, SubscriptionPatch(types=["opportunity.*"]), None),
    "widened": lambda context, one: subscribe.patch(context, one, SubscriptionPatch(types=["lead.*"]), None),
    "paused": lambda context, one: subscribe.pause(context, one, None),
    "deleted": lambda context, one: subscribe.delete(context, one, None),
}


@pytest.mark.parametrize("change", list(CHANGES))
async def test_a_change_of_one_subscription_holds_from_the_next_event_on(world: World, change: str) -> None:
    async with inbox() as box, world.dispatcher() as dispatcher:
        others = await subscribe_many(world, box, 10, types=["lead.*"])
        types = ["opportunity.*"] if change == "widened" else ["lead.*"]
        (changing,) = await subscribe_many(world, box, 1, types=types)
        await world.record(LEADS[0])
        await sequence(world.engine)
        await dispatcher.claim()
        first = len(others) + (change != "widened")
        await until(lambda: len(box.ok) == first)
        async with world.context() as context:
            await CHANGES[change](context, changing)
        await world.record(LEADS[0])
        await sequence(world.engine)
        await dispatcher.read_log()
        second = len(others) + (change == "widened")
        await until(lambda: len(box.ok) == first + second)
        await until(lambda: settled(dispatcher, change, changing))
        received = by_subscription(box)
    assert len(received[changing]) == 1
    assert all(len(received[one]) == 2 for one in others)


def settled(dispatcher: Dispatcher, change: str, one: UUID) -> bool:
    """Whether the lane has read the event after the change, or is no longer served."""
    lane = dispatcher.lanes.get((one, 0))
    others = {lane.lane.read_to for each, lane in dispatcher.lanes.items() if each[0] != one}
    return lane is None if change in ("paused", "deleted") else lane is not None and {lane.lane.read_to} == others


async def test_what_a_killed_owner_of_many_lanes_left_is_delivered_by_another_in_order(world: World) -> None:
    hold = asyncio.Event()

    async def until_let_go(got: Got) -> int:
        if len(box.got) > 150:
            await hold.wait()
        return 204

    async with inbox(until_let_go) as box, world.running(dispatchers=0):
        subscriptions = await subscribe_many(world, box, 60)
        await world.record_many(LEADS, 2)
        async with dispatcher_process(world) as killed:
            await box.until(lambda box: len(box.got) > 200)
            killed.kill()
            await killed.wait()
        hold.set()
        await world.rows("UPDATE lanes SET lease_until = '-infinity' RETURNING 1")
        async with dispatcher_process(world):
            await all_written(world)
    received = by_subscription(box)
    assert set(received) == set(subscriptions)
    for each in received.values():
        assert len({got.id for got in each}) == 2 * len(LEADS)
        assert replace(box, ok=each).in_order()


async def test_the_lead_of_an_event_is_rebuilt_once_for_all_subscriptions_that_include_it(world: World) -> None:
    async with inbox() as box, world.dispatcher() as dispatcher:
        async with world.context() as context:
            context = replace(context, may_read_leads=True)
            body = SubscriptionCreate(url=box.url, types=["lead.*"], include=["lead"])
            including = [(await subscribe.create(context, body))[0] for _ in range(20)]
        plain = await subscribe_many(world, box, 20, types=["lead.*"])
        await world.record(LEADS[0])
        await sequence(world.engine)
        with statements_of(world.engine) as ran:
            await dispatcher.claim()
            await until(lambda: len(box.ok) == 40)
        received = by_subscription(box)
    bodies = {one: got.body for one, (got,) in received.items()}
    assert len({bodies[one] for one in including}) == len({bodies[one] for one in plain}) == 1
    assert len([1 for query, _ in ran if "FROM leads" in query]) == 1


async def test_lanes_of_several_tenants_are_read_for_by_one_statement_and_get_their_own_events(world: World) -> None:
    other = World(world.engine, world.url, world.settings, world.wake)
    async with inbox() as box, world.dispatcher() as dispatcher:
        mine, theirs = await subscribe_many(world, box, 5), await subscribe_many(other, box, 5)
        for one in (world, other, world):
            await one.record(LEADS[0])
        await sequence(world.engine)
        with statements_of(world.engine) as ran:
            await dispatcher.claim()
            await until(lambda: len(box.ok) == 15)
        received = by_subscription(box)
    assert named(ran)["READ_LOGS"] == 1
    assert {len(received[one]) for one in mine} == {2}
    assert {len(received[one]) for one in theirs} == {1}


async def test_at_most_some_connections_to_one_host_are_made_at_once() -> None:
    waiting, most, go_on = 0, 0, asyncio.Event()

    async def lookup(_: str) -> list[Any]:
        nonlocal waiting, most
        waiting += 1
        most = max(most, waiting)
        await go_on.wait()
        waiting -= 1
        return [ip_address("127.0.0.1")]

    async def answer(connection: Any) -> None:
        while True:
            await connection.request()
            await connection.answer(b"HTTP/1.1 204 X\r\n\r\n")

    async with receiver(answer) as server:
        egress = Egress(LOOPBACK, LONG, lookup=lookup)
        url = f"http://hooks.acme.example:{server.port}/"
        posts = [asyncio.create_task(egress.post(url, {}, b"{}")) for _ in range(3 * MAX_CONNECTING)]
        await until(lambda: waiting == MAX_CONNECTING)
        for _ in range(20):
            await asyncio.sleep(0)
        go_on.set()
        outcomes = await asyncio.gather(*posts)
        await egress.close()
    assert most == MAX_CONNECTING
    assert {outcome.code for outcome in outcomes} == {204}


async def test_two_dispatchers_serve_many_subscriptions_and_send_nothing_twice(
    world: World,
) -> None:
    async with inbox() as box:
        await subscribe_many(world, box, MANY)
        async with world.running(dispatchers=2):
            count = await world.record_many(LEADS, 3)
            await box.until(lambda box: len(box.ok) >= count * MANY)
            await all_written(world)
    assert len(box.ok) == count * MANY
    for each in by_subscription(box).values():
        assert replace(box, ok=each).in_order()
