"""Subscriptions of a Kafka cluster: no event is lost, each lead in order, whatever is killed or down."""

from __future__ import annotations

import signal
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event
from sqlalchemy import text
from standardwebhooks.webhooks import Webhook

from app import ids
from app.events.record import NewEvent, record_events
from app.webhooks.replays import replay
from app.webhooks.replays.schemas import ReplayCreate
from app.webhooks.schemas import Limits
from tests.contract.test_asyncapi import ASYNCAPI
from tests.webhooks.conftest import NOON, RETRIES, World, inbox
from tests.webhooks.kafka_cluster import PRODUCE, TOPIC, Stored, kafka_cluster
from tests.webhooks.test_crash import dispatcher
from tests.webhooks.test_outage import OPEN, total
from tests.webhooks.test_sinks import END_THOSE_THAT_WAIT, LEADS, LIMITS, attempts, each_once, until_written

NOT_LEADER, TOO_LARGE, TOPIC_FORBIDDEN = 6, 10, 29


def first_in_order(stored: list[Stored]) -> bool:
    """Whether the first messages of a lead's events are in one partition, in the order of its versions."""
    newest: dict[str, tuple[int, int]] = {}
    seen: set[str] = set()
    for each in stored:
        if each.id in seen:
            continue
        seen.add(each.id)
        partition, version = newest.get(each.lead, (each.partition, 0))
        if each.partition != partition or each.version < version:
            return False
        newest[each.lead] = partition, each.version
    return True


async def test_each_event_is_one_message_with_its_lead_as_key_its_signature_and_the_body_of_a_webhook(
    world: World,
) -> None:
    with kafka_cluster() as cluster:
        async with inbox() as box, world.running():
            _, secret = await world.subscribe(cluster.url, LIMITS, headers={"X-Team": "sales"})
            await world.subscribe(box.url, LIMITS)
            await world.record(LEADS[0], LEADS[0], LEADS[1])
            stored = await cluster.until_stored(3)
            await box.until_received(3)
            await until_written(world)
    described = set(ASYNCAPI["components"]["schemas"]["EventHeaders"]["properties"])
    assert {each.id: each.body for each in stored} == {got.id: got.body for got in box.got}
    assert sorted(each.key for each in stored) == sorted(
        ids.show("lead", lead) for lead in (LEADS[0], LEADS[0], LEADS[1])
    )
    for each in stored:
        assert each.key == each.lead
        assert each.headers["X-Team"] == "sales"
        assert "user-agent" not in each.headers
        Webhook(secret).verify(each.body, each.headers)
        assert set(each.headers) - {"X-Team"} <= described, "the AsyncAPI document names every header"
    [row, *_] = await world.rows("SELECT code, error_kind, response_head FROM attempts WHERE response_head LIKE '{%'")
    assert (row.code, row.error_kind) == (200, None)
    assert orjson.loads(row.response_head)["topic"] == TOPIC


async def test_events_about_no_lead_have_the_key_of_what_they_are_about(world: World) -> None:
    quarantined = ids.new_id()
    with kafka_cluster() as cluster:
        async with world.running():
            await world.subscribe(cluster.url, LIMITS, types=["*"])
            async with world.engine.begin() as tx:
                news = [NewEvent("submission.quarantined", {}, NOON, order_key=quarantined)] * 2
                await record_events(tx, world.tenant_id, news, NOON)
            world.wake.set()
            stored = await cluster.until_stored(2)
    assert {each.key for each in stored} == {str(quarantined)}
    assert len({each.partition for each in stored}) == 1


@pytest.mark.parametrize("format", ["cloudevents_structured", "cloudevents_binary"])
async def test_cloudevents_are_read_by_their_own_library(world: World, format: Any) -> None:
    with kafka_cluster() as cluster:
        async with world.running():
            await world.subscribe(cluster.url, LIMITS, format=format)
            await world.record(LEADS[0])
            [stored] = await cluster.until_stored(1)
    headers = {name: value.encode() for name, value in stored.headers.items()}
    event = from_kafka_event(KafkaMessage(headers, stored.key.encode(), stored.body))
    assert (event.get_id(), event.get_subject()) == (stored.id, stored.key)


async def test_leaders_that_change_lose_no_event_store_none_twice_and_fail_no_attempt(world: World) -> None:
    with kafka_cluster() as cluster:
        async with world.running():
            await world.subscribe(cluster.url, LIMITS)
            count = 0
            for broker in (1, 2, 3):
                count += await world.record_many(LEADS, 5)
                await cluster.until_stored(count - len(LEADS))
                cluster.lead(broker)
                cluster.refuse(PRODUCE, NOT_LEADER, NOT_LEADER)
            stored = await cluster.until_stored(count)
            await until_written(world)
    assert each_once(stored)
    assert len(stored) == count
    assert first_in_order(stored)
    assert {code for code, _ in await attempts(world)} == {200}


