"""Reports whose statements take too long are refused with the field that makes them shorter, not to be repeated."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from app.database.engine import SERVER_SETTINGS
from app.reports.table import REPORTS
from app.settings import Settings
from tests.api import Api, running
from tests.forecast.test_changes import begin_week
from tests.forecast.test_forecast import PERIOD
from tests.reports.steps import JANUARY
from tests.stories.test_reports_of_the_past import METRICS

WINDOW = "&".join(f"{name}={value}" for name, value in JANUARY.items())
METRIC = {"funnel": "mql_to_sal", "velocity": "mql_to_sal", "cohorts": "2026-W02.week_1", **METRICS}
CHANGES = f"period={PERIOD}&since=2031-W18"
OF_FORECAST = (
    *("forecast", "forecast/evidence?metric=commit"),
    *(f"forecast/changes?{CHANGES}", f"forecast/changes/evidence?{CHANGES}&part=new"),
)


@asynccontextmanager
async def locked(settings: Settings, timeout: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Api]:
    """A service with a time-out, in which each statement of a report waits for a table until it takes too long."""
    monkeypatch.setitem(SERVER_SETTINGS, timeout, "2s")
    async with running(settings.model_copy(update={"pool_size": 16})) as api:
        await begin_week(api, "2031-W18")
        async with api.app.state.engine.begin() as other:
            await other.driver.execute("LOCK TABLE lead_merges, opportunity_states")
            yield api


def paths() -> dict[str, str]:
    """The address of each report and of its evidence, with the field that says of how much it is."""
    reports = {f"{one.name}?{WINDOW}": "to" for one in REPORTS}
    pages = {f"{name}/evidence?{WINDOW}&metric={METRIC[name]}": "to" for name in (one.name for one in REPORTS)}
    return {**reports, **pages, **dict.fromkeys(OF_FORECAST, "period")}


async def answers(api: Api, accept: str) -> dict[str, httpx.Response]:
    """What each report answers, a dozen at a time."""
    asked, found = list(paths()), dict[str, httpx.Response]()
    for first in range(0, len(asked), 12):
        some = asked[first : first + 12]
        calls = (api.call("GET", f"/v1/reports/{path}", headers={"Accept": accept}) for path in some)
        found |= zip(some, await asyncio.gather(*calls), strict=True)
    return found


@pytest.mark.parametrize("accept", ["application/json", "text/csv", "image/svg+xml"])
async def test_a_report_whose_statement_takes_too_long_is_refused_and_names_what_to_shorten(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, accept: str
) -> None:
    async with locked(settings, "statement_timeout", monkeypatch) as api:
        for path, answer in (await answers(api, accept)).items():
            if accept != "application/json" and "evidence" in path:
                continue
            assert (answer.status_code, answer.json()["code"]) == (422, "request_invalid"), (path, answer.text)
            [fault] = answer.json()["errors"]
            assert (fault["field"], fault["code"]) == (paths()[path], "too_much_history"), path
            assert "retry-after" not in answer.headers


async def test_a_report_that_waits_for_a_lock_is_to_be_tried_again(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with locked(settings, "lock_timeout", monkeypatch) as api:
        answer = await api.call("GET", f"/v1/reports/funnel?{WINDOW}")
        assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable")
        assert answer.headers["Retry-After"] == "1"
