"""The connection pool: its size, its time-outs, and how its sessions are tuned (connection.py: what they rely on)."""

from __future__ import annotations

from typing import Any, Final

import orjson
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

from app.database.connection import Connector, opening
from app.database.plain_json import write_json
from app.database.transaction import FOR_VALUES, Database

SERVER_SETTINGS: Final = {
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "10s",
    "jit": "off",
    # A statement is planned once and not at each execution. Its plan outlives the size that its tables had then, so it
    # reads no table as a whole where there is an index; nor do the checks of foreign keys.
    "plan_cache_mode": "force_generic_plan",
    "enable_seqscan": "off",
    "random_page_cost": "1.1",  # for SSDs and cached data: the default favours sequential scans for single rows
}
TRANSACTION_TIMEOUT: Final = "15s"
POOL_SECONDS: Final = 2
STATEMENTS: Final = 300  # more than there are, so that all stay prepared


def make_engine(url: str, pool_size: int = 10, name: str = "baton") -> Database:
    """An engine with a small fixed pool and server-side time-outs (promises.md, database clients)."""
    kept = {"statement_cache_size": STATEMENTS, "max_cached_statement_lifetime": 0}  # the driver's is 300 seconds
    connector = Connector(url, {**SERVER_SETTINGS, "application_name": name}, **kept)
    engine = create_async_engine(
        "postgresql+asyncpg://",
        async_creator=connector,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        pool_recycle=1800,
        pool_use_lifo=True,  # the connection used last has its statements prepared and its caches filled
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",  # `Database.begin` sends BEGIN through the driver
        hide_parameters=True,  # an error's text may end up in a log, and parameters are personal data
        json_serializer=lambda value: write_json(value).decode(),
        json_deserializer=orjson.loads,
    )
    if connector.address.pooled:
        # No plan is kept where no statement is, so each may as well be planned for its values.
        return Database(engine, opening({**SERVER_SETTINGS, **FOR_VALUES}, TRANSACTION_TIMEOUT))
    event.listen(engine.sync_engine, "connect", set_transaction_timeout)
    return Database(engine)


def set_transaction_timeout(connection: Any, _: Any) -> None:
    """Set transaction_timeout on PostgreSQL 17 and newer; older versions do not have the setting."""
    cursor = connection.cursor()
    cursor.execute(
        f"SELECT set_config('transaction_timeout', '{TRANSACTION_TIMEOUT}', false)"
        " WHERE current_setting('server_version_num')::integer >= 170000"
    )
    cursor.close()
    connection.commit()
