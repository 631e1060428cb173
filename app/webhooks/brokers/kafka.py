"""Publish to Kafka: an idempotent producer, whose messages are acknowledged by all in-sync replicas.

aiokafka's connection, protocol and records; when what is sent is decided here (docs/decisions/0104 says why). Of each
partition one batch is in flight. It is sent again with the same sequence number, so that the broker stores it once,
until it is acknowledged, refused, or five seconds are over; after that, whether it was stored is unknown, so the
producer's id is given up with the connection.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from aiokafka.errors import for_code
from aiokafka.partitioner import murmur2
from aiokafka.protocol.metadata import MetadataRequest
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.protocol.transaction import InitProducerIdRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from app.webhooks.brokers.connection import Answer, BrokerFault, Dialer, fault_kind, kept_headers
from app.webhooks.brokers.kafka_link import REQUEST_SECONDS, Link, open_link
from app.webhooks.credentials import Credentials
from app.webhooks.message import Message
from app.webhooks.sinks import Sink

RETRY_SECONDS: Final = 5.0
PAUSE_SECONDS: Final = 0.1
METADATA_SECONDS: Final = 300.0
MAX_BATCH: Final = 512 * 1024
NO_TIMEOUT: Final = 2**31 - 1
STORED: Final = (0, 46)  # 46: it was stored before
LEADER_NOT_AVAILABLE: Final = 5
# The code of a broker's error, and what it is as an answer. After one of the first group nothing was stored.
REFUSALS: Final[Mapping[int, tuple[int, str]]] = {
    10: (413, "payload_too_large"),
    18: (413, "payload_too_large"),
    29: (403, "permission_denied"),
    31: (403, "permission_denied"),
    32: (400, "record_refused"),
    44: (400, "record_refused"),
    87: (400, "record_refused"),
}
MISSING: Final = (3, 17)  # the topic
PASSING: Final = ("connect_failed", "connect_timeout", "connection_reset", "timeout", "dns_failed", "dns_timeout")


@dataclass(frozen=True, slots=True, eq=False)
class Record:
    """A message that waits for its acknowledgement."""

    message: Message
    answer: asyncio.Future[Answer]

    def settle(self, answer: Answer | BrokerFault) -> None:
        if self.answer.done():
            return
        if isinstance(answer, BrokerFault):
            self.answer.set_exception(answer)
        else:
            self.answer.set_result(answer)


@dataclass(frozen=True, slots=True)
class Topic:
    """What the cluster says of a topic: an error, or how many partitions there are and where their leaders are."""

    read_at: float
    error: int
    count: int
    leaders: Mapping[int, tuple[str, int]]


@dataclass(slots=True, eq=False)
class Partition:
    """A partition, the records that wait to be sent to it, and the sequence number of the next one.

    `lost`: why it takes no more records; whether the last batch was stored is unknown.
    """

    topic: str
    number: int
    waiting: deque[Record] = field(default_factory=deque)
    sequence: int = 0
    lost: str | None = None
    task: asyncio.Task[None] | None = None

    def take(self) -> list[Record]:
        """The next batch: not those of which nobody waits for the answer any more."""
        batch: list[Record] = []
        size = 0
        while self.waiting and (not batch or size + len(self.waiting[0].message.body) <= MAX_BATCH):
            record = self.waiting.popleft()
            if not record.answer.done():
                batch.append(record)
                size += len(record.message.body)
        return batch


class KafkaConnection:
    """A producer, and its connections to the brokers of a cluster."""

    def __init__(self, sink: Sink, credentials: Credentials | None, dialer: Dialer) -> None:
        self._sink, self._credentials, self._dialer = sink, credentials, dialer
        self._links: dict[tuple[str, int], asyncio.Task[Link]] = {}
        self._topics: dict[str, Topic] = {}
        self._reading = asyncio.Lock()
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._producer = (-1, -1)
        self._lost: str | None = None

    @property
    def usable(self) -> bool:
        return self._lost is None

    async def start(self) -> None:
        """Have the cluster give the producer an id. Raises BrokerFault."""
        answer = await (await self._any_link()).ask(InitProducerIdRequest(None, NO_TIMEOUT))
        if answer.error_code:
            raise BrokerFault(REFUSALS.get(answer.error_code, (503, "connect_failed"))[1])
        self._producer = answer.producer_id, answer.producer_epoch

    async def publish(self, destination: str, message: Message) -> Answer:
        """Publish, and wait for the acknowledgement. Raises BrokerFault where it is unknown whether it was stored."""
        if self._lost is not None:
            raise BrokerFault(self._lost)
        try:
            topic = await self._topic(destination, time.monotonic() - METADATA_SECONDS)
        except Exception as fault:  # whatever a broker sends
            raise BrokerFault(fault_kind(fault, connecting=False)) from None
        if topic.error:
            return answer_of(topic.error)
        number = partition_of(message.key, topic.count)
        partition = self._partitions.setdefault((destination, number), Partition(destination, number))
        record = Record(message, asyncio.get_running_loop().create_future())
        partition.waiting.append(record)
        if partition.task is None or partition.task.done():
            partition.task = asyncio.create_task(self._send(partition))
        return await record.answer

    async def close(self) -> None:
        self._lost = self._lost or "connection_reset"
        tasks = [each.task for each in self._partitions.values() if each.task is not None]
        for task in (*tasks, *self._links.values()):
            task.cancel()
        await asyncio.gather(*tasks, *self._links.values(), return_exceptions=True)
        for link in self._standing():
            link.close()

    async def _send(self, partition: Partition) -> None:
        """Store what waits, batch after batch, until nothing does."""
        batch: list[Record] = []
        try:
            await asyncio.sleep(0)  # what is published in the same turn of the event loop makes one batch
            while partition.lost is None and (batch := partition.take()):
                await self._store(partition, batch)
        except Exception as fault:  # whatever a broker sends
            partition.lost = self._lost = fault_kind(fault, connecting=False)
        finally:
            for record in (*batch, *partition.waiting):
                record.settle(BrokerFault(partition.lost or "connection_reset"))
            partition.waiting.clear()

    async def _store(self, partition: Partition, batch: list[Record]) -> None:
        """Send a batch until its records have an answer. Raises where it is unknown whether they were stored."""
        began, newer_than, tries = time.monotonic(), 0.0, 0
        while True:
            asked, tries = time.monotonic(), tries + 1
            over = asked - began > RETRY_SECONDS or any(each.answer.cancelled() for each in batch)
            try:
                code, offset = await self._produce(partition, batch, newer_than)
            except Exception as fault:
                if over or fault_kind(fault, connecting=False) not in PASSING:
                    raise
            else:
                if code in REFUSALS and len(batch) > 1:
                    for record in (each for each in batch if not each.answer.done()):
                        await self._store(partition, [record])  # one of them is the cause: the others can be stored
                    return
                if over or code in STORED or not for_code(code).retriable:
                    self._settle(partition, batch, code, offset, certain=tries == 1)
                    return
            newer_than = asked
            await asyncio.sleep(PAUSE_SECONDS)

    def _settle(self, partition: Partition, batch: list[Record], code: int, offset: int, certain: bool) -> None:
        """Give the records their answer. `certain`: nothing of the batch was sent before."""
        if code in STORED:
            partition.sequence = (partition.sequence + len(batch)) % 2**31
        elif code not in REFUSALS or not certain:
            # It may have been stored, so its sequence numbers cannot be used for others.
            partition.lost = self._lost = "connection_reset"
        for number, record in enumerate(batch):
            record.settle(stored(partition, offset, number) if code in STORED else answer_of(code))

    async def _produce(self, partition: Partition, batch: list[Record], newer_than: float) -> tuple[int, int]:
        """Send a batch to the leader of its partition; the broker's error, and the offset of the first record."""
        topic = await self._topic(partition.topic, newer_than)
        if topic.error:
            return topic.error, -1
        if (leader := topic.leaders.get(partition.number)) is None:
            return LEADER_NOT_AVAILABLE, -1
        records = encoded(batch, *self._producer, partition.sequence)
        request = ProduceRequest(
            None, -1, round(REQUEST_SECONDS * 900), [(partition.topic, [(partition.number, records)])]
        )
        answer = await (await self._link(*leader)).ask(request)
        [(topic_name, [(number, code, offset, *_)])] = answer.topics
        if (topic_name, number) != (partition.topic, partition.number):
            raise ValueError("an answer about another partition")
        return code, offset

    async def _topic(self, name: str, newer_than: float) -> Topic:
        """What is known of a topic since this instant of the monotonic clock."""
        async with self._reading:
            known = self._topics.get(name)
            if known is None or known.error or known.read_at < newer_than:
                known = self._topics[name] = await self._read_topic(name)
        return known

    async def _read_topic(self, name: str) -> Topic:
        now = time.monotonic()
        answer = await (await self._any_link()).ask(MetadataRequest([name], allow_auto_topic_creation=False))
        hosts = {node: (host, port) for node, host, port, *_ in answer.brokers}
        [(error, _, _, partitions)] = answer.topics
        if not error and not partitions:
            error = LEADER_NOT_AVAILABLE
        leaders = {number: hosts[leader] for _, number, leader, *_ in partitions if leader in hosts}
        return Topic(now, error, len(partitions), leaders)

    async def _any_link(self) -> Link:
        """One that stands, else a new one to the first host of the URL that lets us in. Raises BrokerFault."""
        if standing := self._standing():
            return standing[0]
        kind = "connect_failed"
        for host, port in self._sink.hosts:
            try:
                return await self._link(host, port)
            except Exception as fault:  # whatever a server sends
                kind = fault_kind(fault, connecting=True)
        raise BrokerFault(kind)

    async def _link(self, host: str, port: int) -> Link:
        """The link to a host of the URL, or to one that the cluster names; both are checked. Raises as open_link."""
        task = self._links.get((host, port))
        if task is None or (task.done() and not _stands(task)):
            task = asyncio.create_task(open_link(self._sink, host, port, self._credentials, self._dialer))
            task.add_done_callback(lambda done: done.cancelled() or done.exception())
            self._links[host, port] = task
        return await asyncio.shield(task)

    def _standing(self) -> list[Link]:
        return [task.result() for task in self._links.values() if task.done() and _stands(task)]


