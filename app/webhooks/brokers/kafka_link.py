"""A connection to one broker of a Kafka cluster: to a checked address, by TLS where the URL says so, signed in.

Of aiokafka's connection it replaces how a host is reached, and limits what a broker, which may be anybody's, can make
us do: read a large answer, or compute a key for a long time.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import Any, Final

from aiokafka.conn import READER_LIMIT, AIOKafkaConnection, AIOKafkaProtocol, ScramAuthenticator
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.api import Request

from app.webhooks.brokers.connection import BrokerFault, Dialer
from app.webhooks.credentials import Credentials
from app.webhooks.sinks import Sink

REQUEST_SECONDS: Final = 10.0
MAX_ANSWER: Final = 1 << 20
ITERATIONS: Final = range(4096, 100_001)
NOT_LET_IN: Final = (SaslAuthenticationFailed, UnsupportedSaslMechanismError, IllegalSaslStateError)

logging.getLogger("aiokafka").setLevel(logging.CRITICAL + 1)  # it logs user names, and in debug mode whole requests


class LimitedReader(asyncio.StreamReader):
    """Reads a frame of at most MAX_ANSWER bytes. Raises ValueError for a longer one."""

    async def readexactly(self, n: int) -> bytes:
        if not 0 <= n <= MAX_ANSWER:
            raise ValueError("an answer that is too large")
        return await super().readexactly(n)


class LimitedScram(ScramAuthenticator):  # type: ignore[misc]
    """SCRAM with as many iterations as a broker may sensibly ask for."""

    def create_salted_password(self, salt: bytes, iterations: int) -> None:
        if iterations not in ITERATIONS:
            raise ValueError("too few or too many iterations")
        super().create_salted_password(salt, iterations)


class Link(AIOKafkaConnection):  # type: ignore[misc]
    """The connection. `ask` may be called any number of times at once."""

    def __init__(self, sink: Sink, host: str, port: int, credentials: Credentials | None, dialer: Dialer) -> None:
        user = credentials if credentials and credentials.username else None
        super().__init__(
            host,
            port,
            client_id="baton",
            request_timeout_ms=round(REQUEST_SECONDS * 1000),
            security_protocol=("SASL_" if user else "") + ("SSL" if sink.tls else "PLAINTEXT"),
            sasl_mechanism=(user.mechanism or "PLAIN") if user else None,
            sasl_plain_username=user.username if user else None,
            sasl_plain_password=user.password if user else None,
        )
        self._sink, self._dialer, self._signs_in = sink, dialer, user is not None

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect to the first checked address of the host, and sign in. Raises OSError, and what the library does."""
        loop = asyncio.get_running_loop()
        self._closed_fut = loop.create_future()
        reader = LimitedReader(limit=READER_LIMIT, loop=loop)
        protocol = AIOKafkaProtocol(self._closed_fut, reader, loop=loop)
        tls = {"ssl": self._dialer.tls, "server_hostname": self.host} if self._sink.tls else {}
        dial = partial(loop.create_connection, lambda: protocol, port=self.port, **tls)
        try:
            transport, _ = await self._dialer.first(self._sink, self.host, self.port, dial)
        except (ConnectionResetError, ConnectionAbortedError):  # after a connection was made, so in the handshake
            raise BrokerFault("tls_handshake" if self._sink.tls else "connect_failed") from None
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self._reader, self._writer, self._protocol = reader, writer, protocol
        self._read_task = self._create_reader_task()
        try:
            await self._do_version_lookup()
            if self._signs_in:
                await self._do_sasl_handshake()
        except BaseException:
            self.close()
            raise
        return reader, writer

    def authenticator_scram(self) -> LimitedScram:
        return LimitedScram(
            loop=self._loop,
            sasl_plain_username=self._sasl_plain_username,
            sasl_plain_password=self._sasl_plain_password,
            sasl_mechanism=self._sasl_mechanism,
        )

    def close(self, reason: Any = None, exc: BaseException | None = None) -> Any:
        """Close at once, whether or not the broker takes what is unsent."""
        transport = self._writer.transport if self._writer is not None else None
        closed = super().close(reason, exc)
        if transport is not None:
            transport.abort()
        return closed

    async def ask(self, request: Request[Any]) -> Any:
        """The answer to a request. Raises BrokerFault when the connection is lost, TimeoutError after ten seconds."""
        try:
            return await self.send(request)
        except TimeoutError:
            self.close()
            raise
        except KafkaConnectionError as lost:
            raise fault_of(lost) from None


async def open_link(sink: Sink, host: str, port: int, credentials: Credentials | None, dialer: Dialer) -> Link:
    """A link to this host of the cluster. Raises OSError, or what the library does for other answers."""
    link = Link(sink, host, port, credentials, dialer)
    try:
        async with asyncio.timeout(dialer.seconds):
            await link.connect()
    except NOT_LET_IN:
        raise BrokerFault("authorization_failed") from None
    except KafkaConnectionError as lost:
        raise fault_of(lost) from None
    return link


def fault_of(lost: KafkaConnectionError) -> BrokerFault:
    """A connection that ended: by the broker, or because it sent what is not Kafka's."""
    ended = lost.__cause__ is None or isinstance(lost.__cause__, OSError | EOFError)
    return BrokerFault("connection_reset" if ended else "protocol_error")
