"""No tenant can read, change or detect records of another: every route, with two tenants (promise 13)."""

from typing import Any

from sqlalchemy import text

from app.database.tables import metadata
from tests.api import Api
from tests.contract.contract import AUTHENTICATED, Operation
from tests.contract.world import create_one_of_each, second_tenant

WITH_ID = [operation for operation in AUTHENTICATED if "_id}" in operation.path]


def harmless(operation: Operation) -> Any:
    """A valid body, so that the request can only fail because the record is of another tenant."""
    bodies = {
        "bant": {"need": {"status": "confirmed"}},
        "activities": {"type": "webinar"},
        "exception": {"reason": "a partner"},
        "transitions": {"action": "accept"},
        "consents": {"consents": [{"purpose": "phone", "state": "given"}]},
        "withdrawal-links": {"purposes": ["phone"]},
        "verdict": {"verdict": "not_spam" if "submissions" in operation.path else "not_duplicate"},
        "erasure": {"reason": "person_asked"},
        "merge": {"into": "lead_0123456789abcdefghjkmnpqrs"},
    }
    if operation.body is None:
        return None
    last = operation.path.rpartition("/")[2]
    return {"name": "x"} if operation.path.endswith("tenants/{tenant_id}") else bodies.get(last, {})


async def all_rows(api: Api) -> dict[str, Any]:
    """All rows of all tables, without `last_used_at`, which a refused request may change."""
    rows: dict[str, Any] = {}
    async with api.app.state.engine.connect() as tx:
        for table in metadata.sorted_tables:
            found = await tx.execute(text(f"SELECT to_jsonb(t) - 'last_used_at' AS row FROM \"{table.name}\" t"))
            rows[table.name] = sorted(str(each) for each in found.scalars())
    return rows


async def test_an_id_of_another_tenant_in_the_path_is_like_an_unknown_id_and_changes_no_row(api: Api) -> None:
    mine = await create_one_of_each(api)
    rival = await second_tenant(api)
    theirs = await create_one_of_each(rival)
    before = await all_rows(api)
    for operation in WITH_ID:
        if operation.scope == "platform":
            continue  # refused earlier, for the scope (test_scopes)
        headers = {"Idempotency-Key": "once"} if operation.method == "POST" else {}
        answer, unknown = [
            await rival.call(operation.method, path, harmless(operation), actor=theirs["actor"], headers=headers)
            for path in (operation.at(**mine), operation.at())
        ]
        assert answer.status_code == unknown.status_code == 404, (str(operation), answer.text, unknown.text)
        # the detail may contain the requested id
        assert {**answer.json(), "detail": ""} == {**unknown.json(), "detail": ""}, operation
    assert await all_rows(api) == before
    for operation in WITH_ID:  # of its own it sees everything; the audit log tells of some reads
        if operation.method == "GET" and operation.scope != "platform":
            own = await rival.call("GET", operation.at(**theirs))
            assert own.status_code in (200, 404), (str(operation), own.text)


async def test_an_id_of_another_tenant_in_a_body_or_a_filter_is_like_an_unknown_id(api: Api) -> None:
    mine = await create_one_of_each(api)
    rival = await second_tenant(api)
    theirs = await create_one_of_each(rival)
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


async def test_unique_values_are_unique_within_one_tenant_only(api: Api) -> None:
    """Otherwise a 409 would reveal that another tenant has the record."""
    rival = await second_tenant(api)
    person = {"fields": {"email": "same@nordsoft.example", "full_name": "Same Person"}, "external_ids": {"crm": "1"}}
    for each in (api, rival):
        await each.post("/v1/leads", person, headers={"Idempotency-Key": "same-key"})
        await each.post("/v1/accounts", {"name": "Nordsoft", "domain": "nordsoft.ro", "external_id": "7"})
        await each.post("/v1/contacts", {"email": "same@nordsoft.ro"})
        await each.post("/v1/users", {"name": "S", "email": "s@acme.example", "role": "sdr", "external_id": "9"})
