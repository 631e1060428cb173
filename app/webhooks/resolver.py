"""Resolve host names to checked addresses: one lookup per connection, with a timeout, refused if any address is."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult

from app.webhooks.targets import Address, Targets, address_of

Lookup = Callable[[str], Awaitable[list[Address]]]

DNS_SECONDS = 2.0
DNS_THREADS = 32


class BlockedAddress(OSError):
    """At least one address of the name is one that webhooks may not be sent to."""


class LookupTimeout(OSError):
    """DNS did not answer in time. Not a TimeoutError, which would be taken for one of the connection."""


class SystemLookup:
    """getaddrinfo in its own thread pool, so that slow name servers do not block the default executor."""

    def __init__(self, seconds: float = DNS_SECONDS) -> None:
        self._threads = ThreadPoolExecutor(DNS_THREADS, thread_name_prefix="dns")
        self._running: dict[str, asyncio.Future[list[Address]]] = {}
        self._seconds = seconds

    async def __call__(self, host: str) -> list[Address]:
        """Every address of `host`. Raises OSError when there is none, LookupTimeout after the time limit."""
        # Concurrent lookups of one name share a thread: a thousand deliveries to a name that hangs block only one.
        running = self._running.get(host)
        if running is None:
            running = asyncio.get_running_loop().run_in_executor(self._threads, _addresses, host)
            self._running[host] = running
            running.add_done_callback(lambda done: self._lookup_done(host, done))
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.shield(running)
        except TimeoutError:
            raise LookupTimeout("no answer from DNS") from None

    def close(self) -> None:
        """Shut the thread pool down without waiting; a lookup in progress is left to finish."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _lookup_done(self, host: str, done: asyncio.Future[list[Address]]) -> None:
        self._running.pop(host, None)
        if not done.cancelled():
            done.exception()


def _addresses(host: str) -> list[Address]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except UnicodeError:  # of a subscription stored before its host was checked
        raise OSError("not a host name") from None
    return [ipaddress.ip_address(row[4][0]) for row in found]


class CheckedResolver(AbstractResolver):
    """aiohttp's resolver, which returns checked addresses; with `allowed_only` only those in BATON_ALLOWED_TARGETS."""

    def __init__(self, lookup: Lookup, targets: Targets, allowed_only: bool) -> None:
        self._lookup, self._targets, self._allowed_only = lookup, targets, allowed_only

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Checked addresses of `host`. Raises BlockedAddress when any is refused."""
        addresses = await checked_addresses(host, self._lookup, self._targets, self._allowed_only)
        return [_resolve_result(host, each, port) for each in addresses]

    async def close(self) -> None:
        """Nothing to close: the lookup belongs to Egress."""


async def checked_addresses(host: str, lookup: Lookup, targets: Targets, allowed_only: bool) -> list[Address]:
    """The addresses of a host, each once. Raises BlockedAddress when any is refused, OSError when there is none."""
    literal = address_of(host)
    addresses = await lookup(host) if literal is None else [literal]
    allowed_only = allowed_only or literal is not None
    if not addresses or not all(may_connect(each, targets, allowed_only) for each in addresses):
        raise BlockedAddress("blocked")
    return list(dict.fromkeys(addresses))


def may_connect(address: Address, targets: Targets, allowed_only: bool) -> bool:
    """Whether webhooks may connect to an address: used for literals and for resolved names."""
    return targets.in_allowed(address) if allowed_only else not targets.blocked(address)


def _resolve_result(host: str, address: Address, port: int) -> ResolveResult:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return ResolveResult(
        hostname=host, host=str(address), port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
    )
