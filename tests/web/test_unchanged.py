"""A PATCH that changes nothing writes nothing, and a weak tag names a version as a strong one does."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from tests.api import Api

LEAD: dict[str, Any] = {
    "fields": {"email": "ana@acme.com", "phone": "+40722123456", "job_title": "CEO"},
    "custom": {"a": {"b": [1, True]}},
}
USER = {"name": "Ana", "email": "ana@acme.com", "role": "sdr", "working_hours": {"mon": [["09:00", "12:00"]]}}
SOURCE = {"name": "site", "preset": "typeform", "secrets": {"signing": "abc-def-ghi"}, "defaults": {"region": "RO"}}
SUBSCRIPTION = {"url": "https://hooks.example.com/a", "types": ["lead.*"], "headers": {"X-Key": "1"}}
CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("leads", LEAD, {**LEAD, "fields": {**LEAD["fields"], "email": "ANA@acme.com", "phone": "0040 722 123 456"}}),
    ("leads", LEAD, {"fields": {"company": None, "website": " "}, "custom": {"none": None}}),
    ("leads", LEAD, {}),
    (
        "accounts",
        {"name": "Acme", "domain": "acme.com", "custom": {"b": 1, "a": 2}},
        {"domain": "https://www.acme.com/"},
    ),
    ("accounts", {"name": "Acme", "custom": {"b": 1, "a": 2}}, {"custom": {"a": 2, "c": None}, "archived": False}),
    ("contacts", {"email": "ana@acme.com", "full_name": "Ana Pop"}, {"email": "Ana@Acme.com", "phone": None}),
    (
        "opportunities",
        {"name": "Renewal", "amount": {"value": "10.00", "currency": "EUR"}, "close_date": "2027-03-31"},
        {"amount": {"value": "10", "currency": "EUR"}, "close_date": "2027-03-31"},
    ),
    ("users", USER, {**USER, "email": "ANA@acme.com"}),
    ("sources", SOURCE, SOURCE),
    ("sources", SOURCE, {"secrets": {"unknown": None}}),
    ("subscriptions", SUBSCRIPTION, SUBSCRIPTION),
    ("subscriptions", SUBSCRIPTION, {}),
    ("tenants", {"name": "other"}, {"name": "other"}),
]


@pytest.mark.parametrize(("kind", "body", "change"), CASES, ids=lambda value: str(value)[:60])
async def test_a_change_to_the_same_values_moves_nothing(
    api: Api, kind: str, body: dict[str, Any], change: dict[str, Any]
) -> None:
    made = await api.post(f"/v1/{kind}", body)
    path = f"/v1/{kind}/{made['tenant']['id'] if kind == 'tenants' else made['id']}"
    before, events, lines = await api.call("GET", path), await count(api, "events"), await count(api, "audit")
    answer = await api.call("PATCH", path, change)
    after = await api.call("GET", path)
    assert (answer.status_code, answer.headers["etag"]) == (200, before.headers["etag"])
    assert after.json() == before.json()
    assert (await count(api, "events"), await count(api, "audit")) == (events, lines)


async def test_archiving_twice_and_handing_over_nothing_write_one_audit_line(api: Api) -> None:
    source, user = await api.post("/v1/sources", SOURCE), await api.post("/v1/users", USER)
    for method, path, change in (
        ("DELETE", f"/v1/sources/{source['id']}", None),
        ("PATCH", f"/v1/users/{user['id']}", {"active": False, "hand_to": "pool"}),
    ):
        lines = await count(api, "audit")
        for _ in range(2):
            answer = await api.call(method, path, change)
            assert answer.status_code == 200
            assert await count(api, "audit") == lines + 1


async def test_handing_over_work_of_an_inactive_user_writes_an_audit_line(api: Api) -> None:
    user = await api.user("sdr")
    assert (await api.call("PATCH", f"/v1/users/{user}", {"active": False})).status_code == 200
    lines = await count(api, "audit")
    await api.call("PATCH", f"/v1/users/{user}", {"active": True})
    lead = await api.lead()
    await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": user})
    await api.call("PATCH", f"/v1/users/{user}", {"active": False})
    assert await count(api, "audit") == lines + 2
    handed = await api.call("PATCH", f"/v1/users/{user}", {"active": False, "hand_to": "pool"})
    assert handed.json()["open_leads"] == 1
    assert await count(api, "audit") == lines + 3


async def count(api: Api, table: str) -> int:
    async with api.app.state.engine.begin() as tx:
        return int((await tx.execute(text(f"SELECT count(*) FROM {table}"))).scalar_one())


async def test_a_value_of_another_json_type_is_a_change(api: Api) -> None:
    account = await api.post("/v1/accounts", {"name": "Acme", "custom": {"a": True}})
    answer = await api.call("PATCH", f"/v1/accounts/{account['id']}", {"custom": {"a": 1}})
    assert (answer.json()["version"], answer.json()["custom"]) == (2, {"a": 1})


async def test_a_stale_tag_is_refused_although_nothing_would_change(api: Api) -> None:
    account = await api.post("/v1/accounts", {"name": "Acme"})
    answer = await api.call("PATCH", f"/v1/accounts/{account['id']}", {"name": "Acme"}, headers={"If-Match": '"7"'})
    assert answer.status_code == 412


@pytest.mark.parametrize(
    ("tag", "status"),
    [('W/"1"', 200), ('W/"1-0a1b2c"', 200), ('"9", W/"1"', 200), ('W/"2"', 412), ('W/"11"', 412), ("W/1", 400)],
)
@pytest.mark.parametrize("kind", ["leads", "accounts"])
async def test_a_weak_tag_names_its_version(api: Api, kind: str, tag: str, status: int) -> None:
    made = await api.lead() if kind == "leads" else await api.post("/v1/accounts", {"name": "Acme"})
    change = {"fields": {"company": "B"}} if kind == "leads" else {"name": "B"}
    answer = await api.call("PATCH", f"/v1/{kind}/{made['id']}", change, headers={"If-Match": tag})
    assert answer.status_code == status, answer.text
