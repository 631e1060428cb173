"""A tenant with one record of every kind, created through the API."""

from typing import Any

from app.events.partitions import create_partitions
from app.events.sequence import sequence
from app.web.auth import SCOPES
from app.web.examples import POLICY
from tests.api import Api

RecordIds = dict[str, str]


async def second_tenant(api: Api, name: str = "rival") -> Api:
    """A client of the same application for a second tenant, with every scope but platform."""
    made = await api.post("/v1/tenants", {"name": name})
    return Api(api.app, api.client, made["key"]["secret"], None)


async def create_one_of_each(api: Api) -> RecordIds:
    """Creates one record of every kind; ids by path parameter name, and the users `actor` (an AE) and `manager`."""
    me = await api.get("/v1/me")
    actor = await api.user("ae")
    sdr, manager = await api.user("sdr"), await api.user("manager")
    source = await api.post("/v1/sources", {"name": "form", "preset": "generic"})
    ingested = await api.client.post(f"/v1/ingest/{source['key']}", json={"email": "in@form.example"})
    assert ingested.status_code == 202, ingested.text
    path, csv = f"/v1/imports?source_id={source['id']}", {"Content-Type": "text/csv"}
    imported = await api.call("POST", path, headers=csv, content=b"Email\nlisted@form.example\n")
    assert imported.status_code == 202, imported.text
    lead = await api.mql(company="Nordsoft", full_name="Anna Zvoristeanu")
    assert (await api.ask(lead, "accept", sdr)).status_code == 201
    account = await api.post("/v1/accounts", {"name": "Nordsoft", "domain": "nordsoft.ro"})
    contact = await api.post("/v1/contacts", {"email": "anna@nordsoft.ro", "account_id": account["id"]})
    opportunity = await api.post("/v1/opportunities", {"name": "Renewal", "account_id": account["id"]})
    subscription = await api.post("/v1/subscriptions", {"url": "http://127.0.0.1:9/hook"})
    key = await api.post("/v1/keys", {"name": "another", "scopes": [each for each in SCOPES if each != "platform"]})
    policy = await api.post("/v1/policies", POLICY)
    backtest = await api.post(f"/v1/policies/{policy['id']}/backtests", {}, status=202)
    alike = [
        {"email": f"ola.nowak@{host}", "full_name": "Ola Nowak", "company": "Wasko"}
        for host in ("a.example", "b.example")
    ]
    for fields in alike:
        await api.lead(**fields)
    duplicate = (await api.get("/v1/duplicates"))["data"][0]
    await create_partitions(api.app.state.engine)
    await sequence(api.app.state.engine)
    consumer = await api.call("PUT", "/v1/consumers/billing", {"types": ["lead.*"], "lead_id": lead["id"]})
    assert consumer.status_code == 201, consumer.text
    events: list[dict[str, Any]] = (await api.get("/v1/events?limit=1"))["data"]
    replay = await api.post(f"/v1/subscriptions/{subscription['id']}/replays", {"types": ["lead.*"]})
    return {
        "tenant_id": me["tenant"]["id"],
        "user_id": sdr,
        "actor": actor,
        "manager": manager,
        "key_id": key["id"],
        "lead_id": lead["id"],
        "duplicate_id": duplicate["id"],
        "source_id": source["id"],
        "source_key": source["key"],
        "submission_id": ingested.json()["submission"]["id"],
        "import_id": imported.json()["id"],
        "account_id": account["id"],
        "contact_id": contact["id"],
        "opportunity_id": opportunity["id"],
        "subscription_id": subscription["id"],
        "replay_id": replay["id"],
        "event_id": events[0]["id"],
        "policy_id": policy["id"],
        "backtest_id": backtest["id"],
        "period": "2026-Q4",
        "name": "billing",  # of the consumer
    }
