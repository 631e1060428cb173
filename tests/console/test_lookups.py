"""A request looks its key up once, however many requests to the API a page makes."""

from __future__ import annotations

import pytest

from app.web import auth
from tests.api import Api
from tests.console.browser import logged_in
from tests.plans import statements_of
from tests.reports.steps import JANUARY, day, go_to

WINDOW = "from=2026-01-01&to=2026-02-01"


@pytest.mark.parametrize(
    "path", ["", "/reports/funnel?" + WINDOW, "/reports/velocity?" + WINDOW, "/forecast", "/leads"]
)
async def test_a_page_looks_the_key_of_its_session_up_once(api: Api, path: str) -> None:
    go_to(api, day(20))
    await api.mql()
    browser = await logged_in(api)
    auth.clear_cache()
    with statements_of(api.app.state.engine) as ran:
        assert (await browser.get(f"/console{path}")).status == 200
    assert len(ran) > 2, "the page asks the API"
    assert len([query for query, _ in ran if "FROM keys k" in query]) == 1


@pytest.mark.parametrize("path", ["/v1/reports/funnel", "/v1/reports/pipeline", "/v1/reports/sources"])
async def test_a_report_looks_its_key_up_once_for_all_of_its_metrics(api: Api, path: str) -> None:
    go_to(api, day(20))
    await api.mql()
    auth.clear_cache()
    with statements_of(api.app.state.engine) as ran:
        metrics = (await api.get(path, params=JANUARY))["groups"][0]["metrics"]
    assert len(metrics) > 1
    assert len([query for query, _ in ran if "FROM keys k" in query]) == 1
