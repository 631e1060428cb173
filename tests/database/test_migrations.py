"""Migrations run up, down and up again on a database with rows, and match the table definitions."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from alembic import command
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from app.database import migrate
from app.database.transaction import Database
from app.policies.schedule import schedule_leads
from app.web.examples import POLICY
from tests.api import Api
from tests.policies.steps import activated
from tests.submissions.sender import make_sender, process


async def tables(engine: Database) -> Counter[str]:
    """The tables there are; partitions of a day without their day, which may end during the test."""
    async with engine.connect() as tx:
        rows = await tx.execute(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        return Counter(re.sub(r"_\d{8}$", "", name) for name in rows.scalars() if name != "alembic_version")


def downgrade_to_base(connection: Connection) -> None:
    command.downgrade(migrate.configuration(connection), "base")


async def test_up_down_and_up_again_on_a_filled_database(api: Api) -> None:
    engine, url = api.app.state.engine, api.app.state.settings.database_url
    await api.mql()
    full = await tables(engine)
    async with engine.engine.connect() as connection:
        await connection.run_sync(downgrade_to_base)
    assert await tables(engine) == Counter()
    await migrate.upgrade(url)
    assert await tables(engine) == full
    await migrate.differences(url)  # raises when there are any


async def test_audit_rows_cannot_be_updated_or_deleted(api: Api) -> None:
    await api.user("sdr")
    for statement in ("UPDATE audit SET act = 'nothing'", "DELETE FROM audit"):
        async with api.app.state.engine.connect() as tx:
            with pytest.raises(DBAPIError, match="append-only"):
                await tx.execute(text(statement))


async def test_html_forms_that_exist_keep_the_trap_they_had(api: Api) -> None:
    engine, url = api.app.state.engine, api.app.state.settings.database_url
    chosen = {"spam": {"honeypot": ["item.fax"], "max_links": 3}}
    for name, preset, overrides in (
        ("old", "html-form", {}),
        ("links", "html-form", {"spam": {"max_links": 3}}),
        ("chosen", "html-form", chosen),
        ("json", "generic", {}),
    ):
        await api.post("/v1/sources", {"name": name, "preset": preset, "overrides": overrides})
    async with engine.engine.connect() as connection:
        await connection.run_sync(
            lambda one: command.downgrade(migrate.configuration(one), "0009_traps_of_html_forms-1")
        )
    await migrate.upgrade(url)
    async with engine.engine.connect() as connection:
        rows = dict((await connection.execute(text("SELECT name, overrides FROM sources"))).all())
    traps = ["item.website", "item._gotcha", "item.honeypot"]
    assert rows["old"] == {"spam": {"honeypot": traps}}
    assert rows["links"] == {"spam": {"honeypot": traps, "max_links": 3}}
    assert (rows["chosen"], rows["json"]) == (chosen, {})


async def test_contacts_that_exist_get_the_consents_of_their_leads(api: Api) -> None:
    engine, url = api.app.state.engine, api.app.state.settings.database_url
    await api.lead(email="ana@nordsoft.example")
    contacts = [await api.post("/v1/contacts", {"email": email}) for email in ("ana@nordsoft.example", "b@b.example")]
    said: dict[str, list[tuple[str, int]]] = {
        "email_marketing": [("given", 3), ("withdrawn", 2), ("given", 4), ("unknown", 1)],
        "phone": [("refused", 3), ("given", 2)],
        "profiling": [("unknown", 1)],
    }
    for purpose, decisions in said.items():
        for state, days in decisions:
            consent = {"purpose": purpose, "state": state, "text": "as shown"}
            fields = {"email": "ana@nordsoft.example"}
            body = {"fields": fields, "consents": [consent], "occurred_at": api.ago(days=days)}
            await api.post("/v1/leads", body, status=200)
    path = f"/v1/contacts/{contacts[0]['id']}"
    before = await api.get(path)
    async with engine.engine.connect() as connection:
        await connection.run_sync(
            lambda one: command.downgrade(migrate.configuration(one), "0010_consents_of_contacts-1")
        )
    await migrate.upgrade(url)
    after = await api.get(path)
    logged = {name: one for name, one in before["consents"].items() if name != "profiling"}
    assert {name: one["state"] for name, one in logged.items()} == {"email_marketing": "withdrawn", "phone": "given"}
    assert after == {**before, "consents": logged, "version": before["version"] + 1}
    assert await api.get(f"/v1/contacts/{contacts[1]['id']}") == contacts[1]


async def test_the_migration_of_lists_goes_on_where_it_was_interrupted(api: Api) -> None:
    engine, url = api.app.state.engine, api.app.state.settings.database_url
    lead = await api.lead(email="zoe@c.example")
    async with engine.connect() as tx:
        before = (await tx.execute(text("SELECT version_num FROM alembic_version"))).scalar_one()
        await tx.execute(text("UPDATE alembic_version SET version_num = '0010_consents_of_contacts'"))
        await tx.execute(text("UPDATE leads SET words = NULL"))
        await tx.execute(text("DROP INDEX leads_by_source_id_idx, event_log_without_lead_idx"))
        await tx.execute(text("CREATE INDEX event_log_00001_without_lead_idx ON event_log_00001 (event_seq)"))
        for left in ("leads_by_stage_idx", "event_log_00001_without_lead_idx"):
            await tx.execute(text(f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{left}'::regclass"))
    await migrate.upgrade(url)
    await migrate.differences(url)
    async with engine.connect() as tx:
        assert (await tx.execute(text("SELECT version_num FROM alembic_version"))).scalar_one() == before
        assert not (await tx.execute(text("SELECT indexrelid FROM pg_index WHERE NOT indisvalid"))).all()
    (found,) = (await api.get("/v1/leads?q=zoe"))["data"]
    assert found["id"] == lead["id"]


async def test_the_migration_of_limits_goes_on_where_it_was_interrupted_and_tenants_keep_what_they_have(
    api: Api,
) -> None:
    engine, url = api.app.state.engine, api.app.state.settings.database_url
    lead, tenant = await api.lead(), (await api.get("/v1/me"))["tenant"]["id"]
    async with engine.engine.connect() as connection:
        await connection.run_sync(lambda one: command.downgrade(migrate.configuration(one), "0014_cost_of_lists"))
    await migrate.upgrade(url)
    async with engine.connect() as tx:
        before = (await tx.execute(text("SELECT version_num FROM alembic_version"))).scalar_one()
        await tx.execute(text("UPDATE alembic_version SET version_num = '0014_cost_of_lists'"))
        await tx.execute(text("DROP INDEX leads_due_idx"))
        invalid = "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'submissions_waiting_idx'::regclass"
        await tx.execute(text(invalid))
    await migrate.upgrade(url)
    await migrate.differences(url)
    async with engine.connect() as tx:
        assert (await tx.execute(text("SELECT version_num FROM alembic_version"))).scalar_one() == before
        assert not (await tx.execute(text("SELECT indexrelid FROM pg_index WHERE NOT indisvalid"))).all()
    limits = await api.get(f"/v1/tenants/{tenant}/limits")
    assert (limits["submissions_per_minute"], limits["requests_per_minute"], limits["in_flight"]) == (None, None, None)
    assert (await api.reload(lead))["id"] == lead["id"]


async def test_items_that_wait_for_a_record_stay_when_the_release_goes_back_and_forward(api: Api) -> None:
    engine, url = api.app.state.engine, api.app.state.settings.database_url
    route = [{"when": "item.id", "do": "fetch"}]
    overrides = {"route": route, "fetch": {"url": "https://crm.example/{item.id}"}}
    sender = await make_sender(api, overrides=overrides)
    made = await sender.post_and_process({"id": "L-1"})
    waiting = text("SELECT count(*) FROM submission_items WHERE fetch_at IS NOT NULL")
    async with engine.engine.connect() as connection:
        assert (await connection.execute(waiting)).scalar_one() == 1
        await connection.run_sync(lambda one: command.downgrade(migrate.configuration(one), "0019_fetched_records-1"))
    await migrate.upgrade(url)
    async with engine.engine.connect() as connection:
        assert (await connection.execute(waiting)).scalar_one() == 0
    assert [item["verdict"] for item in (await sender.submission(made["id"]))["items"]] == ["fetch"]
    await api.post(f"/v1/submissions/{made['id']}/replay", None, status=202)
    await process(api)
    async with engine.engine.connect() as connection:
        assert (await connection.execute(waiting)).scalar_one() == 1


async def test_policies_that_exist_are_reviewed_from_their_activation_and_their_leads_are_not_scheduled(
    api: Api,
) -> None:
    engine, url = api.app.state.engine, api.app.state.settings.database_url
    retired, active = await api.get("/v1/policies/active"), await activated(api, {**POLICY, "review": "monthly"})
    await api.post("/v1/policies", POLICY)
    async with engine.engine.connect() as connection:
        await connection.run_sync(lambda one: command.downgrade(migrate.configuration(one), "0024_life_of_policies-1"))
    await migrate.upgrade(url)
    await migrate.differences(url)
    after = await api.get("/v1/policies/active")
    same = ("id", "sha256", "document", "effective_from", "activated_at", "review_due_at")
    assert {name: after[name] for name in same} == {name: active[name] for name in same}
    listed = {one["id"]: one["review_due_at"] for one in (await api.get("/v1/policies"))["data"]}
    assert listed == {retired["id"]: None, active["id"]: active["review_due_at"]}, "code of then knows no drafts"
    assert await schedule_leads(engine, api.now) == 0


async def test_leads_that_exist_get_the_name_of_their_source(api: Api) -> None:
    engine, url = api.app.state.engine, api.app.state.settings.database_url
    sender = await make_sender(api)
    await sender.post_and_process({"email": "ana@nordsoft.example"})
    await api.lead(email="b@b.example")

    async def sources() -> dict[str, str | None]:
        async with engine.engine.connect() as connection:
            found = await connection.execute(text("SELECT fields ->> 'email', flags ->> 'source' FROM leads"))
            return dict(found.all())

    before = await sources()
    assert set(before) == {"ana@nordsoft.example", "b@b.example"}
    assert None not in before.values()
    async with engine.engine.connect() as connection:
        await connection.run_sync(lambda one: command.downgrade(migrate.configuration(one), "0025_sources_of_leads-1"))
    assert set((await sources()).values()) == {None}
    await migrate.upgrade(url)
    assert await sources() == before


async def test_an_index_of_events_whose_build_was_interrupted_is_finished_by_the_next_run(api: Api) -> None:
    engine, url = api.app.state.engine, api.app.state.settings.database_url
    lead = await api.mql()
    async with engine.engine.connect() as connection:
        await connection.run_sync(lambda one: command.downgrade(migrate.configuration(one), "0039_less_room-1"))
    columns = "(tenant_id, lead_id, lead_version) WHERE tx_index = tx_size"
    async with engine.begin() as tx:
        await tx.execute(text(f"CREATE INDEX events_lead_version_idx ON ONLY events {columns}"))
        await tx.execute(text("CREATE INDEX events_00001_lead_version_idx ON events_00001 (tenant_id)"))
    await migrate.upgrade(url)
    await migrate.differences(url)  # raises when there are any
    async with engine.connect() as tx:
        valid = text("SELECT indisvalid FROM pg_index WHERE indexrelid = 'events_lead_version_idx'::regclass")
        assert (await tx.execute(valid)).scalar_one() is True, "each partition has its part"
    assert (await api.get(f"/v1/leads/{lead['id']}?as_of={lead['updated_at']}"))["version"] == lead["version"]


async def test_zones_that_are_no_place_become_utc_and_reports_answer_again(api: Api) -> None:
    engine, url = api.app.state.engine, api.app.state.settings.database_url
    await api.user("sdr")
    sender = await make_sender(api)
    await api.call("PUT", "/v1/calendar", {"time_zone": "Europe/Paris"})
    async with engine.engine.connect() as connection:
        target = "0083_zones_that_are_places-1"
        await connection.run_sync(lambda one: command.downgrade(migrate.configuration(one), target))
    async with engine.begin() as tx:
        await tx.execute(text("UPDATE users SET time_zone = 'posix/Europe/Paris'"))
        for table in ("tenants", "calendars"):
            await tx.execute(text(f'UPDATE {table} SET calendar = calendar || \'{{"time_zone": "localtime"}}\''))
        await tx.execute(
            text("""UPDATE sources SET defaults = '{"timezone": "Factory", "region": "RO"}',
            overrides = '{"occurred_at": {"expr": "body.at", "timezone": "right/Europe/Paris"}}'""")
        )
    await migrate.upgrade(url)
    assert (await api.get("/v1/calendar"))["time_zone"] == "UTC"
    assert (await api.get("/v1/reports/cohorts?from=2026-01-01&to=2026-02-01"))["report"] == "cohorts"
    assert {one["time_zone"] for one in (await api.get("/v1/users"))["data"]} == {"UTC"}
    source = await api.get(f"/v1/sources/{sender.source['id']}")
    assert source["defaults"] == {"timezone": "UTC", "region": "RO"}
    assert source["overrides"]["occurred_at"] == {"expr": "body.at", "timezone": "UTC"}
