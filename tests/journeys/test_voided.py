"""What a correction takes back is void everywhere: milestones, qualifications, clocks, choices of routes, reports."""

from __future__ import annotations

from typing import Any

import pytest

from app.journeys.verify import verify
from tests.api import Api
from tests.conversion.steps import BANT, srl_lead
from tests.journeys.test_corrections import correct
from tests.reports.steps import day, evidence, fraction, go_to, report
from tests.routing.documents import routed

METRICS = ("met_response", "attempted_response")


async def voided(api: Api, lead: dict[str, Any]) -> dict[str, list[tuple[str, bool]]]:
    """What each list of the lead says: the name and whether it is void."""
    path = f"/v1/leads/{lead['id']}"
    [journey] = (await api.get(f"{path}/journeys"))["data"]
    return {
        "milestones": [(one["name"], one["voided"]) for one in journey["milestones"]],
        "clocks": [(one["clock"], one["voided"]) for one in (await api.get(f"{path}/clocks"))["data"]],
        "qualifications": [
            (one["occurred_at"], one["voided"]) for one in (await api.get(f"{path}/qualifications"))["data"]
        ],
    }


async def act(api: Api, lead: dict[str, Any], what: str) -> None:
    """Something that happens between the MQL and its correction."""
    if what == "called":
        await api.add_activity(lead, "call", kind="contact_attempt")
    elif what == "breached":
        go_to(api, day(8))
    elif what == "accepted":
        assert (await api.ask(lead, "accept", await api.user("sdr"))).status_code == 201


@pytest.mark.parametrize("what", ["nothing", "called", "breached", "accepted"])
@pytest.mark.parametrize("to", ["inquiry", "suspect"])
async def test_an_mql_that_was_taken_back_counts_in_no_report_from_then_on(
    pipeline_api: Api, to: str, what: str
) -> None:
    api = pipeline_api
    go_to(api, day(2))
    lead, other = await api.mql(), await api.mql()
    await act(api, lead, what)
    before = api.now.isoformat().replace("+00:00", "Z")
    told = {name: await report(api, name, as_of=before) for name in ("response", "feedback", "funnel")}
    assert [fraction(told["response"], name)[1] for name in METRICS] == [2, 2]
    go_to(api, day(9))
    assert (await correct(api, lead, to))["sla"] is None
    now = await report(api, "response")
    assert [fraction(now, name)[1] for name in METRICS] == [1, 1]
    assert [fraction(await report(api, "feedback"), name)[1] for name in ("accepted", "untouched")] == [1, 1]
    for name in METRICS:
        assert [row["lead_id"] for row in await evidence(api, "response", name)] == [other["id"]]
    for name, answer in told.items():
        assert await report(api, name, as_of=before) == answer
    found = await voided(api, lead)
    assert {void for listed in found.values() for _, void in listed} == {True}
    assert all(found.values())
    assert not any(void for listed in (await voided(api, other)).values() for _, void in listed)
    assert {one.faults async for one in verify(api.app.state.engine)} == {()}


@pytest.mark.parametrize("called", [False, True])
async def test_an_mql_after_the_correction_counts_anew(pipeline_api: Api, called: bool) -> None:
    api = pipeline_api
    go_to(api, day(2))
    lead = await api.mql()
    await act(api, lead, "called" if called else "nothing")
    go_to(api, day(3))
    await correct(api, lead, "inquiry")
    go_to(api, day(5))
    await api.add_activity(lead, "demo_request", activity_key="again")
    found = await voided(api, lead)
    assert [void for _, void in found["qualifications"]] == [True, False]
    assert found["clocks"] == [("response", True), ("response", False)]
    assert [fraction(await report(api, "response"), name) for name in METRICS] == [(0, 1), (0, 1)]
    [row] = await evidence(api, "response", "attempted_response")
    assert row["at"] == found["qualifications"][1][0]


async def test_a_correction_to_before_mql_takes_back_each_time_that_the_lead_was_one(pipeline_api: Api) -> None:
    """The milestone is that of the first time; the second one, after a recycling, stands on it."""
    api = pipeline_api
    sdr = await api.user("sdr")
    go_to(api, day(2))
    lead = await api.mql()
    await api.ask(lead, "recycle", sdr, reason_code="timing")
    go_to(api, day(4))
    await api.add_activity(lead, "demo_request", activity_key="again")
    assert [void for _, void in (await voided(api, lead))["qualifications"]] == [False, False]
    await correct(api, lead, "inquiry")
    found = await voided(api, lead)
    assert [void for _, void in found["qualifications"] + found["clocks"]] == [True] * 4
    assert [fraction(await report(api, "response"), name) for name in METRICS] == [(0, 0), (0, 0)]


async def test_a_correction_among_later_stages_leaves_what_came_before(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr = await api.user("sdr")
    go_to(api, day(2))
    lead = await srl_lead(api, sdr)
    await act(api, lead, "called")
    go_to(api, day(3))
    await correct(api, lead, "sal")
    found = await voided(api, lead)
    assert found["milestones"] == [("mql", False), ("sal", False), ("srl", True)]
    assert dict(found["clocks"]) == {"response": False, "ae_acceptance": True}
    assert [void for _, void in found["qualifications"]] == [False]
    now = await report(api, "response")
    assert [fraction(now, name)[1] for name in (*METRICS, "met_ae_acceptance")] == [1, 1, 0]


async def test_a_clock_that_was_met_by_a_step_which_is_taken_back_counts_by_its_next_run(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    go_to(api, day(2))
    lead = await srl_lead(api, sdr)
    assert (await api.ask(lead, "confirm", ae, bant=BANT)).status_code == 201
    assert fraction(await report(api, "response"), "met_ae_acceptance") == (1, 1)
    go_to(api, day(3))
    lead = await correct(api, lead, "srl")
    assert [one for one in (await voided(api, lead))["clocks"] if one[0] == "ae_acceptance"] == [
        ("ae_acceptance", True),
        ("ae_acceptance", False),
    ]
    assert fraction(await report(api, "response"), "met_ae_acceptance") == (0, 1)


@pytest.mark.parametrize("what", ["nothing", "called"])
async def test_a_lead_as_of_a_time_before_and_after_the_correction_is_as_it_was_answered(api: Api, what: str) -> None:
    lead = await api.mql()
    await act(api, lead, what)
    told = []
    for step in ("before", "after"):
        if step == "after":
            await correct(api, lead, "inquiry")
        told.append((api.now.isoformat(), await api.reload(lead)))
        api.clock.ahead += day(2) - day(1)
    assert [answer["sla"] is None for _, answer in told] == [False, True]
    for at, answer in told:
        then = await api.call("GET", f"/v1/leads/{lead['id']}", params={"as_of": at})
        assert then.json() == answer


async def test_the_choice_of_a_route_that_a_correction_takes_back_is_void_and_the_next_one_counts(api: Api) -> None:
    await api.publish(routed({"method": "round_robin"}))
    first, second = await api.user("sdr"), await api.user("sdr")
    lead = await api.mql()
    assert lead["owner_id"] in (first, second)
    await correct(api, lead, "inquiry")
    told = await api.get(f"/v1/leads/{lead['id']}/assignment")
    assert (told["owner_id"], told["decision"]) == (None, None)
    assert [(one["owner_id"], one["voided"]) for one in told["earlier"]] == [(lead["owner_id"], True)]
    await api.add_activity(lead, "webinar")
    told = await api.get(f"/v1/leads/{lead['id']}/assignment")
    assert (told["decision"]["owner_id"], told["decision"]["voided"]) == (told["owner_id"], False)
    assert [one["voided"] for one in told["earlier"]] == [True]
