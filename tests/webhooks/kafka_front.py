"""What stands between a client and a mock cluster: TLS, SASL, other advertised hosts, and answers that get lost.

The mock brokers have none of these. Tests let librdkafka sign in here too: it understands more than our own client.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field

from tests.webhooks.kafka_cluster import PRODUCE, TOPIC, Cluster

API_VERSIONS, METADATA, HANDSHAKE, AUTHENTICATE = 18, 3, 17, 36
MECHANISMS = {"SCRAM-SHA-256": hashlib.sha256, "SCRAM-SHA-512": hashlib.sha512}
HOST = b"127.0.0.1"


@dataclass
class Front:
    """One port for each broker. `host` is advertised for 127.0.0.1, and `advertised_port`, if any, for each port.

    `lose`: so many answers to Produce are not passed on; the connection ends instead. `requests` has what came: the
    number of the API and the bytes after the header.
    """

    cluster: Cluster
    users: dict[str, str] | None = None
    tls: ssl.SSLContext | None = None
    host: str = HOST.decode()
    advertised_port: int | None = None
    iterations: int = 4096
    knows_password: bool = True
    lose: int = 0
    requests: list[tuple[int, bytes]] = field(default_factory=list)
    ports: dict[int, int] = field(default_factory=dict)

    def url(self, scheme: str, host: str) -> str:
        return f"{scheme}://{','.join(f'{host}:{port}' for port in self.ports.values())}/{TOPIC}"

    @property
    def produced(self) -> list[tuple[int, int, int]]:
        """Of each batch that was sent to be stored: the producer's id and epoch, and the first sequence number."""
        batches = [
            body[body.index(b"\x02", body.index(TOPIC.encode()) + len(TOPIC) + 12) :] for body in self.bodies(PRODUCE)
        ]
        return [struct.unpack_from(">qhi", batch, 27) for batch in batches]

    def bodies(self, api: int) -> list[bytes]:
        return [body for number, body in self.requests if number == api]

    async def serve(self, broker: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(OSError, EOFError):
                await Conversation(self, broker, reader, writer).run()
        finally:
            writer.transport.abort()

    def changed(self, api: int, version: int, answer: bytes) -> bytes:
        """The answer of a broker as the client gets it."""
        if api == API_VERSIONS and self.users is not None and answer[4:6] == b"\0\0":
            wide, end = version < 3, b"" if version < 3 else b"\0"
            more = b"".join(struct.pack(">hhh", *row) + end for row in ((HANDSHAKE, 1, 1), (AUTHENTICATE, 0, 0)))
            size = 4 if wide else 1
            count = int.from_bytes(answer[6 : 6 + size], "big") + 2
            return answer[:6] + count.to_bytes(size, "big") + more + answer[6 + size :]
        if api == METADATA:
            for theirs, ours in self.ports.items():
                shown = struct.pack(">i", self.advertised_port or ours)
                answer = answer.replace(HOST + struct.pack(">i", theirs), self.host.encode() + shown)
        return answer


@dataclass
class Conversation:
    """One connection of a client."""

    front: Front
    broker: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    signed_in: bool = False
    mechanism: str = ""
    scram: Scram | None = None

    async def run(self) -> None:
        reader, writer = await asyncio.open_connection(HOST.decode(), self.broker)
        try:
            while True:
                frame = await read(self.reader)
                api, version, _, name = struct.unpack_from(">hhih", frame)
                body = frame[10 + name :]
                self.front.requests.append((api, body))
                if self.front.users is not None and not self.signed_in and api != API_VERSIONS:
                    send(self.writer, frame[4:8] + self.sign_in(api, body))
                    continue
                send(writer, frame)
                answer = await read(reader)
                if api == PRODUCE and self.front.lose > 0:
                    self.front.lose -= 1
                    return
                send(self.writer, self.front.changed(api, version, answer))
        finally:
            writer.transport.abort()

    def sign_in(self, api: int, body: bytes) -> bytes:
        """The answer to a step. Ends the connection, as Kafka does, when something else is asked first."""
        if api == HANDSHAKE:
            self.mechanism = body[2:].decode()
            names = ["PLAIN", *MECHANISMS]
            known = b"".join(struct.pack(">h", len(each)) + each.encode() for each in names)
            return struct.pack(">hi", 0 if self.mechanism in names else 33, len(names)) + known
        if api != AUTHENTICATE:
            raise EOFError
        token, error = self.step(body[4:].decode()), b"wrong"
        if token is None:
            return struct.pack(">hh", 58, len(error)) + error + struct.pack(">i", 0)
        return struct.pack(">hhi", 0, -1, len(token)) + token.encode()

    def step(self, text: str) -> str | None:
        """The next token; None refuses."""
        users = self.front.users or {}
        if self.mechanism == "PLAIN":
            _, user, password = text.split("\0")
            self.signed_in = users.get(user) == password
            return "" if self.signed_in else None
        if self.scram is None:
            fields = dict(each.split("=", 1) for each in text.removeprefix("n,,").split(","))
            password = users.get(fields["n"].replace("=2C", ",").replace("=3D", "="), secrets.token_hex())
            self.scram = Scram(self.mechanism, password, text.removeprefix("n,,"), self.front.iterations)
            return self.scram.first(fields["r"])
        final = self.scram.last(text)
        self.signed_in = final is not None
        return final if self.front.knows_password or final is None else "v=AAAA"


@dataclass
class Scram:
    """The server's side of RFC 5802."""

    mechanism: str
    password: str
    client_first: str
    iterations: int
    said: str = ""

    def first(self, nonce: str) -> str:
        salt = secrets.token_bytes(16)
        kind = self.mechanism.removeprefix("SCRAM-").replace("-", "").lower()
        iterations = min(
            self.iterations, 4096
        )  # a client that takes more is to be refused its way in, not to be waited for
        self.salted = hashlib.pbkdf2_hmac(kind, self.password.encode(), salt, max(iterations, 1))
        self.said = f"r={nonce}{secrets.token_hex(8)},s={base64.b64encode(salt).decode()},i={self.iterations}"
        return self.said

    def last(self, text: str) -> str | None:
        without, _, proof = text.rpartition(",p=")
        said = f"{self.client_first},{self.said},{without}".encode()
        made = MECHANISMS[self.mechanism]

        def mac(key: bytes, data: bytes) -> bytes:
            return hmac.digest(key, data, made)

        key = mac(self.salted, b"Client Key")
        signature = mac(made(key).digest(), said)
        if base64.b64decode(proof) != bytes(a ^ b for a, b in zip(key, signature, strict=True)):
            return None
        return "v=" + base64.b64encode(mac(mac(self.salted, b"Server Key"), said)).decode()


async def read(reader: asyncio.StreamReader) -> bytes:
    """The next frame, without its size. Like Kafka, takes none of more than 100 MB, as the start of TLS seems to be."""
    size = int.from_bytes(await reader.readexactly(4), "big")
    if size > 100 << 20:
        raise EOFError
    return await reader.readexactly(size)


def send(writer: asyncio.StreamWriter, frame: bytes) -> None:
    writer.write(struct.pack(">i", len(frame)) + frame)


@asynccontextmanager
async def kafka_front(front: Front) -> AsyncIterator[Front]:
    """A front that listens, with one port for each broker of its cluster."""
    async with AsyncExitStack() as stack:
        for broker in front.cluster.ports:

            def accept(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, broker: int = broker
            ) -> asyncio.Task[None]:
                return asyncio.create_task(front.serve(broker, reader, writer))

            server = await asyncio.start_server(accept, HOST.decode(), 0, ssl=front.tls)
            stack.callback(server.close)
            front.ports[broker] = server.sockets[0].getsockname()[1]
        yield front
