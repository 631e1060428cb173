"""Fills a database with leads by SQL: people of many companies, over a year, with a journey each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from uuid import UUID

import asyncpg

AT_ONCE: Final = 50_000
STAGES: Final = ("inquiry",) * 6 + ("mql",) * 3 + ("sal",)

# Ids begin with the time of creation, as those of the application do. One lead in sixty has a given first name, and as
# many a beginning of a last name or of a company; the number in most names of companies makes whole ones rare.
FILL: Final = """
    WITH made AS MATERIALIZED (
        SELECT n, now() - interval '1 year' * (1 - n::float8 / $5) AS at,
               ($6::text[])[1 + floor(random() * array_length($6::text[], 1))::int] AS first,
               ($7::text[])[1 + floor(random() * array_length($7::text[], 1))::int]
                   || (ARRAY['', '', 'mann', 'er', 'ova', 'ski', 'sen', 'ez', 'ini'])[1 + n % 9] AS last,
               ($8::text[])[1 + floor(random() * array_length($8::text[], 1))::int]
                   || CASE WHEN n % 3 = 0 THEN '' ELSE (n / 4)::text END AS firm,
               ($9::text[])[1 + n % array_length($9::text[], 1)] AS stage
          FROM generate_series($3::bigint, $4::bigint - 1) n
    ), placed AS MATERIALIZED (
        SELECT *, (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
                   || right(replace(gen_random_uuid()::text, '-', ''), 19))::uuid AS id,
               CASE WHEN n % 5 = 0 THEN 'gmail.com' ELSE firm || '.example' END AS host
          FROM made
    ), inserted AS (
        INSERT INTO leads (tenant_id, id, stage, stage_entered_at, fields, source_id, owner_id, fit, engagement, level,
                           temperature, first_touch, channel, created_at, updated_at)
        SELECT $1, id, stage, at, jsonb_build_object('email', lower(first || '.' || last) || n || '@' || host,
                   'first_name', first, 'last_name', last, 'full_name', first || ' ' || last, 'company', initcap(firm)
                   || ' GmbH', 'domain', host, 'country', 'DE', 'job_title', 'Director of sales'),
               ($10::uuid[])[1 + n % array_length($10::uuid[], 1)], ($11::uuid[])[1 + n % array_length($11::uuid[], 1)],
               n % 80, n % 90, 1 + n % 4,
               CASE WHEN n % 1000 = 0 THEN 'hot' WHEN n % 20 = 1 THEN 'warm' ELSE 'cold' END,
               jsonb_build_object('source', 'ads', 'campaign', CASE WHEN n % 2000 = 0 THEN 'rare' ELSE 'spring' END),
               CASE WHEN n % 2000 = 1 THEN 'partner' WHEN n % 20 = 1 THEN 'phone' ELSE 'web_form' END,
               at, at + random() * (now() - at)
          FROM placed
    )
    INSERT INTO journeys (tenant_id, id, lead_id, number, stage, seq, opened_at, stage_entered_at)
    SELECT $1, gen_random_uuid(), id, 1, stage, 0, at, at FROM placed WHERE $2
"""
FIRST: Final = """
    Anna Maria Peter Thomas Michael Andreas Sabine Julia Zoë Łukasz Jürgen Søren Ion Radu Elena Ioana Mihai Andrei Ana
    Joao Pedro Lian Wei Ming Hiro Yuki Olga Ivan Dmitri Pavel Tomasz Agnieszka Katarzyna Piotr Fatima Omar Ali Leila
    Noah Emma Liam Olivia Ava Ethan Mia Lucas Amelia Harper Bruno Carla Diego Eva Fabian Greta Hugo Ida Jakob Klara
"""
LAST: Final = """
    Müller Schmidt Schneider Fischer Weber Meyer Wagner Becker Schulz Hoffmann Popescu Ionescu Popa Radu Dumitru Stan
    Kovács Nagy Szabó Tóth Novák Svoboda Nowak Kowalski Wiśniewski Smith Jones Taylor Brown Williams Wilson Johnson
    Davies Patel Wright Walker O'Neil MacDonald García Martínez López Sánchez Silva Santos Ferreira Rossi Russo Bianchi
    Dubois Laurent Lefèvre Moreau Jansen DeVries Bakker Visser Larsen Hansen Olsen Nielsen Virtanen Korhonen
"""
FIRMS: Final = """
    nordsoft acme globex initech umbrella hooli stark wayne wonka cyberdyne tyrell aperture soylent vehement massive
    contoso fabrikam northwind tailspin litware proseware adatum alpine trey lucerne margie southridge blueyonder
    bosch siemens datacore medline agrosol terralink skybridge quanta helix vertex zenith orbital polaris meridian
"""


async def fill_leads(
    dsn: str,
    tenant_id: UUID,
    count: int,
    *,
    sources: Sequence[UUID | None],
    owners: Sequence[UUID | None],
    stages: Sequence[str] = STAGES,
    journeys: bool = True,
) -> None:
    """Insert `count` leads of a tenant; sources, owners and stages come in turn."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("SELECT setseed(0.5)")  # the same people in every run
    names = [words.split() for words in (FIRST, LAST, FIRMS)]
    for start in range(0, count, AT_ONCE):
        end = min(start + AT_ONCE, count)
        values = (tenant_id, journeys, start, end, count, *names, list(stages), sources, owners)
        await connection.execute(FILL, *values, timeout=600)
    await connection.execute("VACUUM (ANALYZE) leads, lead_words, journeys", timeout=600)
    await connection.close()
