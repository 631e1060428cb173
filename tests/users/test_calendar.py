"""The calendar of a tenant: its working hours, time zone and holidays."""

from __future__ import annotations

from typing import Any

import pytest

from tests.api import Api

FISCAL = {"first_month": 1, "layout": "months", "first_weekday": "mon"}
NINE_TO_SIX = {day: [["09:00", "18:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}
WRONG = [
    ({"time_zone": "Mars/Olympus"}, "time_zone"),
    ({"time_zone": "localtime"}, "time_zone"),
    ({"time_zone": "Factory"}, "time_zone"),
    ({"working_hours": {"mon": [["18:00", "09:00"]]}}, "working_hours.mon.0"),
    ({"working_hours": {"noday": []}}, "working_hours.noday"),
    ({"holidays": ["2026-02-30"]}, "holidays.0"),
    ({"holidays": [20261225]}, "holidays.0"),
    ({"holidays": ["1/5/2026"]}, "holidays.0"),
    ({"zone": "UTC"}, "zone"),
    ({"fiscal": {"first_month": 0}}, "fiscal.first_month"),
    ({"fiscal": {"first_month": 13}}, "fiscal.first_month"),
    ({"fiscal": {"layout": "5-4-4"}}, "fiscal.layout"),
    ({"fiscal": {"first_weekday": 1}}, "fiscal.first_weekday"),
    ({"fiscal": {"first_day": "mon"}}, "fiscal.first_day"),
]


@pytest.mark.parametrize(("body", "field"), WRONG, ids=str)
async def test_a_calendar_that_is_none_is_refused_with_the_place(api: Api, body: Any, field: str) -> None:
    answer = await api.call("PUT", "/v1/calendar", body)
    assert answer.status_code == 422, answer.text
    assert all(fault["field"].startswith(field) for fault in answer.json()["errors"])


async def test_a_calendar_is_kept_and_has_a_version(api: Api) -> None:
    unset = await api.call("GET", "/v1/calendar")
    assert unset.json() == {"time_zone": "UTC", "working_hours": {}, "holidays": [], "fiscal": FISCAL}
    body = {
        "time_zone": "Europe/Bucharest",
        "working_hours": NINE_TO_SIX,
        "holidays": ["2026-12-25", "2026-12-01", "2026-12-25"],
    }
    put = await api.call("PUT", "/v1/calendar", body, headers={"If-Match": unset.headers["etag"]})
    assert put.json() == {**body, "holidays": ["2026-12-01", "2026-12-25"], "fiscal": FISCAL}
    assert await api.get("/v1/calendar") == put.json()
    same = await api.call("PUT", "/v1/calendar", body)
    assert same.headers["etag"] == put.headers["etag"], "nothing was changed"
    stale = await api.call("PUT", "/v1/calendar", body, headers={"If-Match": unset.headers["etag"]})
    assert (stale.status_code, stale.json()["code"]) == (412, "version_conflict")


async def test_a_fiscal_calendar_stays_until_another_one_is_given(api: Api) -> None:
    fiscal = {"first_month": 4, "layout": "4-4-5", "first_weekday": "sun"}
    for body, expected in (({}, FISCAL), ({"fiscal": fiscal}, fiscal), ({"time_zone": "Asia/Tokyo"}, fiscal)):
        assert (await api.call("PUT", "/v1/calendar", body)).json()["fiscal"] == expected
    back = await api.call("PUT", "/v1/calendar", {"fiscal": {}})
    assert back.json()["fiscal"] == FISCAL
