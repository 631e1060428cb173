"""The consents of a lead go with the person to the contact, and later decisions reach it too (decision 0028)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import product
from typing import Any

import pytest

from tests.api import Api
from tests.conversion.steps import BANT, convert, converted, moved, mql, outcomes, preview, rows, sql_lead
from tests.submissions.sender import make_sender

STATES = ("given", "refused", "withdrawn", "unknown")
WORDS = "I agree to receive the newsletter"


@pytest.fixture
async def ae(api: Api) -> str:
    return await api.user("ae")


async def decide(
    api: Api, lead: dict[str, Any], consents: dict[str, str], *, days_ago: int, source_id: str | None = None
) -> None:
    """Sends forms of the lead's person with these consents, of some days ago."""
    said = [{"purpose": purpose, "state": state, "text": WORDS} for purpose, state in consents.items()]
    for start in range(0, len(said), 20):  # the most that one request may have
        some = said[start : start + 20]
        body = {"fields": {"email": lead["fields"]["email"]}, "consents": some, "occurred_at": api.ago(days=days_ago)}
        await api.post("/v1/leads", {**body, "source_id": source_id}, status=200)


async def put(api: Api, lead: dict[str, Any], consents: dict[str, str]) -> None:
    said = [{"purpose": purpose, "state": state, "text": WORDS} for purpose, state in consents.items()]
    answer = await api.call("PUT", f"/v1/leads/{lead['id']}/consents", {"consents": said})
    assert answer.status_code == 200, answer.text


async def contact_of(api: Api, conversion: dict[str, Any]) -> dict[str, Any]:
    return dict(await api.get(f"/v1/contacts/{conversion['contact']['id']}"))


def states(contact: dict[str, Any]) -> dict[str, str]:
    return {purpose: one["state"] for purpose, one in contact["consents"].items()}


def consent_outcomes(document: dict[str, Any]) -> dict[str, str]:
    """The outcome of each consent by purpose; its target is the consent of the contact."""
    lines = [line for line in document["field_outcomes"] if line["field"].startswith("consents.")]
    assert all(line["target"] == f"contact.{line['field']}" for line in lines)
    return {name.removeprefix("consents."): one for name, one in outcomes(document).items() if "consents." in name}


async def test_a_new_contact_has_the_consents_of_the_lead_with_their_evidence(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae)
    said = {f"said_{state}": state for state in STATES}
    await decide(api, lead, said, days_ago=3)
    seen = await preview(api, lead, ae)
    made = await converted(api, lead, ae)
    contact = await contact_of(api, made)
    assert consent_outcomes(made) == consent_outcomes(seen) == dict.fromkeys(said, "copied")
    assert states(contact) == said
    log = {one["purpose"]: one for one in (await api.get(f"/v1/leads/{lead['id']}/consents"))["log"]}
    assert log.keys() == {purpose for purpose, state in said.items() if state != "unknown"}
    for purpose, one in log.items():
        evidence = {name: one[name] for name in ("state", "occurred_at", "text", "channel")}
        assert contact["consents"][purpose] == {**evidence, "source_id": lead["source_id"], "bought": False}
    no_evidence = dict.fromkeys(("occurred_at", "text", "channel", "source_id"))
    assert contact["consents"]["said_unknown"] == {"state": "unknown", **no_evidence, "bought": False}
    (listed,) = (await api.get("/v1/contacts"))["data"]
    assert listed == contact