async def connect_to_kafka(sink: Sink, credentials: Credentials | None, dialer: Dialer) -> KafkaConnection:
    """A producer of the cluster. Raises BrokerFault, or what the library does for an answer that is not Kafka's."""
    connection = KafkaConnection(sink, credentials, dialer)
    try:
        await connection.start()
    except Exception as fault:
        await connection.close()
        raise BrokerFault(fault_kind(fault, connecting=True)) from None
    except BaseException:
        await connection.close()
        raise
    return connection


def _stands(task: asyncio.Task[Link]) -> bool:
    return not task.cancelled() and task.exception() is None and bool(task.result().connected())


def partition_of(key: str, count: int) -> int:
    """The partition of a key, by the hash that producers of Kafka use."""
    hashed: int = murmur2(key.encode())
    return (hashed & 0x7FFFFFFF) % count


def encoded(batch: list[Record], producer_id: int, epoch: int, sequence: int) -> bytes:
    """The records as one batch of Kafka."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, producer_id, epoch, sequence, NO_TIMEOUT)
    for number, record in enumerate(batch):
        message = record.message
        builder.append(number, None, message.key.encode(), message.body, encoded_headers(message))
    return bytes(builder.build())


def encoded_headers(message: Message) -> list[tuple[str, bytes]]:
    """The headers of a message. Those of CloudEvents begin with `ce_` in Kafka."""
    named = {
        ("ce_" + name[3:] if name[:3].lower() == "ce-" else name): text for name, text in kept_headers(message).items()
    }
    return [(name, text.encode()) for name, text in named.items()]


def stored(partition: Partition, offset: int, number: int) -> Answer:
    """The acknowledgement of a message, by its number in a batch whose first one has this offset; -1: not known."""
    place: dict[str, Any] = {"duplicate": True} if offset < 0 else {"offset": offset + number}
    text = {"topic": partition.topic, "partition": partition.number, **place}
    return Answer(200, None, orjson.dumps(text).decode())


def answer_of(code: int) -> Answer:
    """What a broker's error means."""
    status, kind = REFUSALS.get(code, (503, "topic_missing" if code in MISSING else "partition_unavailable"))
    return Answer(status, kind, for_code(code).message)
