"""The people of an account by link or domain, and its timeline, page by page; who sourced a contact."""

from __future__ import annotations

from typing import Any

import pytest

from app import ids
from app.web.pages import write_cursor
from tests.api import Api
from tests.contract.world import second_tenant
from tests.conversion.steps import converted, rows, sql_lead
from tests.merging.steps import merged
from tests.pipeline.test_advance import step

DOMAIN = "nordsoft.example"
UNKNOWN = "acc_01k00000000000000000000000"


async def paged(api: Api, path: str, limit: int = 2) -> list[dict[str, Any]]:
    """All rows of a list, a few at a time."""
    found: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = await api.get(f"{path}?limit={limit}{cursor}")
        found += page["data"]
        if page["next"] is None:
            return found
        assert len(page["data"]) == limit
        cursor = f"&cursor={page['next']}"


async def people(api: Api, account: str, limit: int = 2) -> dict[str, dict[str, Any]]:
    """The people of an account by e-mail address, each once."""
    listed = await paged(api, f"/v1/accounts/{account}/people", limit)
    found = {str(one["email"]): one for one in listed}
    assert len(found) == len(listed)
    return found


async def made(api: Api, path: str, **members: Any) -> str:
    return str((await api.post(f"/v1/{path}", members))["id"])


async def test_people_are_contacts_and_leads_by_link_or_by_domain_and_nobody_else(api: Api) -> None:
    account = await made(api, "accounts", name="Nordsoft", domain=DOMAIN)
    other = await made(api, "accounts", name="Rival", domain="rival.example")
    ana = await made(api, "contacts", email="ana@elsewhere.example", full_name="Ana", account_id=account)
    ben = await made(api, "contacts", email=f"ben@{DOMAIN}", job_title="CTO")
    await made(api, "contacts", email=f"theirs@{DOMAIN}", account_id=other)
    gone = await made(api, "contacts", email=f"gone@{DOMAIN}")
    await api.call("PATCH", f"/v1/contacts/{gone}", {"archived": True})
    known = await api.lead(email="ana@elsewhere.example")
    new = await api.lead(email=f"dan@{DOMAIN}", full_name="Dan Lis")
    by_website = await api.lead(email="eva@gmail.com", website=f"https://www.{DOMAIN}/team")
    await api.lead(email="x@notnordsoft.example")
    await api.lead(email=f"nordsoft.example@{'other'}.example")
    found = await people(api, account)
    assert {email: (one["contact_id"], one["lead_id"], one["by"]) for email, one in found.items()} == {
        "ana@elsewhere.example": (ana, known["id"], "link"),
        f"ben@{DOMAIN}": (ben, None, "domain"),
        f"dan@{DOMAIN}": (None, new["id"], "domain"),
        "eva@gmail.com": (None, by_website["id"], "domain"),
    }
    assert found[f"ben@{DOMAIN}"]["job_title"] == "CTO"
    assert [found[f"dan@{DOMAIN}"][name] for name in ("full_name", "stage")] == ["Dan Lis", "inquiry"]
    assert (await people(api, await made(api, "accounts", name="Without a domain"))) == {}


async def test_a_person_has_stage_score_owner_and_last_activity_of_the_lead(api: Api) -> None:
    ae = await api.user("ae")
    lead = await sql_lead(api, ae, email=f"ana@{DOMAIN}", company="Nordsoft")
    account = (await converted(api, lead, ae))["account"]["id"]
    await api.add_activity(lead, "webinar", occurred_at=api.ago(days=3))
    last = (await api.get(f"/v1/leads/{lead['id']}/activities"))["data"]
    [person] = (await people(api, account)).values()
    shown = await api.reload(lead)
    assert {name: person[name] for name in ("stage", "score", "owner_id")} == {
        name: shown[name] for name in ("stage", "score", "owner_id")
    }
    assert person["last_activity_at"] == max(one["occurred_at"] for one in last)
    assert person["contact_id"] == shown["links"]["contact_id"]


