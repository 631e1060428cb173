"""Working hours of a user: each day's spans are in order and apart."""

from __future__ import annotations

import pytest

from tests.api import Api

WRONG = [
    [["09:00", "12:00"], ["11:00", "18:00"]],
    [["09:00", "18:00"], ["10:00", "11:00"]],
    [["09:00", "12:00"], ["09:00", "12:00"]],
    [["13:00", "18:00"], ["09:00", "12:00"]],
    [["08:00", "09:00"], ["10:00", "14:00"], ["13:59", "15:00"]],
    [["18:00", "09:00"]],
    [["09:00", "09:00"]],
    [["09:00", "24:01"]],
    [["09:00", "25:00"]],
    [["09:00"]],
]
RIGHT = [[], [["00:00", "24:00"]], [["09:00", "12:00"], ["12:00", "18:00"]], [["09:00", "12:00"], ["13:00", "18:00"]]]


@pytest.mark.parametrize("spans", WRONG, ids=str)
async def test_hours_that_are_no_day_are_refused_with_the_day(api: Api, spans: list[list[str]]) -> None:
    user = await api.user("sdr")
    hours = {"working_hours": {"mon": [["09:00", "18:00"]], "tue": spans}}
    made = await api.call("POST", "/v1/users", {"name": "A", "email": "a@acme.com", "role": "sdr", **hours})
    changed = await api.call("PATCH", f"/v1/users/{user}", hours)
    for answer in (made, changed):
        assert answer.status_code == 422
        assert all(fault["field"].startswith("working_hours.tue") for fault in answer.json()["errors"])


@pytest.mark.parametrize("spans", RIGHT, ids=str)
async def test_hours_that_are_apart_are_kept_as_given(api: Api, spans: list[list[str]]) -> None:
    body = {"name": "A", "email": "a@acme.com", "role": "sdr", "working_hours": {"tue": spans}}
    assert (await api.post("/v1/users", body))["working_hours"] == {"tue": spans}
