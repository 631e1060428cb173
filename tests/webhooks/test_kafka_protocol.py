"""Messages to Kafka: how they are stored, what answers mean, who is let in, and to which hosts connections are made."""

from __future__ import annotations

import asyncio
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from app.webhooks.brokers import kafka
from app.webhooks.brokers.kafka import partition_of
from app.webhooks.credentials import Credentials
from app.webhooks.egress import Egress
from app.webhooks.message import Message
from app.webhooks.retry import Outcome
from app.webhooks.targets import Targets
from tests.webhooks.kafka_cluster import INIT_PRODUCER_ID, METADATA, NOBODY, PARTITIONS, PRODUCE, TOPIC, kafka_cluster
from tests.webhooks.kafka_front import Front, kafka_front
from tests.webhooks.receivers import LOOPBACK, egress, names
from tests.webhooks.test_egress_tls import TODAY, certificate, server_context
from tests.webhooks.test_nats_protocol import MESSAGE

USERS = {"baton": "right", "a=b,c": "p,w=1"}
HOOK = names(hook_test="127.0.0.1", hook2test="127.0.0.1")
NOT_LEADER, TOO_LARGE, NOT_ENOUGH_REPLICAS, TOPIC_FORBIDDEN, CLUSTER_FORBIDDEN = 6, 10, 19, 29, 31
OUT_OF_ORDER, RECORD_REFUSED, REQUEST_TIMED_OUT, AFTER_APPEND, UNKNOWN = 45, 87, 7, 20, -1


async def send(client: Egress, url: str, key: str = "lead_1", **more: Any) -> Outcome:
    return await client.send(replace(MESSAGE, url=url, key=key, **more))


def known(outcome: Outcome) -> tuple[int | None, str | None]:
    return outcome.code, outcome.error


async def test_a_message_has_the_key_the_headers_and_the_body_and_the_answer_says_where_it_is() -> None:
    with kafka_cluster() as cluster:
        async with egress() as client:
            outcome = await send(client, cluster.url)
        [stored] = await cluster.stored()
    place = f'{{"topic":"{TOPIC}","partition":{stored.partition},"offset":0}}'
    assert (*known(outcome), outcome.head) == (200, None, place)
    assert (stored.key, stored.body) == (MESSAGE.key, MESSAGE.body)
    assert stored.headers == {"content-type": "application/json", "X-Team": "sales"}


async def test_messages_of_a_key_are_in_the_partition_that_producers_in_java_would_choose() -> None:
    keys = [f"lead_{number}" for number in range(40)]
    with kafka_cluster() as cluster:
        async with egress() as client:
            assert {(await send(client, cluster.url, key)).code for key in keys} == {200}
        ours = {each.key: each.partition for each in await cluster.stored()}
        cluster.make_topic("theirs")
        producer = Producer({"bootstrap.servers": cluster.servers, "partitioner": "murmur2", "log_level": 0})
        for key in keys:
            producer.produce("theirs", b"", key=key, headers={"webhook-id": key})
        await asyncio.to_thread(producer.flush)
        theirs = {each.key: each.partition for each in await cluster.stored("theirs")}
    assert ours == theirs == {key: partition_of(key, PARTITIONS) for key in keys}
    assert len(set(ours.values())) == PARTITIONS


async def test_messages_that_are_sent_together_are_stored_together_in_their_order() -> None:
    with kafka_cluster() as cluster:
        async with kafka_front(Front(cluster)) as front, egress() as client:
            sent = [send(client, front.url("kafka", "127.0.0.1"), body=b"%d" % number) for number in range(100)]
            assert {outcome.code for outcome in await asyncio.gather(*sent)} == {200}
        assert [each.body for each in await cluster.stored()] == [b"%d" % number for number in range(100)]
        assert len(front.produced) < 10
        assert len(front.bodies(INIT_PRODUCER_ID)) == 1


