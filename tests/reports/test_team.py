"""Groups by team: the team of the owner as of the instant, and of the lead where the owner is in none."""

from __future__ import annotations

from typing import Any

import pytest

from app.reports.table import REPORTS
from tests.api import Api
from tests.reports.steps import day, evidence, fraction, go_to, hand_over, report
from tests.reports.test_funnel import begin

# Each report that has groups by team, with a metric that counts every MQL of these tests.
METRICS = {
    "funnel": "volume_mql",
    "velocity": "in_mql",
    "sources": "leads",
    "feedback": "untouched",
    "cohorts": "2026-W01.week_1",
    "ageing": "sal:0-7",
    "rules": "rule:title",
}


def keys(document: dict[str, Any]) -> list[str | None]:
    return [group["key"] for group in document["groups"]]


async def owned(api: Api, *owners: str) -> list[dict[str, Any]]:
    """An MQL of each owner, accepted."""
    leads = [await api.mql() for _ in owners]
    for lead, owner in zip(leads, owners, strict=True):
        assert (await api.ask(lead, "accept", owner)).status_code == 201
    return leads


async def move_to(api: Api, user: str, team: str | None) -> None:
    assert (await api.call("PATCH", f"/v1/users/{user}", {"team": team})).status_code == 200


@pytest.mark.parametrize("name", METRICS)
async def test_a_group_is_the_team_of_the_owner_as_it_was_at_the_instant(api: Api, name: str) -> None:
    await begin(api)
    north, south, alone = [await api.user("sdr", team=team) for team in ("north", "south", None)]
    await owned(api, north, south, south, alone)
    go_to(api, day(2))
    then: dict[str, Any] = {"by": "team", "as_of": "2026-01-01T12:00:00Z"}
    before = await report(api, name, **then)
    assert keys(before) == [None, "north", "south"]
    assert [fraction(before, METRICS[name], key)[1] for key in keys(before)] == [1, 1, 2]
    for number, team in enumerate(("east", None, "west"), start=3):
        for user in (north, south, alone):
            await move_to(api, user, team)
        assert keys(await report(api, name, by="team")) == [team]
        assert await report(api, name, **then) == before
        assert len(await evidence(api, name, METRICS[name], key="south", **then)) == 2
        go_to(api, day(number))


async def test_the_group_follows_the_owner_that_the_lead_had_at_the_instant(api: Api) -> None:
    await begin(api)
    north, south = [await api.user("sdr", team=team) for team in ("north", "south")]
    [lead] = await owned(api, north)
    go_to(api, day(2))
    assert (await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": south})).status_code == 200
    then: dict[str, Any] = {"by": "team", "as_of": "2026-01-01T12:00:00Z"}
    assert keys(await report(api, "funnel", **then)) == ["north"]
    assert keys(await report(api, "funnel", by="team")) == ["south"]
    go_to(api, day(3))
    assert (await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": None})).status_code == 200
    assert keys(await report(api, "funnel", **then)) == ["north"]
    assert keys(await report(api, "funnel", by="team", as_of="2026-01-02T12:00:00Z")) == ["south"]
    assert keys(await report(api, "funnel", by="team")) == [None]


async def test_an_opportunity_counts_for_the_team_of_its_own_owner(pipeline_api: Api) -> None:
    api = pipeline_api
    await begin(api)
    sdr = await api.user("sdr", team="north")
    first, second = [await api.user("ae", team=team) for team in ("south", "east")]
    [lead] = await owned(api, sdr)
    deal = await hand_over(api, lead, sdr, first)
    assert keys(await report(api, "pipeline", by="team")) == ["south"]
    go_to(api, day(2))
    assert (await api.call("PATCH", f"/v1/opportunities/{deal}", {"owner_id": second})).status_code == 200
    assert keys(await report(api, "pipeline", by="team")) == ["east"]
    assert keys(await report(api, "pipeline", by="team", as_of="2026-01-01T12:00:00Z")) == ["south"]


def test_every_report_with_groups_by_team_is_among_those_of_these_tests() -> None:
    with_team = {one.name for one in REPORTS if "team" in one.parameters.groups()}
    assert with_team - {"pipeline", "response", "wins", "ideal"} == set(METRICS)
