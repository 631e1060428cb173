"""A report of ten days reads the rows of ten days, not the whole of a table."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Final

import pytest

from app.database.transaction import Database
from app.reports.summaries import rebuild
from benchmarks.many_leads import fill_leads
from tests.api import Api
from tests.plans import explained, nodes, outline, rows_read, statements_of

pytestmark = pytest.mark.own_database

LEADS, DAYS = 20_000, 10
FILLED: Final = ("funnel", "velocity", "response", "ageing", "rules", "ideal", "sources", "feedback", "cohorts")
SUMMED: Final = ("funnel", "funnel?by=business", "funnel?by=source", "velocity", "sources", "sources?by=medium")
PAGE: Final = 20
EVIDENCE: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("funnel", {"metric": "mql_to_sal"}),
    ("funnel", {"metric": "volume_mql:new", "by": "medium"}),
    ("velocity", {"metric": "mql_to_sal"}),
    ("velocity", {"metric": "in_mql", "by": "medium"}),
    ("sources", {"metric": "won", "by": "medium"}),
)
BIG: Final = {"milestones", "transitions", "activities", "clock_runs", "accounts", "contacts", "conversions"}
# Every journey became an MQL an hour after it began, and every fourth one an SQL, of which half were won.
FILL: Final = """
    WITH moved AS (
        INSERT INTO transitions (tenant_id, journey_id, seq, id, lead_id, from_stage, to_stage, action, occurred_at,
                                 recorded_at, policy_id, policy_version, evidence)
        SELECT $1, j.id, s.seq, gen_random_uuid(), j.lead_id, s.from_stage, s.to_stage, s.action,
               j.opened_at + s.seq * interval '1 hour', j.opened_at + s.seq * interval '1 hour', $2, 1,
               CASE WHEN s.seq = 2 THEN jsonb_build_object('profile', jsonb_build_object(
                    'rules', '["title", "size"]'::jsonb, 'personas', '["decision_maker"]'::jsonb, 'country',
                    (ARRAY['RO', 'DE', 'FR'])[1 + abs(hashtext(j.id::text)) % 3], 'activities', '[]'::jsonb))
                    ELSE '{}' END
          FROM journeys j CROSS JOIN (VALUES (1, NULL, 'inquiry', 'capture'), (2, 'inquiry', 'mql', 'qualify'))
               s(seq, from_stage, to_stage, action)
         WHERE j.tenant_id = $1
        RETURNING journey_id
    ), reached AS (
        INSERT INTO milestones (tenant_id, id, journey_id, lead_id, name, proof, reached_at, recorded_at)
        SELECT $1, gen_random_uuid(), j.id, j.lead_id, m.name, '', j.opened_at + m.hours * interval '1 hour',
               j.opened_at + m.hours * interval '1 hour'
          FROM journeys j CROSS JOIN (VALUES ('mql', 2, 1), ('sql', 30, 4), ('won', 60, 8), ('lost', 70, 16))
               m(name, hours, nth)
         WHERE j.tenant_id = $1 AND abs(hashtext(j.id::text)) % m.nth = 0
    ), clocked AS (
        INSERT INTO clock_runs (tenant_id, id, lead_id, journey_id, clock, minutes, started_at, due_at, recorded_at,
                                met_at, business_minutes)
        SELECT $1, gen_random_uuid(), lead_id, id, 'response', 240, opened_at + interval '1 hour',
               opened_at + interval '5 hours', opened_at + interval '1 hour', opened_at + interval '2 hours', 60
          FROM journeys WHERE tenant_id = $1
    ), acted AS (
        INSERT INTO activities (tenant_id, id, lead_id, activity_key, type, kind, occurred_at, recorded_at)
        SELECT $1, gen_random_uuid(), lead_id, n, 'call', 'contact_attempt', opened_at + n * interval '1 day',
               opened_at + n * interval '1 day'
          FROM journeys CROSS JOIN generate_series(1, 3) n WHERE tenant_id = $1
    ), founded AS (
        INSERT INTO accounts (tenant_id, id, name, created_at, updated_at)
        SELECT $1, id, 'Firm', opened_at, opened_at FROM journeys WHERE tenant_id = $1 RETURNING id
    ), met AS (
        INSERT INTO contacts (tenant_id, id, account_id, created_at, updated_at)
        SELECT $1, id, id, opened_at, opened_at FROM journeys WHERE tenant_id = $1 RETURNING id
    )
    INSERT INTO conversions (tenant_id, id, lead_id, journey_id, account_id, contact_id, transition_id, answer,
                             converted_at, recorded_at)
    SELECT $1, id, lead_id, id, id, id, id, '{}', opened_at, opened_at FROM journeys WHERE tenant_id = $1
