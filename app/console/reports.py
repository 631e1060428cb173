"""The reports: what there is, one of them as a picture and as numbers, and the rows behind each number."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, Final
from urllib.parse import urlencode

from app.console.api import Answer, Api
from app.errors import NotFound
from app.reports.report import Report
from app.reports.table import REPORTS

DAYS: Final = 91  # of a window that nobody chose
MOST: Final = 200  # numbers of one page
ROWS: Final = 50
BY_NAME: Final[Mapping[str, Report]] = {report.name: report for report in REPORTS}


def reports() -> dict[str, Any]:
    return {"reports": REPORTS}


def window(asked: Mapping[str, str | None], today: date) -> dict[str, str]:
    """The parameters that were given, with the last thirteen weeks, today included, where no window was."""
    given = {name: value for name, value in asked.items() if value}
    chosen = {"from": str(today - timedelta(days=DAYS)), "to": str(today + timedelta(days=1))}
    return {**chosen, **given}


async def report(api: Api, name: str, asked: Mapping[str, str]) -> dict[str, Any]:
    """One report. Raises NotFound where there is none of that name."""
    found = await api.get(path_of(name), **asked)
    groups = found.document["groups"] if found.ok else []
    numbers = [(group["key"], metric) for group in groups for metric in group["metrics"]]
    with_data = [one for one in numbers if one[1]["denominator"]]
    return {
        "report": BY_NAME[name],
        "asked": asked,
        "groups": BY_NAME[name].parameters.groups(),
        "found": found,
        "numbers": [(key, metric, rows_of(found, asked, key, metric)) for key, metric in with_data[:MOST]],
        "more": max(len(with_data) - MOST, 0),
        "empty": len(numbers) - len(with_data),
        "query": urlencode(asked),
    }


def rows_of(found: Answer, asked: Mapping[str, str], key: str | None, metric: Mapping[str, Any]) -> str:
    """The query of the page with the rows behind a number of the report that was found, as of its instant."""
    of_number = {"as_of": found.document["as_of"], "metric": metric["name"]}
    return urlencode({**asked, **of_number, **({} if key is None else {"key": key})})


async def evidence(api: Api, name: str, asked: Mapping[str, str]) -> dict[str, Any]:
    """A page of the rows behind one number."""
    found = await api.get(f"{path_of(name)}/evidence", limit=ROWS, **asked)
    following = found.document["next"] if found.ok else None
    window_alone = {key: value for key, value in asked.items() if key not in ("metric", "key", "cursor")}
    return {
        "report": BY_NAME[name],
        "asked": asked,
        "found": found,
        "query": urlencode(window_alone),
        "next": urlencode({**asked, "cursor": following}) if following else None,
    }


def path_of(name: str) -> str:
    """The report in the API. Raises NotFound where there is none of that name."""
    if name not in BY_NAME:
        raise NotFound()
    return f"/v1/reports/{name}"
