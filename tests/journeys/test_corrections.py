"""After a correction the policy waits for something new; moves by time have their own instant."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.journeys.verify import verify
from tests.api import Api
from tests.conversion.steps import srl_lead
from tests.journeys.test_time import GOOD, events_of_type, pass_time

TICK = timedelta(microseconds=1)


async def corrected_to_inquiry(api: Api) -> dict[str, Any]:
    """An MQL that a manager has put back to inquiry."""
    manager, lead = await api.user("manager"), await api.mql(company="Acme")
    last = (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"][-1]["id"]
    body = {"to": "inquiry", "reason_code": "mistake", "note": "not ours", "correction_of": last}
    answer = await api.ask(lead, "correct", manager, **body)
    assert (answer.status_code, answer.json()["lead"]["stage"]) == (201, "inquiry")
    return dict(answer.json()["lead"])


def patch(**members: Any) -> Callable[[Api, dict[str, Any]], Awaitable[Any]]:
    return lambda api, lead: api.call("PATCH", f"/v1/leads/{lead['id']}", members)


def act(type_: str, **members: Any) -> Callable[[Api, dict[str, Any]], Awaitable[Any]]:
    return lambda api, lead: api.add_activity(lead, type_, **members)


async def post_again(api: Api, lead: dict[str, Any]) -> None:
    """The same person fills another form."""
    await api.post("/v1/leads", {"fields": {"email": lead["fields"]["email"]}}, status=200)


async def confirm(api: Api, lead: dict[str, Any]) -> None:
    bant = {"need": {"status": "confirmed"}}
    answer = await api.call("PUT", f"/v1/leads/{lead['id']}/bant", bant, actor=await api.user("sdr"))
    assert answer.status_code == 200


async def own(api: Api, lead: dict[str, Any]) -> None:
    await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": await api.user("sdr")})


NEW = {
    "interest": act("webinar"),
    "interest that happened before": act("webinar", occurred_at="2025-01-01T00:00:00Z"),
    "a field": patch(fields={"company": "Nordsoft"}),
    "an emptied field": patch(fields={"company": None}),
    "a custom field": patch(custom={"seats": 7}),
    "another form": post_again,
}
NOT_NEW = {
    "a contact attempt": act("call", kind="contact_attempt"),
    "the same values": patch(fields={"job_title": "Director", "employees": 120}),
    "an owner": own,
    "BANT": confirm,
}


@pytest.mark.parametrize("what", [*NOT_NEW, "nothing"])
async def test_a_corrected_lead_does_not_move_by_what_was_known(api: Api, what: str) -> None:
    lead = await corrected_to_inquiry(api)
    if what in NOT_NEW:
        await NOT_NEW[what](api, lead)
    await pass_time(api, 31)
    assert (await api.reload(lead))["stage"] == "inquiry"
    await api.add_activity(lead, "demo_request")
    assert (await api.reload(lead))["stage"] == "mql"
    assert [one.faults async for one in verify(api.app.state.engine)] == [()]


@pytest.mark.parametrize("what", NEW)
async def test_a_corrected_lead_moves_again_when_something_new_is_recorded(api: Api, what: str) -> None:
    lead = await corrected_to_inquiry(api)
    await NEW[what](api, lead)
    assert (await api.reload(lead))["stage"] == "mql"
    assert (await api.steps(lead))[-2:] == [("mql", "inquiry"), ("inquiry", "mql")]


async def test_each_correction_waits_for_something_new_of_its_own(api: Api) -> None:
    lead = await corrected_to_inquiry(api)
    await api.add_activity(lead, "webinar")
    last = (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"][-1]["id"]
    body = {"to": "inquiry", "reason_code": "mistake", "note": "again", "correction_of": last}
    again = await api.ask(lead, "correct", await api.user("manager"), **body)
    assert again.json()["lead"]["stage"] == "inquiry"
    people = await api.ask(lead, "qualify", await api.user("marketing"))
    assert people.json()["lead"]["stage"] == "mql", "people may do what the policy does not do by itself"


async def decaying(api: Api) -> tuple[dict[str, Any], datetime]:
    """A lead that becomes an MQL in ten days, when its minus points decay, and when that is."""
    lead = await api.lead(**GOOD)
    since = api.now - timedelta(days=20)
    await api.add_activity(lead, "unsubscribe", occurred_at=since.isoformat())
    for key in ("c1", "c2", "c3"):
        await api.add_activity(lead, "case_study", activity_key=key)
    return lead, since + timedelta(days=30) + TICK


def shown(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


async def last_move(api: Api, lead: dict[str, Any]) -> dict[str, Any]:
    rows = (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"]
    return dict(rows[-1])


@pytest.mark.parametrize("days", [10.001, 10.5, 15])
async def test_a_move_by_time_occurs_when_it_became_true_however_late_it_is_evaluated(api: Api, days: float) -> None:
    lead, due = await decaying(api)
    await pass_time(api, days)
    move = await last_move(api, lead)
    assert (move["to"], move["occurred_at"]) == ("mql", shown(due))
    reached = (await api.get(f"/v1/leads/{lead['id']}/journeys"))["data"][0]["milestones"]
    assert [one["reached_at"] for one in reached if one["name"] == "mql"] == [shown(due)]
    (event,) = [one for one in await events_of_type(api, "lead.stage_changed") if one["to"] == "mql"]
    assert event["occurred_at"] == shown(due)
    assert event["recorded_at"] == move["recorded_at"] > shown(due)


async def test_a_move_by_time_comes_before_a_change_that_finds_it_due(api: Api) -> None:
    lead, due = await decaying(api)
    api.clock.ahead += timedelta(days=12)
    await api.add_activity(lead, "call", kind="contact_attempt")
    assert (await last_move(api, lead))["occurred_at"] == shown(due)
    sdr, (other, due) = await api.user("sdr"), await decaying(api)
    api.clock.ahead += timedelta(days=12)
    accepted = await api.ask(other, "accept", sdr)
    assert accepted.status_code == 201, "the lead has been an MQL since then"
    rows = (await api.get(f"/v1/leads/{other['id']}/transitions"))["data"]
    assert [(row["action"], row["occurred_at"]) for row in rows[-2:-1]] == [("qualify", shown(due))]


async def test_a_lead_moves_by_what_was_true_for_a_while_also_when_nobody_looked(api: Api) -> None:
    lead, due = await decaying(api)
    await pass_time(api, 200)
    assert (await last_move(api, lead))["occurred_at"] == shown(due)
    assert (await api.reload(lead))["below_threshold_since"] is not None


async def test_a_recycle_that_is_due_occurred_at_its_wake_at(api: Api) -> None:
    sdr, lead = await api.user("sdr"), await api.mql()
    wake = api.now + timedelta(days=60)
    await api.ask(lead, "recycle", sdr, reason_code="timing", wake_at=wake.isoformat())
    await pass_time(api, 75)
    async with api.app.state.engine.connect() as tx:
        query = text("SELECT occurred_at, data FROM events WHERE type = 'lead.recycle_due'")
        (event,) = (await tx.execute(query)).all()
    assert event.occurred_at == wake


async def overridden(api: Api) -> dict[str, Any]:
    """A lead that marketing made an MQL although the rule did not hold."""
    lead = await api.lead(**GOOD)
    answer = await api.ask(lead, "qualify", await api.user("marketing"), override_reason="met at the fair")
    assert answer.json()["lead"]["stage"] == "mql", answer.text
    return dict(answer.json()["lead"])


async def test_a_lead_qualified_by_override_is_not_below_a_threshold_it_never_met(api: Api) -> None:
    lead = await overridden(api)
    assert lead["below_threshold_since"] is None
    await api.add_activity(lead, "webinar")
    await pass_time(api, 100)
    assert (await api.reload(lead))["below_threshold_since"] is None
    assert await events_of_type(api, "lead.below_threshold") == []


async def test_an_overridden_lead_that_meets_the_threshold_later_can_fall_below_it(api: Api) -> None:
    lead = await overridden(api)
    await api.add_activity(lead, "demo_request")
    await pass_time(api, 31)
    await pass_time(api, 30)
    assert (await api.reload(lead))["below_threshold_since"] is not None
    assert len(await events_of_type(api, "lead.below_threshold")) == 1


async def test_a_threshold_met_by_time_alone_counts_as_met(api: Api) -> None:
    lead, _ = await decaying(api)
    await api.ask(lead, "qualify", await api.user("marketing"), override_reason="met at the fair")
    await pass_time(api, 10.1)
    assert await events_of_type(api, "lead.below_threshold") == []
    await pass_time(api, 60)
    assert len(await events_of_type(api, "lead.below_threshold")) == 1


async def test_an_overridden_lead_is_not_below_the_threshold_it_met_in_an_earlier_run(api: Api) -> None:
    lead, sdr = await api.mql(), await api.user("sdr")
    await api.ask(lead, "recycle", sdr, reason_code="timing")
    again = await api.ask(lead, "qualify", await api.user("marketing"), override_reason="met again")
    assert again.json()["lead"]["stage"] == "mql"
    await pass_time(api, 100)
    assert await events_of_type(api, "lead.below_threshold") == []


async def test_a_score_as_of_before_the_lead_was_known_is_not_found(api: Api) -> None:
    before = shown(api.now)
    api.clock.ahead += timedelta(hours=1)
    lead = await api.lead(**GOOD)
    for path in ("", "/score"):
        answer = await api.call("GET", f"/v1/leads/{lead['id']}{path}", params={"as_of": before})
        assert (answer.status_code, answer.json()["code"]) == (404, "lead_not_found"), path
        known = await api.call("GET", f"/v1/leads/{lead['id']}{path}", params={"as_of": lead["created_at"]})
        assert known.status_code == 200


async def correct(api: Api, lead: dict[str, Any], to: str) -> dict[str, Any]:
    last = (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"][-1]["id"]
    body = {"to": to, "reason_code": "mistake", "note": "not ours", "correction_of": last}
    answer = await api.ask(lead, "correct", await api.user("manager"), **body)
    assert answer.status_code == 201, answer.text
    return dict(answer.json()["lead"])


async def clocks_of(api: Api, lead: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["clock"], one["state"]) for one in (await api.get(f"/v1/leads/{lead['id']}/clocks"))["data"]]


@pytest.mark.parametrize("accepted", [False, True])
@pytest.mark.parametrize("to", ["inquiry", "suspect"])
async def test_a_correction_to_before_mql_ends_the_clock_and_the_assignment(api: Api, to: str, accepted: bool) -> None:
    sdr, lead = await api.user("sdr"), await api.mql()
    if accepted:
        assert (await api.ask(lead, "accept", sdr)).status_code == 201
    lead = await correct(api, lead, to)
    assert (lead["stage"], lead["owner_id"], lead["sla"]) == (to, None, None)
    assert (await api.get(f"/v1/leads/{lead['id']}/assignment"))["assigned_at"] is None
    assert await clocks_of(api, lead) == [("response", "stopped")]
    await pass_time(api, 31)
    assert await events_of_type(api, "lead.sla_breached") == []
    lead = await correct(api, lead, "mql")
    assert (lead["sla"]["clock"], lead["sla"]["state"]) == ("response", "due")
    last = (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"][-1]
    assert (await api.get(f"/v1/leads/{lead['id']}/assignment"))["assigned_at"] == last["occurred_at"]
    assert await clocks_of(api, lead) == [("response", "stopped"), ("response", "due")]
    assert [one.faults async for one in verify(api.app.state.engine)] == [()]


async def test_a_correction_from_srl_gives_the_lead_back_to_its_sdr_and_stops_the_clock_of_the_ae(
    pipeline_api: Api,
) -> None:
    api, sdr = pipeline_api, await pipeline_api.user("sdr")
    ae = await api.user("ae")
    lead = await srl_lead(api, sdr)
    assert (await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": ae})).status_code == 200
    lead = await correct(api, lead, "sal")
    assert (lead["stage"], lead["owner_id"]) == ("sal", sdr)
    states = dict(await clocks_of(api, lead))
    assert states["ae_acceptance"] == "stopped"
    lead = await correct(api, lead, "srl")
    assert (lead["owner_id"], lead["sla"]["clock"]) == (None, "ae_acceptance")
    lead = await correct(api, lead, "sql")
    lead = await correct(api, lead, "srl")
    assert lead["sla"]["state"] == "due", "the milestone that met the clock is voided: it has to be met again"


async def test_a_correction_among_stages_of_one_route_leaves_the_owner_and_a_clock_that_runs(api: Api) -> None:
    sdr, lead = await api.user("sdr"), await api.mql()
    accepted = (await api.ask(lead, "accept", sdr)).json()["lead"]
    corrected = await correct(api, lead, "mql")
    assert (corrected["owner_id"], corrected["sla"]) == (sdr, accepted["sla"])
    assert await clocks_of(api, lead) == [("response", "due")]


@pytest.mark.parametrize("to", ["disqualified", "converted", "recycled", "merged", "nowhere"])
async def test_a_correction_to_a_stage_that_is_not_open_says_where_it_can_lead(api: Api, to: str) -> None:
    lead = await api.mql()
    answer = await api.ask(lead, "correct", await api.user("manager"), to=to, reason_code="mistake", note="x")
    assert (answer.status_code, answer.json()["code"]) == (409, "transition_not_allowed")
    expected = f"correct leads from stage mql to suspect or inquiry or sal or sql, not to {to}."
    assert answer.json()["detail"] == expected
    other = await api.ask(lead, "recycle", await api.user("sdr"), to="nowhere", reason_code="timing")
    assert other.json()["detail"] == "recycle leads from stage mql to recycled, not to nowhere."


@pytest.mark.parametrize(
    ("action", "body", "field"),
    [
        ("recycle", {}, "reason_code"),
        ("recycle", {"reason_code": "whim"}, "reason_code"),
        ("disqualify", {"reason_code": "other"}, "note"),
        ("correct", {"to": "inquiry", "reason_code": "mistake", "note": "x"}, "correction_of"),
        ("correct", {"to": "inquiry", "reason_code": "mistake"}, "note"),
        ("accept", {"occurred_at": "2001-01-01T00:00:00Z"}, "occurred_at"),
        ("recycle", {"reason_code": "timing", "wake_at": "2001-01-01T00:00:00Z"}, "wake_at"),
    ],
)
async def test_a_refused_input_is_named_once_in_each_message(
    api: Api, action: str, body: dict[str, Any], field: str
) -> None:
    lead = await api.mql()
    told = (await api.ask(lead, action, await api.user("manager"), **body)).json()
    (error,) = told["errors"]
    assert (error["field"], error["detail"].count(field)) == (field, 0)
    assert told["detail"] == f"{field} {error['detail']}."
