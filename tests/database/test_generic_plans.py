"""Statements are planned once for all values (docs/decisions/0033): no such plan may read a whole big table."""

import importlib
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import asyncpg
import orjson
import pytest
from sqlalchemy import TextClause

from app.conversion.sql import PARTS
from app.database.transaction import compiled
from app.events.sql import _read_statement
from app.journeys.sql import ROW_KINDS, recording
from app.retention.sql import KINDS
from app.web.idempotency import STORED
from benchmarks.many_leads import fill_leads
from tests.api import Api
from tests.plans import nodes

pytestmark = pytest.mark.own_database

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    str(path.relative_to(ROOT).with_suffix("")).replace("/", ".")
    for path in (ROOT / "app").glob("*/*.py")
    if path.name.endswith("sql.py") or path.name in ("across.py", "idempotency.py", "auth.py")
)
BIG = 5_000
# They read everything on purpose.
WHOLE = {
    "app.likelihood.sql.COUNT_CASES": "the finished journeys are counted when a model is asked for or is missing",
    "app.likelihood.across.UNTRAINED": "once an hour it is looked for what happened since the last model",
    "app.policies.sql.JOURNEYS_OUTSIDE": "an activation counts the open journeys in stages that the policy lacks",
    "app.reports.cursors_sql.HEAD": "a rebuild looks once for events that are too young for it",
    "app.reports.summaries_sql.VERIFY_SUMMARIES": "baton verify compares all summaries",
    "app.reports.origins_sql.VERIFY": "baton verify compares all summaries",
    "app.reports.times_sql.VERIFY_MILESTONES": "baton verify compares all summaries",
    "app.reports.times_sql.VERIFY_STAGES": "baton verify compares all summaries",
    "app.webhooks.across.COUNT_LANES": "/metrics counts the active subscriptions",
}
# They read all subscriptions of a tenant, of which there are few: by an index, or the table.
FEW = {
    *((f"app.retention.unqualified_sql.{name}", "subscriptions") for name in ("NEXT", "STILL")),
    *((f"app.expiry.sql.{name}", table) for name in ("WAITS", "CONCERNED") for table in ("subscriptions", "lanes")),
    ("app.expiry.sql.MOVE_LANES", "lanes"),
}
FILL = (
    """INSERT INTO identities (tenant_id, kind, namespace, value, lead_id, added_at)
       SELECT tenant_id, 'email', '', id::text, id, created_at FROM leads""",
    """INSERT INTO shared_identities (tenant_id, kind, value, lead_id, added_at)
       SELECT tenant_id, 'phone', left(id::text, 20), id, created_at FROM leads""",
    """INSERT INTO activities (tenant_id, id, lead_id, activity_key, type, kind, occurred_at, recorded_at)
       SELECT tenant_id, id, id, 'k', 'visit', 'interest', created_at, created_at FROM leads""",
    """INSERT INTO transitions (tenant_id, journey_id, seq, id, lead_id, to_stage, action, occurred_at, recorded_at,
                                policy_id, policy_version)
       SELECT tenant_id, id, 1, id, lead_id, 'mql', 'qualify', opened_at, opened_at, $1, 1 FROM journeys""",
    """INSERT INTO milestones (tenant_id, id, journey_id, lead_id, name, proof, reached_at, recorded_at)
       SELECT tenant_id, id, id, lead_id, 'mql', 'stage', opened_at, opened_at FROM journeys""",
    """INSERT INTO consents (tenant_id, id, lead_id, purpose, state, occurred_at, recorded_at)
       SELECT tenant_id, id, id, 'email', 'given', created_at, created_at FROM leads""",
    """INSERT INTO touches (tenant_id, id, lead_id, occurred_at, recorded_at)
       SELECT tenant_id, id, id, created_at, created_at FROM leads""",
    """INSERT INTO bant (tenant_id, id, lead_id, criterion, status, user_id, role, recorded_at)
       SELECT tenant_id, id, id, 'need', 'confirmed', id, 'sdr', created_at FROM leads""",
    """INSERT INTO lead_changes (tenant_id, lead_id, version, recorded_at)
       SELECT tenant_id, id, 1, created_at FROM leads""",
    """INSERT INTO events (tenant_id, id, lead_id, order_key, lead_version, type, occurred_at, recorded_at, tx_id,
                           tx_index, tx_size, data)
       SELECT tenant_id, id, id, id, 1, 'lead.created', created_at, created_at, id, 1, 1, '{}' FROM leads""",
    """INSERT INTO event_log (tenant_id, event_seq, lead_id, order_key, type, recorded_at)
       SELECT tenant_id, seq, lead_id, order_key, type, recorded_at FROM events""",
    """INSERT INTO accounts (tenant_id, id, name, name_key, domain, created_at, updated_at)
       SELECT tenant_id, id, id::text, id::text, id::text, created_at, updated_at FROM leads""",
    """INSERT INTO contacts (tenant_id, id, account_id, email, email_key, phone, created_at, updated_at)
       SELECT tenant_id, id, id, id::text, id::text, id::text, created_at, updated_at FROM leads""",
    """INSERT INTO opportunities (tenant_id, id, name, stage, class, stage_entered_at, account_id, journey_id,
                                  policy_id, created_at, updated_at)
       SELECT j.tenant_id, j.lead_id, '', 'won', 'won', j.opened_at, j.lead_id, j.id, $1, j.opened_at, j.opened_at
         FROM journeys j""",
    """INSERT INTO opportunity_transitions (tenant_id, opportunity_id, seq, id, to_stage, class, action, occurred_at,
                                            recorded_at, policy_id, policy_version)
       SELECT tenant_id, id, 1, id, 'won', 'won', 'win', created_at, created_at, $1, 1 FROM opportunities""",
    """INSERT INTO conversions (tenant_id, id, lead_id, journey_id, transition_id, answer, converted_at, recorded_at)
       SELECT tenant_id, id, lead_id, id, id, '{}', opened_at, opened_at FROM journeys""",
    """INSERT INTO submissions (tenant_id, id, source_id, method, query, body, sha256, state, received_at)
       SELECT tenant_id, id, id, 'POST', '', '', '', 'processed', created_at FROM leads""",
    """INSERT INTO submission_items (tenant_id, submission_id, index, source_id, submission_key, verdict, lead_id)
       SELECT tenant_id, id, 0, id, id::text, 'lead', id FROM leads""",
    """INSERT INTO idempotency_keys (tenant_id, key, fingerprint, status, body, created_at)
       SELECT tenant_id, id::text, '', 201, 'v1.a.b', created_at FROM leads""",
    """INSERT INTO subscriptions (tenant_id, id, url, secrets, created_at, updated_at)
       SELECT tenant_id, id, '', '', created_at, updated_at FROM leads LIMIT 6000""",
    """INSERT INTO lanes (tenant_id, subscription_id, lane_no, position)
       SELECT tenant_id, id, 0, 20000 FROM subscriptions""",
    """INSERT INTO delivery_retries (tenant_id, subscription_id, position, order_key, event_id, state)
       SELECT tenant_id, id, 1, id, id, 'dead' FROM subscriptions""",
    """INSERT INTO attempts (tenant_id, subscription_id, position, n, at, event_id, ms, trigger, response_head)
       SELECT tenant_id, id, 1, 1, now(), id, 1, 'live', 'OK' FROM leads""",
)


