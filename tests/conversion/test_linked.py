"""A form of a known contact is listed under contact and account; the account counts people and journeys."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.api import Api
from tests.conversion.steps import converted, moved, sql_lead
from tests.leads.test_known_contact import make_contact
from tests.merging.steps import merged, unmerged

UNKNOWN = "01k00000000000000000000000"


async def listed(api: Api, path: str) -> list[str]:
    return [row["id"] for row in (await api.get(f"{path}/activities"))["data"]]


async def counts(api: Api, account_id: str) -> dict[str, Any]:
    return dict(await api.get(f"/v1/accounts/{account_id}/counts"))


async def test_a_form_of_a_known_contact_is_listed_under_contact_and_account_and_another_only_under_its_lead(
    api: Api,
) -> None:
    contact, links = await make_contact(api)
    known = await api.lead(email="ana@nordsoft.example")
    new = await api.lead(email="dan@nordsoft.example")
    await api.add_activity(known, "webinar")
    own, other = [await listed(api, f"/v1/leads/{lead['id']}") for lead in (known, new)]
    assert len(own) == 2
    assert await listed(api, f"/v1/contacts/{contact['id']}") == own
    assert await listed(api, f"/v1/accounts/{links['account_id']}") == own
    assert other != []
    assert set(other).isdisjoint(own)


async def test_a_conversion_that_leaves_activities_behind_leaves_them_out_of_the_account_too(api: Api) -> None:
    ae = await api.user("ae")
    one, two = [await sql_lead(api, ae, email=f"{name}@nordsoft.ro", company="Nordsoft") for name in ("anna", "dan")]
    made = await converted(api, one, ae)
    await converted(api, two, ae, {"carry_activities": False})
    account = f"/v1/accounts/{made['account']['id']}"
    assert await listed(api, account) == await listed(api, f"/v1/leads/{one['id']}")
    first = await api.get(f"{account}/activities", params={"limit": 1})
    second = await api.get(f"{account}/activities", params={"limit": 1, "cursor": first["next"]})
    assert [page["data"][0]["id"] for page in (first, second)] == (await listed(api, account))[:2]


async def test_16_who_comes_again_after_a_disqualification_is_one_person_with_two_journeys(api: Api) -> None:
    _, links = await make_contact(api)
    account, sdr = str(links["account_id"]), await api.user("sdr")
    assert await counts(api, account) == {"people": 1, "journeys": 0, "open_journeys": 0, "milestones": {}}
    lead = await api.mql(email="ana@nordsoft.example")
    await moved(api, lead, "disqualify", sdr, reason_code="no_budget")
    march = (await api.get(f"/v1/leads/{lead['id']}/qualifications"))["data"]
    api.clock.ahead += timedelta(days=90)
    await api.add_activity(lead, "demo_request")
    assert await counts(api, account) == {
        "people": 1,
        "journeys": 2,
        "open_journeys": 1,
        "milestones": {"mql": {"people": 1, "journeys": 2}},
    }
    assert (await api.get(f"/v1/leads/{lead['id']}/qualifications"))["data"][:1] == march


async def test_two_leads_of_one_contact_are_one_person_and_a_merged_lead_is_none(api: Api) -> None:
    ae = await api.user("ae")
    first = await sql_lead(api, ae, email="anna@nordsoft.ro", company="Nordsoft", full_name="Anna Pop")
    made = await converted(api, first, ae)
    account = made["account"]["id"]
    second = await sql_lead(api, ae, email="anna.pop@nordsoft.ro", company="Nordsoft", full_name="Anna Pop")
    await converted(api, second, ae, {"contact": {"mode": "use", "id": made["contact"]["id"]}})
    colleague = await sql_lead(api, ae, email="dan@nordsoft.ro", company="Nordsoft", full_name="Dan Lis")
    await converted(api, colleague, ae)
    before = await counts(api, account)
    assert (before["people"], before["journeys"], before["open_journeys"]) == (2, 3, 0)
    assert before["milestones"]["sql"] == {"people": 2, "journeys": 3}
    await merged(api, second, first)
    assert await counts(api, account) == before
    await unmerged(api, second)
    assert await counts(api, account) == before


async def test_an_unknown_account_has_no_activities_and_no_counts(api: Api) -> None:
    for path in ("activities", "counts"):
        answer = await api.call("GET", f"/v1/accounts/acc_{UNKNOWN}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")