@pytest.mark.parametrize("door", ["conversion", "batch"])
async def test_of_two_decisions_about_a_contact_the_later_counts_and_unknown_replaces_none(
    api: Api, ae: str, door: str
) -> None:
    first, second = await sql_lead(api, ae), await sql_lead(api, ae)
    cases = {
        f"{known}_then_{new}_{days}": (known, new, days)
        for known, new, days in product(("absent", *STATES), STATES, (1, 9))
    }
    await decide(api, first, {name: known for name, (known, _, _) in cases.items() if known != "absent"}, days_ago=5)
    contact = await contact_of(api, await converted(api, first, ae))
    for days in (1, 9):
        await decide(api, second, {name: new for name, (_, new, when) in cases.items() if when == days}, days_ago=days)
    order = {"account": {"mode": "use", "id": contact["account_id"]}, "contact": {"mode": "use", "id": contact["id"]}}
    seen = await preview(api, second, ae, order)
    if door == "batch":
        body = {"items": [{"lead_id": second["id"], **order}]}
        answer = await api.call("POST", "/v1/conversions/batch", body, actor=ae, headers={"Idempotency-Key": "all"})
        made = answer.json()["results"][0]["conversion"]
    else:
        made = await converted(api, second, ae, order)
    expected = {}
    for name, (known, new, days) in cases.items():
        if known == "absent":
            expected[name] = (new, "filled")
        elif new != "unknown" and (known == "unknown" or days == 1):
            expected[name] = (new, "overwritten")
        else:
            expected[name] = (known, "kept_existing")
    after = await contact_of(api, made)
    assert states(after) == {name: state for name, (state, _) in expected.items()}
    assert consent_outcomes(made) == consent_outcomes(seen) == {name: one for name, (_, one) in expected.items()}
    assert after["version"] == contact["version"] + 1


@pytest.mark.parametrize("refusal_first", [True, False])
async def test_of_two_leads_of_a_batch_for_one_contact_the_later_decision_counts(
    api: Api, ae: str, refusal_first: bool
) -> None:
    refused, given = await sql_lead(api, ae), await sql_lead(api, ae)
    await decide(api, refused, {"email_marketing": "refused"}, days_ago=1)
    await decide(api, given, {"email_marketing": "given", "phone": "given"}, days_ago=5)
    account = await api.post("/v1/accounts", {"name": "Nordsoft"})
    contact = await api.post("/v1/contacts", {"email": "ana@nordsoft.example", "account_id": account["id"]})
    order = {"account": {"mode": "use", "id": account["id"]}, "contact": {"mode": "use", "id": contact["id"]}}
    leads = [refused, given] if refusal_first else [given, refused]
    body = {"items": [{"lead_id": lead["id"], **order} for lead in leads]}
    answer = await api.call("POST", "/v1/conversions/batch", body, actor=ae, headers={"Idempotency-Key": "two"})
    made = [result["conversion"] for result in answer.json()["results"]]
    assert states(await contact_of(api, made[0])) == {"email_marketing": "refused", "phone": "given"}
    later = "kept_existing" if refusal_first else "overwritten"
    assert [consent_outcomes(one)["email_marketing"] for one in made] == ["filled", later]


async def test_a_contact_without_consents_takes_those_of_the_lead(api: Api, ae: str) -> None:
    contact = await api.post("/v1/contacts", {"email": "ana@nordsoft.example"})
    assert contact["consents"] == {}
    lead = await sql_lead(api, ae)
    await decide(api, lead, {"email_marketing": "refused"}, days_ago=1)
    made = await converted(api, lead, ae, {"contact": {"mode": "use", "id": contact["id"]}})
    assert consent_outcomes(made) == {"email_marketing": "filled"}
    assert states(await contact_of(api, made)) == {"email_marketing": "refused"}


async def test_a_refusal_goes_with_a_lead_that_is_handed_over(pipeline_api: Api) -> None:
    api = pipeline_api
    lead, sdr = await mql(api), await api.user("sdr")
    await api.user("ae")
    await moved(api, lead, "accept", sdr)
    await decide(api, lead, {"email_marketing": "refused"}, days_ago=1)
    answer = await api.ask(lead, "hand_over", sdr, bant=BANT, headers={"Idempotency-Key": "over"})
    made = answer.json()["conversion"]
    assert consent_outcomes(made) == {"email_marketing": "copied"}
    assert states(await contact_of(api, made)) == {"email_marketing": "refused"}


async def test_a_lead_without_a_contact_keeps_its_consents_and_says_so(api: Api, ae: str) -> None:
    contact = await api.post("/v1/contacts", {"phone": "+40 721 555 100", "last_name": "Pop"})
    lead = await sql_lead(api, ae, phone="+40 721 555 100", last_name="Pop")
    await decide(api, lead, {"phone": "refused"}, days_ago=1)
    seen = await preview(api, lead, ae)
    assert seen["contact"]["candidates"][0]["id"] == contact["id"]
    assert seen["field_outcomes"][-1] == {"field": "consents.phone", "target": None, "outcome": "unmapped"}
    assert (await convert(api, lead, ae)).status_code == 409
    assert (await api.get(f"/v1/contacts/{contact['id']}")) == contact


