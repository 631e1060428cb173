"""The checks of a transition request, and their order."""

from __future__ import annotations

import asyncio

from sqlalchemy import text

from app.policies.publish import publish
from app.policies.sql import schedule_batch
from app.policy.shipped import shipped
from tests.api import Api
from tests.waiting import until

UNKNOWN_USER = "usr_01k00000000000000000000000"


async def test_an_unknown_owner_is_reported_after_the_action_and_the_role_are_checked(pipeline_api: Api) -> None:
    api = pipeline_api
    lead, sdr = await api.mql(), await api.user("sdr")
    unknown = await api.ask(lead, "nonsense", sdr, owner_id=UNKNOWN_USER)
    machine = await api.ask(lead, "hand_over", owner_id=UNKNOWN_USER)
    bant = {name: {"status": "confirmed"} for name in ("need", "budget", "timing")}
    named = await api.ask(lead, "hand_over", sdr, bant=bant, conversion=False, owner_id=UNKNOWN_USER)
    assert unknown.json()["code"] == "unknown_action"
    assert machine.json()["code"] == "human_required"
    assert (named.status_code, named.json()["code"]) == (422, "criteria_unmet")
    assert named.json()["unmet"] == [{"criterion": "assignable", "have": None, "need": "ae"}]


async def test_a_request_without_action_and_stage_is_refused(api: Api) -> None:
    lead = await api.mql()
    answer = await api.call("POST", f"/v1/leads/{lead['id']}/transitions", {})
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_action")


async def test_reopening_actions_are_not_allowed_from_an_open_stage(api: Api) -> None:
    lead, manager = await api.mql(), await api.user("manager")
    await api.ask(lead, "accept", manager)
    for action in ("reopen", "revert_conversion"):
        answer = await api.ask(lead, action, manager, reason_code="mistake", note="x")
        assert (answer.status_code, answer.json()["code"]) == (409, "transition_not_allowed"), action
    actions = (await api.get(f"/v1/leads/{lead['id']}/eligibility"))["actions"]
    assert [one["to"] for one in actions if one["action"] in ("reopen", "revert_conversion")] == [None, None]


async def test_a_correction_must_name_a_transition_of_the_same_journey(api: Api) -> None:
    lead, other = await api.mql(), await api.mql()
    sdr, manager = await api.user("sdr"), await api.user("manager")
    step = (await api.ask(lead, "accept", sdr)).json()["transition"]["id"]
    other_step = (await api.get(f"/v1/leads/{other['id']}/transitions"))["data"][0]["id"]
    body = {"to": "mql", "reason_code": "mistake", "note": "wrong lead"}
    refused = await api.ask(lead, "correct", manager, **body, correction_of=other_step)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "correction_of")
    assert (await api.ask(lead, "correct", manager, **body, correction_of=step)).status_code == 201


async def test_a_request_that_waits_for_a_policy_activation_uses_the_new_policy(api: Api) -> None:
    lead = await api.lead(job_title="Director", employees=120, industry="software")
    async with api.app.state.engine.begin() as tx:
        now = api.now
        await publish(tx, api.tenant_id, shipped("waterfall"), now)
        assert await schedule_batch(tx, api.tenant_id, now, 500, now) == 1  # locks the lead
        waiting = asyncio.create_task(api.add_activity(lead, "demo_request"))
        await _wait_for_a_blocked_backend(api)
    await waiting
    steps = (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"]
    assert [step["policy_version"] for step in steps] == [1, 2]


async def _wait_for_a_blocked_backend(api: Api) -> None:
    statement = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    async def is_blocked() -> bool:
        async with api.app.state.engine.connect() as tx:
            return bool((await tx.execute(statement)).scalar_one())

    await until(is_blocked, "a backend waits for a lock")
