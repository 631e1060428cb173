"""The forecast: what each person and all below will close, what has changed since a week, and the rows behind both."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlencode

from app.console.api import Answer, Api
from app.console.people import names_of_users

FORECAST: Final = "/v1/reports/forecast"
CHANGES: Final = "/v1/reports/forecast/changes"
ASKED: Final = ("period", "owner", "level", "origin", "as_of")
CHANGES_ASKED: Final = ("period", "since", "until", "owner", "as_of")
MOST: Final = 40  # people of one page
ROWS: Final = 25
SHOWN: Final = ("closed", "commit", "upside", "pipeline", "weighted", "omitted")
WITHOUT_ROWS: Final = ("quota", "gap")


async def forecast(api: Api, asked: Mapping[str, str], since: str | None) -> dict[str, Any]:
    """The roll-up over people, and what has changed since a week; where none is named, since last week."""
    found, snapshots, users = await asyncio.gather(
        api.get(FORECAST, **asked), api.get("/v1/snapshots"), names_of_users(api)
    )
    groups = found.document["groups"] if found.ok else []
    weeks = list(_weeks(found, snapshots))
    chosen = since or next(iter(weeks[1:2] or weeks), None)
    changes = await _changes(api, found.document, asked, chosen) if found.ok and chosen else None
    return {
        "asked": asked,
        "found": found,
        "columns": SHOWN,
        "people": [_person(group, found.document, asked) for group in groups[:MOST]],
        "in_all": len(groups),
        "csv": urlencode(asked),
        "weeks": weeks,
        "since": chosen,
        "changes": changes,
        "changes_query": _query_of(changes.document) if changes and changes.ok else "",
        "users": users,
    }


def _weeks(found: Answer, snapshots: Answer) -> Iterator[str]:
    """The weeks that had begun at the instant of the forecast, newest first."""
    if found.ok:
        at = datetime.fromisoformat(found.document["as_of"])
        yield from (one["week"] for one in snapshots.rows if datetime.fromisoformat(one["at"]) <= at)


async def _changes(api: Api, document: Mapping[str, Any], asked: Mapping[str, str], since: str) -> Answer:
    """What has changed until the instant of the forecast; there is no such report of one origin alone."""
    at, owner = document["as_of"], asked.get("owner")
    return await api.get(CHANGES, period=document["period"]["name"], since=since, owner=owner, as_of=at)


def _query_of(document: Mapping[str, Any]) -> str:
    """The parameters by which a report can be asked for again, as of the same instant."""
    return str(document["evidence_url"].partition("?")[2])


def _person(group: Mapping[str, Any], document: Mapping[str, Any], asked: Mapping[str, str]) -> dict[str, Any]:
    """A line of the roll-up: each number with the query of the page of its rows."""
    metrics = {one["name"]: one for one in group["metrics"]}
    rows = {name: _rows_of(document, group["key"], name) for name in metrics if name not in WITHOUT_ROWS}
    below = urlencode({**asked, "owner": group["key"]}) if group["key"] else None
    return {**group, "metrics": metrics, "rows": rows, "below": below, "attained": list(_attained(metrics))}


def _rows_of(document: Mapping[str, Any], key: str | None, metric: str) -> str:
    return f"{_query_of(document)}&{urlencode({'metric': metric, 'key': key or 'nobody'})}"


def _attained(metrics: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """In each currency of the quota how many percent of it are closed."""
    if "quota" in metrics:
        closed = _by_currency(metrics["closed"]["amounts"])
        for currency, quota in _by_currency(metrics["quota"]["amounts"]).items():
            if quota:
                yield currency, round(100 * closed.get(currency, Decimal()) / quota)


def _by_currency(amounts: Sequence[Mapping[str, str]]) -> dict[str, Decimal]:
    return {one["currency"]: Decimal(one["value"]) for one in amounts}


async def rows(api: Api, asked: Mapping[str, str]) -> dict[str, Any]:
    """A page of the opportunities behind a number of the forecast."""
    return await _evidence(api, FORECAST, asked, ("metric", "key"))


async def changed_rows(api: Api, asked: Mapping[str, str]) -> dict[str, Any]:
    """A page of the opportunities behind a part of what has changed."""
    return await _evidence(api, CHANGES, asked, ("part",))


async def _evidence(api: Api, path: str, asked: Mapping[str, str], of_rows: Sequence[str]) -> dict[str, Any]:
    found, users = await asyncio.gather(api.get(f"{path}/evidence", limit=ROWS, **asked), names_of_users(api))
    following = found.document["next"] if found.ok else None
    of_page = {name: value for name, value in asked.items() if name not in (*of_rows, "cursor")}
    return {
        "asked": asked,
        "found": found,
        "query": urlencode(of_page),
        "next": urlencode({**asked, "cursor": following}) if following else None,
        "users": users,
        "names": await _names(api, [row["opportunity_id"] for row in found.rows]),
    }


async def _names(api: Api, opportunity_ids: Sequence[str]) -> dict[str, str]:
    """The names of opportunities by id, as they are now; nothing where the key may not read them."""
    found = await asyncio.gather(*(api.get(f"/v1/opportunities/{one}") for one in opportunity_ids))
    return {one.document["id"]: one.document["name"] for one in found if one.ok}
