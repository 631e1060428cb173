"""Names to checked addresses: one lookup a connection, refused when any answer is blocked, within a limit of time."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

from aiohttp.abc import AbstractResolver, ResolveResult

from app.webhooks.targets import Address, Targets

Lookup = Callable[[str], Awaitable[list[Address]]]

DNS_SECONDS = 2.0
DNS_THREADS = 32


class BlockedAddress(OSError):
    """The name stands, at least in part, for an address that webhooks may not reach."""


class NameTooSlow(OSError):
    """The name servers did not answer in time. (A TimeoutError would look like one of the connection.)"""


class SystemLookup:
    """getaddrinfo in threads of its own, so that a name server that never answers starves nobody else's threads."""

    def __init__(self, seconds: float = DNS_SECONDS) -> None:
        self._threads = ThreadPoolExecutor(DNS_THREADS, thread_name_prefix="dns")
        self._running: dict[str, asyncio.Future[list[Address]]] = {}
        self._seconds = seconds

    async def __call__(self, host: str) -> list[Address]:
        """Every address of `host`; OSError when there is none, NameTooSlow after the limit."""
        # One thread for a name, however many wait for it: a thousand deliveries to one dead name block one thread.
        running = self._running.get(host)
        if running is None:
            running = asyncio.get_running_loop().run_in_executor(self._threads, _addresses, host)
            self._running[host] = running
            running.add_done_callback(lambda done: self._forget(host, done))
        try:
            async with asyncio.timeout(self._seconds):
                return await asyncio.shield(running)
        except TimeoutError:
            raise NameTooSlow("no answer from DNS") from None

    def close(self) -> None:
        """Let go of the threads; one that still waits for DNS ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _forget(self, host: str, done: asyncio.Future[list[Address]]) -> None:
        self._running.pop(host, None)
        if not done.cancelled():
            done.exception()


def _addresses(host: str) -> list[Address]:
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return [ipaddress.ip_address(row[4][0]) for row in found]


class CheckedResolver(AbstractResolver):
    """What aiohttp dials: only addresses that passed; with `only_inside` only networks that the operator opened."""

    def __init__(self, lookup: Lookup, targets: Targets, only_inside: bool) -> None:
        self._lookup, self._targets, self._only_inside = lookup, targets, only_inside

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Checked addresses of `host`; BlockedAddress when any is refused."""
        addresses = await self._lookup(host)
        if not addresses or not all(may_dial(each, self._targets, self._only_inside) for each in addresses):
            raise BlockedAddress("blocked")
        return [_dialable(host, each, port) for each in dict.fromkeys(addresses)]

    async def close(self) -> None:
        """Nothing is held here: the lookup belongs to the egress."""


def may_dial(address: Address, targets: Targets, only_inside: bool) -> bool:
    """The one judgement of an address, for literals and for what a name resolved to."""
    return targets.inside(address) if only_inside else not targets.blocked(address)


def _dialable(host: str, address: Address, port: int) -> ResolveResult:
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return ResolveResult(
        hostname=host, host=str(address), port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST
    )
