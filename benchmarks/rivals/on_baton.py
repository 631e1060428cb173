"""`python -m benchmarks.rivals.on_baton record DSN`: records the events as Baton's own code does, in one statement."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence

import asyncpg

from benchmarks.rivals.events import Event
from benchmarks.rivals.recorder import TIMED, take_orders

RECORD = """
    WITH recorded AS (
        INSERT INTO events (tenant_id, id, lead_id, order_key, lead_version, type, occurred_at, recorded_at, tx_id,
                            tx_index, tx_size, data)
        SELECT (SELECT id FROM tenants), gen_random_uuid(), lead, lead, version, 'lead.updated', now(), now(), tx, 1, 1,
               data
          FROM unnest($1::int[], $2::bigint[], $3::text[]) AS made (number, version, data),
               CAST(md5('lead' || number) AS uuid) AS lead, gen_random_uuid() AS tx
        RETURNING tenant_id, seq)
    INSERT INTO pending (tenant_id, seq) SELECT tenant_id, seq FROM recorded
"""
WAKE = "SELECT pg_notify('baton_events', '')"  # after the commit, as the service does


def record(dsn: str) -> None:
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(dsn))

        async def commit(events: Sequence[Event], timed: bool) -> None:
            columns = zip(*((event.lead, event.version, json.dumps(event.data)) for event in events), strict=True)
            async with connection.transaction():
                await connection.execute(RECORD, *columns)
                if timed:
                    await connection.execute(TIMED, [event.mark for event in events])
            await connection.execute(WAKE)

        take_orders(lambda events, timed: runner.run(commit(events, timed)))


if __name__ == "__main__":
    record(sys.argv[2])