async def test_what_is_sent_again_after_a_lost_answer_has_the_same_producer_and_sequence_number() -> None:
    with kafka_cluster() as cluster:
        async with kafka_front(Front(cluster)) as front, egress() as client:
            url = front.url("kafka", "127.0.0.1")
            assert (await send(client, url)).code == 200
            front.lose = 2
            assert (await send(client, url)).code == 200
            assert (await send(client, url)).code == 200
    producer = front.produced[0][:2]
    assert front.produced == [(*producer, number) for number in (0, 1, 1, 1, 2)]
    assert all(body[2:4] == b"\xff\xff" for body in front.bodies(PRODUCE)), "acknowledged by all in-sync replicas"


@pytest.mark.parametrize("error", [NOT_LEADER, NOT_ENOUGH_REPLICAS, AFTER_APPEND, REQUEST_TIMED_OUT])
async def test_an_error_that_passes_is_no_failure_of_the_attempt(error: int) -> None:
    with kafka_cluster() as cluster:
        async with egress() as client:
            cluster.refuse(PRODUCE, error, error)
            assert known(await send(client, cluster.url)) == (200, None)
        assert len(await cluster.stored()) == 1


async def test_a_partition_that_another_broker_leads_now_is_found_there() -> None:
    with kafka_cluster() as cluster:
        async with egress() as client:
            for broker in (1, 2, 3, 1):
                cluster.lead(broker)
                assert known(await send(client, cluster.url)) == (200, None)
        assert len(await cluster.stored()) == 4


@pytest.mark.parametrize(
    ("error", "code", "kind", "goes_on"),
    [
        (TOO_LARGE, 413, "payload_too_large", True),
        (TOPIC_FORBIDDEN, 403, "permission_denied", True),
        (CLUSTER_FORBIDDEN, 403, "permission_denied", True),
        (RECORD_REFUSED, 400, "record_refused", True),
        (OUT_OF_ORDER, 503, "partition_unavailable", False),
        (UNKNOWN, 503, "partition_unavailable", False),
    ],
)
async def test_a_refusal_is_the_status_that_says_the_same_and_an_unknown_end_ends_the_producer(
    error: int, code: int, kind: str, goes_on: bool
) -> None:
    with kafka_cluster() as cluster:
        async with kafka_front(Front(cluster)) as front, egress() as client:
            url = front.url("kafka", "127.0.0.1")
            assert (await send(client, url)).code == 200
            cluster.refuse(PRODUCE, error)
            assert known(await send(client, url)) == (code, kind)
            assert (await send(client, url)).code == 200
    assert [sequence for *_, sequence in front.produced] == [0, 1, 1 if goes_on else 0]
    assert len({producer for producer, *_ in front.produced}) == (1 if goes_on else 2)


async def test_an_error_that_does_not_pass_in_time_is_an_answer_and_ends_the_producer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(kafka, "RETRY_SECONDS", -1.0)
    with kafka_cluster() as cluster:
        async with kafka_front(Front(cluster)) as front, egress() as client:
            url = front.url("kafka", "127.0.0.1")
            cluster.refuse(PRODUCE, AFTER_APPEND)
            assert known(await send(client, url)) == (503, "partition_unavailable")
            assert (await send(client, url)).code == 200
    assert len({producer for producer, *_ in front.produced}) == 2


async def test_only_the_message_that_is_too_large_is_refused_of_those_that_are_sent_together() -> None:
    with kafka_cluster() as cluster:
        async with egress() as client:
            cluster.refuse(PRODUCE, TOO_LARGE, TOO_LARGE)  # the batch, and then its first message
            sent = [send(client, cluster.url, body=b"%d" % number) for number in range(3)]
            assert [outcome.code for outcome in await asyncio.gather(*sent)] == [413, 200, 200]
        assert [each.body for each in await cluster.stored()] == [b"1", b"2"]


