"""The page of the forecast: its sums are those of the API, and each of them opens exactly its opportunities."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.console.forecast import MOST
from app.console.render import amount
from app.forecast import waterfall
from app.forecast.changes import PARTS
from app.forecast.explain import _by_category
from tests.api import Api
from tests.console.browser import Page, logged_in
from tests.console.test_pages import HOSTILE, check_page
from tests.contract.world import second_tenant
from tests.forecast.test_changes import begin_week
from tests.forecast.test_forecast import PERIOD, deal, eur, forecast, set_clock, won
from tests.pipeline.test_forecast_members import patch

PATH = f"/console/forecast?period={PERIOD}"


def links(page: Page, part: str) -> list[str]:
    return [str(given["href"]) for given in page.all("a") if part in (given.get("href") or "")]


def told(page: Page, link: str) -> str:
    """What a link says, without the line breaks of the template."""
    [found] = re.findall(rf'<a href="{re.escape(link.replace("&", "&amp;"))}">(.*?)</a>', page.html, re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", found).split())


async def team(api: Api) -> dict[str, str]:
    """A manager with two people, and one deal of nobody."""
    boss = await api.user("manager", name="Boss")
    people = {"boss": boss, **{name: await api.user("ae", name=name, manager_id=boss) for name in ("Ana", "Ben")}}
    for name, value in (("Ana", "1000.00"), ("Ana", "200.00"), ("Ben", "30.00")):
        await patch(api, await deal(api, people[name], value), people[name], forecast_category="commit")
    await deal(api, people["Ben"], "7.00", "USD")
    await deal(api, None, "5.00")
    return people


async def test_each_sum_is_that_of_the_api_and_opens_exactly_its_opportunities(api: Api) -> None:
    set_clock(api, "05-10")
    await team(api)
    browser = await logged_in(api)
    page = await browser.get(PATH)
    check_page(page)
    expected = {
        (group["key"] or "nobody", metric["name"]): metric
        for group in (await forecast(api))["groups"]
        for metric in group["metrics"]
        if metric["opportunities"]
    }
    shown = links(page, "/console/forecast/rows?")
    asked = [parse_qs(urlsplit(link).query) for link in shown]
    assert {(one["key"][0], one["metric"][0]) for one in asked} == set(expected)
    for link, one in zip(shown, asked, strict=True):
        metric = expected[one["key"][0], one["metric"][0]]
        assert told(page, link) == " ".join(amount(each) for each in metric["amounts"])
        rows = await browser.get(link)
        check_page(rows)
        assert rows.html.count("<td>yes</td>") == metric["opportunities"]
        assert not re.search(r"\b(opp|usr)_", rows.text), "opportunities and owners have their names"


async def test_quota_attainment_and_judgement_stand_beside_the_sums(api: Api) -> None:
    set_clock(api, "05-10")
    people = await team(api)
    await won(api, people["Ana"], "450.00")
    quota = {"period": PERIOD, "user_id": people["Ana"], "amount": eur("900.00")}
    await api.call("PUT", "/v1/quotas", {"quotas": [quota]})
    judged = {"commit": eur("1234.50"), "upside": None, "note": "sure"}
    answer = await api.call("PUT", f"/v1/forecasts/{PERIOD}/{people['Ana']}", judged, actor=people["boss"])
    assert answer.status_code == 200, answer.text
    page = await (await logged_in(api)).get(PATH)
    check_page(page)
    assert page.text.count("50 %") == 2, "of the person, and of the manager whose quota is that of the people"
    assert "judged 1,234.50 EUR" in page.text
    assert "900.00 EUR" in page.text
    [below] = set(links(page, f"owner={people['Ana']}"))
    alone = await (await logged_in(api)).get(below)
    check_page(alone)
    assert "judged 1,234.50 EUR" in alone.text
    assert "30.00 EUR" not in alone.text


async def test_what_changed_since_last_week_is_a_waterfall_whose_parts_open_their_opportunities(api: Api) -> None:
    await begin_week(api, "2031-W18")
    owner = await api.user("ae", name="Ana")
    grown = await deal(api, owner, "100.00")
    await begin_week(api, "2031-W19")
    await patch(api, grown, owner, amount=eur("150.00"), forecast_category="commit")
    made = await deal(api, owner, "900.00")
    await patch(api, made, owner, forecast_category="upside")
    browser = await logged_in(api)
    page = await browser.get(PATH)
    check_page(page)
    assert "since 2031-W18 began" in page.text
    [image] = page.all("img")
    drawn = await browser.client.get(str(image["src"]))
    assert (drawn.status_code, drawn.headers["content-type"]) == (200, "image/svg+xml")
    assert "open as 2031-W18 began" in drawn.text
    newer = await browser.get(f"{PATH}&since=2031-W19")
    check_page(newer)
    [opened] = links(newer, "part=new")
    rows = await browser.get(opened)
    check_page(rows)
    assert made in rows.html
    assert grown not in rows.html
    assert "900.00 EUR" in rows.text
    before = await browser.get(f"{PATH}&as_of={api.ago(days=6)}")
    check_page(before)
    assert "since 2031-W18 began" in before.text
    assert "900.00 EUR" not in before.text


async def test_the_forecast_is_downloaded_as_the_csv_of_the_api(api: Api) -> None:
    set_clock(api, "05-10")
    await team(api)
    browser = await logged_in(api)
    at = api.ago(seconds=0)
    [link] = links(await browser.get(f"{PATH}&as_of={at}"), "/forecast/csv")
    table = await browser.client.get(link)
    asked = {"period": PERIOD, "as_of": at}
    answer = await api.call("GET", "/v1/reports/forecast", params=asked, headers={"Accept": "text/csv"})
    assert table.headers["content-disposition"] == 'attachment; filename="forecast.csv"'
    assert table.text == answer.text


async def test_a_large_team_is_cut_and_a_page_of_it_stays_small(api: Api) -> None:
    set_clock(api, "05-10")
    boss = await api.user("manager")
    for number in range(MOST):
        owner = await api.user("ae", name=f"Person {number:02}", manager_id=boss)
        for currency in ("EUR", "USD", "CHF", "GBP", "JPY", "SEK"):
            await deal(api, owner, "1000000", currency)
    page = await (await logged_in(api)).get(PATH)
    check_page(page)
    assert f"{MOST} of {MOST + 1} lines" in page.text
    assert "and 2 amounts more" in page.text


@pytest.mark.parametrize("typed", [*HOSTILE, "\x00", "2026-Q9", "-1", "nobody"])
async def test_whatever_is_asked_of_the_forecast_there_is_a_page(api: Api, typed: str) -> None:
    await api.user("ae", name=typed[:100].replace("\x00", "") or "x")
    browser = await logged_in(api)
    asked = {"period": PERIOD, "since": "2031-W18", "metric": "commit", "part": "won"}
    for path in ("", "/rows", "/changes/rows", "/changes", "/csv"):
        for name in ("period", "owner", "level", "origin", "as_of", "since", "metric", "key", "part", "cursor"):
            answer = await browser.client.get(f"/console/forecast{path}?{urlencode({**asked, name: typed})}")
            assert answer.status_code in (200, 422), answer.text
            if answer.headers["content-type"].startswith("text/html"):
                check_page(Page(answer), answer.status_code)


async def test_a_person_of_another_tenant_is_told_to_be_none(api: Api) -> None:
    owner = await api.user("ae", name="Secret Name")
    browser = await logged_in(await second_tenant(api))
    for query in (f"owner={owner}", f"metric=commit&key={owner}"):
        page = await browser.get(f"/console/forecast{'/rows' if 'key' in query else ''}?{query}")
        check_page(page, 422)
        assert "no user of this tenant has this id" in page.text
        assert "Secret Name" not in page.text


async def test_a_key_that_may_not_read_reports_sees_why_the_forecast_is_empty(api: Api) -> None:
    browser = await logged_in(api, "leads:read")
    for path in ("", "/rows?metric=commit", "/changes/rows?part=won&since=2031-W18&period=2031-Q2", "/csv"):
        page = await browser.get(f"/console/forecast{path}")
        check_page(page, 403)
        assert "<code>reports:read</code>" in page.html


CHANGES = st.dictionaries(st.sampled_from(["EUR", "USD", "JPY"]), st.integers(-9999, 9999).map(Decimal), max_size=3)


@given(before=CHANGES, parts=st.lists(CHANGES, min_size=len(PARTS), max_size=len(PARTS)))
def test_the_bars_of_a_waterfall_join_and_stay_within_the_picture(
    before: dict[str, Decimal], parts: list[dict[str, Decimal]]
) -> None:
    after = {
        code: sum((one.get(code, Decimal()) for one in (before, *parts)), Decimal()) for code in ("EUR", "USD", "JPY")
    }
    document: dict[str, Any] = {
        "since": "2031-W18",
        "before": _by_category({"commit": before, "omitted": {"EUR": Decimal(7)}}),
        "after": _by_category({"upside": after}),
        "parts": [
            {"name": name, "opportunities": 1, "amounts": _by_category({"commit": one})["commit"]}
            for name, one in zip(PARTS, parts, strict=True)
        ],
    }
    bars = waterfall.metrics(document)
    assert all(bar["start"] >= 0 and bar["start"] + bar["value"] <= 1 + 1e-9 for bar in bars)
    edges = [{round(bar["start"], 9), round(bar["start"] + bar["value"], 9)} for bar in bars]
    for first, second, bar in zip(edges, edges[1:], bars[1:], strict=False):
        assert bar["name"].startswith("open as") or first & second, (first, second)


async def test_the_picture_of_changes_is_the_waterfall_in_words_too(api: Api) -> None:
    await begin_week(api, "2031-W18")
    owner = await api.user("ae")
    await begin_week(api, "2031-W19")
    await patch(api, await deal(api, owner, "900.00"), owner, forecast_category="commit")
    path = f"/v1/reports/forecast/changes?period={PERIOD}&since=2031-W19"
    answer = await api.call("GET", path, headers={"Accept": "image/svg+xml"})
    described = str(ElementTree.fromstring(answer.text)[1].text)
    assert described == ("open as 2031-W19 began: 0.00 EUR; new: 900.00 EUR (1); open at the end: 900.00 EUR")
