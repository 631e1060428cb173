"""The pages of reports: each number leads to exactly its rows; what may not be read or asked is said."""

from __future__ import annotations

import csv
import io
from datetime import timedelta
from urllib.parse import urlencode
from zoneinfo import ZoneInfo

import pytest

from app.reports.table import REPORTS
from tests.api import Api
from tests.console.browser import logged_in
from tests.console.test_pages import HOSTILE, check_page
from tests.console.world import fill

NAMES = [one.name for one in REPORTS]


async def test_every_report_is_listed_and_has_a_page_with_its_picture_and_its_table(api: Api) -> None:
    await fill(api)
    browser = await logged_in(api)
    listed = await browser.get("/console/reports")
    links = [str(given["href"]) for given in listed.all("a") if "/reports/" in (given.get("href") or "")]
    assert links == [f"/console/reports/{name}" for name in NAMES]
    with_data: list[str] = []
    for link in links:
        page = await browser.get(link)
        check_page(page)
        picture = await browser.client.get(f"{link}/picture")
        assert (picture.status_code, picture.headers["content-type"]) == (200, "image/svg+xml")
        table = await browser.client.get(f"{link}/csv")
        assert table.headers["content-disposition"] == f'attachment; filename="{link.rpartition("/")[2]}.csv"'
        rows = list(csv.DictReader(io.StringIO(table.text)))
        has_data = any(row["denominator"] not in ("", "0") for row in rows)
        assert bool(page.all("img")) is has_data
        with_data += [link.rpartition("/")[2]] if has_data else []
    assert {"funnel", "sources", "ageing", "response"} <= set(with_data)


async def test_each_number_opens_exactly_the_rows_behind_it(api: Api) -> None:
    sdr = await api.user("sdr")
    leads = [await api.mql(country=country) for country in ("RO", "RO", "DE")]
    assert (await api.ask(leads[0], "accept", sdr)).status_code == 201
    browser = await logged_in(api)
    page = await browser.get("/console/reports/funnel?by=country")
    check_page(page)
    links = [str(given["href"]) for given in page.all("a") if "metric=mql_to_sal&" in f"{given.get('href')}&"]
    opened = {link.partition("key=")[2]: await browser.get(link) for link in links}
    for rows in opened.values():
        check_page(rows)
    shown = {key: [lead["id"] for lead in leads if lead["id"] in rows.text] for key, rows in opened.items()}
    assert shown == {"RO": [leads[0]["id"], leads[1]["id"]], "DE": [leads[2]["id"]]}
    assert opened["RO"].html.count("<td>yes</td>") == 1
    assert opened["RO"].html.count("<td>no</td>") == 1
    assert "1 of 2" in page.text


async def test_many_rows_are_read_page_by_page(api: Api) -> None:
    for _ in range(52):
        await api.mql()
    browser = await logged_in(api)
    first = await browser.get("/console/reports/funnel/rows?metric=mql_to_sal")
    [following] = [str(given["href"]) for given in first.all("a") if given.get("rel") == "next"]
    second = await browser.get(following)
    check_page(second)
    assert [page.html.count("/console/leads/lead_") for page in (first, second)] == [50, 2]


@pytest.mark.parametrize("typed", [*HOSTILE, "\x00", "2026-02-30", "nothing"])
async def test_whatever_is_asked_of_a_report_there_is_a_page(api: Api, typed: str) -> None:
    browser = await logged_in(api)
    for name in ("from", "to", "as_of", "by", "metric", "key", "cursor"):
        for path in ("/console/reports/funnel", "/console/reports/funnel/rows"):
            page = await browser.get(f"{path}?{urlencode({'metric': 'mql_to_sal', name: typed})}")
            check_page(page, page.status)
            assert page.status in (200, 422), page.text
    refused = await browser.get(f"/console/reports/{'funnel' if typed == 'nothing' else 'sales'}s")
    check_page(refused, 404)


async def test_a_key_that_may_not_read_reports_sees_why_the_page_is_empty(api: Api) -> None:
    await fill(api)
    browser = await logged_in(api, "leads:read")
    for path in ("/console/reports/funnel", "/console/reports/funnel/rows?metric=mql_to_sal"):
        page = await browser.get(path)
        check_page(page, 403)
        assert "<code>reports:read</code>" in page.html


async def test_a_deal_that_should_have_been_closed_stands_on_today(api: Api) -> None:
    yesterday = (api.now - timedelta(days=2)).date()
    await api.post("/v1/opportunities", {"name": "<b>Late</b> licences", "close_date": str(yesterday)})
    await api.post("/v1/opportunities", {"name": "In time", "close_date": str(yesterday + timedelta(days=60))})
    page = await (await logged_in(api)).get("/console")
    check_page(page)
    assert "<b>Late</b> licences" in page.text
    assert "In time" not in page.text


# At any instant it is not the day of UTC in the first or in the last of them.
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "UTC", "Etc/GMT+12"])
async def test_a_window_that_nobody_chose_ends_with_the_present_day_of_the_tenant(api: Api, zone: str) -> None:
    set_ = await api.call("PUT", "/v1/calendar", {"time_zone": zone})
    assert set_.status_code == 200, set_.text
    today = api.now.astimezone(ZoneInfo(zone)).date()
    page = await (await logged_in(api)).get("/console/reports/funnel")
    fields = {str(one.get("name")): one.get("value") for one in page.all("input")}
    assert fields["to"] == str(today + timedelta(days=1))
    assert fields["from"] == str(today - timedelta(days=91))
    pipeline = await (await logged_in(api)).get("/console/pipeline")
    assert pipeline.status == 200