"""


@pytest.mark.parametrize(("name", "by"), [("sources", None), ("sources", "first_stage"), ("funnel", "first_stage")])
async def test_the_beginning_of_a_journey_is_read_by_its_key_also_before_tables_have_statistics(
    api: Api, name: str, by: str | None
) -> None:
    """A plan for one row of the tenant would read all of its beginnings for each journey."""
    database: Database = api.app.state.engine
    url = api.app.state.settings.database_url.replace("+asyncpg", "")
    async with database.begin() as tx:
        for table in ("leads", "journeys", "transitions", "milestones"):
            await tx.driver.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    few = 400
    await fill_leads(url, api.tenant_id, few, sources=[None], owners=[None])
    async with database.begin() as tx:
        policy = await tx.driver.fetchval("SELECT id FROM policies WHERE tenant_id = $1", api.tenant_id)
        await tx.driver.execute("SET LOCAL session_replication_role = replica")
        await tx.driver.execute(FILL, api.tenant_id, policy, timeout=300)
    async with database.begin() as tx:
        await tx.driver.execute("DELETE FROM pg_statistic WHERE starelid = 'transitions'::regclass")
    window = {"from": str((api.now - timedelta(days=1_000)).date()), "to": str((api.now + timedelta(days=2)).date())}
    with statements_of(database) as ran:
        answer = await api.call("GET", f"/v1/reports/{name}", params={**window, **({"by": by} if by else {})})
    assert answer.status_code == 200, answer.text
    async with database.begin() as tx:
        await tx.plan_for_values()
        plans = [await explained(tx, statement) for statement in ran]
    scans = [node for plan in plans for node in nodes(plan) if node.get("Relation Name") == "transitions"]
    of_beginnings = [node for node in scans if "seq = 1" in str(node)]
    assert of_beginnings
    for node in of_beginnings:
        assert "journey_id" in node["Index Cond"], node
        assert node["Actual Rows"] + node.get("Rows Removed by Filter", 0) <= 1


async def test_no_report_of_leads_reads_the_whole_of_a_table(api: Api) -> None:
    database: Database = api.app.state.engine
    url = api.app.state.settings.database_url.replace("+asyncpg", "")
    await fill_leads(url, api.tenant_id, LEADS, sources=[None], owners=[None])
    async with database.begin() as tx:
        policy = await tx.driver.fetchval("SELECT id FROM policies WHERE tenant_id = $1", api.tenant_id)
        await tx.driver.execute("SET LOCAL session_replication_role = replica")  # rows refer to each other
        await tx.driver.execute(FILL, api.tenant_id, policy, timeout=300)
    async with database.connect() as tx:
        await tx.driver.execute("SET default_statistics_target = 1000")  # all rows are looked at: no sample decides
        await tx.driver.execute("VACUUM (ANALYZE)", timeout=300)
        await tx.driver.execute("RESET default_statistics_target")
    end = api.now - timedelta(days=100)
    window = {"from": str((end - timedelta(days=DAYS)).date()), "to": str(end.date())}
    faults: list[str] = []
    for name in FILLED:
        path = f"/v1/reports/{name}"
        with statements_of(database) as ran:
            answer = await api.call("GET", path, params=window)
        assert answer.status_code == 200, answer.text
        metrics: list[dict[str, Any]] = [one for group in answer.json()["groups"] for one in group["metrics"]]
        assert max(metric["denominator"] for metric in metrics) > 0, name
        async with database.begin() as tx:
            await tx.plan_for_values()
            plans = [await explained(tx, statement) for statement in ran]
        whole = {
            node["Relation Name"]
            for plan in plans
            for node in nodes(plan)
            if node["Node Type"] == "Seq Scan" and node["Relation Name"] in BIG
        }
        costly = max(plans, key=rows_read)
        if whole or rows_read(costly) > 3 * LEADS:
            faults.append(f"{name}: all of {whole}, {rows_read(costly):.0f} rows: {outline(costly)}")
        if name == "funnel":
            of_milestones = [node for node in nodes(costly) if node.get("Relation Name") == "milestones"]
            begun = max(node["Actual Rows"] for node in of_milestones if node["Actual Loops"] == 1)
            looked_up = max(node["Actual Loops"] for node in of_milestones)
            if looked_up > begun:  # once for each journey that begins in the window, and not for each of its metrics
                faults.append(f"{name}: milestones are looked up {looked_up} times for {begun:.0f} that begin")
    async for _ in rebuild(database, api.tenant_id, api.now - timedelta(minutes=1)):
        pass
    async with database.connect() as tx:
        await tx.driver.execute(
            "ANALYZE milestone_counts, journey_summaries, milestone_times, stage_times, journey_origins"
        )
    for name in SUMMED:
        with statements_of(database) as ran:
            answer = await api.call("GET", f"/v1/reports/{name}", params=window)
        assert answer.status_code == 200, answer.text
        async with database.begin() as tx:
            await tx.plan_for_values()
            plans = [await explained(tx, statement) for statement in ran]
        costly = max(plans, key=rows_read)
        assert "touched" in str(costly), f"{name} reads summaries"
        if rows_read(costly) > LEADS:
            faults.append(f"{name} by summaries: {rows_read(costly):.0f} rows: {outline(costly)}")
    start = end - timedelta(days=1_000)
    for name, more in EVIDENCE:
        window = {"from": str(start.date()), "to": str(end.date())}
        path, params = f"/v1/reports/{name}/evidence", {**window, **more, "limit": PAGE}
        for _ in range(2):
            with statements_of(database) as ran:
                answer = (await api.call("GET", path, params=params)).json()
            assert len(answer["data"]) == PAGE, f"{name} {more}: {answer}"
            params["cursor"] = answer["next"]
            async with database.begin() as tx:
                await tx.plan_for_values()
                costly = max([await explained(tx, statement) for statement in ran], key=rows_read)
            if rows_read(costly) > 25 * PAGE:
                faults.append(f"evidence of {name} {more}: {rows_read(costly):.0f} rows: {outline(costly)}")
    assert not faults, "\n".join(faults)
