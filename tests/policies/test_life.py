"""The life of a policy over HTTP: draft, proposed, active, retired (lifecycle.md, section 9)."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import text

from app.web.examples import POLICY
from tests.api import Api
from tests.contract.world import second_tenant
from tests.journeys.test_time import events_of_type
from tests.policies.steps import activated, approve, approved, ask_activation, proposed

OTHER: dict[str, Any] = {**POLICY, "title": "Another title"}
ROLES = ("marketing", "sdr", "ae", "manager", "admin", None)


async def acts(api: Api) -> list[str]:
    """What the audit log tells of policies, oldest first."""
    async with api.app.state.engine.connect() as tx:
        rows = await tx.execute(text("SELECT act FROM audit WHERE act LIKE 'policy.%' ORDER BY recorded_at, id"))
        return [str(act) for act in rows.scalars()]


async def test_a_draft_becomes_active_once_both_sides_have_approved_it(api: Api) -> None:
    before = await api.get("/v1/policies/active")
    policy = await approved(api, POLICY)
    assert (policy["state"], policy["approvals_missing"]) == ("proposed", [])
    assert {one["sha256"] for one in policy["approvals"]} == {policy["sha256"]}
    active = (await ask_activation(api, policy)).json()
    assert (active["state"], active["number"], active["document"]) == ("active", 2, POLICY)
    assert active["effective_from"] == active["activated_at"]
    assert await api.get("/v1/policies/active") == active
    retired = await api.get(f"/v1/policies/{before['id']}")
    assert (retired["state"], retired["review_due_at"]) == ("retired", None)
    (event,) = await events_of_type(api, "policy.activated")
    assert event == {
        "policy_id": policy["id"],
        "policy_version": 2,
        "name": "shop",
        "previous_policy_id": before["id"],
        "activated_at": active["activated_at"],
    }
    assert await acts(api) == [
        *("policy.created", "policy.proposed", "policy.approved", "policy.approved", "policy.activated")
    ]


async def test_one_policy_is_active_however_many_are_activated_at_the_same_time(api: Api) -> None:
    ready = [await approved(api, {**POLICY, "title": f"Title {n}"}) for n in range(5)]
    answers = await asyncio.gather(*(ask_activation(api, policy) for policy in ready))
    assert {answer.status_code for answer in answers} == {200}
    states = [one["state"] for one in (await api.get("/v1/policies"))["data"]]
    assert sorted(states) == ["active", *["retired"] * 5]
    assert len(await events_of_type(api, "policy.activated")) == 5
    for state, count in (("active", 1), ("retired", 5), ("draft", 0)):
        assert len((await api.get(f"/v1/policies?state={state}"))["data"]) == count


async def test_drafts_written_at_the_same_time_get_numbers_of_their_own(api: Api) -> None:
    made = await asyncio.gather(*(api.post("/v1/policies", POLICY) for _ in range(8)))
    assert sorted(one["number"] for one in made) == list(range(2, 10))


@pytest.mark.parametrize(
    ("roles", "missing"),
    [
        ((), ["marketing", "sales"]),
        (("marketing",), ["sales"]),
        (("sdr",), ["marketing"]),
        (("ae",), ["marketing"]),
        (("manager",), ["marketing"]),
        (("marketing", "manager"), []),
        (("ae", "marketing"), []),
    ],
)
async def test_an_activation_names_the_sides_that_have_not_approved(
    api: Api, roles: tuple[str, ...], missing: list[str]
) -> None:
    policy = await approve(api, await proposed(api, POLICY), *roles)
    assert policy["approvals_missing"] == missing
    answer = await ask_activation(api, policy)
    if missing:
        problem = answer.json()
        assert (answer.status_code, problem["code"], problem["missing"]) == (409, "approvals_missing", missing)
        assert (await api.get("/v1/policies/active"))["number"] == 1
    else:
        assert answer.status_code == 200


async def test_a_draft_cannot_be_activated(api: Api) -> None:
    answer = await ask_activation(api, await api.post("/v1/policies", POLICY))
    assert (answer.status_code, answer.json()["code"]) == (409, "approvals_missing")
    assert answer.json()["missing"] == ["marketing", "sales"]


@pytest.mark.parametrize(("first", "second"), [("marketing", "marketing"), ("sdr", "ae"), ("manager", "sdr")])
async def test_a_side_approves_once(api: Api, first: str, second: str) -> None:
    policy = await approve(api, await proposed(api, POLICY), first)
    path = f"/v1/policies/{policy['id']}"
    again = await api.call("POST", f"{path}/approvals", actor=await api.user(second))
    assert (again.status_code, again.json()["code"]) == (409, "already_approved")
    assert again.json()["user_id"] == policy["approvals"][0]["user_id"]
    assert await api.get(path) == policy


async def test_one_person_does_not_approve_for_both_sides_even_after_changing_the_team(api: Api) -> None:
    policy, person = await proposed(api, POLICY), await api.user("marketing")
    path = f"/v1/policies/{policy['id']}/approvals"
    await api.post(path, None, status=200, actor=person)
    assert (await api.call("PATCH", f"/v1/users/{person}", {"role": "sdr"})).status_code == 200
    again = await api.call("POST", path, actor=person)
    assert (again.status_code, again.json()["code"]) == (409, "already_approved")
    assert again.json()["detail"].startswith("You have approved this policy already, for marketing")


async def test_two_people_of_one_side_who_approve_at_the_same_time_are_one_approval(api: Api) -> None:
    policy, people = await proposed(api, POLICY), [await api.user("ae") for _ in range(4)]
    path = f"/v1/policies/{policy['id']}/approvals"
    answers = await asyncio.gather(*(api.call("POST", path, actor=person) for person in people))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409, 409]


@pytest.mark.parametrize("state", ["draft", "proposed", "approved", "planned"])
async def test_an_edit_makes_a_draft_and_drops_approvals_and_plan(api: Api, state: str) -> None:
    if state == "draft":
        policy = await api.post("/v1/policies", POLICY)
    else:
        policy = await (proposed if state == "proposed" else approved)(api, POLICY)
    if state == "planned":
        assert (await ask_activation(api, policy, effective_from=api.ago(days=-1))).status_code == 200
    path = f"/v1/policies/{policy['id']}"
    edited = (await api.call("PUT", path, OTHER)).json()
    assert (edited["state"], edited["approvals"], edited["effective_from"]) == ("draft", [], None)
    assert (edited["document"], edited["number"]) == (OTHER, policy["number"])
    assert edited["sha256"] != policy["sha256"]
    assert edited["approvals_missing"] == ["marketing", "sales"]
    await api.call("PUT", path, POLICY)
    back = await api.post(f"{path}/proposal", None, status=200)
    assert (back["sha256"], back["approvals"]) == (policy["sha256"], []), "approvals of the same text do not come back"


async def test_the_same_document_again_changes_nothing(api: Api) -> None:
    policy = await approved(api, POLICY)
    path = f"/v1/policies/{policy['id']}"
    before = await api.call("GET", path)
    answer = await api.call("PUT", path, dict(reversed(POLICY.items())))
    assert (answer.status_code, answer.json()) == (200, before.json())
    assert answer.headers["etag"] == before.headers["etag"]


async def test_only_drafts_and_proposed_policies_change_and_only_drafts_are_deleted(api: Api) -> None:
    shipped = await api.get("/v1/policies/active")
    active = await activated(api, POLICY)
    for policy in (shipped, active):
        path = f"/v1/policies/{policy['id']}"
        for method, end, body in (
            ("PUT", "", OTHER),
            ("DELETE", "", None),
            ("POST", "/proposal", None),
            ("POST", "/activation", None),
        ):
            answer = await api.call(method, path + end, body)
            assert (answer.status_code, answer.json()["code"]) == (409, "state_conflict"), (
                policy["state"],
                method,
                end,
            )
        answer = await api.call("POST", f"{path}/approvals", actor=await api.user("ae"))
        assert (answer.status_code, answer.json()["code"]) == (409, "state_conflict")
    waiting = await proposed(api, OTHER)
    assert (await api.call("DELETE", f"/v1/policies/{waiting['id']}")).json()["code"] == "state_conflict"
    assert (await api.call("POST", f"/v1/policies/{waiting['id']}/proposal")).json()["code"] == "state_conflict"
    draft = await api.post("/v1/policies", OTHER)
    unproposed = await api.call("POST", f"/v1/policies/{draft['id']}/approvals", actor=await api.user("ae"))
    assert (unproposed.status_code, unproposed.json()["code"]) == (409, "state_conflict")
    assert (await api.call("DELETE", f"/v1/policies/{draft['id']}")).status_code == 204
    assert (await api.call("GET", f"/v1/policies/{draft['id']}")).status_code == 404


@pytest.mark.parametrize("role", ROLES)
async def test_who_may_write_approve_and_activate(api: Api, role: str | None) -> None:
    actor = await api.user(role) if role else None
    author, side = role in ("marketing", "manager", "admin", None), role in ("marketing", "sdr", "ae", "manager")
    refused = (403, "human_required" if role is None else "role_not_allowed")

    async def answered(method: str, path: str, body: Any = None) -> tuple[int, str]:
        answer = await api.call(method, path, body, actor=actor)
        return answer.status_code, answer.json()["code"] if answer.status_code >= 400 else ""

    draft, ready, open_ = (
        await api.post("/v1/policies", POLICY),
        await approved(api, POLICY),
        await proposed(api, POLICY),
    )
    path = f"/v1/policies/{draft['id']}"
    for method, end, body, status in (
        ("POST", "/v1/policies", POLICY, 201),
        ("PUT", path, OTHER, 200),
        ("POST", f"{path}/proposal", None, 200),
        ("POST", f"/v1/policies/{ready['id']}/activation", None, 200),
    ):
        assert await answered(method, end, body) == ((status, "") if author else refused), (method, end)
    assert await answered("POST", f"/v1/policies/{open_['id']}/approvals") == ((200, "") if side else refused)
    unused = await api.post("/v1/policies", POLICY)
    deleted = await api.call("DELETE", f"/v1/policies/{unused['id']}", actor=actor)
    assert deleted.status_code == (204 if author else 403)


@pytest.mark.parametrize("end", ["", "/proposal", "/approvals", "/activation"])
async def test_a_stale_if_match_is_a_412_and_changes_nothing(api: Api, end: str) -> None:
    policy = await (api.post("/v1/policies", POLICY) if end == "/proposal" else approved(api, POLICY))
    path = f"/v1/policies/{policy['id']}"
    tag = (await api.call("GET", path)).headers["etag"]
    stale = {"If-Match": '"0"'}
    for method in ("PUT", "DELETE") if end == "" else ("POST",):
        body = OTHER if method == "PUT" else None
        answer = await api.call(method, path + end, body, headers=stale, actor=await api.user("manager"))
        assert (answer.status_code, answer.json()["code"]) == (412, "version_conflict"), method
    assert (await api.call("GET", path)).headers["etag"] == tag
    if end in ("/proposal", "/activation"):
        answer = await api.call("POST", path + end, headers={"If-Match": tag})
        assert answer.status_code == 200
        assert answer.headers["etag"] != tag


async def test_a_repeated_request_with_an_idempotency_key_is_the_stored_answer(api: Api) -> None:
    async def twice(path: str, body: Any, actor: str | None = None) -> Any:
        headers = {"Idempotency-Key": path}
        first = await api.call("POST", path, body, headers=headers, actor=actor)
        again = await api.call("POST", path, body, headers=headers, actor=actor)
        assert (again.content, again.headers["idempotency-replayed"]) == (first.content, "true")
        return first.json()

    draft = await twice("/v1/policies", POLICY)
    path = f"/v1/policies/{draft['id']}"
    await twice(f"{path}/proposal", None)
    for role in ("marketing", "ae"):
        await api.post(f"{path}/approvals", None, status=200, actor=await api.user(role))
    await twice(f"{path}/activation", {})
    assert len(await events_of_type(api, "policy.activated")) == 1


async def test_a_document_with_faults_is_refused_as_a_whole_with_the_place_of_each(api: Api) -> None:
    wrong = {**POLICY, "stages": [*POLICY["stages"], {"name": "Bad", "kind": "open"}], "a/b": 1, "review": "daily"}
    draft = await api.post("/v1/policies", POLICY)
    for method, path in (("POST", "/v1/policies"), ("PUT", f"/v1/policies/{draft['id']}")):
        answer = await api.call(method, path, wrong)
        assert (answer.status_code, answer.json()["code"]) == (422, "policy_has_faults")
        places = {fault["place"]: fault["field"] for fault in answer.json()["errors"]}
        assert places == {"/stages/4/name": "stages.4.name", "/a~1b": "a/b", "/review": "review"}
        assert all(fault["detail"] for fault in answer.json()["errors"])
    assert len((await api.get("/v1/policies"))["data"]) == 2
    assert await api.get(f"/v1/policies/{draft['id']}") == draft


async def test_a_policy_of_another_tenant_is_unknown_and_tenants_number_their_own(api: Api) -> None:
    other = await second_tenant(api)
    policy, theirs = await approved(api, POLICY), await other.post("/v1/policies", POLICY)
    assert (policy["number"], theirs["number"]) == (2, 2)
    path = f"/v1/policies/{policy['id']}"
    for method, end in (("PUT", ""), ("DELETE", ""), ("POST", "/proposal"), ("POST", "/activation")):
        answer = await other.call(method, path + end, OTHER if method == "PUT" else None)
        assert (answer.status_code, answer.json()["code"]) == (404, "policy_not_found")
    await activated(api, OTHER)
    assert (await other.get("/v1/policies/active"))["number"] == 1


async def test_lists_are_filtered_by_stages_of_policies_that_were_active_not_of_drafts(api: Api) -> None:
    renamed: dict[str, Any] = json.loads(json.dumps(POLICY).replace('"inquiry"', '"asked"'))
    await api.post("/v1/policies", renamed)
    assert (await api.call("GET", "/v1/leads?stage=asked")).status_code == 422
    await activated(api, renamed)
    assert (await api.get("/v1/leads?stage=asked"))["data"] == []