async def test_what_a_killed_process_sent_and_did_not_record_comes_again_and_nothing_is_lost(world: World) -> None:
    with kafka_cluster() as cluster:
        async with world.running(dispatchers=0):
            await world.subscribe(cluster.url, LIMITS)
            count = await world.record_many(LEADS, 3)
            await world.until_row(f"SELECT 1 FROM event_log HAVING count(*) = {count}")
            async with dispatcher(world) as process:
                await world.until_row("SELECT 1 FROM lanes WHERE lease_until > now()")
                async with world.engine.begin() as tx:  # from here on nothing can be recorded
                    await tx.execute(text("SELECT 1 FROM lanes FOR UPDATE"))
                    await cluster.until_stored(1)
                    process.send_signal(signal.SIGKILL)
                    await process.wait()
                    await tx.execute(text(END_THOSE_THAT_WAIT))
            async with world.engine.begin() as tx:
                await tx.execute(text("UPDATE lanes SET lease_until = now()"))
            async with dispatcher(world):
                await until_written(world)
            stored = await cluster.stored()
    assert len({each.id for each in stored}) == count
    assert first_in_order(stored)
    assert {each.headers["webhook-id"] for each in stored} == {each.event["id"] for each in stored}


async def test_a_cluster_that_is_down_opens_the_breaker_and_gets_what_it_missed_when_it_is_back(world: World) -> None:
    with kafka_cluster() as cluster:
        async with inbox() as box, world.running():
            subscription_id, _ = await world.subscribe(cluster.url, LIMITS)
            await world.subscribe(box.url, LIMITS)
            cluster.down()
            await world.record_many(LEADS, 1)
            await world.until_row(OPEN)
            rows = await total(world, "delivery_retries")
            assert rows <= 8 + 5
            count = await world.record_many(LEADS, 20)
            await box.until_received(count + len(LEADS))  # another receiver is served meanwhile
            assert await total(world, "delivery_retries") <= rows
            cluster.up()
            stored = await cluster.until_stored(count + len(LEADS))
            await until_written(world)
    assert first_in_order(stored)
    failed = await world.rows(
        "SELECT DISTINCT error_kind FROM attempts WHERE subscription_id = :id AND code IS NULL", id=subscription_id
    )
    assert {row.error_kind for row in failed} == {"connect_failed"}


async def test_a_cluster_that_answers_late_for_a_while_gets_every_event_and_each_lead_in_order(world: World) -> None:
    with kafka_cluster() as cluster:
        async with world.running():
            await world.subscribe(cluster.url, Limits(timeout_seconds=1, retry_schedule=RETRIES))
            count = await world.record_many(LEADS, 1)
            await cluster.until_stored(count)
            cluster.delay(60_000)
            count += await world.record_many(LEADS, 3)
            await world.until_row("SELECT 1 FROM attempts WHERE error_kind IN ('timeout', 'connect_timeout') LIMIT 1")
            cluster.delay(0)
            stored = await cluster.until_stored(count)
            await until_written(world)
    assert first_in_order(stored)


async def test_two_subscriptions_of_a_cluster_are_lanes_of_their_own(world: World) -> None:
    with kafka_cluster() as cluster:
        async with world.running():
            dead, _ = await world.subscribe(cluster.url.replace(TOPIC, "nowhere"), LIMITS)
            cluster.refuse_topic(3, "nowhere")
            await world.subscribe(cluster.url, LIMITS, types=["lead.updated"])
            count = await world.record_many(LEADS, 5)
            stored = await cluster.until_stored(count)
            await world.until_row(OPEN)
            found = await world.rows(
                "SELECT DISTINCT code, error_kind FROM attempts WHERE subscription_id = :dead", dead=dead
            )
    assert each_once(stored)
    assert first_in_order(stored)
    assert [tuple(row) for row in found] == [(503, "topic_missing")]


@pytest.mark.parametrize(
    ("error", "code", "kind"), [(TOO_LARGE, 413, "payload_too_large"), (TOPIC_FORBIDDEN, 403, "permission_denied")]
)
async def test_an_event_that_the_cluster_refuses_parks_its_lead_and_no_other(
    world: World, error: int, code: int, kind: str
) -> None:
    with kafka_cluster() as cluster:
        async with world.running():
            await world.subscribe(cluster.url, Limits(timeout_seconds=20, retry_schedule=[0.0, 600.0]))
            cluster.refuse(PRODUCE, error)
            await world.record(LEADS[0])
            await world.until_row("SELECT 1 FROM delivery_retries WHERE state = 'retry'")
            await world.record(*LEADS)
            stored = await cluster.until_stored(len(LEADS) - 1)
            await world.until_row("SELECT 1 FROM delivery_retries WHERE state = 'held'")
    assert {each.lead for each in stored} == {ids.show("lead", lead) for lead in LEADS[1:]}
    assert (code, kind) in await attempts(world)
    assert await world.states() == {"retry": 1, "held": 1}


async def test_a_replay_is_stored_once_more_and_its_messages_say_so(world: World) -> None:
    with kafka_cluster() as cluster:
        async with world.running():
            subscription_id, _ = await world.subscribe(cluster.url, LIMITS)
            count = await world.record_many(LEADS, 2)
            await until_written(world)
            async with world.engine.begin() as tx:
                made = await replay.create(tx, world.tenant_id, subscription_id, ReplayCreate(), datetime.now(UTC))
            await world.until_row("SELECT 1 FROM replays WHERE state = 'done'")
            stored = await cluster.stored()
    shown = ids.show("replay", made)
    first = [each for each in stored if "webhook-replay" not in each.headers]
    again = [each for each in stored if each.headers.get("webhook-replay") == shown]
    assert len(first) == len(again) == count
    assert {each.id: each.body for each in first} == {each.id: each.body for each in again}
    assert first_in_order(first)
    assert first_in_order(again)
