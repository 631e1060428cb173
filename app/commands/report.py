"""`baton report`: asks a running service for a report, and prints it as a table or as CSV."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import orjson

from app.commands.output import print_document, refusal
from app.reports.table import REPORTS
from app.settings import CannotStart

TIMEOUT: Final = aiohttp.ClientTimeout(total=120)
# Each report by its name in the document that the service answers, and its path below /v1/reports.
PATHS: Final = {
    **{one.name: one.name for one in REPORTS},
    "forecast": "forecast",
    "forecast_changes": "forecast/changes",
}
KNOWN: Final = ("report", "from", "to", "business")  # a metric's name has them too


@dataclass(frozen=True, slots=True)
class AskedReport:
    """Which report, where the service is, with which key, and the parameters of the request."""

    name: str
    url: str
    key: str
    parameters: Mapping[str, str]


def report(asked: AskedReport, *, as_csv: bool) -> None:
    """Print the report. Raises CannotStart for one that there is not, and with the reason where it is refused."""
    if asked.name not in PATHS:
        raise CannotStart(f"there is no report {asked.name}; there are {', '.join(PATHS)}")
    text = asyncio.run(_read(asked))
    if as_csv:
        print_document(text)
    else:
        print(_table(text))


async def _read(asked: AskedReport) -> str:
    headers = {"Authorization": f"Bearer {asked.key}", "Accept": "text/csv"}
    url = f"{asked.url}/v1/reports/{PATHS[asked.name]}"
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT, headers=headers) as session,
            session.get(url, params=asked.parameters) as answer,
        ):
            text = await answer.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        raise CannotStart(f"{asked.url} does not answer ({type(error).__name__}): is it running?") from None
    if not answer.ok:
        raise CannotStart(_refusal(answer.status, text))
    return text


def _refusal(status: int, text: str) -> str:
    try:
        found: dict[str, Any] = orjson.loads(text)
    except orjson.JSONDecodeError:
        return f"the service answers {status}, and not as Baton does: is the address right?"
    return refusal(status, found)


def _table(text: str) -> str:
    """The lines of the CSV below each other, without empty columns and those that are not shown."""
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    names = [name for name in (rows[0] if rows else ()) if _is_shown(name) and any(row[name] for row in rows)]
    lines = [[name.replace("_", " ") for name in names], *([row[name] for name in names] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def _is_shown(column: str) -> bool:
    """Not what the names of the metrics say, and not the points of a curve."""
    return column not in KNOWN and not column.startswith("remaining_")