@pytest.mark.parametrize(("error", "code", "kind"), [(3, 503, "topic_missing"), (29, 403, "permission_denied")])
async def test_a_topic_that_is_missing_or_forbidden_is_a_failure_of_its_kind_until_it_is_there(
    error: int, code: int, kind: str
) -> None:
    with kafka_cluster() as cluster:
        async with egress() as client:
            cluster.refuse_topic(error)
            assert known(await send(client, cluster.url)) == (code, kind)
            cluster.refuse_topic(0)
            assert (await send(client, cluster.url)).code == 200


async def test_a_topic_is_not_made() -> None:
    with kafka_cluster() as cluster:
        async with kafka_front(Front(cluster)) as front, egress() as client:
            await send(client, front.url("kafka", "127.0.0.1").replace(TOPIC, "other"))
    assert all(body.endswith(b"\x00\x05other\x00") for body in front.bodies(METADATA))


async def test_a_producer_that_the_cluster_gives_no_id_says_why() -> None:
    with kafka_cluster() as cluster:
        async with egress() as client:
            cluster.refuse(INIT_PRODUCER_ID, CLUSTER_FORBIDDEN)
            assert known(await send(client, cluster.url)) == (None, "permission_denied")
            assert (await send(client, cluster.url)).code == 200


async def test_a_cluster_that_is_down_is_a_receiver_that_is_down() -> None:
    with kafka_cluster() as cluster:
        async with egress() as client:
            cluster.down()
            assert known(await send(client, cluster.url)) == (None, "connect_failed")
            cluster.up()
            assert known(await send(client, cluster.url)) == (200, None)


async def test_the_second_host_of_the_url_is_asked_where_the_first_is_down() -> None:
    with kafka_cluster(1) as cluster:
        async with egress() as client:
            url = cluster.url.replace("kafka://", "kafka://127.0.0.1:1,")
            assert known(await send(client, url)) == (200, None)


async def test_a_message_is_not_sent_again_after_its_attempt_was_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka, "PAUSE_SECONDS", 0.0)
    with kafka_cluster() as cluster:
        async with egress() as client:
            assert (await send(client, cluster.url)).code == 200
            cluster.lead(NOBODY)
            outcome = await send(client, cluster.url, body=b"old", timeout_seconds=0.3)
            assert known(outcome) == (None, "timeout")
            cluster.lead(1)
            for _ in range(20):
                assert (await send(client, cluster.url, body=b"new")).code == 200
        assert {each.body for each in await cluster.stored()} == {MESSAGE.body, b"new"}


# --- hosts that a cluster advertises


@pytest.mark.parametrize(
    ("host", "port"),
    [("10.0.0.25", None), ("127.0.0.1", None), ("deep.test", None), ("both.test", None), ("open.test", 25)],
)
async def test_an_advertised_host_is_refused_that_is_private_or_has_another_port(
    tmp_path: Path, host: str, port: int | None
) -> None:
    """The host of the URL may be used: a public name on an allowed port, whose address is taken for a public one."""
    crt, pem = certificate(tmp_path, "hook.test", TODAY + timedelta(days=9))
    lookup = names(
        hook_test="127.0.0.1", deep_test="10.0.0.1", both_test="93.184.216.34 10.0.0.1", open_test="93.184.216.34"
    )
    with kafka_cluster(1) as cluster:
        front = Front(cluster, USERS, server_context(crt, pem), host=host, advertised_port=port)
        async with kafka_front(front):
            targets = OpenLoopback(ports=frozenset(front.ports.values()))
            async with egress(targets, lookup=lookup, tls=ssl.create_default_context(cafile=str(crt))) as client:
                login = Credentials(username="baton", password="right")
                outcome = await send(client, front.url("kafka+tls", "hook.test"), credentials=login)
    assert known(outcome) == (None, "blocked_address")
    assert not front.bodies(PRODUCE)


