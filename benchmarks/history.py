"""Fills a database with half a year of history by SQL: leads with one journey, activities and a changed field."""

from __future__ import annotations

from typing import Final
from uuid import UUID

import asyncpg

AT_ONCE: Final = 20_000

# Every third lead fits from the beginning, every third one since its title was filled in; one in fifty is won.
LEADS: Final = """
    WITH made AS MATERIALIZED (
        SELECT n, gen_random_uuid() AS id, now() - interval '170 days' * random() - interval '5 days' AS at
          FROM generate_series($3::bigint, $4::bigint - 1) n
    ), inserted AS (
        INSERT INTO leads (tenant_id, id, stage, stage_entered_at, fields, version, created_at, updated_at)
        SELECT $1, id, 'inquiry', at, jsonb_build_object('email', 'person' || n || '@company' || n || '.example',
                   'employees', 120, 'industry', CASE WHEN n % 3 = 2 THEN 'mining' ELSE 'software' END,
                   'job_title', 'Director of sales', 'company', 'Company ' || n), 2, at, at
          FROM made
    ), changed AS (
        INSERT INTO lead_changes (tenant_id, lead_id, version, recorded_at, actor, before)
        SELECT $1, id, 2, at + interval '1 day' * (n % 30), '{}', CASE WHEN n % 3 = 1
               THEN '{"fields": {"job_title": null}}'::jsonb ELSE '{"fields": {"company": "Other"}}'::jsonb END
          FROM made
    ), opened AS (
        INSERT INTO journeys (tenant_id, id, lead_id, number, stage, seq, opened_at, stage_entered_at)
        SELECT $1, gen_random_uuid(), id, 1, 'inquiry', 1, at, at FROM made RETURNING id, lead_id, opened_at
    ), logged AS (
        INSERT INTO transitions (tenant_id, journey_id, seq, id, lead_id, to_stage, action, actor, occurred_at,
                                 recorded_at, policy_id, policy_version)
        SELECT $1, id, 1, gen_random_uuid(), lead_id, 'inquiry', 'capture', '{}', opened_at, opened_at, $2, 1
          FROM opened
    ), won AS (
        INSERT INTO milestones (tenant_id, id, journey_id, lead_id, name, proof, reached_at, recorded_at)
        SELECT $1, gen_random_uuid(), o.id, o.lead_id, 'won', '', now(), now()
          FROM opened o JOIN made m ON m.id = o.lead_id WHERE m.n % 50 = 0
    )
    INSERT INTO activities (tenant_id, id, lead_id, activity_key, type, kind, occurred_at, recorded_at)
    SELECT $1, gen_random_uuid(), id, a::text, (ARRAY['webinar', 'newsletter', 'case_study', 'visit', 'price_list',
               'call'])[1 + (n + a) % 6], CASE WHEN (n + a) % 6 = 5 THEN 'contact_attempt' ELSE 'interest' END,
           at + (now() - at) * a / ($5::int + 1), at + (now() - at) * a / ($5::int + 1)
      FROM made CROSS JOIN generate_series(1, $5::int) a
"""


async def fill_history(dsn: str, tenant_id: UUID, policy_id: UUID, count: int, activities: int) -> None:
    """Insert `count` leads of a tenant, each with so many activities."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("SELECT setseed(0.5)")
    for start in range(0, count, AT_ONCE):
        end = min(start + AT_ONCE, count)
        await connection.execute(LEADS, tenant_id, policy_id, start, end, activities, timeout=600)
    await connection.execute("VACUUM (ANALYZE) leads, lead_changes, journeys, transitions, activities", timeout=600)
    await connection.close()
