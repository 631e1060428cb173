"""`baton verify` compares the stored state with the transitions."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from app.journeys.verify import verify
from tests.api import Api


async def make_long_journey(api: Api) -> None:
    """Makes a lead with many transitions: accepted, recycled, returned, corrected."""
    sdr, manager, lead = await api.user("sdr"), await api.user("manager"), await api.mql()
    await api.ask(lead, "accept", sdr)
    await api.ask(lead, "recycle", sdr, reason_code="timing")
    await api.add_activity(lead, "demo_request")
    await api.ask(lead, "accept", sdr)
    last = (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"][-1]["id"]
    answer = await api.ask(lead, "correct", manager, to="mql", reason_code="mistake", note="n", correction_of=last)
    assert answer.status_code == 201, answer.text


async def test_an_undamaged_journey_has_no_faults(api: Api) -> None:
    await make_long_journey(api)
    assert [one.faults async for one in verify(api.app.state.engine)] == [()]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE journeys SET stage = 'sql'",
        "UPDATE leads SET stage = 'inquiry'",
        "DELETE FROM milestones WHERE name = 'mql'",
        "UPDATE milestones SET voided_at = NULL",
        "DELETE FROM transitions WHERE seq = 2",
        "UPDATE transitions SET to_stage = 'sal' WHERE seq = 2",
    ],
)
async def test_every_kind_of_damage_is_found(api: Api, damage: str) -> None:
    await make_long_journey(api)
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text(damage))
    (checked,) = [one async for one in verify(api.app.state.engine)]
    assert checked.faults


async def test_a_clock_of_a_journey_that_belongs_to_another_lead_is_found(api: Api) -> None:
    await api.mql()
    await api.lead()
    assert {one.faults async for one in verify(api.app.state.engine)} == {()}
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("UPDATE clock_runs SET lead_id = (SELECT max(id::text)::uuid FROM leads)"))
    assert sorted(bool(one.faults) for one in [one async for one in verify(api.app.state.engine)]) == [False, True]


async def test_a_milestone_that_is_voided_and_reached_again_is_stored_twice(api: Api) -> None:
    manager, lead = await api.user("manager"), await api.mql()
    last = (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"][-1]["id"]
    answer = await api.ask(lead, "correct", manager, to="inquiry", reason_code="mistake", note="n", correction_of=last)
    assert answer.json()["lead"]["stage"] == "inquiry"
    await api.add_activity(lead, "demo_request")
    (journey,) = (await api.get(f"/v1/leads/{lead['id']}/journeys"))["data"]
    assert [one["voided"] for one in journey["milestones"]] == [True, False]
    assert [one.faults async for one in verify(api.app.state.engine)] == [()]
