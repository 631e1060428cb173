"""The pages of accounts and opportunities: who is of an account, what happened in it, and that every id is a link."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from app.console.accounts import PARTS, ROWS
from tests.api import Api
from tests.console.browser import Page, logged_in
from tests.console.test_pages import HOSTILE, check_page
from tests.conversion.steps import BANT, converted, sql_lead
from tests.pipeline.test_advance import step
from tests.pipeline.test_forecast_members import patch


def linked(page: Page) -> set[str]:
    """The last part of each link's path."""
    return {str(given["href"]).partition("?")[0].rpartition("/")[2] for given in page.all("a") if given.get("href")}


async def nordsoft(api: Api) -> dict[str, Any]:
    return await api.post("/v1/accounts", {"name": "Nordsoft", "domain": "nordsoft.ro"})


async def test_an_account_shows_its_people_its_deals_and_its_timeline(api: Api) -> None:
    account = await nordsoft(api)
    await api.post("/v1/contacts", {"email": "ana@nordsoft.ro", "full_name": "Ana Pop", "account_id": account["id"]})
    by_domain = await api.mql(full_name="Ben By Domain", email="ben@nordsoft.ro")
    owner = await api.user("ae", name="Carmen")
    deal = await api.post(
        "/v1/opportunities",
        {
            "name": "Licences",
            "account_id": account["id"],
            "owner_id": owner,
            "amount": {"value": "1234567.5", "currency": "EUR"},
        },
    )
    await step(api, deal["id"], owner, action="qualify", bant=BANT)
    page = await (await logged_in(api)).get(f"/console/accounts/{account['id']}")
    check_page(page)
    for text in (
        "Ana Pop",
        "Ben By Domain",
        "by the domain",
        "as contact",
        "Licences",
        "1,234,567.50 EUR",
        "Carmen",
        "qualify",
    ):
        assert text in page.text, text
    assert {by_domain["id"], deal["id"]} <= linked(page)


async def test_a_part_with_many_rows_has_pages_and_the_other_parts_stay(api: Api) -> None:
    account = await nordsoft(api)
    for number in range(ROWS + 2):
        await api.post("/v1/opportunities", {"name": f"Deal {number:02}", "account_id": account["id"]})
    await api.post("/v1/contacts", {"email": "ana@nordsoft.ro", "full_name": "Ana Pop", "account_id": account["id"]})
    browser = await logged_in(api)
    first = await browser.get(f"/console/accounts/{account['id']}")
    check_page(first)
    [following] = [str(one["href"]) for one in first.all("a") if "?opportunities=" in (one.get("href") or "")]
    second = await browser.get(following)
    check_page(second)
    shown = [set(re.findall(r"Deal [0-9]{2}", page.text)) for page in (first, second)]
    assert [len(names) for names in shown] == [ROWS, 2]
    assert len(shown[0] | shown[1]) == ROWS + 2
    assert "Ana Pop" in second.text


async def test_accounts_are_listed_page_by_page_and_found_by_domain(api: Api) -> None:
    for number in range(ROWS + 1):
        await api.post("/v1/accounts", {"name": f"Company {number:02}", "domain": f"company{number:02}.example"})
    browser = await logged_in(api)
    first = await browser.get("/console/accounts")
    [following] = [str(one["href"]) for one in first.all("a") if one.get("rel") == "next"]
    second = await browser.get(following)
    check_page(second)
    assert ("Company 00" in first.text, "Company 00" in second.text) == (False, True)
    found = await browser.get("/console/accounts?domain=www.company07.example")
    check_page(found)
    assert re.findall(r"Company [0-9]{2}", found.text) == ["Company 07"]
    assert "No account is found by this search." in (await browser.get("/console/accounts?domain=other.example")).text


async def test_an_opportunity_shows_each_change_of_it_and_whence_it_came(api: Api) -> None:
    account, owner = await nordsoft(api), await api.user("ae", name="Carmen")
    yesterday = str((api.now - timedelta(days=2)).date())
    body = {"name": "Licences", "account_id": account["id"], "owner_id": owner, "close_date": yesterday}
    deal = await api.post("/v1/opportunities", body)
    await patch(api, deal["id"], owner, amount={"value": "12000", "currency": "EUR"}, forecast_category="upside")
    await step(api, deal["id"], owner, action="lose", reason_code="price")
    page = await (await logged_in(api)).get(f"/console/opportunities/{deal['id']}")
    check_page(page)
    for text in ("12,000.00 EUR", "amount, forecast category", "Carmen", "price", "came from"):
        assert text in page.text, text
    assert account["id"] in linked(page)
    assert "slipped" not in page.text, "a lost one is not late"


async def test_ids_of_accounts_and_opportunities_are_links_on_every_page_that_has_them(api: Api) -> None:
    ae, late = await api.user("ae"), str((api.now - timedelta(days=2)).date())
    lead = await sql_lead(api, ae, company="Nordsoft", email="ana@nordsoft.ro")
    made = await converted(api, lead, ae, {"opportunity": {"name": "Licences", "close_date": late}})
    account_id, deal_id = made["account"]["id"], made["opportunity"]["id"]
    browser = await logged_in(api)
    assert {account_id, deal_id} <= linked(await browser.get(f"/console/leads/{lead['id']}"))
    assert deal_id in linked(await browser.get("/console"))
    assert deal_id in linked(await browser.get("/console/reports/pipeline/rows?metric=volume_qualified"))
    assert {account_id, deal_id} <= linked(await browser.get(f"/console/accounts/{account_id}")) | {account_id}
    assert account_id in linked(await browser.get("/console/reports/accounts?by=account"))
    assert account_id in linked(await browser.get("/console/reports/accounts/rows?metric=several_people"))
    period = late[:7]
    assert deal_id in linked(await browser.get(f"/console/forecast/rows?period={period}&metric=omitted"))


async def test_a_key_that_may_not_read_leads_sees_no_account(api: Api) -> None:
    account = await nordsoft(api)
    deal = await api.post("/v1/opportunities", {"name": "Licences", "account_id": account["id"]})
    browser = await logged_in(api, "reports:read")
    for path in (f"/console/accounts/{account['id']}", f"/console/opportunities/{deal['id']}"):
        page = await browser.get(path)
        check_page(page, 403)
        assert "<code>leads:read</code>" in page.html
        assert "Nordsoft" not in page.text


@pytest.mark.parametrize("typed", [*HOSTILE, "\x00", "gmail.com", "x"])
async def test_whatever_is_asked_of_accounts_there_is_a_page(api: Api, typed: str) -> None:
    account = await nordsoft(api)
    browser = await logged_in(api)
    for name in ("domain", "cursor"):
        check_page(await browser.get(f"/console/accounts?{urlencode({name: typed})}"))
    for name in PARTS:
        check_page(await browser.get(f"/console/accounts/{account['id']}?{urlencode({name: typed})}"))