class OpenLoopback(Targets):
    """Targets by which a name may have an address of loopback, as if it were public. Literals are not allowed."""

    def blocked(self, address: Any) -> bool:
        return address not in ip_network("127.0.0.0/8") and super().blocked(address)


async def test_an_advertised_name_is_looked_up_by_the_rules_of_receivers_and_connected_to_its_checked_address() -> None:
    with kafka_cluster() as cluster:
        async with kafka_front(Front(cluster, host="hook.test")) as front, egress(lookup=HOOK) as client:
            assert known(await send(client, front.url("kafka", "127.0.0.1"))) == (200, None)
        async with kafka_front(Front(cluster, host="nope.test")) as front, egress(lookup=HOOK) as client:
            outcome = await send(client, front.url("kafka", "127.0.0.1"), timeout_seconds=1)
            assert outcome.error in ("dns_failed", "timeout")


# --- TLS and SASL


@pytest.mark.parametrize("mechanism", [None, "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize(
    ("user", "password", "error"),
    [
        ("baton", "right", None),
        ("a=b,c", "p,w=1", None),
        ("baton", "wrong", "authorization_failed"),
        ("nobody", "right", "authorization_failed"),
    ],
)
async def test_a_user_signs_in_and_another_does_not(
    mechanism: Any, user: str, password: str, error: str | None
) -> None:
    with kafka_cluster() as cluster:
        async with kafka_front(Front(cluster, USERS)) as front, egress() as client:
            login = Credentials(username=user, password=password, mechanism=mechanism)
            outcome = await send(client, front.url("kafka", "127.0.0.1"), credentials=login)
        assert (outcome.error, outcome.delivered) == (error, error is None)
        if mechanism not in (None, "PLAIN"):
            assert all(password.encode() not in body for _, body in front.requests)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
async def test_librdkafka_signs_in_at_the_front_too(mechanism: str) -> None:
    """The tests above prove nothing of a front that only our client understands."""
    with kafka_cluster() as cluster:
        async with kafka_front(Front(cluster, USERS)) as front:
            servers = ",".join(f"127.0.0.1:{port}" for port in front.ports.values())
            login = {"sasl.mechanism": mechanism, "sasl.username": "baton", "sasl.password": "right"}
            producer = Producer(
                {"bootstrap.servers": servers, "security.protocol": "SASL_PLAINTEXT", "log_level": 0, **login}
            )
            producer.produce(TOPIC, b"{}", key="a", headers={"webhook-id": "a"})
            assert await asyncio.to_thread(producer.flush, 60) == 0
        assert len(await cluster.stored()) == 1


async def test_a_broker_that_wants_a_user_does_not_let_in_who_has_none() -> None:
    with kafka_cluster() as cluster:
        async with kafka_front(Front(cluster, USERS)) as front, egress() as client:
            assert known(await send(client, front.url("kafka", "127.0.0.1"))) == (None, "connection_reset")


@pytest.mark.parametrize("iterations", [1, 4095, 100_001, 2**31])
async def test_a_broker_that_asks_for_too_little_or_too_much_work_is_left(iterations: int) -> None:
    login = Credentials(username="baton", password="right", mechanism="SCRAM-SHA-256")
    with kafka_cluster() as cluster:
        async with kafka_front(Front(cluster, USERS, iterations=iterations)) as front, egress() as client:
            outcome = await send(client, front.url("kafka", "127.0.0.1"), credentials=login)
    assert known(outcome) == (None, "protocol_error")


async def test_a_broker_that_does_not_know_the_password_itself_gets_no_messages() -> None:
    login = Credentials(username="baton", password="right", mechanism="SCRAM-SHA-512")
    with kafka_cluster() as cluster:
        async with kafka_front(Front(cluster, USERS, knows_password=False)) as front, egress() as client:
            outcome = await send(client, front.url("kafka", "127.0.0.1"), credentials=login)
    assert known(outcome) == (None, "protocol_error")
    assert not front.bodies(PRODUCE)


@pytest.mark.parametrize(
    ("host", "advertised", "trusted", "error"),
    [
        ("hook.test", "hook.test", True, None),
        ("hook.test", "hook.test", False, "tls_certificate"),
        ("hook2test", "hook.test", True, "tls_certificate"),
        ("hook.test", "hook2test", True, "tls_certificate"),
    ],
)
async def test_the_certificate_of_every_broker_is_verified_with_its_host(
    tmp_path: Path, host: str, advertised: str, trusted: bool, error: str | None
) -> None:
    crt, pem = certificate(tmp_path, "hook.test", TODAY + timedelta(days=9))
    trust = ssl.create_default_context(cafile=str(crt) if trusted else None)
    login = Credentials(username="baton", password="right")
    with kafka_cluster(1) as cluster:
        front = Front(cluster, USERS, server_context(crt, pem), host=advertised)
        async with kafka_front(front), egress(LOOPBACK, lookup=HOOK, tls=trust) as client:
            outcome = await send(client, front.url("kafka+tls", host), credentials=login)
        assert (outcome.error, outcome.delivered) == (error, error is None)


async def test_credentials_are_not_sent_to_a_broker_without_tls_where_the_url_wants_it() -> None:
    login = Credentials(username="baton", password="right")
    with kafka_cluster(1) as cluster:
        async with kafka_front(Front(cluster, USERS)) as front, egress(lookup=HOOK) as client:
            outcome = await send(client, front.url("kafka+tls", "hook.test"), credentials=login)
    assert known(outcome) == (None, "tls_handshake")
    assert not front.requests


# --- brokers that are none

VERSIONS = struct.pack(">hi", 0, 3) + b"".join(struct.pack(">hhh", api, 0, 4) for api in (0, 3, 22))


@asynccontextmanager
async def answering(*bodies: bytes, cut: int | None = None) -> AsyncIterator[int]:
    """A server that answers requests with these, one after the other; its port. `cut`: the size that it claims."""

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for body in bodies:
            size = int.from_bytes(await reader.readexactly(4), "big")
            number = (await reader.readexactly(size))[4:8]
            writer.write(struct.pack(">i", cut or len(body) + 4) + number + body)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


@pytest.mark.parametrize(
    ("bodies", "cut"),
    [
        ([b""], None),
        ([VERSIONS], 2**31 - 1),
        ([VERSIONS], -1),
        ([VERSIONS], (1 << 20) + 1),
        ([struct.pack(">hi", 0, 2**31 - 1)], None),
        ([struct.pack(">hihhh", 0, 1, 3, 4, 0)], None),
        ([struct.pack(">hi", 0, 0)], None),
        ([VERSIONS, b""], None),
        ([VERSIONS, struct.pack(">ihqh", 0, 0, 1, 0), struct.pack(">ii", 0, 2**31 - 1)], None),
        ([VERSIONS, struct.pack(">ihqh", 0, 0, 1, 0), struct.pack(">iihii", 0, 0, -1, 0, 0)], None),
    ],
)
async def test_what_answers_in_another_language_is_no_broker(bodies: list[bytes], cut: int | None) -> None:
    async with answering(*bodies, cut=cut) as port, egress() as client:
        assert known(await send(client, f"kafka://127.0.0.1:{port}/a")) == (None, "protocol_error")


def test_messages_of_cloudevents_have_the_headers_of_their_binding_to_kafka() -> None:
    headers = {"ce-id": "evt_1", "CE-type": "x", "content-type": "application/json", "webhook-id": "evt_1"}
    message: Message = replace(MESSAGE, headers=headers)
    assert kafka.encoded_headers(message) == [
        ("ce_id", b"evt_1"),
        ("ce_type", b"x"),
        ("content-type", b"application/json"),
        ("webhook-id", b"evt_1"),
    ]
