"""Engines that outlive a test, with their connections and all that these have planned: as in a service that runs on.

An application that makes an engine for a database of this worker gets one that an earlier application disposed of, if
its settings were the same. What sessions keep beside their prepared statements was reset then.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from sqlalchemy import PoolProxiedConnection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util.concurrency import greenlet_spawn

from app.database import engine as database
from app.database.connection import Address, Connector, address
from app.database.transaction import CONNECT_ERROR, DRIVER_ERRORS
from tests.databases import as_url

RESET: Final = "RESET ROLE; RESET SESSION AUTHORIZATION; DISCARD TEMP; DISCARD SEQUENCES"  # beside what the driver does
MOST_KEPT: Final = 3  # connections of one engine


class Lent(AsyncEngine):
    """An engine that goes back to its lender when it is disposed of."""

    __slots__ = ("key", "lender", "pids")

    def __init__(self, lender: Lender, key: list[Any], made: AsyncEngine) -> None:
        super().__init__(made.sync_engine)
        self.lender, self.key = lender, key
        self.pids: list[int] = []

    async def dispose(self, close: bool = True) -> None:
        if not await self.lender.takes(self):
            await super().dispose(close)


class Lender:
    """The engines of a worker, for its databases and in its loop, that no application has at the moment."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._databases: dict[str, Address] = {}
        self._free: list[Lent] = []

    def serves(self, purpose: str, dsn: str) -> None:
        """Lend engines for this database, and no longer for the one that served the same purpose before."""
        self._databases[purpose] = address(as_url(dsn))

    def pids(self) -> list[int]:
        """The sessions of the engines that are kept."""
        return [pid for engine in self._free for pid in engine.pids]

    def engine(self, url: str, *, async_creator: Connector, **settings: Any) -> AsyncEngine:
        """In place of `create_async_engine`."""
        here = asyncio._get_running_loop() is self._loop  # a command that a test runs has a loop of its own
        if not here or async_creator.address not in self._databases.values():
            return create_async_engine(url, async_creator=async_creator, **settings)
        ours = [settings["pool_size"], settings["pool_timeout"], database.TRANSACTION_TIMEOUT]
        key = [async_creator.address, async_creator.arguments, *ours]
        for found in self._free:
            if found.key == key:
                self._free.remove(found)
                return found
        return Lent(self, key, create_async_engine(url, async_creator=async_creator, **settings))

    async def takes(self, engine: Lent) -> bool:
        """Whether its connections were reset, to be lent again."""
        for old in [each for each in self._free if each.key[0] not in self._databases.values()]:
            self._free.remove(old)
            await AsyncEngine.dispose(old)
        pool: Any = engine.sync_engine.pool
        if engine.key[0] not in self._databases.values() or engine in self._free or pool.checkedout():
            return False
        held: list[PoolProxiedConnection] = []
        try:
            while pool.checkedin():
                held += [await engine.raw_connection()]
            for extra in held[MOST_KEPT:]:
                extra.invalidate()
            engine.pids = [await _reset(pooled) for pooled in held[:MOST_KEPT]]
        except (*DRIVER_ERRORS, CONNECT_ERROR):
            return False
        finally:
            for pooled in reversed(held):  # the pool gives the last one first, which was the first before
                await greenlet_spawn(pooled.close)
        self._free.append(engine)
        return True

    async def close(self) -> None:
        """Close all connections."""
        for engine in self._free:
            await AsyncEngine.dispose(engine)
        self._free.clear()


async def _reset(pooled: PoolProxiedConnection) -> int:
    """The session as it was when it began, but for its prepared statements; its process."""
    driver: Any = pooled.driver_connection
    await driver.reset()
    await driver.execute(RESET)
    await greenlet_spawn(database.set_transaction_timeout, pooled.dbapi_connection, None)
    return int(driver.get_server_pid())
