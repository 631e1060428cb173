"""Alembic's environment: short lock time-outs, one transaction per revision, partitions ignored in autogenerate.

`app.database.migrate` passes a connection; the alembic command line connects to BATON_DATABASE_URL.
"""

import asyncio

from alembic import context
from sqlalchemy import Connection, text

from app.database.migrate import migrating_engine
from app.database.tables import metadata
from app.settings import load, without_pooler

# Every query that comes after a migration waiting for a lock waits too: so it fails early, and is retried later.
LIMITS = (
    "SET lock_timeout = '3s'",
    "SET statement_timeout = '5min'",
    "SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout'",  # since PostgreSQL 17
)
PARTITIONS = text("SELECT relname FROM pg_class WHERE relispartition")
OPTIONS = {"target_metadata": metadata, "transaction_per_migration": True, "compare_type": True}


def migrate(connection: Connection) -> None:
    for limit in LIMITS:
        connection.exec_driver_sql(limit)
    partitions = set(connection.scalars(PARTITIONS))
    connection.commit()

    def include_name(name: str | None, kind: str, _: object) -> bool:
        return kind != "table" or name not in partitions

    context.configure(connection=connection, include_name=include_name, **OPTIONS)
    with context.begin_transaction():
        context.run_migrations()


async def connect_and_migrate(url: str) -> None:
    engine = migrating_engine(url)
    async with engine.connect() as connection:
        await connection.run_sync(migrate)
    await engine.dispose()


def main() -> None:
    if context.is_offline_mode():
        context.configure(dialect_name="postgresql", literal_binds=True, **OPTIONS)
        with context.begin_transaction():
            for limit in LIMITS:
                context.execute(limit)
            context.run_migrations()
        return
    connection: Connection | None = context.config.attributes.get("connection")
    if connection is not None:
        migrate(connection)
        return
    settings = load()
    if settings.embedded:
        raise SystemExit("set BATON_DATABASE_URL for the alembic command, or use python3 -m app migrate")
    asyncio.run(connect_and_migrate(without_pooler(settings)))


main()
