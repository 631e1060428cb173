"""Each example of docs/reports.md and docs/forecast.md is answered with the members that the page shows below it."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from app.forecast.snapshot import take_snapshots
from tests.api import Api
from tests.reports.steps import THREE, advance, day, go_to, hand_over

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("reports.md", "forecast.md")


def examples(page: str) -> Iterator[tuple[str, str]]:
    """The curl commands of a page, each with the text that follows it in its block."""
    for block in re.findall(r"^```[\w -]*\n(.*?)^```$", (DOCS / page).read_text(), re.DOTALL | re.MULTILINE):
        for found in re.finditer(r"^(curl (?:.*\\\n)*.*)\n((?:(?!curl ).*\n)*)", block, re.MULTILINE):
            yield found[1], found[2]


EXAMPLES = [pytest.param(*found, id=f"{page} {n}") for page in PAGES for n, found in enumerate(examples(page), 1)]


async def world(api: Api) -> dict[str, str]:
    """Leads and deals of January 2026, a week of November that was kept, and what the pages call by a variable."""
    sdr, ae = await api.user("sdr"), await api.user("ae")
    go_to(api, day(2))
    deals = [await hand_over(api, await api.mql(company=f"Company {n}", country="RO"), sdr, ae) for n in range(7)]
    for deal in deals:
        await advance(api, deal, "qualify", ae, bant=THREE)
        amount = {"amount": {"value": "120.50", "currency": "EUR"}}
        assert (await api.call("PATCH", f"/v1/opportunities/{deal}", amount)).status_code == 200
    for deal in deals[2:6]:
        await advance(api, deal, "lose", ae, reason_code="price")
    await advance(api, deals[0], "win", ae)
    go_to(api, datetime(2026, 11, 15, 12, tzinfo=UTC))
    closing = {"close_date": "2026-12-15"}
    assert (await api.call("PATCH", f"/v1/opportunities/{deals[1]}", closing)).status_code == 200
    go_to(api, datetime(2026, 11, 16, 12, tzinfo=UTC))
    await take_snapshots(api.app.state.engine, api.now)
    go_to(api, datetime(2026, 12, 1, 12, tzinfo=UTC))
    more = {"amount": {"value": "150.00", "currency": "EUR"}}
    assert (await api.call("PATCH", f"/v1/opportunities/{deals[1]}", more)).status_code == 200
    await advance(api, deals[6], "lose", ae, reason_code="price")
    return {"BATON": "", "KEY": api.key, "AE": ae, "OPPORTUNITY": str(deals[1]), "LOST": str(deals[6])}


def request(command: str, variables: dict[str, str]) -> tuple[str, str, dict[str, str], str | None]:
    """Method, address, headers and body of a curl command; an option or a variable that is new here is an error."""
    filled = re.sub(r"\$\{?(\w+)\}?", lambda name: variables[name[1]], command.replace("\\\n", " "))
    method, headers, body, address = "GET", dict[str, str](), None, ""
    words = iter(shlex.split(filled)[1:])
    for word in words:
        if word == "-X":
            method = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            body = next(words)
        elif word != "-s":
            assert word.startswith("/v1/"), f"what is {word}?"
            address = word
    return method, address, headers, body


def members(value: Any) -> set[str]:
    """The names of all members in a JSON value."""
    if isinstance(value, dict):
        return set(value).union(*(members(one) for one in value.values()))
    return set().union(*(members(one) for one in value)) if isinstance(value, list) else set()


@pytest.mark.parametrize(("command", "shown"), EXAMPLES)
async def test_an_example_is_answered_with_the_members_that_the_page_shows(
    pipeline_api: Api, command: str, shown: str
) -> None:
    method, address, headers, body = request(command, await world(pipeline_api))
    answer = await pipeline_api.client.request(method, address, headers=headers, content=body)
    assert answer.status_code == (201 if method == "POST" else 200), f"{command}\n{answer.text}"
    if answer.headers["content-type"].startswith("application/json"):
        missing = set(re.findall(r'"(\w+)":', shown)) - members(json.loads(answer.content))
        assert missing == set(), f"{command} does not answer what the page shows"
    else:
        assert answer.content
        assert not shown


def test_the_pages_have_examples() -> None:
    assert all(list(examples(page)) for page in PAGES)
    assert any(shown for page in PAGES for _, shown in examples(page))
