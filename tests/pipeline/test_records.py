"""Accounts, contacts and opportunities are created, read, listed, changed and archived."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api import Api

RECORDS: list[tuple[str, dict[str, Any]]] = [
    ("accounts", {"name": "Nordsoft", "domain": "www.NordSoft.ro", "country": "Romania", "employees": 120}),
    ("contacts", {"email": "Anna@NordSoft.ro", "first_name": "Anna", "last_name": "Zvoristeanu"}),
    (
        "opportunities",
        {"name": "Renewal", "amount": {"value": "12000.5", "currency": "EUR"}, "close_date": "2027-03-31"},
    ),
]


@pytest.mark.parametrize(("plural", "body"), RECORDS)
async def test_a_record_is_created_read_listed_and_changed(api: Api, plural: str, body: Any) -> None:
    owner = await api.user("ae")
    answer = await api.call("POST", f"/v1/{plural}", {**body, "owner_id": owner, "custom": {"tier": "gold", "old": 1}})
    made = answer.json()
    path = f"/v1/{plural}/{made['id']}"
    assert (answer.status_code, answer.headers["location"], answer.headers["etag"]) == (201, path, '"1"')
    assert (made["owner_id"], made["origin_lead_id"], made["archived_at"]) == (owner, None, None)
    assert await api.get(path) == made
    assert (await api.get(f"/v1/{plural}"))["data"] == [made]
    changed = await api.call("PATCH", path, {"custom": {"old": None}}, headers={"If-Match": '"1"'})
    assert (changed.json()["version"], changed.headers["etag"]) == (2, '"2"')
    assert changed.json()["custom"] == {"tier": "gold"}
    stale = await api.call("PATCH", path, {"custom": {"old": 2}}, headers={"If-Match": '"1"'})
    assert (stale.status_code, stale.json()["version"]) == (412, 2)
    archived = await api.call("PATCH", path, {"archived": True})
    assert archived.json()["archived_at"] is not None
    assert (await api.get(f"/v1/{plural}"))["data"] == []
    assert [one["id"] for one in (await api.get(f"/v1/{plural}?archived=true"))["data"]] == [made["id"]]
    assert (await api.call("PATCH", path, {"archived": False})).json()["archived_at"] is None


async def test_values_are_stored_in_normal_form(api: Api) -> None:
    account = await api.post("/v1/accounts", {**RECORDS[0][1], "phone": "021 555 0100"})
    contact = await api.post("/v1/contacts", RECORDS[1][1])
    opportunity = await api.post("/v1/opportunities", RECORDS[2][1])
    assert (account["domain"], account["country"], account["phone"]) == ("nordsoft.ro", "RO", "+40215550100")
    assert (contact["email"], contact["full_name"]) == ("anna@nordsoft.ro", "Anna Zvoristeanu")
    assert (opportunity["amount"], opportunity["business"]) == ({"value": "12000.50", "currency": "EUR"}, "existing")


async def test_lists_are_filtered(api: Api) -> None:
    account = await api.post("/v1/accounts", {"name": "Nordsoft", "domain": "nordsoft.ro", "external_id": "N-1"})
    await api.post("/v1/accounts", {"name": "Other"})
    contact = await api.post("/v1/contacts", {"email": "anna@nordsoft.ro", "account_id": account["id"]})
    await api.post("/v1/contacts", {"email": "dan@other.ro"})
    opportunity = await api.post(
        "/v1/opportunities", {"name": "One", "account_id": account["id"], "contact_id": contact["id"]}
    )
    await api.post("/v1/opportunities", {"name": "Two", "business": "new"})
    for path, found in (
        ("/v1/accounts?domain=https://www.nordsoft.ro/about", account),
        ("/v1/accounts?external_id=N-1", account),
        ("/v1/contacts?email=ANNA@nordsoft.ro", contact),
        (f"/v1/contacts?account_id={account['id']}", contact),
        (f"/v1/opportunities?account_id={account['id']}&stage=unqualified", opportunity),
        (f"/v1/opportunities?contact_id={contact['id']}&class=unqualified&business=existing", opportunity),
    ):
        assert [one["id"] for one in (await api.get(path))["data"]] == [found["id"]], path
    first = await api.get("/v1/opportunities?limit=1")
    second = await api.get(f"/v1/opportunities?limit=1&cursor={first['next']}")
    assert [one["name"] for one in first["data"] + second["data"]] == ["Two", "One"]
    assert second["next"] is None


async def test_a_duplicate_key_is_refused_with_the_record_that_has_it(api: Api) -> None:
    account = await api.post("/v1/accounts", {"name": "Nordsoft", "domain": "nordsoft.ro"})
    contact = await api.post("/v1/contacts", {"email": "anna@nordsoft.ro"})
    again = await api.call("POST", "/v1/accounts", {"name": "Nordsoft SRL", "domain": "nordsoft.ro"})
    assert (again.status_code, again.json()["code"]) == (409, "already_exists")
    assert again.json()["candidates"] == [
        {"type": "account", "id": account["id"], "display": "Nordsoft", "match_keys": ["domain"], "score": 90}
    ]
    again = await api.call("POST", "/v1/contacts", {"email": "ANNA@nordsoft.ro"})
    assert [one["id"] for one in again.json()["candidates"]] == [contact["id"]]
    other = await api.post("/v1/contacts", {"email": "dan@nordsoft.ro"})
    moved = await api.call("PATCH", f"/v1/contacts/{other['id']}", {"email": "anna@nordsoft.ro"})
    assert (moved.status_code, moved.json()["candidates"][0]["id"]) == (409, contact["id"])
    assert (await api.get(f"/v1/contacts/{other['id']}"))["email"] == "dan@nordsoft.ro"


async def test_an_archived_record_is_not_restored_while_another_has_its_key(api: Api) -> None:
    old = await api.post("/v1/accounts", {"name": "Old", "domain": "nordsoft.ro"})
    await api.call("PATCH", f"/v1/accounts/{old['id']}", {"archived": True})
    await api.post("/v1/accounts", {"name": "New", "domain": "nordsoft.ro"})
    back = await api.call("PATCH", f"/v1/accounts/{old['id']}", {"archived": False})
    assert (back.status_code, back.json()["code"]) == (409, "already_exists")


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("accounts", {}, 422, "request_invalid"),
        ("accounts", {"name": "Gmail", "domain": "gmail.com"}, 422, "request_invalid"),
        ("accounts", {"name": "X", "country": "Nowhere"}, 422, "request_invalid"),
        ("accounts", {"name": "X", "owner_id": "usr_01k00000000000000000000000"}, 422, "owner_invalid"),
        ("contacts", {"email": "nobody"}, 422, "request_invalid"),
        ("contacts", {"email": "a@b.ro", "account_id": "acc_01k00000000000000000000000"}, 404, "account_not_found"),
        ("opportunities", {"name": "X", "stage": "won"}, 422, "request_invalid"),
        ("opportunities", {"name": "X", "amount": {"value": "1", "currency": "XXQ"}}, 422, "request_invalid"),
        ("opportunities", {"name": "X", "amount": {"value": 1, "currency": "EUR"}}, 422, "request_invalid"),
    ],
)
async def test_invalid_values_are_refused(pipeline_api: Api, path: str, body: Any, status: int, code: str) -> None:
    answer = await pipeline_api.call("POST", f"/v1/{path}", body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)


@pytest.mark.parametrize(("ahead", "status"), [(-400, 201), (0, 201), (4, 201), (6, 422), (43_200, 422)])
async def test_an_opportunity_is_not_created_in_the_future(api: Api, ahead: int, status: int) -> None:
    answer = await api.call("POST", "/v1/opportunities", {"name": "X", "occurred_at": api.ago(minutes=-ahead)})
    assert answer.status_code == status
    if status == 422:
        assert (answer.json()["code"], answer.json()["errors"][0]["field"]) == ("out_of_order", "occurred_at")
        assert (await api.get("/v1/opportunities"))["data"] == []


async def test_a_contact_cannot_be_created_in_an_archived_account(api: Api) -> None:
    account = await api.post("/v1/accounts", {"name": "Nordsoft"})
    await api.call("PATCH", f"/v1/accounts/{account['id']}", {"archived": True})
    answer = await api.call("POST", "/v1/contacts", {"email": "a@b.ro", "account_id": account["id"]})
    assert (answer.status_code, answer.json()["code"]) == (422, "target_unavailable")


@pytest.mark.parametrize(
    ("path", "body", "named", "unnamed"),
    [
        ("accounts", {"name": "Solo"}, {"name": None, "domain": "solo.ro"}, {"name": None}),
        ("accounts", {"domain": "solo.ro"}, {"name": "Solo", "domain": None}, {"name": None, "domain": None}),
        ("contacts", {"first_name": "Ann"}, {"last_name": "Lee", "first_name": None}, {"first_name": None}),
        ("contacts", {"email": "a@b.ro", "phone": "+40215550100"}, {"email": None}, {"email": None, "phone": None}),
    ],
)
async def test_a_change_leaves_a_name_as_a_new_record_needs_one(
    api: Api, path: str, body: dict[str, str], named: dict[str, Any], unnamed: dict[str, Any]
) -> None:
    made = await api.post(f"/v1/{path}", body)
    refused = await api.call("PATCH", f"/v1/{path}/{made['id']}", unnamed)
    assert (refused.status_code, refused.json()["errors"][0]["code"]) == (422, "name_required"), refused.text
    assert await api.get(f"/v1/{path}/{made['id']}") == made
    changed = await api.call("PATCH", f"/v1/{path}/{made['id']}", named)
    assert changed.status_code == 200, changed.text


async def test_records_of_another_tenant_are_not_found(api: Api) -> None:
    other = (await api.post("/v1/tenants", {"name": "rival"}))["key"]["secret"]
    for plural, body in RECORDS:
        theirs = await api.post(f"/v1/{plural}", body, key=other)
        for method, change in (("GET", None), ("PATCH", {"archived": True})):
            answer = await api.call(method, f"/v1/{plural}/{theirs['id']}", change)
            assert answer.status_code == 404
        assert (await api.get(f"/v1/{plural}"))["data"] == []
        assert (await api.call("POST", f"/v1/{plural}", body)).status_code == 201


async def test_records_need_the_scopes_of_leads(api: Api) -> None:
    reader = (await api.post("/v1/keys", {"name": "reader", "scopes": ["leads:read"]}))["secret"]
    writer = (await api.post("/v1/keys", {"name": "writer", "scopes": ["leads:write"]}))["secret"]
    for plural, body in RECORDS:
        assert (await api.call("GET", f"/v1/{plural}", key=reader)).status_code == 200
        assert (await api.call("GET", f"/v1/{plural}", key=writer)).status_code == 403
        assert (await api.call("POST", f"/v1/{plural}", body, key=reader)).status_code == 403
        assert (await api.call("POST", f"/v1/{plural}", body, key=writer)).status_code == 201