async def test_leads_that_are_one_contact_or_were_merged_are_one_person(api: Api) -> None:
    account = await made(api, "accounts", name="Nordsoft", domain=DOMAIN)
    await made(api, "contacts", email=f"ana@{DOMAIN}", account_id=account)
    one, other = await api.lead(email=f"dan@{DOMAIN}"), await api.lead(email=f"d.lis@{DOMAIN}")
    assert len(await people(api, account)) == 3
    await merged(api, one, other)
    await api.lead(email=f"ana@{DOMAIN}")
    assert len(await people(api, account)) == 2


@pytest.mark.parametrize("lead_first", [True, False])
@pytest.mark.parametrize(
    ("email", "is_linked"),
    [(f"ana@{DOMAIN}", True), ("ana@gmail.com", True), ("ana@elsewhere.example", True), (f"ana@{DOMAIN}", False)],
)
async def test_who_is_a_contact_and_a_lead_of_the_same_address_is_one_person_in_people_counts_and_timeline(
    api: Api, email: str, is_linked: bool, lead_first: bool
) -> None:
    account = await made(api, "accounts", name="Nordsoft", domain=DOMAIN)
    links = {"account_id": account} if is_linked else {}
    lead = await api.lead(email=email, website=f"https://{DOMAIN}") if lead_first else {}
    contact = await made(api, "contacts", email=email.upper() if lead_first else email, full_name="Ana Pop", **links)
    lead = lead or await api.lead(email=email, website=f"https://{DOMAIN}")
    other = await api.lead(email=f"dan@{DOMAIN}")
    for limit in (1, 2, 200):
        found = {one["lead_id"]: one for one in await paged(api, f"/v1/accounts/{account}/people", limit)}
        assert set(found) == {lead["id"], other["id"]}
        person = found[lead["id"]]
        assert (person["contact_id"], person["by"]) == (contact, "link" if is_linked else "domain")
    if is_linked:
        counted = await api.get(f"/v1/accounts/{account}/counts")
        assert (counted["people"], counted["journeys"]) == (1, 1)
    lines = await paged(api, f"/v1/accounts/{account}/timeline")
    ids = [one[one["kind"]]["id"] for one in lines]
    assert len(ids) == len(set(ids))
    assert {one[one["kind"]]["lead_id"] for one in lines} == ({lead["id"]} if is_linked else set())


async def test_the_timeline_has_every_activity_and_transition_once_newest_first(api: Api) -> None:
    ae = await api.user("ae")
    lead = await sql_lead(api, ae, email=f"ana@{DOMAIN}", company="Nordsoft")
    conversion = await converted(api, lead, ae)
    account, deal = conversion["account"]["id"], conversion["opportunity"]["id"]
    known = await api.lead(email=f"ana@{DOMAIN}")
    await api.add_activity(known, "webinar", occurred_at=api.ago(days=9))
    assert (await step(api, deal, ae, action="win")).status_code == 201
    renewal = await made(api, "opportunities", name="Renewal", account_id=account)
    await api.lead(email=f"net.new@{DOMAIN}")
    whole = await paged(api, f"/v1/accounts/{account}/timeline", 200)
    for limit in (1, 3):
        assert await paged(api, f"/v1/accounts/{account}/timeline", limit) == whole
    assert [one["at"] for one in whole] == sorted((one["at"] for one in whole), reverse=True)
    told = [(one["kind"], one[one["kind"]]["id"]) for one in whole]
    expected = []
    for one in {lead["id"], known["id"]}:
        for kind, path in (("activity", "activities"), ("transition", "transitions")):
            expected += [(kind, row["id"]) for row in (await api.get(f"/v1/leads/{one}/{path}"))["data"]]
    for one in (deal, renewal):
        steps = (await api.get(f"/v1/opportunities/{one}/transitions"))["data"]
        expected += [("opportunity", row["id"]) for row in steps]
    assert sorted(told) == sorted(expected)
    activity = next(one["activity"] for one in whole if one["kind"] == "activity")
    assert activity in (await api.get(f"/v1/leads/{activity['lead_id']}/activities"))["data"]


