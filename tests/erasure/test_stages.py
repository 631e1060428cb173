"""A person is erased in each stage of the journey: nothing of it falls due any more, and the person may begin anew."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from app.events.sequence import sequence
from app.journeys.refresh import refresh_due
from tests.api import Api
from tests.conversion.steps import BANT, converted, moved, mql, rows
from tests.erasure.people import erase, where
from tests.merging.steps import faults, journeys
from tests.submissions.sender import make_sender

EMAIL = "ada.lovelace@engine.example"
PERSON = {"email": EMAIL, "full_name": "Ada Lovelace", "phone": "+40721555123"}
NEEDLES = ["ada.lovelace", "lovelace", "721555123"]
STAGES = ("inquiry", "mql", "claimed", "contacted", "sal", "sql", "converted", "recycled", "disqualified")


async def lead_in(api: Api, stage: str, people: dict[str, str]) -> dict[str, Any]:
    """A lead in a stage of the policy `waterfall`, or with what happens within one."""
    if stage == "inquiry":
        return await api.lead(**PERSON)
    lead = await mql(api, **PERSON)
    manager, ae = people["manager"], people["ae"]
    if stage in ("claimed", "contacted"):
        await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": people["sdr"]}, actor=manager)
    if stage == "contacted":
        await api.add_activity(lead, "call", kind="contact_attempt", properties={"of": "Ada Lovelace"})
    if stage == "recycled":
        wake = (api.now + timedelta(days=20)).isoformat()
        note = "Ada Lovelace is away"
        await moved(api, lead, "recycle", manager, reason_code="timing", wake_at=wake, note=note)
    if stage == "disqualified":
        await moved(api, lead, "disqualify", manager, reason_code="bad_fit", note="not Ada Lovelace's trade")
    if stage in ("sal", "sql", "converted"):
        await moved(api, lead, "accept", manager)
    if stage in ("sql", "converted"):
        await moved(api, lead, "confirm", ae, bant=BANT)
    if stage == "converted":
        await converted(api, lead, ae, {"opportunity": {"name": "Deal with Lovelace"}})
    return await api.reload(lead)


async def events_of(api: Api, lead: dict[str, Any]) -> list[dict[str, Any]]:
    while await sequence(api.app.state.engine):
        pass
    params = {"after": "earliest", "limit": 1000, "lead_id": lead["id"]}
    return list((await api.get("/v1/events", params=params))["data"])


@pytest.mark.parametrize("stage", STAGES)
async def test_who_is_erased_in_any_stage_is_reminded_of_by_nothing_and_may_begin_anew(api: Api, stage: str) -> None:
    people = {role: await api.user(role) for role in ("manager", "ae", "sdr")}
    lead = await lead_in(api, stage, people)
    stored = "SELECT stage, seq, closed_at, business FROM journeys ORDER BY id"
    kept = await rows(api, stored)
    history = await rows(api, "SELECT from_stage, to_stage, occurred_at FROM transitions ORDER BY seq")
    await erase(api, lead)
    before = await events_of(api, lead)
    assert before[-1]["type"] == "lead.erased"
    engine = api.app.state.engine
    for days in (1, 30, 400):  # past every clock, the wake-up, decay, and what is stalled
        api.clock.ahead += timedelta(days=days)
        while await refresh_due(engine, api.clock.now):
            pass
    assert await events_of(api, lead) == before
    assert await rows(api, stored) == kept
    assert await rows(api, "SELECT from_stage, to_stage, occurred_at FROM transitions ORDER BY seq") == history
    assert (await api.ask(lead, "disqualify", people["manager"], reason_code="bad_fit")).status_code == 410
    assert await where(api, NEEDLES) == []
    sender = await make_sender(api)
    (item,) = (await sender.post_and_process({**PERSON, "message": "again"}))["items"]
    assert (item["verdict"], item["lead_id"]) == ("suppressed", None)
    assert await where(api, NEEDLES) == []
    (item,) = (await sender.post_and_process({**PERSON, "message": "again", "newsletter": "yes"}))["items"]
    assert item["verdict"] == "lead"
    assert item["lead_id"] != lead["id"]
    assert await journeys(api, {"id": item["lead_id"]}) == [(1, "inquiry")]
    assert await faults(api) == []


@pytest.mark.parametrize("stage", ["mql", "recycled", "contacted"])
async def test_the_same_lead_would_have_been_reminded_of(api: Api, stage: str) -> None:
    people = {role: await api.user(role) for role in ("manager", "ae", "sdr")}
    lead = await lead_in(api, stage, people)
    before = await events_of(api, lead)
    for days in (1, 30, 400):
        api.clock.ahead += timedelta(days=days)
        while await refresh_due(api.app.state.engine, api.clock.now):
            pass
    assert len(await events_of(api, lead)) > len(before)
