"""Who may own a lead, and to whom a lead is returned."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api import Api
from tests.conversion.steps import BANT, convert, converted, mql, preview, sql_lead, srl_lead
from tests.journeys.test_time import events_of_type

THREE = {name: {"status": "confirmed"} for name in ("need", "budget", "timing")}
MAY_OWN = ("sdr", "ae", "manager")
MAY_NOT = ("marketing", "admin")


@pytest.mark.parametrize("role", [*MAY_OWN, *MAY_NOT])
async def test_an_owner_is_an_active_sdr_ae_or_manager_at_every_door(api: Api, role: str) -> None:
    user, ae = await api.user(role), await api.user("ae")
    lead, won = await api.lead(), await sql_lead(api, ae)
    account = (await api.post("/v1/accounts", {"name": "Nordsoft"}))["id"]
    deal = (await api.post("/v1/opportunities", {"name": "Renewal"}))["id"]
    body: dict[str, Any] = {"owner_id": user}
    answers = [
        await api.call("PATCH", f"/v1/leads/{lead['id']}", body),
        await api.call("POST", "/v1/accounts", {"name": "Acme", **body}),
        await api.call("PATCH", f"/v1/accounts/{account}", body),
        await api.call("POST", "/v1/contacts", {"last_name": "Pop", **body}),
        await api.call("POST", "/v1/opportunities", {"name": "Deal", **body}),
        await api.call("PATCH", f"/v1/opportunities/{deal}", body),
        await convert(api, won, ae, {"opportunity": {"owner_id": user}}),
        await convert(api, await sql_lead(api, ae), ae, body),
    ]
    assert {answer.status_code in (200, 201) for answer in answers} == {role in MAY_OWN}
    if role in MAY_NOT:
        assert {(answer.status_code, answer.json()["code"]) for answer in answers} == {(422, "owner_invalid")}
        fields = [answer.json()["errors"][0]["field"] for answer in answers]
        assert fields == ["owner_id"] * 6 + ["opportunity.owner_id", "owner_id"]


@pytest.mark.parametrize("role", MAY_NOT)
async def test_a_transition_cannot_name_an_owner_of_another_role(pipeline_api: Api, role: str) -> None:
    api = pipeline_api
    sdr, user, lead = await api.user("sdr"), await api.user(role), await api.mql()
    refused = await api.ask(lead, "hand_over", sdr, bant=THREE, conversion=False, owner_id=user)
    assert (refused.status_code, refused.json()["code"]) == (422, "owner_invalid")
    assert refused.json()["errors"][0]["field"] == "owner_id"
    wrong = await api.ask(lead, "hand_over", sdr, bant=THREE, conversion=False, owner_id=await api.user("manager"))
    assert wrong.json()["code"] == "criteria_unmet"
    early = await api.ask(lead, "confirm", sdr, owner_id=user)
    assert early.status_code == 409, "the checks before the guard come first"


async def test_who_verified_a_conversion_may_have_any_role(api: Api) -> None:
    ae, marketing = await api.user("ae"), await api.user("marketing")
    made = await converted(api, await sql_lead(api, ae), ae, {"verification": {"by": marketing}})
    assert made["verified_by"] == marketing


async def test_an_admin_who_accepts_a_lead_does_not_become_its_owner(api: Api) -> None:
    lead, admin = await api.mql(), await api.user("admin")
    answer = await api.ask(lead, "accept", admin)
    assert (answer.status_code, answer.json()["lead"]["owner_id"]) == (201, None)


async def test_a_returned_lead_goes_to_its_sdr_also_after_two_aes(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, first, second = await api.user("sdr"), await api.user("ae"), await api.user("ae")
    lead = await mql(api)
    await api.ask(lead, "accept", sdr)
    await api.ask(lead, "hand_over", sdr, bant=BANT, owner_id=first, conversion=False)
    await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": second})
    back = (await api.ask(lead, "return", second, reason_code="no_need")).json()["lead"]
    assert (back["stage"], back["owner_id"]) == ("sal", sdr)


@pytest.mark.parametrize("case", ["never_had_one", "inactive", "another_role", "manager_accepted"])
async def test_a_lead_without_an_sdr_is_returned_to_the_pool(pipeline_api: Api, case: str) -> None:
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    if case == "never_had_one":
        lead = await mql(api)
        await api.ask(lead, "hand_over", sdr, bant=BANT, conversion=False)
    else:
        lead = await srl_lead(api, await api.user("manager") if case == "manager_accepted" else sdr)
    if case == "inactive":
        await api.call("PATCH", f"/v1/users/{sdr}", {"active": False})
    elif case == "another_role":
        await api.call("PATCH", f"/v1/users/{sdr}", {"role": "marketing"})
    back = (await api.ask(lead, "return", ae, reason_code="no_need")).json()["lead"]
    assert (back["stage"], back["owner_id"]) == ("sal", None)
    last = (await events_of_type(api, "lead.assigned"))[-1]
    assert (last["lead_id"], last["owner_id"], last["pool"]) == (lead["id"], None, "sdr")


async def test_attempts_count_anew_after_a_return_to_the_pool(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae, lead = await api.user("sdr"), await api.user("ae"), await mql(api)
    for _ in range(3):
        await api.add_activity(lead, "call", kind="contact_attempt")
    await api.ask(lead, "hand_over", sdr, bant=BANT, conversion=False)
    await api.ask(lead, "return", ae, reason_code="no_need")
    answer = await api.ask(lead, "recycle", sdr, reason_code="unreachable")
    assert answer.json()["unmet"] == [{"criterion": "attempts", "have": 0, "need": 3}]


async def test_the_deal_of_a_lead_whose_owner_left_belongs_to_who_converts(api: Api) -> None:
    ae, manager = await api.user("ae"), await api.user("manager")
    lead = await sql_lead(api, ae)
    await api.call("PATCH", f"/v1/users/{ae}", {"active": False})
    shown = (await preview(api, lead, manager))["opportunity"]
    made = (await converted(api, lead, manager))["opportunity"]
    deal = await api.get(f"/v1/opportunities/{made['id']}")
    assert (made["owner_id"], made["owner_reason"]) == (manager, "converted_by")
    assert (shown["owner_id"], shown["owner_reason"]) == (manager, "converted_by")
    assert deal["owner_id"] == manager


@pytest.mark.parametrize(
    ("order", "reason", "whose"),
    [
        ({}, "lead_owner", "ae"),
        ({"owner_id": "other"}, "requested", "other"),
        ({"opportunity": {"owner_id": "other"}}, "requested", "other"),
        ({"owner_id": "manager", "opportunity": {"owner_id": "other"}}, "requested", "other"),
    ],
)
async def test_a_conversion_says_whose_the_deal_is_and_why(
    api: Api, order: dict[str, Any], reason: str, whose: str
) -> None:
    users = {"ae": await api.user("ae"), "other": await api.user("ae"), "manager": await api.user("manager")}
    lead = await sql_lead(api, users["ae"])
    named = {
        name: users[value] if isinstance(value, str) else {"owner_id": users["other"]} for name, value in order.items()
    }
    made = (await converted(api, lead, users["ae"], named))["opportunity"]
    deal = await api.get(f"/v1/opportunities/{made['id']}")
    assert (made["owner_id"], made["owner_reason"], deal["owner_id"]) == (users[whose], reason, users[whose])


async def test_a_deal_has_no_owner_where_neither_the_lead_nor_who_converts_can_own_it(api: Api) -> None:
    ae, admin = await api.user("ae"), await api.user("admin")
    lead = await sql_lead(api, ae)
    await api.call("PATCH", f"/v1/users/{ae}", {"role": "marketing"})
    made = (await converted(api, lead, admin))["opportunity"]
    assert (made["owner_id"], made["owner_reason"]) == (None, None)
