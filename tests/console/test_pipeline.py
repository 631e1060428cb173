"""The pipeline by stage: sums that open their opportunities, late deals first; the lift of rules on a policy's page."""

from __future__ import annotations

import re
from copy import deepcopy
from datetime import timedelta
from typing import Any

from app.console.pipeline import CARDS, CARDS_IN_ALL
from app.web.examples import POLICY
from tests.api import Api
from tests.console.browser import Page, logged_in
from tests.console.test_pages import HOSTILE, check_page
from tests.console.world import fill
from tests.contract.world import second_tenant
from tests.forecast.test_forecast import eur
from tests.pipeline.test_advance import step
from tests.pipeline.test_forecast_members import qualified
from tests.policies.steps import activated
from tests.reports.test_rules import mql, sql


def columns(page: Page) -> dict[str, str]:
    """The HTML of each column by its heading."""
    sections = page.html.partition('<div class="columns">')[2].split("<section ")[1:]
    return {re.findall(r"<h2[^>]*>(.*?)</h2>", one)[0]: one for one in sections}


async def test_the_open_stages_are_columns_with_sums_that_open_their_opportunities(api: Api) -> None:
    ae = await api.user("ae", name="Carmen")
    deals = [await qualified(api, ae, amount=eur(value)) for value in ("1000.00", "234.50")]
    await qualified(api, ae, amount=eur("9", "JPY"))
    further = await qualified(api, ae, amount=eur("70.00"))
    assert (await step(api, further, ae, action="advance", to="proposal")).status_code == 201
    gone = await qualified(api, ae, amount=eur("5000000.00"))
    assert (await step(api, gone, ae, action="win")).status_code == 201
    browser = await logged_in(api)
    page = await browser.get("/console/pipeline")
    check_page(page)
    shown = columns(page)
    document = (await api.get("/v1/policies/active"))["document"]
    stages = [one["name"] for one in document["opportunity"]["stages"] if one["class"] not in ("won", "lost")]
    assert list(shown) == [one.replace("_", " ") for one in stages]
    assert "1,234.50 EUR" in shown["qualified"]
    assert "9 JPY" in shown["qualified"]
    assert "2 of 5 went on" in shown["qualified"]
    assert re.search(r'<path d="M0 0[HV0-9.]*V4[0-9.HV]*H100"/>', shown["qualified"]), "a curve of those still in it"
    assert "<path" not in shown["negotiation"]
    assert "70.00 EUR" in shown["proposal"]
    assert "5,000,000.00" not in page.text
    assert "None is open." in shown["negotiation"]
    [link] = re.findall(r'href="([^"]+)">3 open', shown["qualified"])
    rows = await browser.get(link.replace("&amp;", "&"))
    check_page(rows)
    assert all(deal in rows.text for deal in deals)
    assert rows.html.count("/console/opportunities/") == 3


async def test_late_deals_come_first_and_a_full_column_says_that_there_are_more(api: Api) -> None:
    late = str((api.now - timedelta(days=2)).date())
    await api.post("/v1/opportunities", {"name": "Overdue", "close_date": late, "amount": eur("10.00")})
    for number in range(CARDS + 3):
        await api.post("/v1/opportunities", {"name": f"Newer {number:02}"})
    page = await (await logged_in(api)).get("/console/pipeline")
    check_page(page)
    shown = columns(page)["unqualified"]
    assert shown.index("Overdue") < shown.index("Newer 14")
    assert f"{late}, slipped" in shown
    assert len(re.findall("Newer [0-9]{2}", shown)) == CARDS - 1
    assert f"{CARDS} are shown" in shown


async def test_without_the_policy_there_are_the_stages_in_which_something_is_open(api: Api) -> None:
    ae = await api.user("ae")
    deal = await qualified(api, ae, amount=eur("70.00"))
    assert (await step(api, deal, ae, action="advance", to="proposal")).status_code == 201
    browser = await logged_in(api, "reports:read", "leads:read")
    shown = columns(await browser.get("/console/pipeline"))
    assert list(shown) == ["proposal"]
    assert "70.00 EUR" in shown["proposal"]


async def test_many_stages_have_fewer_deals_each_and_one_of_an_older_policy_keeps_its_column(api: Api) -> None:
    before = (await api.get("/v1/policies/active"))["document"]
    large = deepcopy(before)
    further = [{"name": f"step_{number:02}", "class": "qualified", "probability": 60} for number in range(26)]
    large["opportunity"]["stages"] += further
    await activated(api, large)
    ae = await api.user("ae")
    for number in range(5):
        deal = await qualified(api, ae, name=f"Deal {number}", amount=eur("70.00"))
        assert (await step(api, deal, ae, action="advance", to="step_00")).status_code == 201
    browser = await logged_in(api)
    page = await browser.get("/console/pipeline")
    check_page(page)
    shown = columns(page)
    assert len(shown) == 4 + len(further)
    assert len(re.findall("Deal [0-9]", shown["step 00"])) == CARDS_IN_ALL // len(shown)
    assert "5 open" in shown["step 00"]
    await activated(api, before)
    page = await browser.get("/console/pipeline")
    check_page(page)
    assert list(columns(page)) == ["unqualified", "qualified", "proposal", "negotiation", "step 00"]
    assert len(re.findall("Deal [0-9]", page.text)) == 5


