"""The only door out: one POST to a stranger's address, under one deadline, to a checked address, trusting nothing."""

import asyncio
import functools
import re
import ssl
import time
from dataclasses import dataclass, field
from typing import cast

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from yarl import URL

from app.webhooks.connector import Connector, HeadKeeper, start_of, written
from app.webhooks.resolver import BlockedAddress, CheckedResolver, Lookup, NameTooSlow, SystemLookup, may_dial
from app.webhooks.retry import Outcome
from app.webhooks.targets import Targets, address_of

LONGEST_URL = 2048
SHOWN_BYTES = 1024
KEEPALIVE_SECONDS = 15.0
MOST_ADVISED = 2
REDIRECTS = (301, 302, 303, 307, 308)
MOST_KNOWN = 10_000
BODY_FAULTS = (aiohttp.ClientError, OSError, TimeoutError)
FAULTS = (*BODY_FAULTS, HttpProcessingError, ValueError)


class TargetRefused(ValueError):
    """A URL that webhooks may not have. `code` says which rule; the text never tells what an address answered."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


@dataclass(frozen=True, slots=True)
class Limits:
    """Deadlines in seconds and the bytes of an answer that are read at most."""

    total: float = 15.0
    connect: float = 5.0
    body: float = 2.0
    body_bytes: int = 16 * 1024


@dataclass(frozen=True, slots=True)
class _Target:
    """A URL that was judged. Of `request` only what a connection is made by is used."""

    request: aiohttp.ClientRequest
    start: str
    inside_only: bool


@dataclass(slots=True)
class _Try:
    code: int | None = None
    retry_after: str | None = None
    location: str | None = None
    note: str | None = None
    head: bytes = field(default=b"", repr=False)


class Egress:
    """A shared client for all deliveries of a process. Close it at the end."""

    def __init__(
        self,
        targets: Targets,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
        lookup: Lookup | None = None,
    ) -> None:
        self.targets, self.limits = targets, limits or Limits()
        self._tls = tls or ssl.create_default_context()
        self._system = SystemLookup()
        self._lookup: Lookup = lookup or self._system
        self._connectors: dict[tuple[bool, bool], Connector] = {}
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.limits.connect)
        self._target = functools.lru_cache(MOST_KNOWN)(self._judged)
        self._advising = 0

    async def post(self, url: str, headers: dict[str, str], body: bytes, total: float | None = None) -> Outcome:
        """Send once, within `total` seconds. Every fault of the other side comes back as an Outcome."""
        began, seen, error = time.monotonic(), _Try(), None
        try:
            async with asyncio.timeout(total or self.limits.total):
                await self._exchange(self._target(url), headers, body, seen)
        except FAULTS as fault:
            # After a 2xx head the receiver has the event, whatever becomes of the answer's body.
            error = error_kind(fault)
        if seen.code is not None:
            error = "redirect_refused" if seen.code in REDIRECTS else seen.note
        shown = f"location: {seen.location}"[:SHOWN_BYTES] if seen.location else _readable(seen.head)
        return Outcome(seen.code, error, round((time.monotonic() - began) * 1000), seen.retry_after, shown)

    async def close(self) -> None:
        """Close every connection and the DNS threads."""
        for connector in self._connectors.values():
            await connector.close()
        self._system.close()

    async def check_url(self, url: str) -> str:
        """The URL in canonical form, fit to be stored; TargetRefused when a webhook may not go there."""
        target, inside_only = self._parsed(url)
        if address_of(target.host or "") is None:
            await self._advise(target.host or "", inside_only)
        return str(target)

    async def _exchange(self, target: _Target, headers: dict[str, str], body: bytes, seen: _Try) -> None:
        request = written(target.start, headers, body)
        connection = await self._connect(target, fresh=False)
        reused = cast(HeadKeeper, connection.protocol).requests > 0
        try:
            await self._send(connection, request, seen)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            # The receiver closed an idle connection just as we used it: it has seen nothing, so this is no attempt.
            if not reused or seen.code is not None:
                raise
            await self._send(await self._connect(target, fresh=True), request, seen)

    async def _connect(self, target: _Target, fresh: bool) -> aiohttp.connector.Connection:
        try:
            return await self._connector(target.inside_only, fresh).connect(target.request, [], self._timeout)
        except TimeoutError as fault:
            raise aiohttp.ConnectionTimeoutError from fault

    async def _send(self, connection: aiohttp.connector.Connection, request: bytes, seen: _Try) -> None:
        protocol = cast(HeadKeeper, connection.protocol)
        try:
            answer, content = await protocol.ask(request, self.limits.body_bytes)
            seen.code, seen.retry_after = answer.code, answer.headers.get("Retry-After")
            if answer.code in REDIRECTS:
                seen.location = answer.headers.get("Location", "")
            await self._read(content, seen)
        except HttpProcessingError as fault:
            if not 200 <= fault.code < 300:
                raise
            seen.code, seen.note = fault.code, "body_error"
        finally:
            if seen.code is None or seen.note or protocol.unsent:
                protocol.abort()  # what is not written yet is not waited for
            connection.release()  # closed when something of the answer was not read, else kept

    async def _read(self, content: StreamReader, seen: _Try) -> None:
        if content.at_eof():
            return
        left = self.limits.body_bytes
        try:
            async with asyncio.timeout(self.limits.body):
                while left > 0 and (chunk := await content.readany()):
                    seen.head = (seen.head + chunk[:SHOWN_BYTES])[:SHOWN_BYTES]
                    left -= len(chunk)
        except BODY_FAULTS as fault:
            seen.note = body_error(fault)

    def _judged(self, url: str) -> _Target:
        """Refuse a literal here, since it never reaches the resolver; say whether only opened networks will do."""
        target = URL(url)
        literal = address_of(target.host or "")
        if literal is not None and not may_dial(literal, self.targets, only_inside=True):
            raise BlockedAddress("blocked")
        inside_only = target.scheme != "https" or target.port not in self.targets.ports
        return _Target(aiohttp.ClientRequest("POST", target), start_of(target), inside_only)

    def _parsed(self, url: str) -> tuple[URL, bool]:
        if len(url) > LONGEST_URL or not url.isprintable() or any(c in url for c in " \\"):
            raise TargetRefused("url_invalid", f"A URL of at most {LONGEST_URL} characters, without spaces.")
        try:
            target = URL(url)
            port = target.port
        except ValueError:
            raise TargetRefused("url_invalid", "This is not a URL.") from None
        if target.scheme not in ("http", "https") or not target.host or not port:
            raise TargetRefused("url_invalid", "The URL starts with https:// and names a host.")
        if target.user is not None or target.password is not None or "#" in url or "@" in _authority(url):
            raise TargetRefused("url_invalid", "The URL has neither user information nor a fragment.")
        return target, self._check_rules(target, target.host, port)

    def _check_rules(self, target: URL, host: str, port: int) -> bool:
        literal = address_of(host)
        if literal is not None and not self.targets.inside(literal):
            raise TargetRefused("target_refused", "The host must be a name, not an IP address.")
        if literal is None and host.rstrip(".").rpartition(".")[2][:1].isdigit():
            raise TargetRefused("target_refused", "The host must be a name, not an IP address.")
        ordinary = target.scheme == "https" and port in self.targets.ports
        if not ordinary and not self.targets.allowed:
            ports = ", ".join(str(each) for each in sorted(self.targets.ports))
            raise TargetRefused("target_refused", f"The URL must be https, on one of the ports {ports}.")
        return not ordinary

    async def _advise(self, host: str, inside_only: bool) -> None:
        # Who asks holds a connection of the pool meanwhile, so few may: it is advice, and whoever dials judges again.
        if self._advising >= MOST_ADVISED:
            return
        self._advising += 1
        try:
            addresses = await self._lookup(host)
        except OSError:
            addresses = []
        finally:
            self._advising -= 1
        if not all(may_dial(each, self.targets, inside_only) for each in addresses) or (inside_only and not addresses):
            raise TargetRefused("target_refused", "Webhooks may not be sent to this host.")

    def _connector(self, inside_only: bool, fresh: bool) -> Connector:
        key = (inside_only, fresh)
        if key not in self._connectors:
            self._connectors[key] = Connector(
                resolver=CheckedResolver(self._lookup, self.targets, inside_only),
                use_dns_cache=False,
                ssl=self._tls,
                limit=0,
                force_close=fresh,
                keepalive_timeout=None if fresh else KEEPALIVE_SECONDS,
            )
        return self._connectors[key]


def error_kind(fault: BaseException) -> str:
    """The stable word for a fault before the head; the text of a refusal by policy never varies."""
    cause = fault.__cause__ if isinstance(fault, aiohttp.ClientConnectorDNSError) else fault
    match cause:
        case BlockedAddress():
            return "blocked_address"
        case NameTooSlow():
            return "dns_timeout"
        case _ if isinstance(fault, aiohttp.ClientConnectorDNSError):
            return "dns_failed"
        case aiohttp.ClientConnectorCertificateError():
            return "tls_certificate"
        case aiohttp.ClientConnectorSSLError():
            return "tls_handshake"
        case aiohttp.ConnectionTimeoutError():
            return "connect_timeout"
        case aiohttp.ClientConnectorError():
            # A connection that is made and then reset before the first request was reset in the TLS handshake.
            return "tls_handshake" if isinstance(cause.os_error, ConnectionResetError) else "connect_failed"
        case TimeoutError():
            return "timeout"
        case aiohttp.ServerDisconnectedError() | aiohttp.ClientOSError():
            return "connection_reset"
        case _:
            return "protocol_error"


def body_error(fault: BaseException) -> str:
    """What went wrong after the head; it is noted and changes nothing."""
    if isinstance(fault, TimeoutError):
        return "body_slow"
    return "reset_after_head" if isinstance(fault, aiohttp.ClientPayloadError | OSError) else "body_error"


def _authority(url: str) -> str:
    return re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]


def _readable(raw: bytes) -> str:
    # PostgreSQL text holds no NUL; everything else that is not UTF-8 shows as a replacement character.
    return raw.decode("utf-8", "replace").replace("\x00", "�")
