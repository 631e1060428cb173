"""Fills a database with three years of history by COPY: leads, their journeys, milestones and opportunities."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import asyncpg

AT_ONCE: Final = 10_000
DAYS: Final = 1_096
# Where a journey goes from each stage, with the share of those that do; the others stay for good.
NEXT: Final = {
    "inquiry": (("mql", 0.80),),
    "mql": (("sal", 0.38), ("recycled", 0.50)),
    "recycled": (("mql", 0.78),),
    "sal": (("sql", 0.50), ("recycled", 0.35)),
    "sql": (("converted", 0.60), ("recycled", 0.10), ("disqualified", 0.20)),
}
DEALS: Final = (
    ("qualified",),
    ("qualified", "lost"),
    ("qualified", "proposal", "lost"),
    ("qualified", "proposal", "negotiation"),
    ("qualified", "proposal", "negotiation", "won"),
)
MOST_STEPS: Final = 16
REACHED: Final = ("mql", "sal", "sql")
CLOSED: Final = ("won", "lost")
COLUMNS: Final[dict[str, str]] = {
    "leads": "id stage stage_entered_at fields first_touch last_touch owner_id team created_at updated_at",
    "lead_changes": "lead_id version recorded_at actor before",
    "journeys": "id lead_id number stage seq policy_id business opened_at closed_at stage_entered_at",
    "transitions": "journey_id seq id lead_id from_stage to_stage action actor occurred_at recorded_at policy_id"
    " policy_version evidence",
    "milestones": "id journey_id lead_id name proof reached_at recorded_at",
    "conversions": "id lead_id journey_id opportunity_id transition_id answer converted_at recorded_at",
    "opportunities": "id name stage class seq stage_entered_at owner_id origin_lead_id journey_id policy_id amount"
    " currency close_date business created_at updated_at",
    "opportunity_transitions": "opportunity_id seq id from_stage to_stage class action occurred_at recorded_at"
    " policy_id policy_version evidence",
    "opportunity_states": "opportunity_id version stage class stage_entered_at forecast_category probability amount"
    " currency owner_id business occurred_at recorded_at",
}
# Those that no constraint needs are made after the rows, which takes a part of the time.
INDEXES: Final = """
    SELECT i.indexrelid::regclass::text AS name, pg_get_indexdef(i.indexrelid) AS made FROM pg_index i
     WHERE i.indrelid = ANY($1::text[]::regclass[])
       AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
