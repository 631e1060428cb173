"""`POST /v1/activities`: up to 500 activities of many leads, each with its own result, in their order."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text

from tests.api import Api
from tests.rules.make import WATERFALL, altered


async def record(api: Api, *activities: dict[str, Any]) -> list[dict[str, Any]]:
    made = await api.post("/v1/activities", {"activities": list(activities)})
    assert [one["index"] for one in made["data"]] == list(range(len(activities)))
    return list(made["data"])


async def recorded(api: Api, lead: dict[str, Any]) -> list[str]:
    """The ids of the activities of a lead beside that of its form."""
    listed = (await api.get(f"/v1/leads/{lead['id']}/activities", params={"limit": "200"}))["data"]
    return [one["id"] for one in listed if one["type"] != "form_fill"]


async def test_five_hundred_activities_of_many_leads_are_answered_in_their_order(api: Api) -> None:
    leads = []
    for n in range(5):
        body = {"fields": {"email": f"p{n}@nordsoft.example", "phone": f"+4021555010{n}"}}
        leads.append(await api.post("/v1/leads", {**body, "external_ids": {"crm:lead": f"c-{n}"}}))
    names: list[list[dict[str, str]]] = [
        [{"lead_id": lead["id"]} for lead in leads],
        [{"email": f"P{n}@Nordsoft.example"} for n in range(5)],
        [{"phone": f"+40 21 555 010{n}"} for n in range(5)],
        [{"external_id": f"crm:lead:c-{n}"} for n in range(5)],
    ]
    batch = [
        {**names[n % 4][n * 3 % 5], "type": "page_view", "activity_key": f"k-{n}", "properties": {"n": n}}
        for n in range(500)
    ]
    made = await record(api, *batch)
    assert [one["lead_id"] for one in made] == [leads[n * 3 % 5]["id"] for n in range(500)]
    assert {(one["recorded"], one["reason"]) for one in made} == {(True, None)}
    for lead in leads:
        of_lead = {one["activity_id"] for one in made if one["lead_id"] == lead["id"]}
        assert set(await recorded(api, lead)) == of_lead
        assert len(of_lead) == 100
    again = await record(api, *batch)
    assert [one["activity_id"] for one in again] == [one["activity_id"] for one in made]
    assert {(one["recorded"], one["reason"]) for one in again} == {(False, None)}
    too_many = await api.call("POST", "/v1/activities", {"activities": [*batch, batch[0]]})
    assert too_many.status_code == 422


async def test_a_refused_activity_costs_only_itself(api: Api) -> None:
    lead = await api.lead(email="ana@nordsoft.example")
    for name in ("Ion Pop", "Dan Stan"):
        await api.lead(email=f"{name[:3]}@nordsoft.example", phone="+40215550100", full_name=name)
        await api.post("/v1/leads", {"fields": {"email": "office@nordsoft.example", "full_name": name}})
    good = {"email": "ana@nordsoft.example", "type": "webinar"}
    refused: list[tuple[dict[str, Any], str]] = [
        ({"email": "nobody@nordsoft.example"}, "person_unknown"),
        ({"email": "no address"}, "person_unknown"),
        ({"phone": "+40215550199"}, "person_unknown"),
        ({"phone": "12"}, "person_unknown"),
        ({"external_id": "crm:1"}, "person_unknown"),
        ({"external_id": "nothing"}, "person_unknown"),
        ({"lead_id": "lead_01k00000000000000000000000"}, "person_unknown"),
        ({"phone": "+40215550100"}, "person_ambiguous"),
        ({"email": "office@nordsoft.example"}, "person_ambiguous"),
        ({"lead_id": lead["id"], "occurred_at": "2199-01-01T00:00:00Z"}, "out_of_order"),
    ]
    batch = [item for person, _ in refused for item in ({"type": "webinar", **person}, good)]
    made = await record(api, *batch)
    assert [(one["recorded"], one["reason"]) for one in made[::2]] == [(False, reason) for _, reason in refused]
    assert {one["activity_id"] for one in made[::2]} == {None}
    assert {(one["recorded"], one["lead_id"]) for one in made[1::2]} == {(True, lead["id"])}
    assert set(await recorded(api, lead)) == {one["activity_id"] for one in made[1::2]}


async def test_what_the_policy_refuses_costs_only_itself(api: Api) -> None:
    manager = await api.user("manager")
    closed, other = await api.lead(), await api.lead()
    assert (await api.ask(closed, "disqualify", manager, reason_code="no_budget")).status_code == 201

    def strict(document: dict[str, Any]) -> None:
        (capture,) = (one for one in document["actions"] if one["name"] == "capture")
        capture["guard"] = {"identities": {"at_least": 9}}

    await api.publish(altered(WATERFALL, strict))
    batch = [
        {"lead_id": lead["id"], "type": type_, "kind": kind, "activity_key": f"{type_}-{kind}"}
        for type_, kind in (("demo_request", "interest"), ("call", "contact_attempt"))
        for lead in (closed, other)
    ]
    made = await record(api, *batch)
    assert [one["recorded"] for one in made] == [False, True, True, True]
    assert (made[0]["reason"], made[0]["lead_id"], made[0]["activity_id"]) == ("criteria_unmet", closed["id"], None)
    assert await recorded(api, closed) == [made[2]["activity_id"]]
    assert set(await recorded(api, other)) == {made[1]["activity_id"], made[3]["activity_id"]}
    async with api.app.state.engine.connect() as tx:
        events = "SELECT count(*) FROM events WHERE type = 'lead.activity' AND data::jsonb ->> 'lead_id' = :id"
        told = (await tx.execute(text(events), {"id": closed["id"]})).scalar_one()
    assert told == 2, "that of the form, and the call"


async def test_a_key_that_comes_twice_in_a_batch_is_recorded_once_for_each_lead(api: Api) -> None:
    leads = [await api.lead() for _ in range(2)]
    batch = [{"lead_id": lead["id"], "type": "webinar", "activity_key": "w"} for lead in leads * 2]
    made = await record(api, *batch)
    assert [one["recorded"] for one in made] == [True, True, False, False]
    assert [one["activity_id"] for one in made[2:]] == [one["activity_id"] for one in made[:2]]
    first = await api.post(
        f"/v1/leads/{leads[0]['id']}/activities", {"type": "webinar", "activity_key": "w"}, status=200
    )
    assert first["id"] == made[0]["activity_id"]


@pytest.mark.parametrize("names", [{}, {"email": "a@b.example", "phone": "+40215550100"}])
async def test_an_activity_of_nobody_or_of_two_is_no_activity(api: Api, names: dict[str, str]) -> None:
    answer = await api.call("POST", "/v1/activities", {"activities": [{"type": "webinar", **names}]})
    assert answer.status_code == 422


WRONG: list[tuple[Any, str]] = [
    ({"email": "ana@nordsoft.example"}, "type"),
    ({"email": "ana@nordsoft.example", "type": "Bad Type"}, "type"),
    ({"email": "ana@nordsoft.example", "type": None}, "type"),
    ({"email": "ana@nordsoft.example", "type": "webinar", "kind": "dance"}, "kind"),
    ({"email": "ana@nordsoft.example", "type": "webinar", "occurred_at": "yesterday"}, "occurred_at"),
    ({"email": "ana@nordsoft.example", "type": "webinar", "properties": []}, "properties"),
    ({"email": "ana@nordsoft.example", "type": "webinar", "unknown": 1}, "unknown"),
    ({"email": 5, "type": "webinar"}, "email"),
    ({"email": "a" * 255, "type": "webinar"}, "email"),
    ({"lead_id": "lead_none", "type": "webinar"}, "lead_id"),
    ({"type": "webinar"}, "lead_id"),
    ({"email": "ana@nordsoft.example", "phone": "+40215550100", "type": "webinar"}, "lead_id"),
    ("webinar", ""),
    (None, ""),
    ([], ""),
]


async def test_an_activity_of_a_wrong_form_has_its_own_result_and_costs_no_other(api: Api) -> None:
    lead = await api.lead(email="ana@nordsoft.example")
    good = {"email": "ana@nordsoft.example", "type": "webinar"}
    made = await record(api, *(item for wrong, _ in WRONG for item in (wrong, good)))
    for number, (_, field) in enumerate(WRONG):
        refused, kept = made[2 * number], made[2 * number + 1]
        place = f"activities.{2 * number}.{field}".rstrip(".")
        assert (refused["recorded"], refused["reason"], refused["lead_id"]) == (False, "request_invalid", None)
        assert [fault["field"] for fault in refused["errors"]] == [place]
        assert all(fault["code"] and fault["detail"] for fault in refused["errors"])
        assert (kept["recorded"], kept["lead_id"], kept["errors"]) == (True, lead["id"], [])
    assert len(await recorded(api, lead)) == len(WRONG)


async def test_a_request_of_wrong_activities_only_is_refused_with_all_their_fields(api: Api) -> None:
    answer = await api.call("POST", "/v1/activities", {"activities": [wrong for wrong, _ in WRONG]})
    assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid")
    places = [f"activities.{n}.{field}".rstrip(".") for n, (_, field) in enumerate(WRONG)]
    assert [fault["field"] for fault in answer.json()["errors"]] == places
    bodies: list[dict[str, Any]] = [{"activities": []}, {"activities": {}}, {}]
    for body in bodies:
        assert (await api.call("POST", "/v1/activities", body)).status_code == 422
