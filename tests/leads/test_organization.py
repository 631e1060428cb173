"""A company of which no person is known is a lead of kind organization, named by its domain."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.api import Api
from tests.conversion.steps import BANT, converted, moved, sql_lead
from tests.submissions.sender import make_sender

ONLY = {"company": "Only Company SRL", "website": "https://www.only-co.com/about"}


def identities(lead: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["kind"], one["value"]) for one in lead["identities"]]


@pytest.mark.parametrize(
    ("fields", "domain"),
    [
        (ONLY, "only-co.com"),
        ({"company": "Only", "domain": "only-co.com"}, "only-co.com"),
        ({"company": "Only", "domain": "shop.only-co.co.uk"}, "only-co.co.uk"),
        ({"company": "Only", "website": "www.müller-bau.de"}, "xn--mller-bau-q9a.de"),
        ({"company": "Only", "domain": "facebook.com", "website": "only-co.com"}, "only-co.com"),
        ({**ONLY, "country": "RO", "industry": "software", "message": "call us"}, "only-co.com"),
    ],
)
async def test_a_company_with_its_domain_is_an_organization(api: Api, fields: dict[str, str], domain: str) -> None:
    lead = await api.post("/v1/leads", {"fields": fields})
    assert (lead["kind"], identities(lead), lead["stage"]) == ("organization", [("domain", domain)], "inquiry")
    again = await api.post("/v1/leads", {"fields": {"company": "ONLY", "domain": domain}}, status=200)
    assert again["id"] == lead["id"]
    listed = (await api.get("/v1/leads"))["data"]
    assert [(one["id"], one["kind"]) for one in listed] == [(lead["id"], "organization")]
    past = await api.get(f"/v1/leads/{lead['id']}?as_of={lead['created_at']}")
    assert (past["kind"], identities(past)) == ("organization", [("domain", domain)])


@pytest.mark.parametrize(
    "fields",
    [
        {"company": "Only Company SRL"},
        {"website": "https://only-co.com"},
        {"company": "freelance", "website": "https://only-co.com"},
        {"company": "n/a", "domain": "only-co.com"},
        {"company": "Only", "full_name": "Ana Pop"},
        {"company": "Only", "full_name": "Ana Pop", "website": "https://only-co.com"},
        *(
            {"company": "Only", "website": website}
            for website in (
                "gmail.com",
                "https://facebook.com",
                "https://www.linkedin.com/company/only",
                "https://only.github.io",
                "only.wixsite.com/home",
                "https://sites.google.com/view/only",
                "https://linktr.ee/only",
                "mailinator.com",
                "co.uk",
                "localhost",
                "http://192.168.1.1/",
                "none",
                "not a host",
            )
        ),
    ],
)
async def test_what_names_no_organization_needs_a_person(api: Api, fields: dict[str, str]) -> None:
    refused = await api.call("POST", "/v1/leads", {"fields": fields})
    assert (refused.status_code, refused.json()["code"]) == (422, "identity_required")
    sender = await make_sender(api)
    (item,) = (await sender.post_and_process(dict(fields)))["items"]
    assert (item["verdict"], item["reason"]) == ("quarantined", "identity_required")


async def test_a_person_of_the_domain_does_not_merge_into_the_organization(api: Api) -> None:
    sender = await make_sender(api)
    (item,) = (await sender.post_and_process(dict(ONLY)))["items"]
    organization = await api.get(f"/v1/leads/{item['lead_id']}")
    assert (item["verdict"], organization["kind"]) == ("lead", "organization")
    for fields in (
        {"email": "ana@only-co.com"},
        {**ONLY, "email": "dan@only-co.com"},
        {**ONLY, "email": "info@only-co.com", "full_name": "Eva Lup"},
    ):
        person = await api.lead(**fields)
        assert (person["kind"], person["id"] != organization["id"]) == ("person", True)
        assert "domain" not in dict(identities(person))
    assert (await api.lead(email=None, **ONLY))["id"] == organization["id"]


async def test_an_organizations_phone_and_mailbox_do_not_make_a_person_of_it(api: Api) -> None:
    reachable = {**ONLY, "phone": "+40215550100", "email": "office@only-co.com"}
    lead = await api.post("/v1/leads", {"fields": reachable, "external_ids": {"crm": "7"}})
    kinds = {"external", "email", "phone", "domain"}
    assert (lead["kind"], {kind for kind, _ in identities(lead)}) == ("organization", kinds)
    again = await api.post("/v1/leads", {"fields": {"email": "office@only-co.com"}}, status=200)
    assert again["id"] == lead["id"]
    person = await api.post("/v1/leads", {"fields": {"phone": "+40215550100", "full_name": "Ana Pop"}})
    assert person["duplicate_suspected"]


async def test_a_persons_lead_found_by_an_external_id_does_not_become_its_company(api: Api) -> None:
    known = {"external_ids": {"crm": "7"}}
    person = await api.post("/v1/leads", {"fields": {"full_name": "Ana Pop"}, **known})
    again = await api.post("/v1/leads", {"fields": ONLY, **known}, status=200)
    assert (again["id"], again["kind"], again["fields"]["company"]) == (person["id"], "person", ONLY["company"])
    assert identities(again) == [("external", "7")]
    assert (await api.post("/v1/leads", {"fields": ONLY}))["kind"] == "organization"


async def test_one_organization_that_is_posted_at_once_many_times_is_one_lead(api: Api) -> None:
    answers = await asyncio.gather(*(api.call("POST", "/v1/leads", {"fields": ONLY}) for _ in range(10)))
    assert len({answer.json()["id"] for answer in answers}) == 1


async def ready_organization(api: Api, ae: str, **fields: str) -> dict[str, Any]:
    """An organization in stage sql."""
    lead = await api.lead(email=None, employees=120, industry="software", **{**ONLY, **fields})
    await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"job_title": "Director"}})
    await api.add_activity(lead, "demo_request")
    await moved(api, lead, "accept", await api.user("manager"))
    return dict((await moved(api, lead, "confirm", ae, bant=BANT))["lead"])


async def test_an_organization_converts_to_an_account_without_a_contact(api: Api) -> None:
    ae = await api.user("ae")
    lead = await ready_organization(api, ae)
    preview = await api.post(f"/v1/leads/{lead['id']}/conversion/preview", {}, status=200, actor=ae)
    assert (preview["possible"], preview["contact"]["outcome"]) == (True, "none")
    made = await converted(api, lead, ae)
    assert (made["account"]["outcome"], made["contact"]) == ("created", {"id": None, "outcome": "none"})
    account = await api.get(f"/v1/accounts/{made['account']['id']}")
    assert (account["name"], account["domain"]) == (ONLY["company"], "only-co.com")
    opportunity = await api.get(f"/v1/opportunities/{made['opportunity']['id']}")
    assert (opportunity["account_id"], opportunity["contact_id"]) == (account["id"], None)
    links = (await api.reload(lead))["links"]
    assert (links["account_id"], links["contact_id"]) == (account["id"], None)


@pytest.mark.parametrize("organization_first", [True, False])
async def test_an_organization_and_a_person_of_its_domain_convert_to_one_account(
    api: Api, organization_first: bool
) -> None:
    ae = await api.user("ae")
    leads = [await ready_organization(api, ae), await sql_lead(api, ae, email="ana@only-co.com", full_name="Ana Pop")]
    made = [await converted(api, lead, ae) for lead in (leads if organization_first else leads[::-1])]
    assert [one["account"]["outcome"] for one in made] == ["created", "linked"]
    assert made[0]["account"]["id"] == made[1]["account"]["id"]


async def test_an_organization_converts_with_the_contact_that_the_caller_names(api: Api) -> None:
    ae = await api.user("ae")
    lead = await ready_organization(api, ae)
    order = {"contact": {"values": {"first_name": "Ana", "last_name": "Pop", "email": "ana@only-co.com"}}}
    made = await converted(api, lead, ae, order)
    contact = await api.get(f"/v1/contacts/{made['contact']['id']}")
    assert (contact["full_name"], contact["account_id"]) == ("Ana Pop", made["account"]["id"])
