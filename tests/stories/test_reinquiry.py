"""What a new form of a known person does: each row of the table in lifecycle.md, section 6."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from tests.api import Api
from tests.merging.steps import journeys, merged
from tests.submissions.sender import make_sender

BANT = {name: {"status": "confirmed"} for name in ("need", "budget", "timing", "authority")}
EMAIL = "anna@nordsoft.ro"


async def form(api: Api, **fields: str) -> dict[str, Any]:
    """A form of the known person; the lead after it."""
    sender = await make_sender(api)
    body = {"email": EMAIL, "message": "Please call me", "utm_source": "spring", **fields}
    submission = await sender.post_and_process(body)
    (item,) = submission["items"]
    assert item["verdict"] == "lead"
    return dict(await api.get(f"/v1/leads/{item['lead_id']}"))


async def demo(api: Api) -> dict[str, Any]:
    """A demo request of the known person."""
    body = {"fields": {"email": EMAIL}, "activity": {"type": "demo_request"}}
    return dict(await api.post("/v1/leads", body, status=200))


async def told(api: Api, lead: dict[str, Any], type_: str) -> list[dict[str, Any]]:
    """The data of the events of this type of a lead."""
    from app.events.partitions import create_partitions
    from app.events.sequence import sequence

    await create_partitions(api.app.state.engine)
    await sequence(api.app.state.engine)
    events = (await api.get(f"/v1/leads/{lead['id']}/events?limit=200"))["data"]
    return [event["data"] for event in events if event["type"] == type_]


async def walk(api: Api, lead: dict[str, Any], *steps: tuple[str, str, dict[str, Any]]) -> dict[str, Any]:
    for action, role, members in steps:
        answer = await api.ask(lead, action, await api.user(role), **members)
        assert answer.status_code == 201, answer.text
    return await api.reload(lead)


async def customer(api: Api) -> tuple[dict[str, Any], str]:
    """A converted lead, and its opportunity, which is open."""
    lead = await api.mql(email=EMAIL, company="Nordsoft")
    sdr, ae = await api.user("sdr"), await api.user("ae")
    await api.ask(lead, "accept", sdr)
    await api.ask(lead, "confirm", ae, bant=BANT)
    done = await api.post(f"/v1/leads/{lead['id']}/conversion", {}, actor=ae, headers={"Idempotency-Key": "c"})
    return lead, str(done["conversion"]["opportunity"]["id"])


async def test_an_open_journey_goes_on_and_only_empty_fields_are_filled(api: Api) -> None:
    lead = await walk(api, await api.mql(email=EMAIL, company="Nordsoft"), ("accept", "sdr", {}))
    after = await form(api, company="Other", country="Romania")
    assert (after["id"], after["stage"], after["journey_no"], after["seq"]) == (lead["id"], "sal", 1, lead["seq"])
    assert after["stage_entered_at"] == lead["stage_entered_at"]
    assert (after["fields"]["company"], after["fields"]["country"]) == ("Nordsoft", "RO")
    assert after["attribution"]["last"]["source"] == "spring"
    assert len(await told(api, lead, "lead.activity")) == 3
    assert await told(api, lead, "lead.reinquired") == []


async def test_a_recycled_lead_becomes_an_mql_again_in_the_same_journey_if_the_rule_holds(api: Api) -> None:
    lead = await api.mql(email=EMAIL, company="Nordsoft")
    await walk(api, lead, ("recycle", "sdr", {"reason_code": "timing"}))
    assert (await form(api))["stage"] == "recycled"
    after = await demo(api)
    assert (after["stage"], after["journey_no"]) == ("mql", 1)
    assert [step for step in await api.steps(lead) if step[1] == "mql"] == [("inquiry", "mql"), ("recycled", "mql")]
    assert (await told(api, lead, "lead.stage_changed"))[-1]["from"] == "recycled"


@pytest.mark.parametrize("reason", ["no_budget", "bad_fit", "no_need", "no_authority", "duplicate"])
async def test_a_lead_that_was_disqualified_begins_a_new_journey(api: Api, reason: str) -> None:
    lead = await api.mql(email=EMAIL, company="Nordsoft")
    await walk(api, lead, ("disqualify", "sdr", {"reason_code": reason}))
    after = await form(api)
    assert (after["id"], after["stage"], after["journey_no"]) == (lead["id"], "inquiry", 2)
    assert after["score"]["engagement"] == 0, "old interest counts no more"
    (event,) = await told(api, lead, "lead.reinquired")
    assert (event["journey_no"], event["previous_outcome"]) == (2, reason)
    assert (await demo(api))["stage"] == "mql", "the rule is evaluated afresh"


@pytest.mark.parametrize("reason", ["spam", "competitor", "do_not_contact", "student_or_research", "invalid_contact"])
async def test_who_was_disqualified_for_good_begins_no_journey(api: Api, reason: str) -> None:
    lead = await api.mql(email=EMAIL, company="Nordsoft")
    await walk(api, lead, ("disqualify", "sdr", {"reason_code": reason}))
    after = await form(api)
    assert (after["stage"], after["journey_no"], after["blocked_reinquiry"]) == ("disqualified", 1, True)
    (event,) = await told(api, lead, "lead.reinquiry_blocked")
    assert event["closing_reason"] == reason
    assert len(await told(api, lead, "lead.activity")) == 3, "the activity is kept"


async def test_while_the_opportunity_is_open_its_owner_is_told_and_no_mql_is_counted(api: Api) -> None:
    lead, opportunity = await customer(api)
    assert (await form(api))["stage"] == (await demo(api))["stage"] == "converted"
    events = await told(api, lead, "lead.reinquired")
    assert [event["opportunity_id"] for event in events] == [opportunity] * 2
    assert [step[1] for step in await api.steps(lead)].count("mql") == 1
    assert await journeys(api, lead) == [(1, "converted")]


@pytest.mark.parametrize(("outcome", "business"), [("win", "existing"), ("lose", "new"), ("old", "new")])
async def test_after_the_opportunity_a_new_journey_begins_and_conversion_links_the_same_records(
    api: Api, outcome: str, business: str
) -> None:
    lead, opportunity = await customer(api)
    links = (await api.reload(lead))["links"]
    if outcome == "old":
        api.clock.ahead += timedelta(days=91)
    else:
        members = {"reason_code": "price"} if outcome == "lose" else {}
        path, actor = f"/v1/opportunities/{opportunity}/transitions", await api.user("ae")
        await api.post(path, {"action": outcome, **members}, actor=actor)
    after = await form(api)
    assert (after["stage"], after["journey_no"]) == ("inquiry", 2)
    listed = (await api.get(f"/v1/leads/{lead['id']}/journeys"))["data"]
    assert [one["business"] for one in listed] == ["new", business]
    assert len(await told(api, lead, "lead.reinquired")) == 1
    await demo(api)
    ae = await api.user("ae")
    await walk(api, lead, ("accept", "sdr", {}))
    assert (await api.ask(lead, "confirm", ae, bant=BANT)).status_code == 201
    path = f"/v1/leads/{lead['id']}/conversion"
    again = (await api.post(path, {}, actor=ae, headers={"Idempotency-Key": "2"}))["conversion"]
    for kind in ("account", "contact"):
        assert (again[kind]["id"], again[kind]["outcome"]) == (links[f"{kind}_id"], "linked")
    assert again["opportunity"]["id"] != opportunity


async def test_a_form_of_a_merged_lead_is_one_of_the_lead_that_remained(api: Api) -> None:
    gone, kept = await api.lead(email=EMAIL), await api.mql(email="anna.z@nordsoft.ro")
    await merged(api, gone, kept)
    after = await form(api, country="Romania")
    assert (after["id"], after["stage"], after["fields"]["country"]) == (kept["id"], "mql", "RO")
    assert (await demo(api))["id"] == kept["id"]
    assert [data["lead_id"] for data in await told(api, gone, "lead.activity")] == [gone["id"]]


async def test_identities_of_two_leads_go_to_the_one_with_the_address_and_both_are_flagged(api: Api) -> None:
    known = await api.lead(email=EMAIL)
    other = await api.post("/v1/leads", {"fields": {"full_name": "Anna"}, "external_ids": {"crm": "42"}})
    body = {"fields": {"email": EMAIL}, "external_ids": {"crm": "42"}}
    assert (await api.post("/v1/leads", body, status=200))["id"] == known["id"]
    assert [(await api.reload(lead))["duplicate_suspected"] for lead in (known, other)] == [True, True]
    (event,) = await told(api, known, "lead.duplicate_suspected")
    assert event["candidates"] == [{"lead_id": other["id"], "reason": "external"}]
    (pair,) = (await api.get("/v1/duplicates"))["data"]
    assert [one["reason"] for one in pair["reasons"]] == ["external"]


@pytest.mark.parametrize("closed", [False, True])
async def test_of_two_leads_with_one_mailbox_and_name_the_open_journey_gets_the_form(api: Api, closed: bool) -> None:
    """Else the one with the latest activity."""
    fields = {"email": "office@nordsoft.ro", "full_name": "Anna Pop"}
    one = await api.post("/v1/leads", {"fields": {**fields, "phone": "+40215550100"}, "external_ids": {"crm": "1"}})
    other = await api.post("/v1/leads", {"fields": {"email": "office@nordsoft.ro", "full_name": "Dan Lis"}})
    patched = {"fields": {"full_name": "Anna Pop", "first_name": "Anna", "last_name": "Pop"}}
    assert (await api.call("PATCH", f"/v1/leads/{other['id']}", patched)).status_code == 200
    if closed:
        await walk(api, other, ("disqualify", "sdr", {"reason_code": "no_need"}))
    found = await api.call("POST", "/v1/leads", {"fields": fields})
    assert found.json()["id"] == (one if closed else other)["id"]
    assert found.json()["duplicate_suspected"]
