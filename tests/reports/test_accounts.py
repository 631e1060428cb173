"""The report of accounts counts those with several active people, and the personas among them, as of an instant."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.reports import accounts
from tests.api import Api
from tests.contract.world import second_tenant
from tests.conversion.steps import converted, sql_lead
from tests.merging.steps import merged, unmerged
from tests.reports.steps import day, evidence, fraction, go_to, metric, report

DIRECTOR: dict[str, Any] = {"job_title": "Director", "employees": 120, "industry": "software"}


async def account_with(api: Api, name: str, people: int, active: int, **fields: Any) -> str:
    """An account with so many contacts, of whom so many fill in a form today; the first one with these fields."""
    account = (await api.post("/v1/accounts", {"name": name, "domain": f"{name}.example"}))["id"]
    for number in range(people):
        email = f"p{number}@{name}.example"
        await api.post("/v1/contacts", {"email": email, "account_id": account})
        if number < active:
            await api.lead(email=email, **(fields if number == 0 else {}))
    return str(account)


async def test_accounts_with_several_active_people_are_counted_and_shown(api: Api) -> None:
    go_to(api, day(3))
    many = await account_with(api, "many", 3, 2, **DIRECTOR)
    one = await account_with(api, "one", 3, 1)
    await account_with(api, "none", 2, 0)
    await api.lead(email="net.new@many.example")
    found = await report(api, "accounts")
    assert fraction(found, "several_people") == (1, 2)
    assert metric(found, "several_people")["value"] == 0.5
    assert fraction(found, "persona_decision_maker") == (1, 2)
    assert metric(found, "several_people")["people"] == 3
    assert {row["account_id"]: row["counted"] for row in await evidence(api, "accounts", "several_people")} == {
        many: True,
        one: False,
    }
    rows = await evidence(api, "accounts", "persona_decision_maker", limit=1)
    assert {row["account_id"]: row["counted"] for row in rows} == {many: True, one: False}
    groups = await report(api, "accounts", by="account")
    assert {group["key"]: group["metrics"][0]["people"] for group in groups["groups"]} == {many: 2, one: 1}
    [row] = await evidence(api, "accounts", "several_people", by="account", key=many)
    assert row["account_id"] == many
    await account_with(api, "later", 2, 2)
    assert (await report(api, "accounts", as_of=found["as_of"])) == found
    december: dict[str, Any] = {"from": "2025-12-01", "to": "2026-01-01"}
    assert fraction(await report(api, "accounts", **december), "several_people") == (0, 0)


@pytest.mark.parametrize("reverted", [False, True])
async def test_an_erased_person_counts_as_before_at_every_instant(api: Api, reverted: bool) -> None:
    """Also before its title changed, and where its conversion was reverted since."""
    go_to(api, day(3))
    ae, manager = await api.user("ae"), await api.user("manager")
    lead = await sql_lead(api, ae)
    await converted(api, lead, ae)
    told = [await report(api, "accounts")]
    for title in ("Intern", "Head of Sales", None):
        api.clock.ahead += timedelta(hours=1)
        answer = await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"job_title": title}}, actor=manager)
        assert answer.status_code == 200, answer.text
        told.append(await report(api, "accounts"))
    if reverted:
        api.clock.ahead += timedelta(hours=1)
        path = f"/v1/leads/{lead['id']}/conversion/revert"
        await api.post(path, {"reason_code": "mistake"}, actor=manager, status=200)
        told.append(await report(api, "accounts"))
    api.clock.ahead += timedelta(hours=1)
    assert [fraction(one, "persona_decision_maker")[0] for one in told] == [1, 0, 1, 0] + [0] * reverted
    await api.post(f"/v1/leads/{lead['id']}/erasure", {"reason": "person_asked"}, status=202)
    again = [await report(api, "accounts", as_of=one["as_of"]) for one in told]
    assert again == told


async def test_engagement_is_that_of_all_people_together_and_two_leads_of_a_contact_are_one_person(api: Api) -> None:
    go_to(api, day(3))
    account = (await api.post("/v1/accounts", {"name": "Nordsoft"}))["id"]
    for number in range(2):
        await api.post(
            "/v1/contacts", {"email": f"p{number}@n.example", "account_id": account, "external_id": str(number)}
        )
    leads = [await api.lead(email=f"p{number}@n.example") for number in range(2)]
    for lead, type_ in zip(leads, ("webinar", "price_list"), strict=True):
        await api.add_activity(lead, type_)
    found = metric(await report(api, "accounts"), "several_people")
    engagements = [(await api.reload(lead))["score"]["engagement"] for lead in leads]
    assert (found["people"], found["engagement"]) == (2, sum(engagements))
    assert found["engagement"] > 0


CHANGES: list[dict[str, Any]] = [
    {"fields": {"job_title": "Intern"}},
    {"fields": {"industry": "retail"}},
    {"fields": {"employees": 9}},
    {"fields": {"job_title": None}},
]


@pytest.mark.parametrize("change", CHANGES)
async def test_who_is_of_a_persona_is_what_was_known_at_the_instant(api: Api, change: dict[str, Any]) -> None:
    go_to(api, day(3))
    account = await account_with(api, "nord", 2, 2, **DIRECTOR)
    [lead] = [one for one in (await api.get("/v1/leads"))["data"] if one["fields"]["job_title"]]
    go_to(api, day(4))
    before = await report(api, "accounts")
    assert fraction(before, "persona_decision_maker") == (1, 1)
    go_to(api, day(5))
    assert (await api.call("PATCH", f"/v1/leads/{lead['id']}", change)).status_code == 200
    assert fraction(await report(api, "accounts"), "persona_decision_maker") == (0, 1)
    assert await report(api, "accounts", as_of=before["as_of"]) == before
    [row] = await evidence(api, "accounts", "persona_decision_maker", as_of=before["as_of"])
    assert (row["account_id"], row["counted"]) == (account, True)


async def test_two_people_who_are_merged_are_one_from_then_on_and_two_before(api: Api) -> None:
    go_to(api, day(3))
    await account_with(api, "nord", 2, 2)
    one, other = (await api.get("/v1/leads"))["data"]
    then = await report(api, "accounts")
    go_to(api, day(4))
    await merged(api, one, other)
    between = await report(api, "accounts")
    assert [fraction(each, "several_people") for each in (then, between)] == [(1, 1), (0, 1)]
    go_to(api, day(5))
    await unmerged(api, one)
    assert fraction(await report(api, "accounts"), "several_people") == (1, 1)
    for each in (then, between):
        assert await report(api, "accounts", as_of=each["as_of"]) == each


async def test_what_the_report_of_accounts_does_not_have_is_refused(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    go_to(api, day(3))
    await account_with(api, "nord", 3, 3)
    for parameters, field in (
        ({"by": "country"}, "by"),
        ({"by": "account", "key": "nord", "metric": "several_people"}, "key"),
    ):
        path = "accounts/evidence" if "metric" in parameters else "accounts"
        refused = await report(api, path, expect=422, **parameters)
        assert refused["errors"][0]["field"] == field
    monkeypatch.setattr(accounts, "MOST_PEOPLE", 2)
    refused = await report(api, "accounts", expect=422)
    assert [(one["field"], one["code"]) for one in refused["errors"]] == [("to", "too_many_people")]
    rival = await second_tenant(api)
    assert fraction(await report(rival, "accounts"), "several_people") == (0, 0)