async def test_activities_that_a_conversion_left_behind_are_not_in_the_timeline(api: Api) -> None:
    ae = await api.user("ae")
    lead = await sql_lead(api, ae, email=f"ana@{DOMAIN}", company="Nordsoft")
    account = (await converted(api, lead, ae, {"carry_activities": False}))["account"]["id"]
    kinds = {one["kind"] for one in await paged(api, f"/v1/accounts/{account}/timeline")}
    assert kinds == {"transition", "opportunity"}


@pytest.mark.parametrize("name", ["people", "timeline"])
async def test_an_account_of_nobody_or_of_another_tenant_and_another_cursor_are_refused(api: Api, name: str) -> None:
    account = await made(api, "accounts", name="Nordsoft", domain=DOMAIN)
    for address in ("a", "b"):
        await made(api, "contacts", email=f"{address}@{DOMAIN}", account_id=account)
        await api.lead(email=f"{address}@{DOMAIN}")
    rival = await second_tenant(api)
    for asker, of in ((api, UNKNOWN), (rival, account)):
        answer = await asker.call("GET", f"/v1/accounts/{of}/{name}")
        assert (answer.status_code, answer.json()["code"]) == (404, "account_not_found")
    following = (await api.get(f"/v1/accounts/{account}/{name}?limit=1"))["next"]
    second = await made(api, "accounts", name="Second")
    for path in (f"{second}/{name}", f"{account}/{'timeline' if name == 'people' else 'people'}"):
        for cursor in (following, "nonsense", following[:-3]):
            answer = await api.call("GET", f"/v1/accounts/{path}?cursor={cursor}")
            assert (answer.status_code, answer.json()["code"]) == (422, "cursor_invalid")
    rival_account = await made(rival, "accounts", name="Nordsoft", domain=DOMAIN)
    assert (await rival.get(f"/v1/accounts/{rival_account}/{name}"))["data"] == []


INSTANTS: tuple[Any, ...] = ("9999-12-31T23:59:59-23:00", "2026-01-01T00:00:00", "soon", 5, None, [])
IDS: tuple[Any, ...] = ("x", 5, None, {}, "0" * 33)
FORGED = [*((at, "0" * 32) for at in INSTANTS), *(("2026-01-01T00:00:00Z", last) for last in IDS)]


@pytest.mark.parametrize("members", FORGED)
@pytest.mark.parametrize("name", ["people", "timeline"])
async def test_a_forged_cursor_is_refused(api: Api, name: str, members: tuple[Any, ...]) -> None:
    account = await made(api, "accounts", name="Nordsoft")
    given = members if name == "timeline" else members[1:]
    cursor = write_cursor({f"{name}_of": ids.read("account", account)}, *given)
    answer = await api.call("GET", f"/v1/accounts/{account}/{name}?cursor={cursor}")
    if name == "people" and given == ("0" * 32,):
        assert answer.status_code == 200, "an id like any other"
    else:
        assert (answer.status_code, answer.json()["code"]) == (422, "cursor_invalid")


async def test_a_contact_is_sourced_by_who_makes_it_or_by_whom_the_body_names(api: Api) -> None:
    account = await made(api, "accounts", name="Nordsoft", domain=DOMAIN)
    sdr, marketer = await api.user("sdr"), await api.user("marketing")
    found = []
    for number, (actor, named) in enumerate([(sdr, None), (sdr, marketer), (None, None), (None, sdr)]):
        body = {"email": f"p{number}@{DOMAIN}", "account_id": account, **({"sourced_by": named} if named else {})}
        contact = await api.post("/v1/contacts", body, actor=actor)
        assert await api.get(f"/v1/contacts/{contact['id']}") == contact
        found.append(contact["sourced_by"])
    assert found == [sdr, marketer, None, sdr]
    assert len(await people(api, account)) == 4
    body = {"email": f"q@{DOMAIN}", "sourced_by": "usr_01k00000000000000000000000"}
    refused = await api.call("POST", "/v1/contacts", body)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "sourced_by")
    assert await rows(api, "SELECT 1 FROM contacts WHERE email LIKE 'q@%'") == []