"""
Rows = dict[str, list[tuple[Any, ...]]]


def stages_of(chance: random.Random) -> list[str]:
    """The stages that a journey enters, from the first on."""
    found = ["inquiry"]
    while len(found) < MOST_STEPS:
        drawn = chance.random()
        for stage, share in NEXT.get(found[-1], ()):
            if (drawn := drawn - share) < 0:
                found.append(stage)
                break
        else:
            break
    return found


def moments(chance: random.Random, at: datetime, count: int, until: datetime) -> list[datetime]:
    """The instants of so many steps, some days apart, as far as they are before `until`."""
    found: list[datetime] = []
    while len(found) < count and at < until:
        found.append(at)
        at += timedelta(days=chance.expovariate(1 / 6))
    return found


def id_at(chance: random.Random, at: datetime) -> UUID:
    """An id that begins with the time, as those of the application do."""
    return UUID(int=int(at.timestamp() * 1000) << 80 | 7 << 76 | chance.getrandbits(76))


def made(count: int, until: datetime, policy_id: UUID, owners: Sequence[UUID]) -> Iterator[Rows]:
    """The rows of each table for `count` leads of `DAYS` before `until`, in parts; the same ones in every run."""
    chance, rows = random.Random(12), defaultdict[str, list[tuple[Any, ...]]](list)
    for number in range(count):
        at = until - timedelta(days=DAYS * (1 - number / count))
        _lead(chance, rows, number, at, until, policy_id, owners)
        if (number + 1) % AT_ONCE == 0 or number + 1 == count:
            yield rows
            rows = defaultdict(list)


def _lead(
    chance: random.Random,
    rows: Rows,
    number: int,
    at: datetime,
    until: datetime,
    policy_id: UUID,
    owners: Sequence[UUID],
) -> None:
    lead, owner, entered = id_at(chance, at), owners[number % len(owners)], (at, "inquiry")
    again = at + timedelta(days=200) if number % 10 == 0 else until
    if again < until:
        _journey(chance, rows, lead, 1, at, again, policy_id, owner, closed_at=again)
        entered = _journey(chance, rows, lead, 2, again, until, policy_id, owner)
    else:
        entered = _journey(chance, rows, lead, 1, at, until, policy_id, owner)
    touch = f'{{"source": "source{number % 12}", "medium": "cpc", "campaign": "campaign{number % 50}"}}'
    fields = f'{{"email": "person{number}@company{number // 3}.example", "country": "DE", "industry": "software"}}'
    rows["leads"].append((lead, entered[1], entered[0], fields, touch, touch, owner, None, at, entered[0]))
    if number % 3 == 0:
        changed = min(at + timedelta(days=chance.uniform(0, 300)), until)
        rows["lead_changes"].append((lead, 2, changed, "{}", '{"owner_id": null}'))


def _journey(
    chance: random.Random,
    rows: Rows,
    lead: UUID,
    number: int,
    at: datetime,
    until: datetime,
    policy_id: UUID,
    owner: UUID,
    closed_at: datetime | None = None,
) -> tuple[datetime, str]:
    """Adds a journey, closed at `closed_at` at the latest; the instant and name of the stage in which it is."""
    journey, business = id_at(chance, at), "existing" if chance.random() < 0.2 else "new"
    stages = stages_of(chance)
    steps = list(zip(moments(chance, at, len(stages), until), stages, strict=False))
    reached: dict[str, datetime] = {}
    before, last = None, id_at(chance, at)
    for seq, (moment, stage) in enumerate(steps, 1):
        last = id_at(chance, moment)
        moved = (journey, seq, last, lead, before, stage, "evaluate", '{"kind": "system"}', moment, moment, policy_id)
        rows["transitions"].append((*moved, 1, '{"met": ["fit", "engagement"]}'))
        if stage in REACHED:
            reached.setdefault(stage, moment)
        before = stage
    entered, stage = steps[-1]
    if stage == "converted":
        opportunity = id_at(chance, entered)
        conversion = (id_at(chance, entered), lead, journey, opportunity, last, "{}", entered, entered)
        rows["conversions"].append(conversion)
        reached |= _deal(chance, rows, opportunity, lead, journey, entered, until, policy_id, owner, business)
    for name, moment in reached.items():
        rows["milestones"].append((id_at(chance, moment), journey, lead, name, "stage", moment, moment))
    closed_at = entered if stage in ("converted", "disqualified") else closed_at
    rows["journeys"].append((journey, lead, number, stage, len(steps), policy_id, business, at, closed_at, entered))
    return entered, stage


def _deal(
    chance: random.Random,
    rows: Rows,
    opportunity: UUID,
    lead: UUID,
    journey: UUID,
    at: datetime,
    until: datetime,
    policy_id: UUID,
    owner: UUID,
    business: str,
) -> dict[str, datetime]:
    """Adds an opportunity; the milestones that it reached."""
    stages = chance.choice(DEALS)
    steps = list(zip(moments(chance, at, len(stages), until), stages, strict=False))
    amount, before = Decimal(chance.randrange(1_000, 90_000)), None
    for seq, (moment, stage) in enumerate(steps, 1):
        of_class = stage if stage in CLOSED else "qualified"
        moved = (opportunity, seq, id_at(chance, moment), before, stage, of_class, "advance", moment, moment)
        rows["opportunity_transitions"].append((*moved, policy_id, 1, "{}"))
        state = (opportunity, seq, stage, of_class, moment, "pipeline", 50, amount, "EUR", owner, business)
        rows["opportunity_states"].append((*state, moment, moment))
        before = stage
    entered, stage = steps[-1]
    of_class, close = stage if stage in CLOSED else "qualified", (entered + timedelta(days=60)).date()
    deal = (opportunity, "Deal", stage, of_class, len(steps), entered, owner, lead, journey, policy_id, amount, "EUR")
    rows["opportunities"].append((*deal, close, business, at, entered))
    return {stage: entered} if stage in CLOSED else {}


async def fill_lives(dsn: str, tenant_id: UUID, policy_id: UUID, count: int, owners: Sequence[UUID]) -> None:
    """Insert `count` leads of a tenant with 1.1 journeys and five transitions each."""
    connection = await asyncpg.connect(dsn)
    await connection.execute("SET session_replication_role = replica")  # no triggers, no foreign keys
    indexes = await connection.fetch(INDEXES, list(COLUMNS))
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['name']}")
    for rows in made(count, datetime.now(UTC), policy_id, owners):
        for table, found in rows.items():
            columns = ["tenant_id", *COLUMNS[table].split()]
            records = [(tenant_id, *row) for row in found]
            await connection.copy_records_to_table(table, records=records, columns=columns, timeout=600)
    await connection.execute("SET maintenance_work_mem = '512MB'")
    for index in indexes:
        await connection.execute(index["made"], timeout=3_600)
    await connection.execute(f"VACUUM (ANALYZE) {', '.join(COLUMNS)}", timeout=3_600)
    await connection.close()
