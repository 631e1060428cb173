"""A conversion creates account, contact and opportunity from the lead, reports every field, and emits its events."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from app.database.transaction import Tx
from app.matching.normalize import CANONICAL
from tests.api import Api
from tests.conversion.steps import (
    BANT,
    GOOD,
    convert,
    converted,
    count,
    events,
    moved,
    outcomes,
    sql_lead,
    srl_lead,
)

ANNA = {"email": "anna@nordsoft.ro", "full_name": "Anna Zvoristeanu", "company": "Nordsoft"}


@pytest.fixture
async def ae(api: Api) -> str:
    return await api.user("ae")


async def test_a_lead_becomes_account_contact_and_opportunity(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae, **ANNA, phone="+40 21 555 0100", country="Romania")
    order = {
        "opportunity": {
            "name": "Nordsoft 2027",
            "amount": {"value": "12000.00", "currency": "EUR"},
            "close_date": "2027-03-31",
        }
    }
    answer = await convert(api, lead, ae, order)
    made = answer.json()["conversion"]
    assert (answer.status_code, answer.headers["location"]) == (201, f"/v1/leads/{lead['id']}/conversion")
    assert [made[part]["outcome"] for part in ("account", "contact", "opportunity")] == ["created"] * 3
    assert (made["lead_id"], made["journey_no"], made["policy_version"], made["verified_by"]) == (lead["id"], 1, 1, ae)
    assert made["opportunity"]["class"] == "qualified"
    assert made["reverted_at"] is None
    account = await api.get(f"/v1/accounts/{made['account']['id']}")
    contact = await api.get(f"/v1/contacts/{made['contact']['id']}")
    opportunity = await api.get(f"/v1/opportunities/{made['opportunity']['id']}")
    assert {name: account[name] for name in ("name", "domain", "phone", "industry", "employees", "country")} == {
        "name": "Nordsoft",
        "domain": "nordsoft.ro",
        "phone": "+40215550100",
        "industry": "software",
        "employees": 120,
        "country": "RO",
    }
    assert (contact["email"], contact["last_name"], contact["account_id"]) == (
        "anna@nordsoft.ro",
        "Zvoristeanu",
        account["id"],
    )
    assert (opportunity["name"], opportunity["stage"], opportunity["class"], opportunity["business"]) == (
        "Nordsoft 2027",
        "qualified",
        "qualified",
        "new",
    )
    assert (opportunity["amount"], opportunity["close_date"]) == (
        {"value": "12000.00", "currency": "EUR"},
        "2027-03-31",
    )
    assert (opportunity["account_id"], opportunity["contact_id"], opportunity["owner_id"]) == (
        account["id"],
        contact["id"],
        ae,
    )
    assert {one["origin_lead_id"] for one in (account, contact, opportunity)} == {lead["id"]}


async def test_the_lead_stays_readable_and_is_linked(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    made = await converted(api, lead, ae)
    after = await api.reload(lead)
    assert (after["stage"], after["version"]) == ("converted", lead["version"] + 1)
    assert after["links"] == {f"{part}_id": made[part]["id"] for part in ("account", "contact", "opportunity")}
    assert await api.get(f"/v1/leads/{lead['id']}/conversion") == {"conversion": made}
    assert (await api.steps(lead))[-1] == ("sql", "converted")


async def test_every_field_of_the_lead_is_listed_once(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae, **ANNA, message="Call me", website="https://nordsoft.ro")
    patched = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"custom": {"needs": ["crm"], "seats": 12}})
    assert patched.status_code == 200
    reported = outcomes(await converted(api, lead, ae))
    assert set(reported) == {*CANONICAL, "custom.needs", "custom.seats"}
    assert {name for name, outcome in reported.items() if outcome == "copied"} == {
        "email",
        "first_name",
        "last_name",
        "full_name",
        "company",
        "domain",
        "job_title",
        "seniority",
        "industry",
        "employees",
        "website",
    }
    assert reported["message"] == reported["custom.needs"] == reported["phone"] == "unmapped"
    assert (await api.reload(lead))["custom"] == {"needs": ["crm"], "seats": 12}


async def test_8_convert_to_new_and_existing(api: Api, ae: str) -> None:
    account = await api.post("/v1/accounts", {"name": "Nordsoft", "domain": "nordsoft.ro", "industry": "IT"})
    lead = await sql_lead(api, ae, **ANNA | {"industry": "Software"}, phone="+40 21 555 0100")
    made = await converted(api, lead, ae)
    reported = outcomes(made)
    after = await api.get(f"/v1/accounts/{account['id']}")
    assert made["account"] == {"id": account["id"], "outcome": "linked"}
    assert (made["contact"]["outcome"], made["opportunity"]["outcome"]) == ("created", "created")
    assert (reported["industry"], reported["phone"], reported["employees"]) == ("kept_existing", "filled", "filled")
    assert (after["industry"], after["phone"], after["version"]) == ("IT", "+40215550100", 2)
    assert after["origin_lead_id"] is None


async def test_named_fields_are_overwritten_and_the_callers_values_take_precedence(api: Api, ae: str) -> None:
    account = await api.post("/v1/accounts", {"name": "Nordsoft", "domain": "nordsoft.ro", "industry": "IT"})
    lead = await sql_lead(api, ae, **ANNA | {"company": "Nordsoft Romania"})
    order = {
        "account": {"overwrite": ["industry", "company"], "values": {"language": "ro"}},
        "contact": {"values": {"job_title": "CTO"}},
    }
    made = await converted(api, lead, ae, order)
    after = await api.get(f"/v1/accounts/{account['id']}")
    contact = await api.get(f"/v1/contacts/{made['contact']['id']}")
    reported = outcomes(made)
    assert (after["industry"], after["name"], after["language"]) == ("software", "Nordsoft Romania", "ro")
    assert (reported["industry"], reported["company"], reported["job_title"]) == (
        "overwritten",
        "overwritten",
        "kept_existing",
    )
    assert contact["job_title"] == "CTO"


async def test_a_person_without_a_company_becomes_a_contact_only(api: Api, ae: str) -> None:
    lead = await api.lead(email="ion@gmail.com", full_name="Ion Pop")
    await moved(api, lead, "qualify", await api.user("marketing"), override_reason="a friend")
    await moved(api, lead, "accept", await api.user("manager"))
    await moved(api, lead, "confirm", ae, bant=BANT)
    made = await converted(api, lead, ae)
    opportunity = await api.get(f"/v1/opportunities/{made['opportunity']['id']}")
    assert made["account"] == {"id": None, "outcome": "none"}
    assert made["contact"]["outcome"] == "created"
    assert (opportunity["account_id"], opportunity["contact_id"], opportunity["name"]) == (
        None,
        made["contact"]["id"],
        "Ion Pop",
    )
    assert await count(api, "accounts") == 0


async def test_mode_none_creates_no_opportunity(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    made = await converted(api, lead, ae, {"opportunity": {"mode": "none"}})
    assert made["opportunity"] == {"id": None, "outcome": "none", "class": None}
    assert await count(api, "opportunities") == 0
    assert (await api.reload(lead))["stage"] == "converted"


async def test_a_second_lead_can_be_linked_to_an_existing_opportunity(api: Api, ae: str) -> None:
    first = await converted(api, await sql_lead(api, ae, **ANNA), ae)
    lead = await sql_lead(api, ae, email="dan@nordsoft.ro", full_name="Dan Pop")
    made = await converted(api, lead, ae, {"opportunity": {"mode": "use", "id": first["opportunity"]["id"]}})
    assert made["opportunity"] == {"id": first["opportunity"]["id"], "outcome": "linked", "class": "qualified"}
    assert made["account"] == {"id": first["account"]["id"], "outcome": "linked"}
    assert await count(api, "opportunities") == 1
    assert await count(api, "contacts") == 2


async def test_the_owner_and_the_verifier_can_be_given_and_the_time_is_checked(api: Api, ae: str) -> None:
    lead, other = await sql_lead(api, ae, **ANNA), await api.user("ae")
    order = {"owner_id": other, "verification": {"by": other, "note": "called, confirmed"}, "carry_activities": False}
    made = await converted(api, lead, ae, order)
    account = await api.get(f"/v1/accounts/{made['account']['id']}")
    step = (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"][-1]
    assert (made["verified_by"], made["carry_activities"], account["owner_id"]) == (other, False, other)
    assert (step["note"], step["actor"]["id"], step["id"]) == ("called, confirmed", ae, made["transition_id"])
    late = await sql_lead(api, ae, email="late@late.example")
    refused = await convert(api, late, ae, {"occurred_at": api.ago(days=30)})
    assert (refused.status_code, refused.json()["code"]) == (422, "out_of_order")


async def test_the_events_of_a_conversion_are_in_order(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    made = await converted(api, lead, ae)
    emitted = [one for one in await events(api, lead) if one.lead_version == lead["version"] + 1]
    assert [one.type for one in emitted] == ["lead.stage_changed", "lead.converted", "opportunity.stage_changed"]
    assert emitted[1].data["conversion"] == made
    assert emitted[1].data["lead_id"] == lead["id"]
    assert (emitted[2].data["from"], emitted[2].data["to"], emitted[2].data["class"]) == (
        None,
        "qualified",
        "qualified",
    )
    assert emitted[2].data["opportunity_id"] == made["opportunity"]["id"]
    assert (emitted[0].data["to"], emitted[0].data["actor"]["kind"]) == ("converted", "human")


async def test_under_the_pipeline_policy_a_hand_over_converts_in_the_same_transaction(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr = await api.user("sdr")
    lead = await api.mql(**ANNA)
    await moved(api, lead, "accept", sdr)
    before = await api.reload(lead)
    headers = {"Idempotency-Key": "hand-over"}
    answer = await moved(api, lead, "hand_over", sdr, bant=BANT, headers=headers)
    assert (answer["lead"]["stage"], answer["lead"]["version"]) == ("converted", before["version"] + 1)
    assert answer["conversion"]["opportunity"]["class"] == "unqualified"
    assert (await api.steps(lead))[-2:] == [("sal", "srl"), ("srl", "converted")]
    journey = (await api.get(f"/v1/leads/{lead['id']}/journeys"))["data"][0]
    assert [one["name"] for one in journey["milestones"]] == ["mql", "sal", "srl"]
    emitted = [one.type for one in await events(api, lead) if one.lead_version == before["version"] + 1]
    assert emitted == [
        "lead.stage_changed",
        "lead.stage_changed",
        "lead.assigned",
        "lead.converted",
        "opportunity.stage_changed",
    ]


async def test_the_class_of_the_opportunity_follows_from_the_stage(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    lead = await srl_lead(api, sdr, **ANNA)
    wrong = await convert(api, lead, ae, {"opportunity": {"class": "qualified"}})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "class_not_allowed")
    assert (await converted(api, lead, ae))["opportunity"]["class"] == "unqualified"


async def test_a_second_journey_links_the_account_and_contact_of_the_first(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    first = await converted(api, lead, ae)
    path = f"/v1/opportunities/{first['opportunity']['id']}/transitions"
    await api.post(path, {"action": "win"}, actor=ae)
    await api.add_activity(lead, "demo_request")
    manager = await api.user("manager")
    await moved(api, lead, "accept", manager)
    await moved(api, lead, "confirm", ae, bant=BANT)
    second = await converted(api, lead, ae)
    opportunity = await api.get(f"/v1/opportunities/{second['opportunity']['id']}")
    assert second["account"] == {"id": first["account"]["id"], "outcome": "linked"}
    assert second["contact"] == {"id": first["contact"]["id"], "outcome": "linked"}
    assert (second["journey_no"], second["opportunity"]["outcome"], opportunity["business"]) == (
        2,
        "created",
        "existing",
    )


async def test_a_conversion_takes_at_most_six_round_trips(api: Api, ae: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    statements: list[str] = []

    def record_statement(_: Any, __: Any, statement: str, *___: Any) -> None:
        statements.append(statement)

    async def record_command(self: Tx, command: str, answer: Any) -> Any:
        statements.append(command)
        return await run(self, command, answer)

    run = Tx.run
    monkeypatch.setattr(Tx, "run", record_command)
    event.listen(api.app.state.engine.engine.sync_engine, "before_cursor_execute", record_statement)
    await converted(api, lead, ae)
    around = ("BEGIN", "COMMIT", "idempotency", "pg_try_advisory")
    mine = [one for one in statements if not any(word in one for word in around)]
    assert len(mine) <= 6, [one.split("\n")[1][:60] if "\n" in one else one[:60] for one in mine]


async def test_get_is_404_where_nothing_was_converted(api: Api) -> None:
    lead = await api.lead(**GOOD)
    answer = await api.call("GET", f"/v1/leads/{lead['id']}/conversion")
    assert (answer.status_code, answer.json()["code"]) == (404, "conversion_not_found")
    unknown = await api.call("GET", "/v1/leads/lead_01k00000000000000000000000/conversion")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "lead_not_found")


async def test_activities_are_listed_under_the_contact_unless_carry_activities_is_false(api: Api, ae: str) -> None:
    one = await sql_lead(api, ae, **ANNA)
    two = await sql_lead(api, ae, email="dan@nordsoft.ro", company="Nordsoft")
    carried = await converted(api, one, ae)
    left = await converted(api, two, ae, {"carry_activities": False})
    listed = await api.get(f"/v1/contacts/{carried['contact']['id']}/activities")
    own = await api.get(f"/v1/leads/{one['id']}/activities")
    assert listed["data"] == own["data"]
    assert {activity["type"] for activity in listed["data"]} >= {"demo_request"}
    assert (await api.get(f"/v1/contacts/{left['contact']['id']}/activities"))["data"] == []
    unknown = await api.call("GET", "/v1/contacts/con_01k00000000000000000000000/activities")
    assert unknown.json()["code"] == "contact_not_found"


async def test_a_lead_with_the_longest_values_can_be_converted(api: Api, ae: str) -> None:
    def characters(length: int) -> str:
        return "".join(chr(0x4E00 + (n * 7919) % 20000) for n in range(length))

    names = ("company", "phone", "country", "first_name", "last_name", "language", "website", "role", "seniority")
    lead = await sql_lead(
        api, ae, email="long@long.ro", **{name: characters(1000) for name in names}, message=characters(10_000)
    )
    made = await converted(api, lead, ae)
    account = await api.get(f"/v1/accounts/{made['account']['id']}")
    assert account["name"] == characters(1000)
    assert outcomes(made)["country"] == outcomes(made)["phone"] == "unmapped"
