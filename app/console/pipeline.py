"""The pipeline: the open stages as columns, each with its sums, how fast it moves, and its opportunities."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, Final
from urllib.parse import urlencode

from app.console.api import Answer, Api
from app.console.people import names_of_users
from app.console.reports import path_of, rows_of, window

COLUMNS: Final = 40
CARDS: Final = 12  # of one column
CARDS_IN_ALL: Final = 96
LATE: Final = 200
CLASSES: Final = ("qualified", "unqualified")
CLOSED: Final = ("won", "lost")


async def pipeline(api: Api, today: date) -> dict[str, Any]:
    """The columns of the active policy, and after them those of older ones in which something is still open."""
    asked = window({"by": "stage"}, today)
    found, policy, slipped, users = await asyncio.gather(
        api.get(path_of("pipeline"), **asked),
        api.get("/v1/policies/active"),
        api.get("/v1/opportunities", slipped="true", limit=LATE),
        names_of_users(api),
    )
    groups = {group["key"]: group["metrics"] for group in found.document["groups"]} if found.ok else {}
    stages = list(dict.fromkeys([*_open_stages(policy), *_standing(groups)]))
    names = stages[:COLUMNS]
    most = min(CARDS, CARDS_IN_ALL // max(len(names), 1))
    cards = await asyncio.gather(*(_cards(api, name, slipped, most) for name in names))
    return {
        "found": found,
        "columns": [
            {"name": name, **_numbers(name, found, groups.get(name, ()), asked), "cards": of_stage}
            for name, of_stage in zip(names, cards, strict=True)
        ],
        "in_all": len(stages),
        "query": urlencode({name: value for name, value in asked.items() if name != "by"}),
        "users": users,
    }


def _open_stages(policy: Answer) -> Iterator[str]:
    if policy.ok:
        stages = policy.document["document"]["opportunity"]["stages"]
        yield from (stage["name"] for stage in stages if stage["class"] not in CLOSED)


def _standing(groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> Iterator[str]:
    """The stages in which an opportunity is open."""
    for stage, metrics in groups.items():
        if any(one["name"].startswith("volume_") and one["denominator"] for one in metrics):
            yield stage


def _numbers(
    stage: str, found: Answer, metrics: Sequence[Mapping[str, Any]], asked: Mapping[str, str]
) -> dict[str, Any]:
    """How many are open and what they are worth, by class (a stage has one), and how those that entered it moved on."""
    by_name = {one["name"]: one for one in metrics}
    open_ones = [(by_name[f"volume_{one}"], by_name[f"value_{one}"]["amounts"]) for one in CLASSES if by_name]
    sums = [
        (volume, amounts, rows_of(found, asked, stage, volume))
        for volume, amounts in open_ones
        if volume["denominator"]
    ]
    return {
        "sums": sums,
        "velocity": by_name.get(f"velocity_{stage}"),
        "conversion": by_name.get(f"conversion_{stage}"),
    }


async def _cards(api: Api, stage: str, slipped: Answer, most: int) -> Answer:
    """At most so many opportunities of a stage: first those whose close date is past, then the newest."""
    newest = await api.get("/v1/opportunities", stage=stage, limit=most)
    if not newest.ok:
        return newest
    late = [deal for deal in slipped.rows if deal["stage"] == stage]
    rows = {deal["id"]: deal for deal in (*late, *newest.rows)}
    more = len(rows) > most or newest.document["next"] is not None
    return Answer(newest.status, {"data": list(rows.values())[:most], "more": more})
