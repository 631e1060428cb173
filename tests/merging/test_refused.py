"""Who may merge which leads, and what a refusal says. A refused merge changes nothing."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from tests.api import Api
from tests.contract.test_tenants import all_rows
from tests.merging.steps import merged

UNKNOWN = "lead_0123456789abcdefghjkmnpqrs"


@pytest.mark.parametrize(
    ("role", "status", "code"),
    [
        (None, 403, "human_required"),
        ("sdr", 403, "role_not_allowed"),
        ("ae", 403, "role_not_allowed"),
        ("marketing", 200, None),
        ("manager", 200, None),
        ("admin", 200, None),
    ],
)
async def test_people_of_marketing_and_managers_merge_leads(
    api: Api, role: str | None, status: int, code: str | None
) -> None:
    one, other = await api.lead(), await api.lead()
    actor = await api.user(role) if role else None
    for path, body in (("merge", {"into": one["id"]}), ("unmerge", None)):
        if path == "unmerge" and status != 200:
            await merged(api, other, one)
        answer = await api.call("POST", f"/v1/leads/{other['id']}/{path}", body, actor=actor)
        assert (answer.status_code, answer.json().get("code")) == (status, code), path


@pytest.mark.parametrize(
    ("into", "status", "code", "field"),
    [
        ({}, 422, "request_invalid", "into"),
        ({"into": None}, 422, "request_invalid", "into"),
        ({"into": "nobody"}, 422, "request_invalid", "into"),
        ({"into": "ITSELF"}, 422, "request_invalid", "into"),
        ({"into": "ORGANIZATION"}, 422, "request_invalid", "into"),
        ({"into": UNKNOWN}, 404, "lead_not_found", "into"),
        ({"into": "RIVAL"}, 404, "lead_not_found", "into"),
        ({"into": "ERASED"}, 422, "target_unavailable", "into"),
        ({"into": "MERGED"}, 409, "lead_merged", None),
        ({"into": "ONE", "with": "ONE"}, 422, "request_invalid", "with"),
    ],
)
async def test_a_lead_that_cannot_take_the_other_is_refused(
    api: Api, into: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    manager = await api.user("manager")
    one, other, erased, gone = [await api.lead() for _ in range(4)]
    company = await api.post("/v1/leads", {"fields": {"company": "Nordsoft", "website": "https://nordsoft.ro"}})
    rival = Api(api.app, api.client, (await api.post("/v1/tenants", {"name": "rival"}))["key"]["secret"], None)
    await merged(api, gone, one, manager)
    async with api.app.state.engine.begin() as tx:
        statement = text(
            "UPDATE leads SET erased_at = now() WHERE id = (SELECT id FROM leads ORDER BY id OFFSET 2 LIMIT 1)"
        )
        await tx.execute(statement)
    named = {
        "ITSELF": other["id"],
        "ORGANIZATION": company["id"],
        "RIVAL": (await rival.lead())["id"],
        "ERASED": erased["id"],
        "MERGED": gone["id"],
        "ONE": one["id"],
    }
    body = {name: named.get(value, value) for name, value in into.items()}
    before = await all_rows(api)
    answer = await api.call("POST", f"/v1/leads/{other['id']}/merge", body, actor=manager)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert [error["field"] for error in answer.json()["errors"]] == ([field] if field else [])
    assert await all_rows(api) == before


async def test_a_stale_version_is_refused_and_the_present_one_is_taken(api: Api) -> None:
    manager, one, other = await api.user("manager"), await api.lead(), await api.lead()
    path = f"/v1/leads/{other['id']}"
    for tag, status in (('"7"', 412), ('"1"', 200)):
        answer = await api.call("POST", f"{path}/merge", {"into": one["id"]}, actor=manager, headers={"If-Match": tag})
        assert answer.status_code == status, answer.text
    tag = (await api.call("GET", path)).headers["etag"]
    for sent, status in (('"1"', 412), (tag, 200)):
        answer = await api.call("POST", f"{path}/unmerge", actor=manager, headers={"If-Match": sent})
        assert answer.status_code == status, answer.text


async def test_a_merge_sent_again_with_its_key_is_answered_as_before(api: Api) -> None:
    manager, one, other = await api.user("manager"), await api.lead(), await api.lead()
    path, headers = f"/v1/leads/{other['id']}/merge", {"Idempotency-Key": "m"}
    first, again = [await api.call("POST", path, {"into": one["id"]}, actor=manager, headers=headers) for _ in "12"]
    assert (again.status_code, again.content) == (200, first.content)
    assert again.headers["idempotency-replayed"] == "true"
    assert (await api.reload(one))["version"] == 2
    other_key = await api.call("POST", path, {"into": one["id"]}, actor=manager, headers={"Idempotency-Key": "n"})
    assert (other_key.status_code, other_key.json()["merged_into"]) == (409, one["id"])


async def test_a_merge_is_undone_once_and_the_last_of_a_chain_first(api: Api) -> None:
    manager = await api.user("manager")
    one, two, three = await api.lead(), await api.lead(), await api.lead()
    await merged(api, one, two, manager)
    await merged(api, two, three, manager)

    async def undo(lead: dict[str, Any]) -> tuple[int, str | None]:
        answer = await api.call("POST", f"/v1/leads/{lead['id']}/unmerge", actor=manager)
        return answer.status_code, answer.json().get("code")

    assert await undo(one) == (409, "lead_merged")
    assert await undo(three) == (409, "lead_not_merged")
    assert await undo({"id": UNKNOWN}) == (404, "lead_not_found")
    assert await undo(two) == (200, None)
    assert (await api.reload(one))["id"] == two["id"]
    assert await undo(two) == (409, "lead_not_merged")
    assert await undo(one) == (200, None)
    assert [(await api.reload(lead))["id"] for lead in (one, two, three)] == [one["id"], two["id"], three["id"]]


async def test_nothing_is_undone_after_one_of_both_was_erased(api: Api) -> None:
    manager = await api.user("manager")
    for erased in (0, 1):
        pair = [await api.lead(), await api.lead()]
        await merged(api, pair[1], pair[0], manager)
        async with api.app.state.engine.begin() as tx:
            await tx.execute(
                text(
                    "UPDATE leads SET erased_at = now() WHERE id ="
                    f" (SELECT id FROM leads WHERE erased_at IS NULL ORDER BY id DESC OFFSET {1 - erased} LIMIT 1)"
                )
            )
        answer = await api.call("POST", f"/v1/leads/{pair[1]['id']}/unmerge", actor=manager)
        assert (answer.status_code, answer.json()["code"]) == (410, "erased")
