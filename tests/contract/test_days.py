"""A day is YYYY-MM-DD and nothing else, wherever one is taken: what has a time or an offset is not cut to a day."""

from __future__ import annotations

import json
import re

import httpx
import pytest

from tests.api import Api
from tests.contract.bodies import body, leaves, with_leaf
from tests.contract.contract import AUTHENTICATED, WITH_BODY, Operation
from tests.contract.test_hostile import REQUIRED, send
from tests.contract.world import RecordIds, create_one_of_each

NO_DAYS = [
    "2026-06-01T00:00:00+05:00",
    "2026-06-01 00:00",
    "2026-06-01T00:00:00Z",
    "2026-06-01T00:00",
    "2026-06-01T12:00:00Z",
    "2026-06-01Z",
    "2026-06-01 ",
    "2026-06-01\n",
    " 2026-06-01",
    "20260601",
    "2026-6-1",
    "1780272000",
]


@pytest.fixture
async def record_ids(api: Api) -> RecordIds:
    return await create_one_of_each(api)


def days_of(operation: Operation) -> list[str]:
    """The query parameters that are days."""
    parameters = operation.members.get("parameters", ())
    return [one["name"] for one in parameters if one["in"] == "query" and one["schema"].get("format") == "date"]


def check(answer: httpx.Response, place: str) -> None:
    told = [(fault["field"], fault["code"]) for fault in answer.json().get("errors", ())]
    assert (answer.status_code, told) == (422, [(place, "wrong_form")]), (str(answer.request.url), answer.text)


async def test_a_parameter_that_is_a_day_takes_nothing_else(api: Api, record_ids: RecordIds) -> None:
    operations = [one for one in AUTHENTICATED if days_of(one)]
    for operation in operations:
        needed = {name: REQUIRED.get(f"{operation.path} {name}", REQUIRED.get(name)) for name in operation.required}
        for name in days_of(operation):
            for typed in NO_DAYS if operation.path == "/v1/reports/funnel" else NO_DAYS[:2]:
                check(await api.call("GET", operation.at(**record_ids), params={**needed, name: typed}), name)
    assert len(operations) > 20


async def test_a_member_that_is_a_day_takes_nothing_else(api: Api, record_ids: RecordIds) -> None:
    tried = set()
    for operation in WITH_BODY:
        written = body(str(operation), record_ids)
        for path, value in leaves(written):
            if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value):
                for typed in NO_DAYS:
                    sent = json.dumps(with_leaf(written, path, typed)).encode()
                    check(await send(api, operation, record_ids, sent), ".".join(map(str, path)))
                tried.add(str(path[-1] if isinstance(path[-1], str) else path[-2]))
    assert tried == {"close_date", "due_on", "from", "to", "holidays"}
