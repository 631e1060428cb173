"""Evaluation of due leads: decay, time windows and wake_at."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sqlalchemy import text

from app.journeys.refresh import refresh_due
from tests.api import Api
from tests.rules.make import WATERFALL, altered

GOOD = {"job_title": "Director", "employees": 120, "industry": "software"}


async def events_of_type(api: Api, type_: str) -> list[dict[str, Any]]:
    """The data of the events of one type, oldest first."""
    async with api.app.state.engine.connect() as tx:
        statement = text("SELECT CAST(data AS jsonb) AS data FROM events WHERE type = :type ORDER BY seq")
        return [row.data for row in await tx.execute(statement, {"type": type_})]


async def pass_time(api: Api, days: float) -> int:
    """Moves the clock forward and evaluates the leads that are due and returns how many there were."""
    api.clock.ahead += timedelta(days=days)
    return await refresh_due(api.app.state.engine, api.clock.now)


async def test_a_lead_qualifies_when_its_negative_points_decay(api: Api) -> None:
    lead = await api.lead(**GOOD)
    await api.add_activity(lead, "unsubscribe", occurred_at=api.ago(days=20))
    for key in ("c1", "c2", "c3"):
        await api.add_activity(lead, "case_study", activity_key=key)
    before = await api.reload(lead)
    assert (before["stage"], before["score"]["engagement"]) == ("inquiry", 20)
    assert await pass_time(api, 10.1) == 1
    after = await api.reload(lead)
    assert (after["stage"], after["score"]["engagement"]) == ("mql", 33)
    assert after["version"] == before["version"] + 1


async def test_a_score_that_only_decays_makes_no_version_and_no_event(api: Api) -> None:
    lead = await api.lead(**GOOD)
    await api.add_activity(lead, "webinar")
    before, events = await api.reload(lead), len(await events_of_type(api, "lead.stage_changed"))
    assert await pass_time(api, 31) == 1
    after = await api.reload(lead)
    assert (before["score"]["engagement"], after["score"]["engagement"]) == (10, 5)
    assert after["version"] == before["version"]
    assert len(await events_of_type(api, "lead.stage_changed")) == events
    assert await refresh_due(api.app.state.engine, api.clock.now) == 0, "it is not due again before the next step"


async def test_a_recycled_lead_is_due_at_its_wake_at_and_stays_in_its_stage(api: Api) -> None:
    sdr, lead = await api.user("sdr"), await api.mql()
    await api.ask(lead, "recycle", sdr, reason_code="timing", wake_at=api.ago(days=-60))
    await pass_time(api, 59)
    assert await events_of_type(api, "lead.recycle_due") == []
    await pass_time(api, 1.01)
    (due,) = await events_of_type(api, "lead.recycle_due")
    assert due["lead_id"] == lead["id"]
    assert (await api.reload(lead))["stage"] == "recycled"
    await pass_time(api, 60)
    assert len(await events_of_type(api, "lead.recycle_due")) == 1


async def test_an_event_that_an_action_emits_is_recorded_with_its_transition(api: Api) -> None:
    def emit_on_accept(changed: dict[str, Any]) -> None:
        accept = next(action for action in changed["actions"] if action["name"] == "accept")
        accept["effects"].append({"emit": "lead.recycle_due"})

    await api.publish(altered(WATERFALL, emit_on_accept))
    lead, sdr = await api.mql(), await api.user("sdr")
    await api.ask(lead, "accept", sdr)
    (event,) = await events_of_type(api, "lead.recycle_due")
    assert (event["lead_id"], event["stage"]) == (lead["id"], "sal")


async def test_a_falling_score_moves_no_lead_back_and_makes_one_event(api: Api) -> None:
    lead = await api.mql()
    await pass_time(api, 31)
    await pass_time(api, 30)
    after = await api.reload(lead)
    assert after["stage"] == "mql"
    assert after["below_threshold_since"] is not None
    assert len(await events_of_type(api, "lead.below_threshold")) == 1


async def test_a_journey_is_pinned_from_its_first_milestone_on_and_follows_the_active_policy_before(api: Api) -> None:
    from tests.stories.test_waterfall import with_competitors

    early, late = await api.lead(**GOOD), await api.mql()
    await api.publish(with_competitors("rival.com"))
    await api.add_activity(early, "demo_request")
    sdr = await api.user("sdr")
    await api.ask(late, "accept", sdr)
    versions = {}
    for name, lead in (("early", early), ("late", late)):
        rows = (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"]
        versions[name] = [row["policy_version"] for row in rows]
    assert versions == {"early": [1, 2], "late": [1, 1, 1]}


async def test_a_past_score_counts_the_entries_that_counted_then(api: Api) -> None:
    sdr, lead = await api.user("sdr"), await api.mql()
    moments = [api.now]
    api.clock.ahead += timedelta(hours=1)
    await api.ask(lead, "recycle", sdr, reason_code="timing")
    moments.append(api.now)
    api.clock.ahead += timedelta(hours=1)
    await api.add_activity(lead, "demo_request")
    moments.append(api.now)
    api.clock.ahead += timedelta(hours=1)
    await api.ask(lead, "disqualify", sdr, reason_code="no_need")
    await api.add_activity(lead, "webinar", occurred_at=api.ago(hours=-0.01))
    moments.append(api.now)
    path = f"/v1/leads/{lead['id']}/score?as_of="
    then = [await api.get(path + at.isoformat().replace("+00:00", "Z")) for at in moments]
    assert [one["engagement"] for one in then] == [40, 0, 40, 10]
    assert (await api.reload(lead))["journey_no"] == 2


async def test_a_lead_that_cannot_be_evaluated_does_not_stop_the_others(api: Api) -> None:
    stuck, fine = await api.lead(**GOOD), await api.lead(**GOOD)
    for lead in (stuck, fine):
        await api.add_activity(lead, "webinar")
    async with api.app.state.engine.begin() as tx:
        condition = f"engagement = 10 OR (fields ->> 'email') <> '{stuck['fields']['email']}'"
        await tx.execute(text(f"ALTER TABLE leads ADD CHECK ({condition}) NOT VALID"))
    await pass_time(api, 31)
    async with api.app.state.engine.connect() as tx:
        rows = (await tx.execute(text("SELECT engagement FROM leads ORDER BY id"))).scalars()
    assert rows == [10, 5], "the cache of the first could not be written, that of the second was"
    assert await refresh_due(api.app.state.engine, api.clock.now) == 0, "its evaluation is postponed"
