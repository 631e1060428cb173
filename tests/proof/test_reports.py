"""Reports and forecast follow from the events that the API told, to the last digit, at any instant.

Also after conversions were reverted, and people were erased because they asked for it or their time was over.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta
from random import Random
from typing import Any

import hypothesis
import pytest

from app.settings import Settings
from tests.api import Api, running
from tests.proof.feed import all_events
from tests.proof.forecast import forecast, told
from tests.proof.reports import COMPUTED, differences
from tests.proof.sales import SalesLife
from tests.stories.forgetful import ForgetfulLife
from tests.stories.life import begin

STEPS, INSTANTS = 60, 4
ZONE = "Pacific/Auckland"


async def reports(life: SalesLife, instants: list[datetime]) -> list[tuple[dict[str, Any], bool]]:
    """Each report as of these instants, in windows of any length; whether skipped milestones count."""
    found = []
    for at in instants:
        first, last = at.date() - timedelta(days=life.random.choice((30, 100, 900))), life.random.choice((-3, 2))
        window = f"from={first}&to={at.date() + timedelta(days=last)}&as_of={at.isoformat().replace('+00:00', 'Z')}"
        for name in COMPUTED:
            skipped = life.random.choice(("include", "exclude"))
            more = "" if name in ("wins", "pipeline") else f"&skipped={skipped}"
            found.append((await life.api.get(f"/v1/reports/{name}?{window}{more}"), skipped == "include"))
    return found


@pytest.mark.parametrize("policy", ["waterfall", "pipeline"])
@pytest.mark.parametrize("round_", [0, 2, 3, 4, 5, 7, 8, 9, 10, 12])  # lives in which deals are moved on
async def test_the_reports_of_a_random_life_are_those_of_its_events(
    settings: Settings, round_: int, policy: str
) -> None:
    """Twenty lives; others under `--hypothesis-profile=search`."""
    seed = 100 + round_ if hypothesis.settings().derandomize else Random().randrange(10**9)
    async with running(settings, policy) as api:
        life = await begin(api, seed, ForgetfulLife)
        zone = await api.call("PUT", "/v1/calendar", {"time_zone": ZONE})
        assert zone.status_code == 200, zone.text
        assert isinstance(life, ForgetfulLife)
        for _ in range(STEPS):
            await life.step()
        instants = [*life.random.sample(life.instants, INSTANTS), api.now]
        compared, forecasts = await reports(life, instants), [await forecast_at(api, at) for at in instants]
        events = await all_events(api)
        for at, report in zip(instants, forecasts, strict=True):
            first, end = (date.fromisoformat(report["period"][name]) for name in ("from", "to"))
            expected = forecast(events, first, end, at, ZONE)
            assert told(report) == expected, f"seed {seed}, forecast at {at}\n{life.story()}"
        for report, with_skipped in compared:
            wrong = differences(report, events, ZONE, with_skipped)
            assert wrong == [], f"seed {seed}\n{life.story()}"
        if hypothesis.settings().derandomize:
            assert max(one["denominator"] for one in metrics(compared)) > 2, "this life has nothing to report"
            moved = [one for one in metrics(compared) if one["name"].startswith("conversion_") and one["numerator"]]
            assert moved or policy == "waterfall", "this life moved no opportunity on"


async def forecast_at(api: Api, at: datetime) -> dict[str, Any]:
    """The forecast of the quarter of an instant, as of it."""
    answer: dict[str, Any] = await api.get(f"/v1/reports/forecast?as_of={at.isoformat().replace('+00:00', 'Z')}")
    return answer


def metrics(reports: list[tuple[dict[str, Any], bool]]) -> list[dict[str, Any]]:
    return [metric for report, _ in reports for group in report["groups"] for metric in group["metrics"]]


@pytest.mark.parametrize("name", COMPUTED)
async def test_a_number_that_does_not_follow_from_the_events_is_named(pipeline_api: Api, name: str) -> None:
    today = pipeline_api.now.date()
    report = await pipeline_api.get(f"/v1/reports/{name}?from={today}&to={today + timedelta(days=1)}")
    assert differences(report, []) == []
    report["groups"][0]["metrics"][0]["numerator"] += 1
    [wrong] = differences(report, [])
    assert (
        wrong
        == f"{name}, {report['groups'][0]['metrics'][0]['name']}, numerator: the API says 1, by the events it is 0"
    )
