"""The CSV of every report: its columns are those that the pages list, whatever it found, and each number is in it."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from app.reports.table import REPORTS
from tests.api import Api
from tests.forecast.test_changes import begin_week
from tests.forecast.test_forecast import PERIOD, deal, eur
from tests.reports.steps import JANUARY, day, go_to
from tests.reports.test_pictures import live

DOCS = Path(__file__).parents[2] / "docs"
OF_ALL = "report,key,name,from,to,business,numerator,denominator,value,horizon_days,mature,band_low,band_high,in_band"
TIMES = "median_days,p90_days,{},n,n_open".format(",".join(f"remaining_{n}0" for n in range(9, 0, -1)))
LIFT = "interval_low,interval_high,lift,lift_interval_low,lift_interval_high"
OWN = {
    "funnel": "",
    "velocity": TIMES,
    "wins": "by_value",
    "sources": "amount_won,cost,cost_per_sql",
    "feedback": "hours,attempts_mean,attempts",
    "cohorts": "cohort,weeks",
    "pipeline": f"origin,amounts,{TIMES}",
    "response": "n_open,n_met,median_minutes,p90_minutes,mean_attempts,"
    + ",".join(f"attempts_{n}" for n in ("0", "1", "2", "3", "4", "5", "6+")),
    "ageing": "idle_days",
    "rules": f"{LIFT},lets_bad_leads_through",
    "ideal": LIFT,
    "accounts": "people,engagement",
}
FORECAST = (
    "report,period,key,manager_id,level,metric,opportunities,currency,amount,own_opportunities,own_amount,converted,"
    "converted_currency"
)
CHANGES = "report,period,since,part,opportunities,category,currency,amount"
GROUPS = {one.name: (None, *one.parameters.groups()) for one in REPORTS}


async def table(api: Api, address: str, **parameters: Any) -> tuple[str, list[dict[str, str]]]:
    """The head of a CSV, and its rows by the names of the columns."""
    answer = await api.call("GET", address, params=parameters, headers={"Accept": "text/csv"})
    assert answer.status_code == 200, answer.text
    return answer.text.partition("\r\n")[0], list(csv.DictReader(io.StringIO(answer.text, newline="")))


def numbers(value: Any) -> Iterator[Decimal]:
    """Every number in a value, amounts included, which are written as texts."""
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from numbers(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from numbers(inner)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield Decimal(str(value))
    elif isinstance(value, str) and re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", value):
        yield Decimal(value)


def read(cell: str) -> Any:
    return json.loads(cell) if cell.startswith("[") else cell


@pytest.mark.parametrize("name", GROUPS)
async def test_the_columns_do_not_depend_on_the_data_and_every_number_is_in_them(pipeline_api: Api, name: str) -> None:
    api, address = pipeline_api, f"/v1/reports/{name}"
    windows = [{**JANUARY, **({"by": by} if by else {})} for by in GROUPS[name]]
    head = f"{OF_ALL},{OWN[name]}".rstrip(",")
    go_to(api, day(3))
    for asked in windows:
        assert (await table(api, address, **asked))[0] == head, "of an empty tenant"
    await live(api)
    for asked in windows:
        document = await api.get(address, params=asked)
        found, rows = await table(api, address, **{**asked, "as_of": document["as_of"]})
        assert found == head
        metrics = [(group["key"], metric) for group in document["groups"] for metric in group["metrics"]]
        assert len(rows) == len(metrics)
        for row, (key, metric) in zip(rows, metrics, strict=True):
            assert (row["report"], row["key"], row["name"]) == (name, key or "", metric["name"])
            cells = [read(cell) for column, cell in row.items() if column != "key"]
            assert sorted(numbers(metric)) == sorted(numbers(cells))


async def test_the_columns_of_the_forecast_do_not_depend_on_the_data_and_every_number_is_in_them(api: Api) -> None:
    await begin_week(api, "2031-W19")
    address, changes = f"/v1/reports/forecast?period={PERIOD}", "/v1/reports/forecast/changes"
    since = {"period": PERIOD, "since": "2031-W19"}
    assert await table(api, address) == (FORECAST, [])
    head, rows = await table(api, changes, **since)
    assert head == CHANGES
    assert {one["opportunities"] for one in rows} == {"", "0"}
    ae = await api.user("ae")
    await deal(api, ae, "20.00")
    await deal(api, ae, None)
    await api.call("PUT", f"/v1/forecasts/{PERIOD}/{ae}", {"commit": eur("5.00")}, actor=ae)
    head, rows = await table(api, address)
    assert head == FORECAST
    [group] = (await api.get(address))["groups"]
    for metric in group["metrics"]:
        mine = [one for one in rows if one["metric"] == metric["name"]]
        cells = [
            one[column] for one in mine for column in ("opportunities", "amount", "own_opportunities", "own_amount")
        ]
        assert set(numbers(metric)) == set(numbers(cells)), metric["name"]
    head, rows = await table(api, changes, **since)
    assert head == CHANGES
    for part in (await api.get(changes, params=since))["parts"]:
        mine = [one for one in rows if one["part"] == part["name"]]
        assert {one["opportunities"] for one in mine} == {str(part["opportunities"])}
        assert sorted(numbers([one["amount"] for one in mine])) == sorted(numbers(part["by_category"]))
        assert part["opportunities"] == (2 if part["name"] == "new" else 0)


async def test_a_part_that_counts_an_opportunity_without_an_amount_has_a_line(api: Api) -> None:
    await begin_week(api, "2031-W19")
    await deal(api, None, None)
    _, rows = await table(api, "/v1/reports/forecast/changes", period=PERIOD, since="2031-W19")
    [new] = [one for one in rows if one["part"] == "new"]
    assert (new["opportunities"], new["category"], new["amount"]) == ("1", "", "")


def test_the_pages_list_the_columns_of_every_report() -> None:
    page, forecast = ((DOCS / name).read_text() for name in ("reports.md", "forecast.md"))
    assert set(OWN) == {one.name for one in REPORTS}
    assert listed(page.partition("The columns of the CSV")[2].partition("; then")[0]) == OF_ALL
    for name, columns in OWN.items():
        [row] = re.findall(rf"^\| {name} \| (.*) \|$", page.partition("| further columns")[2], re.MULTILINE)
        said = listed(row)
        if name == "pipeline":
            said += f",{TIMES}"
        assert said == columns, name
    assert listed(forecast.partition("The columns of the CSV")[2].partition("; a judgement")[0]) == FORECAST
    assert listed(forecast.partition("the CSV has")[2].partition(", and one line")[0]) == CHANGES


def listed(text: str) -> str:
    """The columns that a text names, those between the two of `and so on to` included; what is in brackets is not."""
    text = re.sub(r"\([^)]*\)", "", text)
    for first, last in re.findall(r"`\w+_(\d+)` and so on to `\w+_(\d+)`", text):
        step = 1 if int(last) > int(first) else -1
        places = range(int(first), int(last) + step, step * (10 if int(first) % 10 == 0 else 1))
        name = re.findall(rf"`(\w+_){first}` and so on", text)[0]
        between = ", ".join(f"`{name}{place}`" for place in places)
        text = re.sub(rf"`{name}{first}` and so on to `{name}{last}`", between, text)
    return ",".join(re.findall(r"`([^`]+)`", text))
