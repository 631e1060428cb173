"""The connection pool: its size, its time-outs, and the settings that each session is given."""

from __future__ import annotations

from typing import Any, Final

import orjson
from sqlalchemy import event
from sqlalchemy.ext.asyncio import create_async_engine

from app.database.plain_json import write_json
from app.database.transaction import Database

SERVER_SETTINGS: Final = {
    "statement_timeout": "5s",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "10s",
    "timezone": "UTC",
    "jit": "off",
    "random_page_cost": "1.1",  # solid-state disks and a cache: without it small tables are read whole for one row
}
POOL_SECONDS: Final = 2


def make_engine(url: str, pool_size: int = 10, name: str = "baton") -> Database:
    """An engine with a small fixed pool and time-outs on the server's side (promises.md, database clients)."""
    engine = create_async_engine(
        url,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
        pool_recycle=1800,
        pool_use_lifo=True,  # the connection used last has its statements planned and its memory warm
        pool_reset_on_return=None,
        isolation_level="AUTOCOMMIT",  # `Database.begin` opens the transactions, on the driver
        hide_parameters=True,  # an error's text may end up in a log, and parameters are personal data
        json_serializer=lambda value: write_json(value).decode(),
        json_deserializer=orjson.loads,
        connect_args={
            "server_settings": {**SERVER_SETTINGS, "application_name": name},
            "timeout": 5,
            "statement_cache_size": 300,  # every statement of ours stays prepared
        },
    )
    event.listen(engine.sync_engine, "connect", _limit_transactions)
    return Database(engine)


def _limit_transactions(connection: Any, _: Any) -> None:
    """PostgreSQL 17 and newer end a transaction that is open for too long; older ones do not know the setting."""
    cursor = connection.cursor()
    cursor.execute(
        "SELECT set_config('transaction_timeout', '15s', false)"
        " WHERE current_setting('server_version_num')::integer >= 170000"
    )
    cursor.close()
    connection.commit()
