"""How much a source sent each day."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest

from app.submissions import volume
from app.submissions.process import process_batch
from tests.api import Api


async def send(api: Api, key: str, *bodies: object) -> None:
    for body in bodies:
        answer = await api.client.post(f"/v1/ingest/{key}", json=body)
        assert answer.status_code == 202, answer.text


async def process(api: Api) -> None:
    while await process_batch(api.app.state.engine, api.clock.now):
        pass


async def test_items_are_counted_by_day_and_verdict(api: Api) -> None:
    source = await api.post("/v1/sources", {"name": "form", "preset": "generic"})
    other = await api.post("/v1/sources", {"name": "other", "preset": "generic"})
    await send(api, source["key"], {"email": "a@one.example"}, {"email": "b@one.example"}, {"nobody": 1})
    await send(api, other["key"], {"email": "c@one.example"})
    await process(api)
    first = api.now.date()
    api.clock.ahead += timedelta(days=2)
    await send(api, source["key"], {"email": "d@one.example"})
    answer = await api.get(f"/v1/sources/{source['id']}/volume?days=4")
    days = [(first + timedelta(days=number)).isoformat() for number in range(-1, 3)]
    verdicts = [{}, {"lead": 2, "quarantined": 1}, {}, {"received": 1}]
    assert answer == {
        "time_zone": "UTC",
        "complete": True,
        "days": [{"on": on, "verdicts": found} for on, found in zip(days, verdicts, strict=True)],
    }


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago", "Europe/Bucharest", "Asia/Kathmandu"])
async def test_days_are_those_of_the_tenant(api: Api, zone: str) -> None:
    answer = await api.call("PUT", "/v1/calendar", {"time_zone": zone, "working_hours": {}, "holidays": []})
    assert answer.status_code == 200, answer.text
    source = await api.post("/v1/sources", {"name": "form", "preset": "generic"})
    for hours in (0, 7, 7, 7):
        api.clock.ahead += timedelta(hours=hours)
        await send(api, source["key"], {"email": f"at{api.clock.ahead}@one.example".replace(" ", "")})
    shown = await api.get(f"/v1/sources/{source['id']}/volume?days=3")
    instants = [api.now - timedelta(hours=7 * number) for number in range(4)]
    expected: dict[str, int] = {}
    for at in instants:
        on = at.astimezone(ZoneInfo(zone)).date().isoformat()
        expected[on] = expected.get(on, 0) + 1
    assert {day["on"]: sum(day["verdicts"].values()) for day in shown["days"] if day["verdicts"]} == expected


@pytest.mark.parametrize("days", ["0", "93", "-1", "x", "1e3", "99999999999999999999"])
async def test_a_number_of_days_that_is_none_is_refused(api: Api, days: str) -> None:
    source = await api.post("/v1/sources", {"name": "form", "preset": "generic"})
    answer = await api.call("GET", f"/v1/sources/{source['id']}/volume?days={days}")
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "days")


async def test_of_very_many_submissions_the_newest_are_counted(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(volume, "MOST_COUNTED", 3)
    source = await api.post("/v1/sources", {"name": "form", "preset": "generic"})
    for number in range(2):
        await send(api, source["key"], *({"email": f"p{number}{more}@one.example"} for more in "ab"))
        api.clock.ahead += timedelta(days=1)
    answer = await api.get(f"/v1/sources/{source['id']}/volume")
    assert not answer["complete"]
    assert sum(count for day in answer["days"] for count in day["verdicts"].values()) == 3
