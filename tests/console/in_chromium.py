"""Each page of the console in a real Chromium: nothing is refused by its rules, and nothing is wider than the screen.

Not among the tests that run by default, as it needs a browser: `.ci/browser` runs it with the one that CHROMIUM names.
Where PICTURES names a folder, a picture of each page is kept there.
"""

from __future__ import annotations

import os
import re
from itertools import product
from pathlib import Path
from typing import Final

import pytest

from app.forecast.snapshot import SETTLE, take_snapshots
from tests.api import Api
from tests.console.browser import logged_in
from tests.console.chromium import Tab, chromium
from tests.console.world import EMPTY, fill, pages
from tests.forecast.test_forecast import eur
from tests.pipeline.test_forecast_members import patch
from tests.serving import served

WIDTHS: Final = (400, 1280)
SCHEMES: Final = ("light", "dark")
PICTURES: Final = "[...document.images].filter(one => !one.complete || !one.naturalWidth).map(one => one.src)"
WIDER: Final = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
BACKGROUND: Final = "getComputedStyle(document.body).backgroundColor"


def program() -> str:
    """The Chromium to use."""
    named = os.environ.get("CHROMIUM", "")
    assert Path(named).is_file(), "set CHROMIUM to the program of a Chromium, such as /usr/bin/chromium"
    return named


async def fill_all(api: Api) -> list[str]:
    """Something on every page; the paths of all pages."""
    made = await fill(api)
    name = "Somebody whose name is longer than most names are " * 2
    owner = await api.user("ae", name=name[:100], manager_id=made["manager"])
    await take_snapshots(api.app.state.engine, api.now + SETTLE)
    [week] = [one["week"] for one in (await api.get("/v1/snapshots"))["data"]]
    for value, currency in (("1234567.89", "EUR"), ("98765432", "JPY")):
        body = {"name": name, "owner_id": owner, "amount": eur(value, currency), "account_id": made["account_id"]}
        deal = await api.post("/v1/opportunities", {**body, "close_date": str(api.now.date())})
        answer = await patch(api, deal["id"], owner, forecast_category="commit")
        assert answer.status_code == 200, answer.text
    period = (await api.get("/v1/reports/forecast"))["period"]["name"]
    return [*pages(made), f"/console/forecast/changes/rows?part=new&period={period}&since={week}", "/console/session"]


async def check(tab: Tab, address: str, picture: str) -> list[str]:
    """What is wrong with a page, in words."""
    await tab.open(address)
    if folder := os.environ.get("PICTURES"):
        Path(folder, picture).write_bytes(await tab.picture())
    wider, missing = await tab.value(WIDER), await tab.value(f"JSON.stringify({PICTURES})")
    return [
        *tab.complaints(),
        *([f"{wider} pixels wider than the screen"] if wider else []),
        *([f"pictures that are not drawn: {missing}"] if missing != "[]" else []),
    ]


async def see_what_is_wrong(tab: Tab, address: str) -> None:
    """A page that is missing and one that is too wide are both noticed."""
    await tab.open(address)
    assert any("404" in one for one in tab.complaints())
    await tab.value("document.querySelector('h1').style.width = '2000px'")
    assert await tab.value(WIDER) > 0


@pytest.mark.parametrize("tenant", ["filled", "empty"])
@pytest.mark.parametrize(("width", "scheme"), list(product(WIDTHS, SCHEMES)))
async def test_each_page_is_shown_without_an_error_and_no_wider_than_the_screen(
    api: Api, width: int, scheme: str, tenant: str
) -> None:
    paths = await fill_all(api) if tenant == "filled" else EMPTY
    token = (await logged_in(api)).client.cookies["baton_console"]
    async with served(api.app) as url, chromium(program()) as tab:
        await tab.look(width, scheme)
        await tab.call("Network.setCookie", name="baton_console", value=token, url=f"{url}/console", path="/console")
        wrong = {}
        for n, path in enumerate(paths):
            name = re.sub(r"\W+", "-", path.removeprefix("/console")).strip("-")[:40] or "today"
            if found := await check(tab, url + path, f"{tenant}-{width}-{scheme}-{n:02}-{name}.png"):
                wrong[path] = found
        await see_what_is_wrong(tab, f"{url}/console/nothing")
        assert await tab.value(BACKGROUND) == ("rgb(255, 255, 255)" if scheme == "light" else "rgb(15, 23, 36)")
    assert wrong == {}
