"""`GET /v1/leads/{id}/fields`: from where each field has its value, when, and what it replaced."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from app import ids
from tests.api import Api
from tests.submissions.sender import make_sender, person, process


async def fields_of(api: Api, lead_id: str) -> dict[str, dict[str, Any]]:
    listed = await api.get(f"/v1/leads/{lead_id}/fields")
    assert listed["next"] is None
    return {one["field"]: one for one in listed["data"]}


def shown(lead: Mapping[str, Any]) -> dict[str, Any]:
    """The fields and custom fields of a lead that have a value, by the names of `/fields`."""
    custom = {f"custom.{name}": value for name, value in lead["custom"].items()}
    return {name: value for name, value in {**lead["fields"], **custom}.items() if value is not None}


async def test_each_field_names_the_submission_that_gave_it(api: Api) -> None:
    sender = await make_sender(api)
    first = await sender.post_and_process(person(email="ana@nordsoft.example", seats=5))
    second = await sender.post_and_process({"email": "ana@nordsoft.example", "company": "Nordsoft", "seats": 7, "x": 1})
    lead = await api.get(f"/v1/leads/{first['items'][0]['lead_id']}")
    found = await fields_of(api, lead["id"])
    by = {name: one["submission_id"] for name, one in found.items()}
    assert by.pop("company") == by.pop("custom.x") == second["id"]
    assert set(by.values()) == {first["id"]}
    assert {name: one["value"] for name, one in found.items()} == shown(lead)
    assert found["company"]["source_id"] == found["email"]["source_id"] == sender.source["id"]
    assert (found["email"]["version"], found["company"]["version"]) == (1, 2)
    assert found["email"]["set_at"] == lead["created_at"] != found["company"]["set_at"] == lead["updated_at"]
    assert found["domain"]["derived_from"] == ["website", "email"]
    assert found["email"]["derived_from"] == []


async def test_submissions_of_one_person_that_are_processed_together_are_told_apart(api: Api) -> None:
    sender = await make_sender(api)
    bodies: list[dict[str, Any]] = [
        {"email": "ana@nordsoft.example", "seats": 5},
        {"email": "ana@nordsoft.example", "company": "Nordsoft"},
        {"email": "ana@nordsoft.example", "job_title": "Director", "company": "Other"},
    ]
    posted = [(await sender.post(body)).json()["submission"]["id"] for body in bodies]
    await process(api)
    (lead,) = (await api.get("/v1/leads"))["data"]
    found = await fields_of(api, lead["id"])
    names = ("email", "custom.seats", "company", "job_title", "seniority")
    assert [posted.index(found[name]["submission_id"]) for name in names] == [0, 0, 1, 2, 2]
    assert {one["version"] for one in found.values()} == {1}


async def test_a_change_names_the_person_and_what_was_replaced(api: Api) -> None:
    sdr = await api.user("sdr")
    lead = await api.lead(email="ana@nordsoft.example", company="Nordsoft", employees=100)
    path = f"/v1/leads/{lead['id']}"
    for value in ("Nordsoft SRL", None, "Nordsoft SA"):
        changed = await api.call("PATCH", path, {"fields": {"company": value}, "custom": {"a": 1}}, actor=sdr)
        assert changed.status_code == 200, changed.text
    assert (await api.call("PATCH", path, {"custom": {"a": True}})).status_code == 200
    found = await fields_of(api, lead["id"])
    company = [found["company"], *found["company"]["history"]]
    assert [(one["value"], one["replaced"]) for one in company] == [
        ("Nordsoft SA", None),
        (None, "Nordsoft SRL"),
        ("Nordsoft SRL", "Nordsoft"),
        ("Nordsoft", None),
    ]
    assert [one["actor"]["id"] for one in company[:3]] == [sdr] * 3
    assert [one["actor"]["kind"] for one in company] == ["human"] * 3 + ["service"]
    assert company[-1]["actor"]["id"].startswith("key_")
    assert company[0]["source_id"] is None
    assert company[-1]["source_id"] == lead["source_id"]
    assert {one["submission_id"] for one in company} == {None}
    custom = [found["custom.a"], *found["custom.a"]["history"]]
    assert [(one["value"], one["replaced"]) for one in custom] == [(True, 1), (1, None)]
    assert found["employees"]["history"] == []


async def test_before_origins_were_kept_the_touch_of_the_same_instant_tells_them(api: Api) -> None:
    sender = await make_sender(api)
    first = await sender.post_and_process(person(email="ana@nordsoft.example"))
    second = await sender.post_and_process({"email": "ana@nordsoft.example", "company": "Nordsoft"})
    lead_id = first["items"][0]["lead_id"]
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("UPDATE lead_changes SET origins = NULL"))
    found = await fields_of(api, lead_id)
    assert (found["email"]["submission_id"], found["company"]["submission_id"]) == (first["id"], second["id"])


TYPED = {
    "language": ("de-DE", "de"),
    "employees": ("51-200", 51),
    "domain": ("https://www.Other.example/about", "other.example"),
    "first_name": ("Ana", "Ana"),
    "company": ("Smith &amp; Sons", "Smith & Sons"),
    "industry": ("Bau  und Boden", "Bau und Boden"),
    "job_title": ("Director", "Director"),
}


@pytest.mark.parametrize("door", ["submission", "request"])
async def test_what_was_typed_is_shown_beside_each_value_that_differs_in_more_than_blanks(api: Api, door: str) -> None:
    answers: dict[str, Any] = {"email": "ana@nordsoft.example", **{name: typed for name, (typed, _) in TYPED.items()}}
    if door == "submission":
        made = await (await make_sender(api)).post_and_process(answers)
        lead_id = made["items"][0]["lead_id"]
    else:
        answers["employees"] = 51  # a number here
        lead_id = (await api.post("/v1/leads", {"fields": answers}))["id"]
    found = await fields_of(api, lead_id)
    assert {name: found[name]["value"] for name in TYPED} == {name: value for name, (_, value) in TYPED.items()}
    same = {"first_name", "industry", "job_title", *(["employees"] if door == "request" else [])}
    assert {name: found[name]["raw"] for name in TYPED} == {
        name: None if name in same else typed for name, (typed, _) in TYPED.items()
    }


@pytest.mark.parametrize("door", ["change", "submission"])
async def test_a_value_that_is_derived_anew_was_typed_by_nobody(api: Api, door: str) -> None:
    sender = await make_sender(api)
    made = await sender.post_and_process({"email": "ana@nordsoft.example", "domain": "www.nordsoft.example"})
    lead_id = made["items"][0]["lead_id"]
    before = (await fields_of(api, lead_id))["domain"]
    assert (before["value"], before["raw"]) == ("nordsoft.example", "www.nordsoft.example")
    if door == "change":
        await api.call("PATCH", f"/v1/leads/{lead_id}", {"fields": {"website": "https://acme.example"}})
    else:
        await sender.post_and_process({"email": "ana@nordsoft.example", "website": "https://acme.example"})
    after = (await fields_of(api, lead_id))["domain"]
    assert (after["value"], after["raw"]) == ("acme.example", None)


async def test_a_lead_that_is_unknown_has_no_fields(api: Api) -> None:
    for unknown in (ids.show("lead", ids.new_id()), "lead_x"):
        answer = await api.call("GET", f"/v1/leads/{unknown}/fields")
        assert (answer.status_code, answer.json()["code"]) == (404, "lead_not_found")


VALUES = st.dictionaries(
    st.sampled_from(["company", "industry", "job_title", "first_name"]),
    st.sampled_from(["One", "Two", None]),
    max_size=3,
)
CUSTOM = st.dictionaries(st.sampled_from(["a", "b"]), st.sampled_from([1, True, "x", None, [1]]), max_size=2)
STEPS = st.lists(st.tuples(st.sampled_from(["form", "request", "person"]), VALUES, CUSTOM), min_size=1, max_size=5)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
async def test_the_history_of_each_field_is_what_the_lead_was(
    api: Api, steps: list[tuple[str, dict[str, Any], dict[str, Any]]]
) -> None:
    sender, sdr = await make_sender(api), await api.user("sdr")
    lead = await api.lead()
    states: dict[int, dict[str, Any]] = {lead["version"]: shown(lead)}
    for kind, values, custom in steps:
        if kind == "form":
            await sender.post_and_process({"email": lead["fields"]["email"], **values, "custom": custom})
        elif kind == "request":
            filled = {name: value for name, value in values.items() if value is not None}
            body = {"fields": {"email": lead["fields"]["email"], **filled}, "custom": custom}
            await api.post("/v1/leads", body, status=200)
        else:
            await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": values, "custom": custom}, actor=sdr)
        now = await api.reload(lead)
        states[now["version"]] = shown(now)
    for name, field in (await fields_of(api, lead["id"])).items():
        for one in [field, *field["history"]]:
            before = max((version for version in states if version < one["version"]), default=0)
            assert states[one["version"]].get(name) == one["value"]
            assert states.get(before, {}).get(name) == one["replaced"]
        assert states[max(states)].get(name) == field["value"]
    assert {name for state in states.values() for name in state} == set(await fields_of(api, lead["id"]))


@pytest.mark.parametrize("door", ["submission", "request"])
async def test_a_field_that_a_known_lead_is_given_names_its_door(api: Api, door: str) -> None:
    sender, lead = await make_sender(api), await api.lead(email="ana@nordsoft.example")
    if door == "submission":
        made = await sender.post_and_process({"email": "ana@nordsoft.example", "company": "Nordsoft"})
        expected = (made["id"], sender.source["id"], None)
    else:
        body = {"fields": {"email": "ana@nordsoft.example", "company": "Nordsoft"}, "source_id": sender.source["id"]}
        await api.post("/v1/leads", body, status=200)
        me = (await api.get("/v1/me"))["key"]["id"]
        expected = (None, sender.source["id"], me)
    company = (await fields_of(api, lead["id"]))["company"]
    assert (company["submission_id"], company["source_id"], company["actor"]["id"]) == expected
