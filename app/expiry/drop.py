"""Drops partitions of events, of their log and of attempts whose time is over, while all of them are read and written.

A partition is detached without a lock that readers or writers wait for, and dropped alone. Whatever is cut short, the
next run goes on with it: several processes may run.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import structlog
from sqlalchemy.exc import DBAPIError

from app.database.sqlstate import sqlstate
from app.database.transaction import Database
from app.expiry import across
from app.expiry.due import Partition, Periods, due
from app.expiry.let_go import keep_scores, let_go
from app.tenants.across import tenant_ids

log = structlog.get_logger("baton.expiry")

TAKEN: Final = ("55000", "42P01")  # another process is detaching it, or has


async def drop_due(engine: Database, periods: Periods, now: datetime) -> int:
    """Drop what is due; how many partitions. A partition that is still read is left for the next run: DBAPIError."""
    await _finish(engine)
    async with engine.connect() as tx:
        found = await due(tx, periods, now)
    for one in found:
        await _drop(engine, one, now)
    return len(found)


async def _drop(engine: Database, one: Partition, now: datetime) -> None:
    async with engine.connect() as tx:
        tenants = [] if one.table == "attempts" else await tenant_ids(tx)
    for tenant_id in tenants:
        if one.table == "events":
            await keep_scores(engine, tenant_id, one.first, one.end)
        else:
            await let_go(engine, tenant_id, one.end, now)
    try:
        async with engine.autocommit() as tx:
            await across.detach(tx, one.table, one.name)
    except DBAPIError as error:
        if sqlstate(error) not in TAKEN:
            raise
    await _finish(engine)
    if one.table == "event_log":  # of what was asked for in between
        for tenant_id in tenants:
            await let_go(engine, tenant_id, one.end, now)


async def _finish(engine: Database) -> None:
    """Drop what was taken away."""
    async with engine.connect() as tx:
        found = await across.leftovers(tx)
    for name, parent in found:
        try:
            if parent is not None:
                async with engine.autocommit() as tx:
                    await across.finalize(tx, parent, name)
            async with engine.begin() as tx:
                await across.drop(tx, name)
        except DBAPIError as error:
            if sqlstate(error) not in TAKEN:
                raise
            continue
        log.info("partition_dropped", partition=name)
