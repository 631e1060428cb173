"""Time zones: each that is accepted is one that the database knows, too, since reports ask it for the days."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from app.database.transaction import Tx
from app.matching.times import ZONES
from tests.api import Api


async def test_the_database_knows_each_time_zone_that_is_accepted(tx: Tx) -> None:
    known = {row.name for row in await tx.execute(text("SELECT name FROM pg_timezone_names"))}
    assert ZONES - known == set()


@pytest.mark.parametrize("name", ["localtime", "posixrules", "Factory", "right/Europe/Paris", "posix/Europe/Paris"])
async def test_a_zone_that_is_no_place_is_taken_nowhere(api: Api, name: str) -> None:
    person = {"name": "Ana", "email": "ana@nord.example", "role": "sdr", "time_zone": name}
    form = {"name": "a", "preset": "generic"}
    for method, path, body, field in (
        ("PUT", "/v1/calendar", {"time_zone": name}, "time_zone"),
        ("POST", "/v1/users", person, "time_zone"),
        ("POST", "/v1/sources", {**form, "defaults": {"timezone": name}}, "defaults.timezone"),
        (
            "POST",
            "/v1/sources",
            {**form, "overrides": {"occurred_at": {"expr": "body.at", "timezone": name}}},
            "overrides.occurred_at.timezone",
        ),
    ):
        answer = await api.call(method, path, body)
        assert answer.status_code == 422, (path, answer.text)
        assert [one["field"] for one in answer.json()["errors"]] == [field]
