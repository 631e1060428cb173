"""The pipeline, the forecast and the people of an account read about what they show, not whole tables."""

from __future__ import annotations

import pytest

from app.database.transaction import Database
from benchmarks.many_leads import fill_leads
from tests.api import Api
from tests.plans import explained, outline, rows_read, statements_of

pytestmark = pytest.mark.own_database

LEADS, CLOSED, OPEN = 6_000, 12_000, 40
DEALS = """
    INSERT INTO opportunities (tenant_id, id, name, stage, class, stage_entered_at, policy_id, amount, currency,
                               close_date, business, created_at, updated_at)
    SELECT $1, gen_random_uuid(), 'Deal', CASE WHEN n > $3 THEN 'qualified' ELSE 'won' END,
           CASE WHEN n > $3 THEN 'qualified' ELSE 'won' END, at, $2, 10, 'EUR',
           CASE WHEN n > $3 THEN '2031-05-15'::date ELSE at::date END, 'new', at, at
      FROM (SELECT n, CASE WHEN n > $3 THEN now() ELSE '2020-01-01'::timestamptz + n * interval '1 hour' END AS at
              FROM generate_series(1, $3 + $4::integer) n) made
"""
STEPS = """
    INSERT INTO opportunity_transitions (tenant_id, opportunity_id, seq, id, to_stage, class, action, occurred_at,
                                         recorded_at, policy_id, policy_version)
    SELECT tenant_id, id, 1, gen_random_uuid(), 'qualified', 'qualified', 'create', stage_entered_at, created_at,
           policy_id, 1 FROM opportunities WHERE tenant_id = $1
"""
ACTED = """
    INSERT INTO activities (tenant_id, id, lead_id, activity_key, type, kind, occurred_at, recorded_at)
    SELECT tenant_id, gen_random_uuid(), id, id::text, 'webinar', 'interest', now(), now() FROM leads
     WHERE tenant_id = $1
"""


async def test_what_is_read_follows_what_is_shown_and_not_the_history(api: Api) -> None:
    database: Database = api.app.state.engine
    await fill_leads(
        api.app.state.settings.database_url.replace("+asyncpg", ""), api.tenant_id, LEADS, sources=[None], owners=[None]
    )
    async with database.begin() as tx:
        policy = await tx.driver.fetchval("SELECT id FROM policies WHERE tenant_id = $1 LIMIT 1", api.tenant_id)
        await tx.driver.execute(DEALS, api.tenant_id, policy, CLOSED, OPEN)
        await tx.driver.execute(STEPS, api.tenant_id)
        await tx.driver.execute(ACTED, api.tenant_id)
    account = (await api.post("/v1/accounts", {"name": "Nordsoft", "domain": "nordsoft-ro.example"}))["id"]
    for number in range(3):
        await api.post("/v1/contacts", {"email": f"p{number}@nordsoft-ro.example", "account_id": account})
        await api.lead(email=f"p{number}@nordsoft-ro.example")
        await api.lead(email=f"q{number}@nordsoft-ro.example")
    async with database.connect() as tx:
        await tx.driver.execute("VACUUM (ANALYZE)", timeout=300)
    today = api.now.date()
    window = f"from={today.replace(day=1)}&to={today.replace(year=today.year + 1)}"
    addresses = [
        f"/v1/reports/pipeline?{window}",
        f"/v1/reports/pipeline?{window}&by=origin",
        f"/v1/reports/pipeline/evidence?{window}&metric=volume_qualified&limit=5",
        f"/v1/reports/pipeline/evidence?{window}&metric=conversion_qualified&limit=5",
        f"/v1/reports/accounts?{window}",
        f"/v1/reports/accounts/evidence?{window}&metric=several_people",
        "/v1/reports/forecast?period=2031-Q2",
        "/v1/reports/forecast/evidence?period=2031-Q2&metric=pipeline&limit=5",
        f"/v1/accounts/{account}/people?limit=2",
        f"/v1/accounts/{account}/timeline?limit=2",
    ]
    shown = (await api.get(addresses[0]))["groups"][0]["metrics"][0]
    assert (shown["name"], shown["value"]) == ("volume_qualified", OPEN)
    faults = []
    for address in addresses:
        with statements_of(database) as ran:
            answer = await api.call("GET", address)
        assert answer.status_code == 200, answer.text
        async with database.begin() as tx:
            await tx.plan_for_values()
            plans = [await explained(tx, statement) for statement in ran]
        costly = max(plans, key=rows_read)
        if rows_read(costly) > 20 * OPEN:
            faults.append(f"{address}: {rows_read(costly):.0f} rows: {outline(costly)}")
    assert not faults, "\n".join(faults)
