"""What a connection to a broker can do, what a broker answers, and the addresses to which it may be made."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeVar

from app.webhooks.message import Message
from app.webhooks.resolver import BlockedAddress, Lookup, LookupTimeout, checked_addresses
from app.webhooks.sinks import Sink
from app.webhooks.targets import Address, Targets

T = TypeVar("T")
# Headers that belong to HTTP.
NOT_SENT: Final = ("user-agent", "accept-encoding")


class Answer(NamedTuple):
    """What a broker said to a message: the HTTP status that says the same, why it refused it, and its own words."""

    code: int
    error: str | None = None
    text: str = ""

    @property
    def head(self) -> str:
        """What is kept of its words: PostgreSQL's text cannot contain NUL."""
        return self.text.replace("\x00", "�")


class BrokerFault(OSError):
    """There is no usable connection to the broker; `kind` is the `error` of the attempt."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class Connection(Protocol):
    """A connection to a broker, for any number of messages at the same time."""

    @property
    def usable(self) -> bool:
        """Whether it may take another message."""

    async def publish(self, destination: str, message: Message) -> Answer:
        """Send it, and wait for the answer. Raises BrokerFault when the connection is lost."""

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Dialer:
    """The addresses of brokers: looked up and checked for every connection, as those of receivers."""

    targets: Targets
    lookup: Lookup
    tls: ssl.SSLContext
    seconds: float

    async def addresses(self, sink: Sink, host: str, port: int) -> list[Address]:
        """The checked addresses of a host of the broker. Raises OSError."""
        allowed_only = not self.targets.is_public(sink.tls, host, port)
        return await checked_addresses(host, self.lookup, self.targets, allowed_only)

    async def first(self, sink: Sink, host: str, port: int, connect: Callable[[str], Awaitable[T]]) -> T:
        """The connection to the first of these addresses that takes one. Raises OSError."""
        fault = OSError("no address")
        for address in await self.addresses(sink, host, port):
            try:
                return await connect(str(address))
            except OSError as refused:
                fault = refused
        raise fault


def kept_headers(message: Message) -> dict[str, str]:
    """The headers of the HTTP request that a message of a broker has too."""
    return {name: value for name, value in message.headers.items() if name.lower() not in NOT_SENT}


def fault_kind(fault: BaseException, connecting: bool) -> str:
    """The `error` of an attempt that got no answer; the same for every blocked address."""
    match fault:
        case BrokerFault(kind=kind):
            return kind
        case BlockedAddress():
            return "blocked_address"
        case LookupTimeout():
            return "dns_timeout"
        case socket.gaierror():
            return "dns_failed"
        case ssl.SSLCertVerificationError():
            return "tls_certificate"
        case ssl.SSLError():
            return "tls_handshake"
        case TimeoutError():
            return "connect_timeout" if connecting else "timeout"
        case OSError() | EOFError():
            return "connect_failed" if connecting else "connection_reset"
        case _:
            return "protocol_error"
