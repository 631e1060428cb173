"""`baton report`: each report of the table, as a table and as CSV, and what it says where there is none."""

from __future__ import annotations

import asyncio
import csv
import io

import pytest
from typer.testing import CliRunner

from app.commands.cli import cli
from app.reports.table import REPORTS
from app.settings import CannotStart
from tests.api import Api
from tests.forecast.test_changes import begin_week
from tests.forecast.test_forecast import PERIOD, deal
from tests.pipeline.test_forecast_members import patch
from tests.reports.steps import JANUARY, day, go_to
from tests.serving import served

WINDOW = ("--from", JANUARY["from"], "--to", JANUARY["to"])


async def printed(api: Api, *arguments: str) -> str:
    """What the command prints; raises as it does."""
    async with served(api.app) as url:
        command = ["report", "--url", url, "--key", api.key, *arguments]
        done = await asyncio.to_thread(CliRunner().invoke, cli, command, catch_exceptions=True)
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return done.output


@pytest.mark.parametrize("name", [one.name for one in REPORTS])
async def test_each_report_is_printed_as_the_csv_that_the_service_answers(pipeline_api: Api, name: str) -> None:
    go_to(pipeline_api, day(3))
    await pipeline_api.mql()
    asked = {**JANUARY, "as_of": pipeline_api.ago(seconds=0)}
    answer = await pipeline_api.call("GET", f"/v1/reports/{name}", params=asked, headers={"Accept": "text/csv"})
    assert await printed(pipeline_api, name, *WINDOW, "--as-of", asked["as_of"], "--csv") == answer.text.replace(
        "\r", ""
    )
    table = await printed(pipeline_api, name, *WINDOW)
    names = {row["name"] for row in csv.DictReader(io.StringIO(answer.text))}
    assert {line.split()[0] for line in table.splitlines()[1:]} == names


async def test_the_forecast_and_its_changes_are_printed_as_the_csv_that_the_service_answers(api: Api) -> None:
    await begin_week(api, "2031-W18")
    boss = await api.user("manager")
    ae = await api.user("ae", manager_id=boss)
    for value, currency in (("100.00", "EUR"), ("7.00", "USD")):
        made = await deal(api, ae, value, currency)
        await patch(api, made, boss, forecast_category="commit")
    at = api.ago(seconds=0)
    for name, path, more in (
        ("forecast", "forecast", {"level": "0"}),
        ("forecast_changes", "forecast/changes", {"since": "2031-W18"}),
    ):
        asked = {"period": PERIOD, "as_of": at, **more}
        answer = await api.call("GET", f"/v1/reports/{path}", params=asked, headers={"Accept": "text/csv"})
        assert answer.status_code == 200, answer.text
        options = [part for pair in more.items() for part in ("--option", "=".join(pair))]
        told = (name, "--period", PERIOD, "--as-of", at, *options)
        assert await printed(api, *told, "--csv") == answer.text.replace("\r", "")
        table = await printed(api, *told)
        assert "commit" in table
        assert {"100.00", "7.00"} <= set(table.split())


async def test_groups_and_further_parameters_are_passed_on(pipeline_api: Api) -> None:
    go_to(pipeline_api, day(3))
    await pipeline_api.mql(country="RO")
    text = await printed(pipeline_api, "funnel", *WINDOW, "--by", "country", "--option", "horizon=60", "--csv")
    [row] = [one for one in csv.DictReader(io.StringIO(text)) if one["name"] == "mql_to_srl"]
    assert (row["key"], row["denominator"], row["horizon_days"]) == ("RO", "1", "60")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("sales", *WINDOW), "there is no report sales; there are funnel, velocity, wins"),
        (("wins", "--to", "2026-02-01"), "422 request_invalid: from: "),
        (("forecast", "--period", "2026-Q9"), "422 request_invalid: period: "),
        (("forecast", *WINDOW), "422 request_invalid: from: "),
        (("forecast_changes", "--period", "2026-Q4"), "422 request_invalid: since: "),
        (("wins", *WINDOW, "--by", "moon"), "422 request_invalid: by: "),
        (("wins", *WINDOW, "--url", "http://127.0.0.1:1"), "http://127.0.0.1:1 does not answer"),
    ],
)
async def test_what_is_wrong_is_said_in_a_line(api: Api, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(CannotStart) as refused:
        await printed(api, *arguments)
    assert said in str(refused.value)


async def test_an_option_without_a_value_is_refused(api: Api) -> None:
    assert "horizon: write NAME=VALUE, such as horizon=60" in await printed(api, "funnel", "--option", "horizon")
