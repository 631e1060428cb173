"""Partners have to accept a lead in time; else it goes to the next target of the rule, once."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from app.journeys import refresh
from app.journeys.refresh import refresh_due
from app.journeys.verify import verify
from tests.api import Api
from tests.journeys.test_time import events_of_type
from tests.routing.documents import routed

TEAMS = {
    "alpine": {"kind": "partner", "accept_within_minutes": 60},
    "baltic": {"kind": "partner", "accept_within_minutes": 30},
    "inside": {},
}
ALPINE, BALTIC, INSIDE = ({"method": "round_robin", "team": team} for team in TEAMS)
CHAIN = [{"id": "partners", "if": {"field": "country", "is": "AT"}, "to": [ALPINE, BALTIC, INSIDE]}]


async def offered(api: Api, to: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    rules = CHAIN if to is None else [{"id": "partners", "to": to}]
    await api.publish(routed({"rules": rules}, TEAMS))
    return await api.mql(country="AT")


async def pass_minutes(api: Api, minutes: float) -> int:
    """Moves the clock, and lets the worker evaluate what is due; how many leads were."""
    api.clock.ahead += timedelta(minutes=minutes)
    return await refresh_due(api.app.state.engine, api.clock.now)


async def assignment(api: Api, lead: dict[str, Any]) -> dict[str, Any]:
    return dict(await api.get(f"/v1/leads/{lead['id']}/assignment"))


async def is_sound(api: Api) -> bool:
    return not any([one.faults async for one in verify(api.app.state.engine)])


async def test_a_lead_that_partners_do_not_accept_goes_from_target_to_target(api: Api) -> None:
    alpine, baltic = await api.user("sdr", team="alpine"), await api.user("sdr", team="baltic")
    inside = await api.user("sdr", team="inside")
    lead = await offered(api)
    assert (lead["owner_id"], lead["team"]) == (alpine, "alpine")
    assert (await assignment(api, lead))["accept_by"] is not None
    assert await pass_minutes(api, 59) == 0
    assert await pass_minutes(api, 2) == 1
    second = await api.reload(lead)
    assert (second["owner_id"], second["team"], second["stage"]) == (baltic, "baltic", "mql")
    assert second["version"] == lead["version"] + 1
    assert await pass_minutes(api, 31) == 1
    third = await api.reload(lead)
    assert (third["owner_id"], third["team"]) == (inside, "inside")
    assert await pass_minutes(api, 10_000) <= 1, "nobody else has to accept in time"
    assert (await api.reload(lead))["owner_id"] == inside
    told = await assignment(api, lead)
    chain = [told["decision"], *told["earlier"]]
    assert [(one["owner_id"], one["not_accepted_in_time"]) for one in chain] == [
        (inside, True),
        (baltic, True),
        (alpine, False),
    ]
    events = await events_of_type(api, "lead.assigned")
    assert [(one["previous_owner_id"], one["owner_id"], one["not_accepted_in_time"]) for one in events] == [
        (None, alpine, False),
        (alpine, baltic, True),
        (baltic, inside, True),
    ]
    assert await is_sound(api)


async def test_a_lead_that_is_accepted_in_time_stays(api: Api) -> None:
    alpine = await api.user("sdr", team="alpine")
    await api.user("sdr", team="baltic")
    lead = await offered(api)
    await pass_minutes(api, 59)
    assert (await api.ask(lead, "accept", alpine)).status_code == 201
    await pass_minutes(api, 600)
    kept = await api.reload(lead)
    assert (kept["owner_id"], kept["stage"]) == (alpine, "sal")
    assert (await assignment(api, lead))["accept_by"] is None


@pytest.mark.parametrize("action", ["disqualify", "recycle"])
async def test_a_lead_that_the_partner_gives_back_is_not_offered_again(api: Api, action: str) -> None:
    alpine = await api.user("sdr", team="alpine")
    await api.user("sdr", team="baltic")
    lead = await offered(api)
    reason = {"disqualify": "bad_fit", "recycle": "timing"}[action]
    answer = await api.ask(lead, action, alpine, reason_code=reason)
    assert answer.status_code == 201, answer.text
    before = answer.json()["lead"]["owner_id"]
    await pass_minutes(api, 600)
    assert (await api.reload(lead))["owner_id"] == before
    assert len(await events_of_type(api, "lead.assigned")) == (2 if before is None else 1)


async def test_a_partner_who_accepts_too_late_is_refused_before_any_worker_runs(api: Api) -> None:
    alpine = await api.user("sdr", team="alpine")
    baltic = await api.user("sdr", team="baltic")
    lead = await offered(api)
    api.clock.ahead += timedelta(minutes=61)
    refused = await api.ask(lead, "accept", alpine)
    assert (refused.status_code, refused.json()["code"]) == (422, "criteria_unmet")
    assert (await api.reload(lead))["version"] == lead["version"], "a refused request writes nothing"
    assert await pass_minutes(api, 0) == 1
    assert (await api.reload(lead))["owner_id"] == baltic


async def test_a_change_after_the_time_out_hands_the_lead_on_too(api: Api) -> None:
    await api.user("sdr", team="alpine")
    baltic = await api.user("sdr", team="baltic")
    lead = await offered(api)
    api.clock.ahead += timedelta(minutes=61)
    await api.add_activity(lead, "webinar")
    assert (await api.reload(lead))["owner_id"] == baltic
    assert await pass_minutes(api, 0) == 0


async def test_the_pool_of_a_partner_has_to_accept_in_time_as_well(api: Api) -> None:
    alpine, inside = await api.user("sdr", team="alpine"), await api.user("sdr", team="inside")
    lead = await offered(api, [{"method": "pool", "team": "alpine"}, {"method": "pool", "team": "inside"}])
    assert (lead["owner_id"], lead["team"]) == (None, "alpine")
    assert (await api.ask(lead, "accept", inside)).status_code == 422
    await pass_minutes(api, 61)
    assert (await api.reload(lead))["team"] == "inside"
    assert (await api.ask(lead, "accept", alpine)).status_code == 422
    assert (await api.ask(lead, "accept", inside)).status_code == 201


async def test_after_the_last_target_the_lead_is_in_the_pool_of_the_role(api: Api) -> None:
    await api.user("sdr", team="alpine")
    lead = await offered(api, [ALPINE])
    await pass_minutes(api, 61)
    lead = await api.reload(lead)
    told = (await assignment(api, lead))["decision"]
    assert (lead["owner_id"], lead["team"], told["reason"], told["pool"]) == (None, None, "no_target_left", "sdr")
    await pass_minutes(api, 600)
    assert len(await events_of_type(api, "lead.assigned")) == 2


async def test_an_owner_set_by_hand_ends_the_offer(api: Api) -> None:
    await api.user("sdr", team="alpine")
    mine, lead = await api.user("sdr", team="inside"), await offered(api)
    await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": mine})
    assert (await assignment(api, lead))["accept_by"] is None
    await pass_minutes(api, 600)
    assert (await api.reload(lead))["owner_id"] == mine


async def test_a_journey_keeps_the_rules_under_which_it_became_an_mql(api: Api) -> None:
    await api.user("sdr", team="alpine")
    lead = await offered(api)
    await api.publish(routed({}))
    await pass_minutes(api, 61)
    lead, told = await api.reload(lead), (await assignment(api, lead))["decision"]
    assert (lead["owner_id"], lead["team"], told["reason"]) == (None, "inside", "nobody_available")
    assert [one["team"] for one in told["targets"]] == ["baltic", "inside"]


async def test_workers_at_the_same_time_hand_each_lead_on_once_and_fairly(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(refresh, "BATCH", 2)  # so that each worker has some
    await api.user("sdr", team="alpine")
    inside = [await api.user("sdr", team="inside") for _ in range(3)]
    await api.publish(routed({"rules": [{"id": "partners", "to": [ALPINE, INSIDE]}]}, TEAMS))
    leads = [await api.mql() for _ in range(12)]
    api.clock.ahead += timedelta(minutes=61)
    engine = api.app.state.engine
    done: list[int] = []
    while not done or any(done[-3:]):
        done += await asyncio.gather(*(refresh_due(engine, api.clock.now) for _ in range(3)))
    assert sum(done) == 12
    owners = [(await api.reload(lead))["owner_id"] for lead in leads]
    assert [owners.count(user) for user in inside] == [4, 4, 4]
    assert len(await events_of_type(api, "lead.assigned")) == 24
    assert {(await api.reload(lead))["version"] for lead in leads} == {leads[0]["version"] + 1}
    assert await is_sound(api)


async def test_of_two_merged_leads_only_the_journey_that_goes_on_is_handed_on(api: Api) -> None:
    await api.user("sdr", team="alpine")
    inside, manager = await api.user("sdr", team="inside"), await api.user("manager")
    kept = await offered(api, [ALPINE, INSIDE])
    gone = await api.mql(country="AT")
    merged = await api.call("POST", f"/v1/leads/{gone['id']}/merge", {"into": kept["id"]}, actor=manager)
    assert merged.status_code in (200, 201), merged.text
    assert await pass_minutes(api, 61) == 1
    assert (await api.reload(kept))["owner_id"] == inside
    handed_on = [one for one in await events_of_type(api, "lead.assigned") if one["not_accepted_in_time"]]
    assert [one["lead_id"] for one in handed_on] == [kept["id"]]
    assert await is_sound(api)


async def test_an_interest_in_the_meantime_does_not_lengthen_the_offer(api: Api) -> None:
    await api.user("sdr", team="alpine")
    inside = await api.user("sdr", team="inside")
    lead = await offered(api, [ALPINE, INSIDE])
    until = (await assignment(api, lead))["accept_by"]
    await pass_minutes(api, 40)
    await api.add_activity(lead, "webinar")
    assert (await assignment(api, lead))["accept_by"] == until
    assert await pass_minutes(api, 21) == 1
    assert (await api.reload(lead))["owner_id"] == inside