LATER = [
    ("given", "withdrawn", "withdrawn"),
    ("given", "refused", "refused"),
    ("given", "unknown", "given"),
    ("refused", "unknown", "refused"),
    ("withdrawn", "given", "given"),
]


@pytest.mark.parametrize("through", [put, partial(decide, days_ago=0)], ids=["privacy", "lead"])
@pytest.mark.parametrize(("before", "later", "counts"), LATER)
async def test_what_is_decided_after_the_conversion_reaches_the_contact(
    api: Api, ae: str, through: Callable[..., Awaitable[None]], before: str, later: str, counts: str
) -> None:
    lead = await sql_lead(api, ae)
    await decide(api, lead, {"email_marketing": before}, days_ago=3)
    made = await converted(api, lead, ae)
    contact = await contact_of(api, made)
    await through(api, lead, {"email_marketing": later})
    after = await contact_of(api, made)
    assert states(after) == {"email_marketing": counts}
    assert after["version"] == contact["version"] + (before != counts)


@pytest.mark.parametrize(("answer", "counts"), [("no", "refused"), ("unsubscribe", "refused"), ("", "given")])
async def test_a_form_that_refuses_after_the_conversion_reaches_the_contact(
    api: Api, ae: str, answer: str, counts: str
) -> None:
    lead = await sql_lead(api, ae)
    await decide(api, lead, {"email_marketing": "given"}, days_ago=3)
    made = await converted(api, lead, ae)
    sender = await make_sender(api)
    form = {"email": lead["fields"]["email"], "newsletter": answer}
    await sender.post_and_process(form)
    assert states(await contact_of(api, made))["email_marketing"] == counts


async def test_a_bought_list_replaces_no_decision_of_the_person(api: Api, ae: str) -> None:
    bought = await api.post("/v1/sources", {"name": "list", "preset": "generic", "defaults": {"entry": "suspect"}})
    before, after, listed = await sql_lead(api, ae), await sql_lead(api, ae), await sql_lead(api, ae)
    said = {f"said_{state}": state for state in STATES}
    claims = {**dict.fromkeys(said, "given"), "not_said": "given"}
    await decide(api, before, said, days_ago=5)
    await decide(api, listed, claims, days_ago=3, source_id=bought["id"])
    await decide(api, after, said, days_ago=5)
    contact = await contact_of(api, await converted(api, before, ae))
    order = {"account": {"mode": "use", "id": contact["account_id"]}, "contact": {"mode": "use", "id": contact["id"]}}
    first = await contact_of(api, await converted(api, listed, ae, order))
    assert states(first) == {**said, "said_unknown": "given", "not_said": "given"}
    assert {purpose for purpose, one in first["consents"].items() if one["bought"]} == {"said_unknown", "not_said"}


@pytest.mark.parametrize("said", ["refused", "withdrawn", "given"])
@pytest.mark.parametrize("later", ["list", "unknown"])
async def test_a_contact_keeps_what_its_person_decided_whenever_the_lead_is_converted(
    api: Api, ae: str, said: str, later: str
) -> None:
    bought = await api.post("/v1/sources", {"name": "list", "preset": "generic", "defaults": {"entry": "suspect"}})
    before, after = await sql_lead(api, ae), await sql_lead(api, ae)
    for lead in (before, after):
        await decide(api, lead, {"email_marketing": said}, days_ago=5)
    contacts = [await contact_of(api, await converted(api, before, ae))]
    for lead in (before, after):
        if later == "list":
            await decide(api, lead, {"email_marketing": "given"}, days_ago=3, source_id=bought["id"])
        else:
            await put(api, lead, {"email_marketing": "unknown"})
    contacts += [await contact_of(api, await converted(api, after, ae))]
    assert [states(contact) for contact in contacts] == [{"email_marketing": said}] * 2
    assert not any(contact["consents"]["email_marketing"]["bought"] for contact in contacts)


async def test_a_late_form_of_an_older_decision_changes_no_contact(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae)
    await decide(api, lead, {"email_marketing": "withdrawn"}, days_ago=2)
    made = await converted(api, lead, ae)
    contact = await contact_of(api, made)
    await decide(api, lead, {"email_marketing": "given"}, days_ago=4)
    assert await contact_of(api, made) == contact


