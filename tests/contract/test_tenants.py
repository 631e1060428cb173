"""No tenant can read, change or detect what another has: every route, two tenants (promise 13)."""

from typing import Any

from sqlalchemy import text

from app.database.tables import metadata
from tests.api import Api
from tests.contract.contract import OURS, Operation
from tests.contract.world import another, furnish

WITH_ID = [operation for operation in OURS if "_id}" in operation.path]


def harmless(operation: Operation) -> Any:
    """A body that is valid, so that the only thing in the way is whose the record is."""
    bodies = {
        "bant": {"need": {"status": "confirmed"}},
        "activities": {"type": "webinar"},
        "transitions": {"action": "accept"},
        "consents": {"consents": [{"purpose": "phone", "state": "given"}]},
    }
    if operation.body is None:
        return None
    last = operation.path.rpartition("/")[2]
    return {"name": "x"} if operation.path.endswith("tenants/{tenant_id}") else bodies.get(last, {})


async def everything(api: Api) -> dict[str, Any]:
    """All rows of all tables, but for what a refused request may leave: when a key was used last."""
    rows: dict[str, Any] = {}
    async with api.app.state.engine.connect() as tx:
        for table in metadata.sorted_tables:
            found = await tx.execute(text(f"SELECT to_jsonb(t) - 'last_used_at' AS row FROM \"{table.name}\" t"))
            rows[table.name] = sorted(str(each) for each in found.scalars())
    return rows


async def test_an_id_of_another_tenant_is_the_id_of_nothing_and_nothing_changes(api: Api) -> None:
    mine = await furnish(api)
    rival = await another(api)
    theirs = await furnish(rival)
    before = await everything(api)
    for operation in WITH_ID:
        if operation.scope == "platform":
            continue  # administration of all tenants: a key of one tenant is refused before (test_scopes)
        headers = {"Idempotency-Key": "once"} if operation.method == "POST" else {}
        answer, nothing = [
            await rival.call(operation.method, path, harmless(operation), actor=theirs["actor"], headers=headers)
            for path in (operation.at(**mine), operation.at())
        ]
        assert answer.status_code == nothing.status_code == 404, (str(operation), answer.text, nothing.text)
        # the detail may repeat the id that was asked for
        assert {**answer.json(), "detail": ""} == {**nothing.json(), "detail": ""}, operation
        own = await rival.call("GET", operation.at(**theirs)) if operation.method == "GET" else None
        assert own is None or own.status_code in (200, 404), (str(operation), own.text)
    assert await everything(api) == before


async def test_an_id_of_another_tenant_in_a_body_or_a_filter_is_the_id_of_nothing(api: Api) -> None:
    mine = await furnish(api)
    rival = await another(api)
    theirs = await furnish(rival)
    bant = {name: {"status": "confirmed"} for name in ("need", "budget", "timing")}
    confirmed = await rival.ask({"id": theirs["lead_id"]}, "confirm", theirs["actor"], bant=bant)
    assert confirmed.status_code == 201, confirmed.text
    lead, opportunity = f"/v1/leads/{theirs['lead_id']}", f"/v1/opportunities/{theirs['opportunity_id']}"
    use = {"mode": "use", "id": mine["account_id"]}
    for method, path, body in (
        ("PATCH", lead, {"owner_id": mine["user_id"]}),
        ("POST", "/v1/leads", {"fields": {"email": "n@new.example"}, "source_id": mine["source_id"]}),
        ("POST", "/v1/contacts", {"email": "n@new.example", "account_id": mine["account_id"]}),
        ("POST", "/v1/accounts", {"name": "New", "owner_id": mine["user_id"]}),
        ("PATCH", opportunity, {"contact_id": mine["contact_id"]}),
        ("POST", lead + "/conversion", {"account": use}),
    ):
        headers = {"Idempotency-Key": f"once {path}".replace(" ", "-")} if method == "POST" else {}
        answer = await rival.call(method, path, body, actor=theirs["actor"], headers=headers)
        assert answer.status_code in (404, 422), (path, answer.text)
    for path in (
        "/v1/leads?owner_id=" + mine["user_id"],
        "/v1/submissions?source_id=" + mine["source_id"],
        "/v1/submissions?lead_id=" + mine["lead_id"],
        "/v1/events?lead_id=" + mine["lead_id"],
    ):
        assert (await rival.get(path))["data"] == [], path
    assert (await rival.call("GET", "/v1/me", actor=mine["user_id"])).json()["code"] == "actor_unknown"


async def test_what_is_taken_in_one_tenant_is_free_in_another(api: Api) -> None:
    """Otherwise a refusal would tell that the record exists elsewhere."""
    rival = await another(api)
    person = {"fields": {"email": "same@nordsoft.example", "full_name": "Same Person"}, "external_ids": {"crm": "1"}}
    for each in (api, rival):
        await each.post("/v1/leads", person, headers={"Idempotency-Key": "same-key"})
        await each.post("/v1/accounts", {"name": "Nordsoft", "domain": "nordsoft.ro", "external_id": "7"})
        await each.post("/v1/contacts", {"email": "same@nordsoft.ro"})
        await each.post("/v1/users", {"name": "S", "email": "s@acme.example", "role": "sdr", "external_id": "9"})
