"""The mock cluster of librdkafka: brokers on loopback that speak Kafka's protocol, with faults on request.

Its functions are called by ctypes in the library that confluent-kafka brings, with which what it stored is read, too.
"""

from __future__ import annotations

import asyncio
import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import confluent_kafka
import orjson
from confluent_kafka import Consumer, TopicPartition

from tests.waiting import until

TOPIC = "leads"
PARTITIONS = 4
PRODUCE, METADATA, INIT_PRODUCER_ID = 0, 3, 22
NOBODY = -1


@dataclass(frozen=True, slots=True)
class Stored:
    """One message as the cluster has it."""

    partition: int
    offset: int
    key: str
    headers: dict[str, str]
    body: bytes

    @property
    def event(self) -> Any:
        return orjson.loads(self.body)

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def lead(self) -> str:
        return str(self.event["data"].get("lead_id"))

    @property
    def version(self) -> int:
        return int(self.event["meta"]["lead_version"])


@cache
def librdkafka() -> ctypes.CDLL:
    """The library, with the types of the functions that tests call."""
    installed = Path(confluent_kafka.__file__).parent
    [path] = [*installed.parent.glob("confluent_kafka.libs/librdkafka*"), *installed.glob(".dylibs/librdkafka*")]
    library = ctypes.CDLL(str(path))
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, result, arguments in (
        ("new", pointer, (number, pointer, text, ctypes.c_size_t)),
        ("destroy", None, (pointer,)),
        ("mock_cluster_new", pointer, (pointer, number)),
        ("mock_cluster_destroy", None, (pointer,)),
        ("mock_cluster_bootstraps", text, (pointer,)),
        ("mock_topic_create", number, (pointer, text, number, number)),
        ("mock_topic_set_error", None, (pointer, text, number)),
        ("mock_partition_set_leader", number, (pointer, text, ctypes.c_int32, ctypes.c_int32)),
        ("mock_broker_set_down", number, (pointer, ctypes.c_int32)),
        ("mock_broker_set_up", number, (pointer, ctypes.c_int32)),
        ("mock_broker_set_rtt", number, (pointer, ctypes.c_int32, number)),
        ("mock_push_request_errors_array", None, (pointer, ctypes.c_int16, ctypes.c_size_t, ctypes.POINTER(number))),
    ):
        function = getattr(library, f"rd_kafka_{name}")
        function.restype, function.argtypes = result, arguments
    return library


class Cluster:
    """A cluster of mock brokers with a topic; their ids are 1 and up."""

    def __init__(self, cluster: int, brokers: int) -> None:
        self._cluster, self.brokers = cluster, brokers
        self.servers = self._call("cluster_bootstraps").decode()

    def _call(self, name: str, *arguments: Any) -> Any:
        return getattr(librdkafka(), f"rd_kafka_mock_{name}")(self._cluster, *arguments)

    @property
    def ports(self) -> list[int]:
        return [int(each.rpartition(":")[2]) for each in self.servers.split(",")]

    @property
    def url(self) -> str:
        return f"kafka://{self.servers}/{TOPIC}"

    def make_topic(self, name: str = TOPIC, partitions: int = PARTITIONS) -> None:
        assert self._call("topic_create", name.encode(), partitions, self.brokers) == 0

    def refuse_topic(self, error: int, name: str = TOPIC) -> None:
        """Answer a question about the topic with an error."""
        self._call("topic_set_error", name.encode(), error)

    def refuse(self, request: int, *errors: int) -> None:
        """Answer the next requests of a kind with these errors."""
        self._call("push_request_errors_array", request, len(errors), (ctypes.c_int * len(errors))(*errors))

    def lead(self, broker: int, name: str = TOPIC, partitions: int = PARTITIONS) -> None:
        """Have a broker lead every partition; NOBODY: they have no leader."""
        for number in range(partitions):
            assert self._call("partition_set_leader", name.encode(), number, broker) == 0

    def down(self) -> None:
        for broker in range(1, self.brokers + 1):
            assert self._call("broker_set_down", broker) == 0

    def up(self) -> None:
        for broker in range(1, self.brokers + 1):
            assert self._call("broker_set_up", broker) == 0

    def delay(self, milliseconds: int) -> None:
        """Answer every request so much later."""
        for broker in range(1, self.brokers + 1):
            assert self._call("broker_set_rtt", broker, milliseconds) == 0

    async def stored(self, topic: str = TOPIC) -> list[Stored]:
        """Every message of the topic; those of a partition in its order."""
        return await asyncio.to_thread(self._read, topic)

    async def until_stored(self, count: int) -> list[Stored]:
        """Wait until the topic has at least `count` different events; all messages."""
        found: list[Stored] = []

        async def enough() -> bool:
            found[:] = await self.stored()
            return len({each.id for each in found}) >= count

        await until(enough, f"the topic has {count} events")
        return found

    def _read(self, topic: str) -> list[Stored]:
        consumer = Consumer(
            {"bootstrap.servers": self.servers, "group.id": "test", "enable.auto.commit": False, "log_level": 0}
        )
        try:
            found = []
            for number in range(len(consumer.list_topics(topic, timeout=10).topics[topic].partitions)):
                place = TopicPartition(topic, number, 0)
                first, end = consumer.get_watermark_offsets(place, timeout=10)
                consumer.assign([place])
                while first < end:
                    message = consumer.poll(10)
                    assert message is not None, "the cluster does not answer"
                    assert message.error() is None, message.error()
                    found.append(_stored(message))
                    first = found[-1].offset + 1
            return found
        finally:
            consumer.close()


def _stored(message: Any) -> Stored:
    headers = {name: value.decode() for name, value in message.headers()}
    return Stored(message.partition(), message.offset(), message.key().decode(), headers, message.value())


@contextmanager
def kafka_cluster(brokers: int = 3) -> Iterator[Cluster]:
    """A cluster that runs, with the topic `leads` of four partitions."""
    library, fault = librdkafka(), ctypes.create_string_buffer(512)
    client = library.rd_kafka_new(0, None, fault, len(fault))
    assert client, fault.value
    cluster = library.rd_kafka_mock_cluster_new(client, brokers)
    try:
        made = Cluster(cluster, brokers)
        made.make_topic()
        yield made
    finally:
        library.rd_kafka_mock_cluster_destroy(cluster)
        library.rd_kafka_destroy(client)