async def test_the_pipeline_of_an_empty_tenant_and_of_another_one_shows_nothing_of_this(api: Api) -> None:
    await api.post("/v1/opportunities", {"name": "Secret deal"})
    page = await (await logged_in(await second_tenant(api))).get("/console/pipeline")
    check_page(page)
    assert "Secret deal" not in page.text
    assert "None is open." in page.text


async def test_hostile_names_of_deals_are_text_in_the_pipeline(api: Api) -> None:
    for name in HOSTILE:
        await api.post("/v1/opportunities", {"name": name[:100]})
    page = await (await logged_in(api)).get("/console/pipeline")
    check_page(page)
    assert "<script>alert(1)</script>" in page.text


async def test_each_part_of_the_pipeline_says_which_scope_it_needs(api: Api) -> None:
    await api.post("/v1/opportunities", {"name": "Secret deal", "amount": eur("123.00")})
    reports_only = await (await logged_in(api, "reports:read", "policy:read")).get("/console/pipeline")
    check_page(reports_only)
    assert "<code>leads:read</code>" in reports_only.html
    assert "Secret deal" not in reports_only.text
    leads_only = await (await logged_in(api, "leads:read", "policy:read")).get("/console/pipeline")
    check_page(leads_only)
    assert "<code>reports:read</code>" in leads_only.html
    assert "Secret deal" in leads_only.text


async def rules_of(api: Api) -> dict[str, Any]:
    """Of four MQLs with a webinar one becomes an SQL, of four without it three; the active policy."""
    sdr, ae = await api.user("sdr"), await api.user("ae")
    leads = [await mql(api, number, *(["webinar"] if number < 4 else [])) for number in range(8)]
    for lead in (leads[0], *leads[4:7]):
        await sql(api, lead, sdr, ae)
    return await api.get("/v1/policies/active")


async def test_each_scoring_rule_of_a_policy_has_its_lift_beside_it(pipeline_api: Api) -> None:
    active = await rules_of(pipeline_api)
    browser = await logged_in(pipeline_api)
    page = await browser.get(f"/console/policies/{active['id']}")
    check_page(page)
    [beside] = re.findall(r"<dt>[+-]\d+ webinar</dt>\n<dd>(.*?)</dd>", page.html, re.DOTALL)
    assert "Lift 0.3333 (" in beside
    [link] = re.findall(r'href="([^"]+)">1 of 4</a> reached sql', beside)
    rows = await browser.get(link.replace("&amp;", "&"))
    check_page(rows)
    assert rows.html.count("<td>yes</td>") == 1
    assert rows.html.count("<td>no</td>") == 3


async def test_a_policy_is_shown_without_lift_to_a_key_that_may_not_read_reports(pipeline_api: Api) -> None:
    active = await rules_of(pipeline_api)
    page = await (await logged_in(pipeline_api, "policy:read")).get(f"/console/policies/{active['id']}")
    check_page(page)
    assert "<code>reports:read</code>" in page.html
    assert "Lift" not in page.text
    assert "webinar" in page.text


async def test_the_rules_of_a_draft_without_cases_have_no_lift(api: Api) -> None:
    made = await fill(api)
    page = await (await logged_in(api)).get(f"/console/policies/{made['policy_id']}")
    check_page(page)
    assert POLICY["scoring"]["engagement"][0]["id"] in page.text


async def test_a_number_opens_the_rows_that_it_counted_also_when_more_has_happened_since(pipeline_api: Api) -> None:
    api = pipeline_api
    active = await rules_of(api)
    browser = await logged_in(api)
    paths = ("/reports/funnel", "/reports/sources?by=country", "/pipeline", f"/policies/{active['id']}")
    pages = [await browser.get(f"/console{path}") for path in paths]
    api.clock.ahead += timedelta(minutes=5)
    sdr, ae = await api.user("sdr"), await api.user("ae")
    for number in range(8, 10):
        await sql(api, await mql(api, number, "webinar"), sdr, ae)
    for page in pages:
        numbers = re.findall(r'href="([^"]+/rows\?[^"]+)">([0-9]+) (of [0-9]+|open)</a>', page.html)
        assert numbers, page.text
        for link, counted, of in numbers:
            rows = await browser.get(link.replace("&amp;", "&"))
            found = [rows.html.count(f"<td>{cell}</td>") for cell in ("yes", "no")]
            shown = int(counted), int(of.removeprefix("of ")) if of != "open" else int(counted)
            assert (found[0], sum(found)) == shown, link
