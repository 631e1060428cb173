"""Ninety days of events and attempts, beside which partitions are dropped: run by paths/retention.py.

In a process of its own, whose partitions are narrow enough that many of them come and go.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy.exc import DBAPIError

import app.events.sql as events_sql

DAYS, EVENT_DAYS, ATTEMPT_DAYS = 90, 30, 14
LEADS, TOGETHER, PARTITIONS = 20_000, 5_000, 100
START: Final = datetime(2026, 1, 1, tzinfo=UTC)

TENANT = (
    "INSERT INTO tenants (id, name, secret_salt, created_at) VALUES (gen_random_uuid(), 'a', 'x', now()) RETURNING id"
)
RECORD = """
    WITH made AS (
        INSERT INTO events (tenant_id, id, lead_id, order_key, lead_version, type, occurred_at, recorded_at, tx_id,
                            tx_index, tx_size, data, lead_computed)
        SELECT $1, gen_random_uuid(), md5((n % $4)::text)::uuid, md5((n % $4)::text)::uuid, n, 'lead.updated', $3, $3,
               md5(n::text)::uuid, 1 + k, 2, '{"changed":["company"],"text":"' || repeat(md5(n::text), 20) || '"}',
               CASE WHEN k = 1 THEN '{"score": {"fit": 40, "engagement": 25, "level": 65, "temperature": "warm"},
                                      "below_threshold_since": null, "sla": null, "stalled_since": null}'::jsonb END
          FROM generate_series($2::int, $2::int + $5::int / 2 - 1) n, generate_series(0, 1) k ORDER BY n, k
        RETURNING tenant_id, seq
    )
    INSERT INTO pending (tenant_id, seq) SELECT tenant_id, seq FROM made
"""
ATTEMPT = """
    INSERT INTO attempts (tenant_id, subscription_id, position, n, at, event_id, lead_id, ms, code, trigger)
    SELECT tenant_id, tenant_id, position, 1, $2, order_key, lead_id, 20, 204, 'live'
      FROM event_log WHERE tenant_id = $1 AND position > $3
"""
SIZE = """
    SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class WHERE relkind = 'r' AND relname ~ $1
"""


async def run(dsn: str, count: int) -> dict[str, Any]:
    width = count // PARTITIONS
    # What is made of them at import comes after this.
    before = events_sql.BEFORE_LOG.replace(str(events_sql.PARTITION_ROWS), str(width))
    vars(events_sql).update(BEFORE_LOG=before, PARTITION_ROWS=width)
    from app.database.engine import make_engine
    from app.events import across, partitions
    from app.events.sequence import sequence
    from app.expiry.drop import drop_due
    from app.expiry.due import Periods

    engine = make_engine(dsn.replace("postgresql://", "postgresql+asyncpg://"))
    periods = Periods(events=timedelta(days=EVENT_DAYS), attempts=timedelta(days=ATTEMPT_DAYS))
    async with engine.connect() as tx:
        tenant_id = (await tx.driver.fetch(TENANT))[0][0]
        for table, names in (await across.partitions(tx)).items():
            for name in names:
                await tx.command(f"DROP TABLE {name}")
            if table != "attempts":
                await across.attach(tx, table, f"{table}_00000", "1", str(1 + width))

    async def drop(now: datetime) -> None:
        """Drops what is due; what is still read goes on the next day."""
        with suppress(DBAPIError):
            await drop_due(engine, periods, now)

    sizes: list[tuple[int, float, float]] = []
    slowest, written, position = 0.0, 0, 0
    for day in range(DAYS):
        at = START + timedelta(days=day)
        async with engine.connect() as tx:
            ends = (at + timedelta(days=1)).isoformat()
            await across.attach(tx, "attempts", f"attempts_{at:%Y%m%d}", at.isoformat(), ends)
        dropping = asyncio.create_task(drop(at))
        while written < count * (day + 1) // DAYS:
            await partitions.create_partitions(engine)
            began = time.perf_counter()
            async with engine.begin() as tx:
                await tx.driver.execute(RECORD, tenant_id, written, at, LEADS, TOGETHER)
            slowest, written = max(slowest, time.perf_counter() - began), written + TOGETHER
            while await sequence(engine):
                pass
            async with engine.begin() as tx:
                await tx.driver.execute(ATTEMPT, tenant_id, at, position)
                position = await tx.driver.fetchval(
                    "SELECT max(position) FROM event_log WHERE tenant_id = $1", tenant_id
                )
        await dropping
        async with engine.connect() as tx:
            of_log, kept = [
                float(await tx.driver.fetchval(SIZE, which)) / 2**20
                for which in ("^(events|event_log|attempts)_[0-9]+$", "^kept_scores$")
            ]
        sizes.append((written, of_log, kept))
        print(f"{written:,} events: {of_log:,.0f} MiB, scores {kept:,.0f} MiB", file=sys.stderr, flush=True)
    async with engine.connect() as tx:
        left = await across.partitions(tx)
    dropped = sum(int(min(left[table])[-5:]) for table in ("events", "event_log"))
    await engine.dispose()
    return {"sizes": sizes, "slowest_ms": slowest * 1e3, "dropped": dropped}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(run(sys.argv[1], int(sys.argv[2])))), flush=True)
