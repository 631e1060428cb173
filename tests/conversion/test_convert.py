"""A conversion makes account, contact and opportunity from the lead, and tells all that it did."""

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
    deal = await api.get(f"/v1/opportunities/{made['opportunity']['id']}")
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
    assert (deal["name"], deal["stage"], deal["class"], deal["business"]) == (
        "Nordsoft 2027",
        "qualified",
        "qualified",
        "new",
    )
    assert (deal["amount"], deal["close_date"]) == ({"value": "12000.00", "currency": "EUR"}, "2027-03-31")
    assert (deal["account_id"], deal["contact_id"], deal["owner_id"]) == (account["id"], contact["id"], ae)
    assert {one["origin_lead_id"] for one in (account, contact, deal)} == {lead["id"]}


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
    said = outcomes(await converted(api, lead, ae))
    assert set(said) == {*CANONICAL, "custom.needs", "custom.seats"}
    assert {name for name, outcome in said.items() if outcome == "copied"} == {
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
    assert said["message"] == said["custom.needs"] == said["phone"] == "unmapped"
    assert (await api.reload(lead))["custom"] == {"needs": ["crm"], "seats": 12}


async def test_8_convert_to_new_and_existing(api: Api, ae: str) -> None:
    account = await api.post("/v1/accounts", {"name": "Nordsoft", "domain": "nordsoft.ro", "industry": "IT"})
    lead = await sql_lead(api, ae, **ANNA | {"industry": "Software"}, phone="+40 21 555 0100")
    made = await converted(api, lead, ae)
    said = outcomes(made)
    after = await api.get(f"/v1/accounts/{account['id']}")
    assert made["account"] == {"id": account["id"], "outcome": "linked"}
    assert (made["contact"]["outcome"], made["opportunity"]["outcome"]) == ("created", "created")
    assert (said["industry"], said["phone"], said["employees"]) == ("kept_existing", "filled", "filled")
    assert (after["industry"], after["phone"], after["version"]) == ("IT", "+40215550100", 2)
    assert after["origin_lead_id"] is None


async def test_named_fields_are_overwritten_and_the_callers_own_values_go_first(api: Api, ae: str) -> None:
    account = await api.post("/v1/accounts", {"name": "Nordsoft", "domain": "nordsoft.ro", "industry": "IT"})
    lead = await sql_lead(api, ae, **ANNA | {"company": "Nordsoft Romania"})
    order = {
        "account": {"overwrite": ["industry", "company"], "values": {"language": "ro"}},
        "contact": {"values": {"job_title": "CTO"}},
    }
    made = await converted(api, lead, ae, order)
    after = await api.get(f"/v1/accounts/{account['id']}")
    contact = await api.get(f"/v1/contacts/{made['contact']['id']}")
    said = outcomes(made)
    assert (after["industry"], after["name"], after["language"]) == ("software", "Nordsoft Romania", "ro")
    assert (said["industry"], said["company"], said["job_title"]) == ("overwritten", "overwritten", "kept_existing")
    assert contact["job_title"] == "CTO"


async def test_a_person_without_a_company_becomes_a_contact_alone(api: Api, ae: str) -> None:
    lead = await api.lead(email="ion@gmail.com", full_name="Ion Pop")
    await moved(api, lead, "qualify", await api.user("marketing"), override_reason="a friend")
    await moved(api, lead, "accept", await api.user("manager"))
    await moved(api, lead, "confirm", ae, bant=BANT)
    made = await converted(api, lead, ae)
    deal = await api.get(f"/v1/opportunities/{made['opportunity']['id']}")
    assert made["account"] == {"id": None, "outcome": "none"}
    assert made["contact"]["outcome"] == "created"
    assert (deal["account_id"], deal["contact_id"], deal["name"]) == (None, made["contact"]["id"], "Ion Pop")
    assert await count(api, "accounts") == 0


async def test_a_conversion_without_an_opportunity_makes_none(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    made = await converted(api, lead, ae, {"opportunity": {"mode": "none"}})
    assert made["opportunity"] == {"id": None, "outcome": "none", "class": None}
    assert await count(api, "opportunities") == 0
    assert (await api.reload(lead))["stage"] == "converted"


async def test_a_second_person_joins_an_opportunity_that_is_there(api: Api, ae: str) -> None:
    first = await converted(api, await sql_lead(api, ae, **ANNA), ae)
    lead = await sql_lead(api, ae, email="dan@nordsoft.ro", full_name="Dan Pop")
    made = await converted(api, lead, ae, {"opportunity": {"mode": "use", "id": first["opportunity"]["id"]}})
    assert made["opportunity"] == {"id": first["opportunity"]["id"], "outcome": "linked", "class": "qualified"}
    assert made["account"] == {"id": first["account"]["id"], "outcome": "linked"}
    assert await count(api, "opportunities") == 1
    assert await count(api, "contacts") == 2


async def test_the_owner_the_verifier_and_the_time_may_be_named(api: Api, ae: str) -> None:
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


async def test_the_events_of_a_conversion_come_in_their_order(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    made = await converted(api, lead, ae)
    told = [one for one in await events(api, lead) if one.lead_version == lead["version"] + 1]
    assert [one.type for one in told] == ["lead.stage_changed", "lead.converted", "opportunity.stage_changed"]
    assert told[1].data["conversion"] == made
    assert told[1].data["lead_id"] == lead["id"]
    assert (told[2].data["from"], told[2].data["to"], told[2].data["class"]) == (None, "qualified", "qualified")
    assert told[2].data["opportunity_id"] == made["opportunity"]["id"]
    assert (told[0].data["to"], told[0].data["actor"]["kind"]) == ("converted", "human")


async def test_in_the_pipeline_a_hand_over_converts_in_the_same_transaction(pipeline_api: Api) -> None:
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
    told = [one.type for one in await events(api, lead) if one.lead_version == before["version"] + 1]
    assert told == [
        "lead.stage_changed",
        "lead.stage_changed",
        "lead.assigned",
        "lead.converted",
        "opportunity.stage_changed",
    ]


async def test_the_class_follows_from_the_stage(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    lead = await srl_lead(api, sdr, **ANNA)
    wrong = await convert(api, lead, ae, {"opportunity": {"class": "qualified"}})
    assert (wrong.status_code, wrong.json()["code"]) == (422, "class_not_allowed")
    assert (await converted(api, lead, ae))["opportunity"]["class"] == "unqualified"


async def test_a_converted_journey_that_begins_anew_links_the_same_people(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    first = await converted(api, lead, ae)
    path = f"/v1/opportunities/{first['opportunity']['id']}/transitions"
    await api.post(path, {"action": "win"}, actor=ae)
    await api.add_activity(lead, "demo_request")
    manager = await api.user("manager")
    await moved(api, lead, "accept", manager)
    await moved(api, lead, "confirm", ae, bant=BANT)
    second = await converted(api, lead, ae)
    deal = await api.get(f"/v1/opportunities/{second['opportunity']['id']}")
    assert second["account"] == {"id": first["account"]["id"], "outcome": "linked"}
    assert second["contact"] == {"id": first["contact"]["id"], "outcome": "linked"}
    assert (second["journey_no"], second["opportunity"]["outcome"], deal["business"]) == (2, "created", "existing")


async def test_a_conversion_takes_few_round_trips(api: Api, ae: str, monkeypatch: pytest.MonkeyPatch) -> None:
    lead = await sql_lead(api, ae, **ANNA)
    said: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        said.append(statement)

    async def tell(self: Tx, words: str, answer: Any) -> Any:
        said.append(words)
        return await through(self, words, answer)

    through = Tx.run
    monkeypatch.setattr(Tx, "run", tell)
    event.listen(api.app.state.engine.engine.sync_engine, "before_cursor_execute", note)
    await converted(api, lead, ae)
    around = ("BEGIN", "COMMIT", "idempotency", "pg_try_advisory")
    mine = [one for one in said if not any(word in one for word in around)]
    assert len(mine) <= 6, [one.split("\n")[1][:60] if "\n" in one else one[:60] for one in mine]


async def test_get_is_404_where_nothing_was_converted(api: Api) -> None:
    lead = await api.lead(**GOOD)
    answer = await api.call("GET", f"/v1/leads/{lead['id']}/conversion")
    assert (answer.status_code, answer.json()["code"]) == (404, "conversion_not_found")
    unknown = await api.call("GET", "/v1/leads/lead_01k00000000000000000000000/conversion")
    assert (unknown.status_code, unknown.json()["code"]) == (404, "lead_not_found")


async def test_activities_are_carried_to_the_contact_unless_told_otherwise(api: Api, ae: str) -> None:
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


async def test_the_longest_answers_that_a_lead_may_have_can_be_converted(api: Api, ae: str) -> None:
    def odd(length: int) -> str:
        return "".join(chr(0x4E00 + (n * 7919) % 20000) for n in range(length))

    names = ("company", "phone", "country", "first_name", "last_name", "language", "website", "role", "seniority")
    lead = await sql_lead(api, ae, email="long@long.ro", **{name: odd(1000) for name in names}, message=odd(10_000))
    made = await converted(api, lead, ae)
    account = await api.get(f"/v1/accounts/{made['account']['id']}")
    assert account["name"] == odd(1000)
    assert outcomes(made)["country"] == outcomes(made)["phone"] == "unmapped"
