"""How Alembic meets our database: short lock waits, one transaction a revision, partitions left alone.

`app.database.migrate` hands over a connection; the alembic command line makes one from BATON_DATABASE_URL.
"""

import asyncio

from alembic import context
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from app.database.tables import metadata
from app.settings import load

# A migration that waits for a lock makes everybody behind it wait too: it gives up, and is tried again later.
LIMITS = ("SET lock_timeout = '3s'", "SET statement_timeout = '5min'")
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
    engine = create_async_engine(url, poolclass=NullPool)
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
    url = load().database_url
    if url is None:
        raise SystemExit("set BATON_DATABASE_URL for the alembic command, or use python3 -m app migrate")
    asyncio.run(connect_and_migrate(url))


main()
