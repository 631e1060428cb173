"""Outbound: one POST, GET or OPTIONS, or one message to a broker, to a checked address under one total deadline."""

import asyncio
import functools
import re
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import cast

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.streams import StreamReader
from yarl import URL

from app.matching.host import host_name, is_host
from app.webhooks.brokers.connection import Dialer
from app.webhooks.brokers.connections import Brokers
from app.webhooks.connector import Connector, StatusKeeper, request_bytes, request_start
from app.webhooks.message import Message
from app.webhooks.resolver import BlockedAddress, CheckedResolver, Lookup, LookupTimeout, SystemLookup, may_connect
from app.webhooks.retry import Outcome
from app.webhooks.sinks import INBOX, SCHEMES, Sink, SinkInvalid, is_sink
from app.webhooks.targets import Targets, address_of

USER_AGENT = "Baton-Webhooks/1"
MAX_URL_LENGTH = 2048
MAX_HEAD_BYTES = 1024
KEEPALIVE_SECONDS = 60.0  # longer than a lane waits for more events, so that the first one after a rest finds it open
MAX_NAME_CHECKS = 2
UNLESS = ", unless the operator allows its network by BATON_ALLOWED_TARGETS"
REDIRECTS = (301, 302, 303, 307, 308)
MAX_CACHED_TARGETS = 10_000
# Connections to one host that are made at once: many servers queue a hundred, and drop more, for a second each time.
MAX_CONNECTING = 64
BODY_ERRORS = (aiohttp.ClientError, OSError, TimeoutError)
FAULTS = (*BODY_ERRORS, HttpProcessingError, ValueError)


class TargetRefused(ValueError):
    """A URL that webhooks may not be sent to. The text never reveals what a name resolved to or what is listening."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail


@dataclass(frozen=True, slots=True)
class Limits:
    """Timeouts in seconds, and how many bytes of a response body are read at most."""

    total: float = 15.0
    connect: float = 5.0
    body: float = 2.0
    body_bytes: int = 16 * 1024


@dataclass(frozen=True, slots=True)
class _Target:
    """A checked URL. aiohttp's `request` only serves to open a connection; it is never sent."""

    request: aiohttp.ClientRequest
    start: str
    allowed_only: bool


@dataclass(slots=True)
class _Response:
    """A response as it is read: `kept` bytes of its body at most."""

    limits: Limits
    kept: int = MAX_HEAD_BYTES
    code: int | None = None
    retry_after: str | None = None
    location: str | None = None
    error: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    head: bytes = field(default=b"", repr=False)


@dataclass(frozen=True, slots=True)
class Fetched:
    """The result of a GET: its outcome, and when that is a success the response with its whole body."""

    outcome: Outcome
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)


@functools.cache
def system_trust() -> ssl.SSLContext:
    """TLS that trusts the certificate authorities of this system, which take long to load."""
    return ssl.create_default_context()


