"""The stories of lifecycle.md, section 11, under the policy `pipeline`: SRL at the conversion, SQL by the AE."""

from __future__ import annotations

from typing import Any

from tests.api import Api

YES = {"status": "confirmed", "value": "yes"}
THREE = {"need": YES, "budget": YES, "timing": YES}


async def handed_over(api: Api, sdr: str, **members: Any) -> dict[str, Any]:
    """The answer to the hand-over of a lead that the SDR accepted and confirmed by three criteria."""
    lead = await api.mql(company="Nordsoft", website="https://nordsoft.example")
    await api.ask(lead, "accept", sdr)
    answer = await api.ask(
        lead,
        "hand_over",
        sdr,
        bant=THREE,
        owner_id=await api.user("ae"),
        headers={"Idempotency-Key": lead["id"]},
        **members,
    )
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


async def milestones(api: Api, lead_id: str) -> dict[str, bool]:
    """The milestones of the newest journey that are not voided: name → skipped."""
    journey = (await api.get(f"/v1/leads/{lead_id}/journeys"))["data"][-1]
    return {one["name"]: one["skipped"] for one in journey["milestones"] if not one["voided"]}


async def test_7_the_sdr_and_the_ae_both_confirm_bant(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    answer = await handed_over(api, sdr)
    lead = answer["lead"]
    assert list(await api.steps(lead))[-2:] == [("sal", "srl"), ("srl", "converted")]
    assert answer["transition"]["to"] == "srl"
    assert answer["conversion"]["opportunity"]["class"] == "unqualified"
    assert await milestones(api, lead["id"]) == {"mql": False, "sal": False, "srl": False}
    path = f"/v1/opportunities/{answer['conversion']['opportunity']['id']}/transitions"
    alone = await api.call("POST", path, {"action": "qualify"}, actor=ae)
    assert (alone.status_code, alone.json()["code"]) == (422, "criteria_unmet"), (
        "the SDR's confirmations alone are not enough"
    )
    one = await api.call("POST", path, {"action": "qualify", "bant": {"need": YES}}, actor=ae)
    (unmet,) = one.json()["unmet"]
    assert (unmet["criterion"], unmet["have"], unmet["need"]) == ("bant", 1, 3)
    three = await api.call("POST", path, {"action": "qualify", "bant": THREE}, actor=ae)
    assert three.status_code == 201, three.text
    opportunity = await api.get(path.removesuffix("/transitions"))
    assert (opportunity["class"], opportunity["stage"]) == ("qualified", "qualified")
    assert await milestones(api, lead["id"]) == {"mql": False, "sal": False, "srl": False, "sql": False}


async def test_handing_over_straight_from_mql_skips_sal(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    lead = await api.mql()
    answer = await api.ask(lead, "hand_over", sdr, bant=THREE, owner_id=ae, conversion=False)
    assert answer.status_code == 201, answer.text
    assert answer.json()["lead"]["stage"] == "srl"
    assert "conversion" not in answer.json()
    assert await milestones(api, lead["id"]) == {"mql": False, "sal": True, "srl": False}


async def test_a_hand_over_that_converts_needs_an_idempotency_key_and_is_replayed_under_it(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    lead = await api.mql()
    refused = await api.ask(lead, "hand_over", sdr, bant=THREE, owner_id=ae)
    assert (refused.status_code, refused.json()["code"]) == (400, "idempotency_key_required")
    assert (await api.reload(lead))["stage"] == "mql"
    head = {"Idempotency-Key": "once"}
    first = await api.ask(lead, "hand_over", sdr, bant=THREE, owner_id=ae, headers=head)
    again = await api.ask(lead, "hand_over", sdr, bant=THREE, owner_id=ae, headers=head)
    assert first.status_code == again.status_code == 201
    assert first.content == again.content
    assert again.headers["idempotency-replayed"] == "true"


async def test_8_a_conversion_links_an_existing_account_and_creates_a_contact(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    await api.post("/v1/accounts", {"name": "Nordsoft", "domain": "nordsoft.ro", "industry": "IT"})
    lead = await api.lead(
        email="anna@nordsoft.ro",
        full_name="Anna Zvoristeanu",
        job_title="Director",
        employees=120,
        industry="Software",
        company="Nordsoft",
        phone="+40 21 555 0100",
    )
    await api.add_activity(lead, "demo_request")
    await api.ask(lead, "hand_over", sdr, bant=THREE, owner_id=ae, conversion=False)
    head = {"Idempotency-Key": "convert-anna"}
    body = {"account": {"mode": "match_or_create"}, "contact": {"mode": "match_or_create"}}
    answer = await api.call("POST", f"/v1/leads/{lead['id']}/conversion", body, actor=ae, headers=head)
    assert answer.status_code == 201, answer.text
    conversion = answer.json()["conversion"]
    outcomes = {(one["field"], one["target"]): one["outcome"] for one in conversion["field_outcomes"]}
    fields = [field for field, _ in outcomes]
    assert conversion["account"]["outcome"] == "linked"
    assert conversion["contact"]["outcome"] == "created"
    assert len(fields) == len(set(fields)), "every lead field is listed once"
    account = await api.get(f"/v1/accounts/{conversion['account']['id']}")
    assert (account["industry"], account["phone"]) == ("IT", "+40215550100")
    assert outcomes[next(key for key in outcomes if key[0] == "industry")] == "kept_existing"
    assert (await api.reload(lead))["links"] == {
        f"{noun}_id": conversion[noun]["id"] for noun in ("account", "contact", "opportunity")
    }


async def test_return_goes_back_to_the_sdr_with_a_reason(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    lead = await api.mql()
    await api.ask(lead, "accept", sdr)
    await api.ask(lead, "hand_over", sdr, bant=THREE, owner_id=ae, conversion=False)
    refused = await api.ask(lead, "return", ae)
    assert refused.json()["code"] == "reason_required"
    back = (await api.ask(lead, "return", ae, reason_code="no_need")).json()["lead"]
    assert (back["stage"], back["owner_id"]) == ("sal", sdr)