async def test_a_withdrawal_reaches_an_archived_contact(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae)
    await decide(api, lead, {"email_marketing": "given"}, days_ago=2)
    made = await converted(api, lead, ae)
    path = f"/v1/contacts/{made['contact']['id']}"
    assert (await api.call("PATCH", path, {"archived": True})).status_code == 200
    await put(api, lead, {"email_marketing": "withdrawn"})
    restored = await api.call("PATCH", path, {"archived": False})
    assert states(restored.json()) == {"email_marketing": "withdrawn"}


async def test_the_refusal_of_a_known_contact_reaches_the_contact_with_the_form(api: Api) -> None:
    lead = await api.lead(email="ana@nordsoft.example")
    await decide(api, lead, {"email_marketing": "refused", "phone": "given"}, days_ago=4)
    contact = await api.post("/v1/contacts", {"email": "ana@nordsoft.example"})
    await decide(api, lead, {"phone": "withdrawn"}, days_ago=1)
    after = await api.get(f"/v1/contacts/{contact['id']}")
    assert states(after) == {"email_marketing": "refused", "phone": "withdrawn"}
    lead = await api.post(
        "/v1/leads",
        {"fields": {"email": "ana@nordsoft.example"}, "consents": [{"purpose": "phone", "state": "given"}]},
        status=200,
    )
    assert states(await api.get(f"/v1/contacts/{contact['id']}")) == {"email_marketing": "refused", "phone": "given"}


async def test_one_person_of_two_leads_is_held_to_the_withdrawal_by_either(api: Api, ae: str) -> None:
    first, second = await sql_lead(api, ae), await sql_lead(api, ae)
    await decide(api, first, {"email_marketing": "given"}, days_ago=3)
    contact = await contact_of(api, await converted(api, first, ae))
    order = {"account": {"mode": "use", "id": contact["account_id"]}, "contact": {"mode": "use", "id": contact["id"]}}
    await converted(api, second, ae, order)
    await put(api, second, {"email_marketing": "withdrawn"})
    assert states(await api.get(f"/v1/contacts/{contact['id']}")) == {"email_marketing": "withdrawn"}


async def test_a_refused_write_of_consents_leaves_lead_and_contact(api: Api, ae: str) -> None:
    lead = await sql_lead(api, ae)
    await decide(api, lead, {"email_marketing": "given"}, days_ago=3)
    made = await converted(api, lead, ae)
    contact = await contact_of(api, made)
    body = {"consents": [{"purpose": "email_marketing", "state": "withdrawn"}]}
    headers = {"If-Match": '"1"'}
    answer = await api.call("PUT", f"/v1/leads/{lead['id']}/consents", body, headers=headers)
    assert answer.status_code == 412
    assert await contact_of(api, made) == contact
    assert len(await rows(api, "SELECT 1 FROM consents")) == 1


async def test_withdrawals_by_two_leads_at_once_both_reach_their_contact(api: Api, ae: str) -> None:
    first, second = await sql_lead(api, ae), await sql_lead(api, ae)
    await decide(api, first, {"email_marketing": "given", "phone": "given"}, days_ago=3)
    contact = await contact_of(api, await converted(api, first, ae))
    order = {"account": {"mode": "use", "id": contact["account_id"]}, "contact": {"mode": "use", "id": contact["id"]}}
    await converted(api, second, ae, order)
    await asyncio.gather(put(api, first, {"email_marketing": "withdrawn"}), put(api, second, {"phone": "withdrawn"}))
    after = await api.get(f"/v1/contacts/{contact['id']}")
    assert states(after) == {"email_marketing": "withdrawn", "phone": "withdrawn"}


async def test_a_withdrawal_during_the_conversion_reaches_the_contact(api: Api, ae: str) -> None:
    leads = [await sql_lead(api, ae) for _ in range(4)]
    for lead in leads:
        await decide(api, lead, {"email_marketing": "given"}, days_ago=3)
    both = [(converted(api, lead, ae), put(api, lead, {"email_marketing": "withdrawn"})) for lead in leads]
    for made, _ in await asyncio.gather(*(asyncio.gather(*pair) for pair in both)):
        assert states(await contact_of(api, made)) == {"email_marketing": "withdrawn"}