class Egress:
    """The HTTP client shared by all deliveries of a process. Close it at the end."""

    def __init__(
        self,
        targets: Targets,
        limits: Limits | None = None,
        tls: ssl.SSLContext | None = None,
        lookup: Lookup | None = None,
    ) -> None:
        self.targets, self.limits = targets, limits or Limits()
        self._tls = tls or system_trust()
        self._system = SystemLookup()
        self._lookup: Lookup = lookup or self._system
        self._connectors: dict[tuple[bool, bool], Connector] = {}
        self._timeout = aiohttp.ClientTimeout(total=None, sock_connect=self.limits.connect)
        self._target = functools.lru_cache(MAX_CACHED_TARGETS)(self._checked_target)
        self._connecting = functools.lru_cache(MAX_CACHED_TARGETS)(lambda _: asyncio.Semaphore(MAX_CONNECTING))
        self._name_checks = 0
        self._brokers = Brokers(Dialer(targets, self._lookup, self._tls, self.limits.connect))

    async def send(self, message: Message) -> Outcome:
        """Send an event once, to a receiver or a broker. Errors are returned as an Outcome, not raised."""
        if is_sink(message.url):
            return await self._brokers.send(message)
        return await self.post(message.url, message.headers, message.body, message.timeout_seconds)

    async def post(self, url: str, headers: dict[str, str], body: bytes, total: float | None = None) -> Outcome:
        """Send once, within `total` seconds. Network and receiver errors are returned as an Outcome, not raised."""
        response = _Response(self.limits)
        return await self._attempt("POST", url, headers, body, response, total or self.limits.total)

    async def get(self, url: str, headers: dict[str, str], max_bytes: int) -> Fetched:
        """Get a response of at most `max_bytes`, from an address that webhooks may be sent to. Nothing is raised.

        A response whose body is too large, or does not come whole, is an outcome without a code.
        """
        try:
            self._parsed(url)
        except TargetRefused as refused:
            return Fetched(Outcome(None, refused.code))
        total = self.limits.total
        response = _Response(replace(self.limits, body=total, body_bytes=max_bytes + 1), kept=max_bytes + 1)
        outcome = await self._attempt("GET", url, headers, b"", response, total)
        if not outcome.delivered:
            return Fetched(outcome)
        if len(response.head) > max_bytes:
            response.error = "body_too_large"
        if response.error:
            return Fetched(replace(outcome, code=None, error=response.error))
        return Fetched(outcome, {name.lower(): value for name, value in response.headers.items()}, response.head)

    async def options(self, url: str, headers: dict[str, str]) -> Fetched:
        """Send OPTIONS once; its outcome, and when that is a success the headers. Nothing is raised."""
        response = _Response(self.limits)
        outcome = await self._attempt("OPTIONS", url, headers, b"", response, self.limits.total)
        shown = {name.lower(): value for name, value in response.headers.items()}
        return Fetched(outcome, shown if outcome.delivered else {})

    async def _attempt(
        self, method: str, url: str, headers: dict[str, str], body: bytes, response: _Response, total: float
    ) -> Outcome:
        began, error = time.monotonic(), None
        try:
            async with asyncio.timeout(total):
                await self._exchange(self._target(url, method), headers, body, response)
        except FAULTS as fault:
            # Overwritten below if a response head arrived: after a 2xx the receiver has the event.
            error = error_kind(fault)
            if method == "GET" and response.code is not None:
                response.error = response.error or error
        if response.code is not None:
            error = "redirect_refused" if response.code in REDIRECTS else response.error
        shown = f"location: {response.location}"[:MAX_HEAD_BYTES] if response.location else _readable(response.head)
        return Outcome(response.code, error, round((time.monotonic() - began) * 1000), response.retry_after, shown)

    async def close(self) -> None:
        """Close every connection and the DNS threads."""
        await self._brokers.close()
        for connector in self._connectors.values():
            await connector.close()
        self._system.close()

    async def check_url(self, url: str) -> str:
        """The URL in canonical form. Raises TargetRefused when webhooks may not be sent to it."""
        if is_sink(url):
            return await self._check_sink(url)
        scheme = url.partition("://")[0].lower()
        if "://" in url and scheme not in ("http", "https"):
            others = ", ".join(f"{each}://" for each in SCHEMES)
            raise TargetRefused("url_invalid", f"The URL must begin with https://, or for a broker with {others}.")
        return str(await self._check_place(url, "https"))

    async def _check_place(self, url: str, scheme: str) -> URL:
        """The URL, when it and what its name resolves to now are allowed; `scheme` is the one that has TLS."""
        target, missing = self._parsed(url, scheme)
        if address_of(target.host or "") is None:
            await self._check_name(target.host or "", missing)
        return target

    async def refusal(self, url: str) -> str | None:
        """Why nothing may be sent to this URL by its scheme and port; None where something may.

        The name is looked up only where the operator's allowed networks decide.
        """
        try:
            target, missing = self._parsed(url)
            if missing:
                await self._check_name(target.host or "", missing)
        except TargetRefused as refused:
            return refused.detail
        return None

    async def _exchange(self, target: _Target, headers: dict[str, str], body: bytes, response: _Response) -> None:
        request = request_bytes(target.start, headers, body)
        connection = await self._connect(target, fresh=False)
        reused = cast(StatusKeeper, connection.protocol).requests > 0
        try:
            await self._send(connection, request, response)
        except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
            # The receiver closed an idle connection just as we used it. It did not see the request, so repeat it.
            if not reused or response.code is not None:
                raise
            await self._send(await self._connect(target, fresh=True), request, response)

    async def _connect(self, target: _Target, fresh: bool) -> aiohttp.connector.Connection:
        try:
            async with self._connecting(target.request.url.host_port_subcomponent):
                return await self._connector(target.allowed_only, fresh).connect(target.request, [], self._timeout)
        except TimeoutError as fault:
            raise aiohttp.ConnectionTimeoutError from fault

    async def _send(self, connection: aiohttp.connector.Connection, request: bytes, response: _Response) -> None:
        protocol = cast(StatusKeeper, connection.protocol)
        try:
            reply, content = await protocol.send(request, response.limits.body_bytes)
            response.code, response.retry_after = reply.code, reply.headers.get("Retry-After")
            response.headers = reply.headers
            if reply.code in REDIRECTS:
                response.location = reply.headers.get("Location", "")
            await self._read(content, response)
        except HttpProcessingError as fault:
            if not 200 <= fault.code < 300:
                raise
            response.code, response.error = fault.code, "body_error"
        finally:
            if response.code is None or response.error or protocol.unsent:
                protocol.abort()  # close without waiting for unsent data
            connection.release()  # back to the pool; aiohttp closes it if the response was not read to its end

    async def _read(self, content: StreamReader, response: _Response) -> None:
        if content.at_eof():
            return
        left = response.limits.body_bytes
        parts = [response.head]
        try:
            async with asyncio.timeout(response.limits.body):
                while left > 0 and (chunk := await content.readany()):
                    parts.append(chunk)
                    left -= len(chunk)
        except BODY_ERRORS as fault:
            response.error = body_error(fault)
        finally:
            response.head = b"".join(parts)[: response.kept]

    def _checked_target(self, url: str, method: str = "POST") -> _Target:
        """Check IP literals here, since aiohttp does not pass them to the resolver; names are checked there."""
        target = URL(url)
        literal = address_of(target.host or "")
        if literal is not None and not may_connect(literal, self.targets, allowed_only=True):
            raise BlockedAddress("blocked")
        return _Target(
            aiohttp.ClientRequest("POST", target), request_start(target, method), not self._is_public(target)
        )

    async def _check_sink(self, url: str) -> str:
        """A broker may be where a receiver may be: its hosts are checked as those of an http or https URL."""
        _check_text(url)
        try:
            sink = Sink.parse(url)
        except SinkInvalid as invalid:
            raise TargetRefused("url_invalid", str(invalid)) from None
        if sink.kind == "nats" and sink.destination.startswith(INBOX):
            raise TargetRefused("url_invalid", f"Subjects that begin with {INBOX} are those of answers: write another.")
        for host, port in sink.hosts:
            await self._check_place(sink.address_url(host, port), f"{sink.kind}+tls")
        return sink.url

    def _parsed(self, url: str, scheme: str = "https") -> tuple[URL, list[str]]:
        """The URL, and what of a public one it has not: then only addresses that the operator allows may be used."""
        _check_text(url)
        try:
            target = URL(url)
            port, host = target.port, target.raw_host
        except ValueError:
            raise TargetRefused("url_invalid", "This is not a valid URL.") from None
        if target.scheme not in ("http", "https") or not host or not port:
            raise TargetRefused("url_invalid", "The URL must start with https:// and name a host.")
        if target.user is not None or target.password is not None or "#" in url or "@" in _authority(url):
            raise TargetRefused(
                "url_invalid", "The URL must not contain user information (user:password@) or a #fragment."
            )
        if not is_host(host):
            raise TargetRefused("url_invalid", "The host must be a name that the domain name system allows.")
        if (name := host_name(host)) is not None:
            target = target.with_host(name)
        literal = address_of(host)
        if literal is not None and not self.targets.in_allowed(literal):
            raise TargetRefused("target_refused", f"The host must be a name, not an IP address{UNLESS}.")
        missing = self.targets.missing(target.scheme == "https", target.raw_host or "", target.port, scheme)
        if missing and not self.targets.allowed:
            raise TargetRefused("target_refused", " ".join(missing))
        return target, missing

    def _is_public(self, target: URL) -> bool:
        return self.targets.is_public(target.scheme == "https", target.raw_host or "", target.port)

    async def _check_name(self, host: str, missing: list[str]) -> None:
        # The request holds a database connection during the lookup, so at most two do so at a time; the others skip the
        # check. It only reports a problem early: each delivery checks the addresses again.
        if self._name_checks >= MAX_NAME_CHECKS:
            return
        self._name_checks += 1
        try:
            addresses = await self._lookup(host)
        except OSError:
            addresses = []
        finally:
            self._name_checks -= 1
        reachable = all(may_connect(each, self.targets, bool(missing)) for each in addresses)
        if not reachable or (missing and not addresses):
            raise TargetRefused("target_refused", " ".join(missing) or f"Nothing may be sent to this host{UNLESS}.")

    def _connector(self, allowed_only: bool, fresh: bool) -> Connector:
        key = (allowed_only, fresh)
        if key not in self._connectors:
            self._connectors[key] = Connector(
                resolver=CheckedResolver(self._lookup, self.targets, allowed_only),
                use_dns_cache=False,
                ssl=self._tls,
                limit=0,
                force_close=fresh,
                keepalive_timeout=None if fresh else KEEPALIVE_SECONDS,
            )
        return self._connectors[key]


def error_kind(fault: BaseException) -> str:
    """The `error` of an attempt that failed before a response head; the same for every blocked address."""
    cause = fault.__cause__ if isinstance(fault, aiohttp.ClientConnectorDNSError) else fault
    match cause:
        case BlockedAddress():
            return "blocked_address"
        case LookupTimeout():
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
    """The `error` noted for a response whose body failed; it does not change the outcome."""
    if isinstance(fault, TimeoutError):
        return "body_slow"
    return "reset_after_head" if isinstance(fault, aiohttp.ClientPayloadError | OSError) else "body_error"


def _check_text(url: str) -> None:
    if len(url) > MAX_URL_LENGTH or not url.isprintable() or any(c in url for c in " \\"):
        detail = (
            f"The URL must have at most {MAX_URL_LENGTH} characters, without spaces, backslashes and control codes."
        )
        raise TargetRefused("url_invalid", detail)


def _authority(url: str) -> str:
    return re.split(r"[/?#]", url.partition("://")[2], maxsplit=1)[0]


def _readable(raw: bytes) -> str:
    # PostgreSQL's text cannot contain NUL; bytes that are not UTF-8 become replacement characters.
    return raw.decode("utf-8", "replace").replace("\x00", "�")