def statements() -> Iterator[tuple[str, TextClause]]:
    """All statements of the modules with SQL that are written as text, by name."""
    for module in MODULES:
        for name, value in vars(importlib.import_module(module)).items():
            if isinstance(value, TextClause):
                yield f"{module}.{name}", value
    for pair in ((), *combinations(ROW_KINDS, 1)):
        kinds = tuple(kind for kind in ROW_KINDS if kind in ("touched", "moved", *pair))
        yield f"recording{kinds}", recording(kinds)
    yield "recording of all", recording(ROW_KINDS, (*PARTS, STORED))
    for kind in KINDS:
        if kind.removing is not None:
            yield f"retention removes {kind.name}", kind.removing
    for by_lead, by_types in ((False, False), (True, False), (False, True), (True, True)):
        yield f"feed {by_lead} {by_types}", _read_statement(by_lead, by_types)


async def generic_plan(connection: asyncpg.Connection, statement: TextClause) -> dict[str, Any]:
    """The plan that serves any values."""
    sql, _ = compiled(statement)
    count = max((int(number) for number in re.findall(r"\$(\d+)", sql)), default=0)
    await connection.execute(f"PREPARE seen AS {sql}")
    values = f"({', '.join(['NULL'] * count)})" if count else ""
    rows = await connection.fetch(f"EXPLAIN (FORMAT JSON) EXECUTE seen{values}")
    await connection.execute("DEALLOCATE seen")
    found = rows[0][0]  # parsed on connections of the pool
    plan: dict[str, Any] = (orjson.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    return plan


async def test_no_generic_plan_reads_a_whole_table(api: Api) -> None:
    dsn = api.app.state.settings.database_url.replace("+asyncpg", "")
    for _ in range(2):
        await fill_leads(dsn, api.tenant_id, 10_000, sources=[None], owners=[None])
    connection = await asyncpg.connect(dsn)
    policy = await connection.fetchval("SELECT id FROM policies WHERE tenant_id = $1", api.tenant_id)
    await connection.execute("SET session_replication_role = replica")  # rows refer to leads, not to what they should
    for rows in FILL:
        await connection.execute(rows, *([policy] if "$1" in rows else []))
    await connection.execute("SET default_statistics_target = 1000")  # all rows are looked at: no sample decides
    await connection.execute("VACUUM (ANALYZE)")
    big = {row[0] for row in await connection.fetch("SELECT relname FROM pg_class WHERE reltuples > $1", BIG)}
    assert {"leads", "event_log_00000", "delivery_retries", "lead_words"} <= big
    await connection.close()
    scanned = set()
    async with api.app.state.engine.connect() as tx:
        assert await tx.driver.fetchval("SHOW plan_cache_mode") == "force_generic_plan"
        await tx.driver.execute("SET enable_seqscan = on")  # also where the planner has the choice
        for name, statement in statements():
            for node in nodes(await generic_plan(tx.driver, statement)):
                if node["Node Type"] == "Seq Scan" and node["Relation Name"] in big:
                    scanned.add((name, node["Relation Name"]))
    assert {(name, table) for name, table in scanned - FEW if name not in WHOLE} == set()
    assert {name for name, _ in scanned - FEW} == set(WHOLE)
