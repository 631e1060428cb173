"""Clocks of the policy: started, met, stopped and breached in business time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from app.journeys.refresh import refresh_due
from tests.api import Api
from tests.journeys.test_time import events_of_type, pass_time
from tests.rules.make import PIPELINE, WATERFALL
from tests.stories.test_pipeline import THREE, handed_over

NINE_TO_SIX = {day: [["09:00", "18:00"]] for day in ("mon", "tue", "wed", "thu", "fri")}
HOUR = 1 / 24


def set_time(api: Api, zone: str, local: str) -> None:
    """Moves the clock of the service to this local time."""
    api.clock.ahead = datetime.fromisoformat(local).replace(tzinfo=ZoneInfo(zone)) - datetime.now(UTC)


async def set_calendar(api: Api, **calendar: Any) -> None:
    answer = await api.call("PUT", "/v1/calendar", calendar)
    assert answer.status_code == 200, answer.text


def local(instant: str, zone: str) -> str:
    """The wall-clock time of an instant, without its seconds."""
    return datetime.fromisoformat(instant).astimezone(ZoneInfo(zone)).strftime("%Y-%m-%dT%H:%M")


async def runs(api: Api, lead: dict[str, Any]) -> list[tuple[str, str]]:
    """Each run of a clock of the lead with its state."""
    return [(one["clock"], one["state"]) for one in (await api.get(f"/v1/leads/{lead['id']}/clocks"))["data"]]


async def refresh(api: Api) -> None:
    """Evaluates leads until none is due."""
    while await refresh_due(api.app.state.engine, api.clock.now):
        pass


@pytest.mark.parametrize(
    ("zone", "friday", "due"),
    [
        ("Europe/Bucharest", "2027-03-26T17:00", "2027-03-29T12:00"),  # clocks are set forward on the Sunday between
        ("Europe/Bucharest", "2027-10-29T17:00", "2027-11-01T12:00"),  # and back
        ("America/New_York", "2027-03-12T17:00", "2027-03-15T12:00"),
        ("America/New_York", "2027-11-05T17:00", "2027-11-08T12:00"),
        ("Europe/Bucharest", "2027-12-24T17:00", "2027-12-28T12:00"),  # Monday is a holiday
    ],
)
async def test_an_mql_of_friday_evening_is_due_in_business_hours_over_a_change_of_the_clock(
    api: Api, zone: str, friday: str, due: str
) -> None:
    await set_calendar(api, time_zone=zone, working_hours=NINE_TO_SIX, holidays=["2027-12-27"])
    set_time(api, zone, friday)
    sla = (await api.mql())["sla"]
    assert (sla["clock"], sla["state"], local(sla["started_at"], zone)) == ("response", "due", friday)
    assert local(sla["due_at"], zone) == due


async def test_a_clock_is_breached_once_and_the_state_is_that_of_now_even_before_it_was_told(api: Api) -> None:
    lead = await api.mql()
    await refresh(api)
    api.clock.ahead += timedelta(minutes=239)
    assert (await api.reload(lead))["sla"]["state"] == "due"
    assert await refresh_due(api.app.state.engine, api.clock.now) == 0
    api.clock.ahead += timedelta(minutes=2)
    unevaluated = await api.call("GET", f"/v1/leads/{lead['id']}")
    assert unevaluated.json()["sla"]["state"] == "breached"
    assert unevaluated.json()["version"] == lead["version"]
    assert unevaluated.headers["etag"] != f'"{lead["version"]}"', "a copy that says `due` is not current any more"
    for _ in range(3):
        await refresh(api)
        await pass_time(api, 1)
    (told,) = await events_of_type(api, "lead.sla_breached")
    assert told == {
        "lead_id": lead["id"],
        "journey_no": 1,
        "stage": "mql",
        "occurred_at": lead["sla"]["due_at"],
        "clock": "response",
        "started_at": lead["sla"]["started_at"],
        "due_at": lead["sla"]["due_at"],
        "owner_id": None,
    }
    assert (await api.reload(lead))["sla"] == {**lead["sla"], "state": "breached"}


async def test_an_attempt_in_time_meets_the_clock_and_one_too_late_does_not_heal_it(api: Api) -> None:
    quick, slow = await api.mql(), await api.mql()
    api.clock.ahead += timedelta(minutes=100)
    await api.add_activity(quick, "webinar")
    assert (await api.reload(quick))["sla"]["state"] == "due", "interest is no attempt"
    await api.add_activity(quick, "call", kind="contact_attempt")
    await pass_time(api, 1)
    await api.add_activity(slow, "call", kind="contact_attempt")
    await refresh(api)
    assert [(await api.reload(lead))["sla"]["state"] for lead in (quick, slow)] == ["met", "breached"]
    (told,) = await events_of_type(api, "lead.sla_breached")
    assert told["lead_id"] == slow["id"]
    (run,) = (await api.get(f"/v1/leads/{quick['id']}/clocks"))["data"]
    assert (run["business_minutes"], run["minutes"], run["stopped_at"]) == (100, 240, None)


async def test_an_attempt_that_is_recorded_late_counts_from_when_it_was_made(api: Api) -> None:
    lead = await api.mql()
    api.clock.ahead += timedelta(minutes=60)
    called_at = api.ago()
    await pass_time(api, 1)
    before = api.now
    await api.add_activity(lead, "call", kind="contact_attempt", occurred_at=api.ago(hours=1), activity_key="b")
    assert (await api.reload(lead))["sla"]["state"] == "breached"
    await api.add_activity(lead, "call", kind="contact_attempt", occurred_at=called_at, activity_key="a")
    assert (await api.reload(lead))["sla"]["state"] == "met"
    (run,) = (await api.get(f"/v1/leads/{lead['id']}/clocks"))["data"]
    assert (run["met_at"], run["business_minutes"]) == (called_at, 60)
    assert len(await events_of_type(api, "lead.sla_breached")) == 1, "as was known then"
    then = await api.get(f"/v1/leads/{lead['id']}?as_of={before.isoformat().replace('+00:00', 'Z')}")
    assert then["sla"]["state"] == "breached"


async def test_business_minutes_of_a_response_leave_out_the_night(api: Api) -> None:
    await set_calendar(api, time_zone="Europe/Bucharest", working_hours=NINE_TO_SIX)
    set_time(api, "Europe/Bucharest", "2027-06-15T17:00")
    lead = await api.mql()
    set_time(api, "Europe/Bucharest", "2027-06-16T09:30")
    await api.add_activity(lead, "call", kind="contact_attempt")
    (run,) = (await api.get(f"/v1/leads/{lead['id']}/clocks"))["data"]
    assert run["state"] == "met"
    assert run["business_minutes"] in (89, 90, 91), "the seconds that the test itself takes are counted as well"


async def test_the_hours_of_the_owner_count_else_those_of_the_tenant(pipeline_api: Api) -> None:
    api, zone = pipeline_api, "America/New_York"
    await set_calendar(api, time_zone="Europe/Bucharest", working_hours=NINE_TO_SIX)
    sdr = await api.user("sdr")
    with_hours = await api.user(
        "ae", time_zone=zone, working_hours={"fri": [["10:00", "14:00"]], "mon": [["10:00", "16:00"]]}
    )
    without = await api.user("ae", time_zone=zone)
    set_time(api, "Europe/Bucharest", "2027-06-18T15:00")  # Friday, 08:00 in New York
    dues = []
    for ae in (with_hours, without):
        lead = await api.mql()
        moved = await api.ask(lead, "hand_over", sdr, bant=THREE, owner_id=ae, conversion=False)
        dues.append(moved.json()["lead"]["sla"])
    assert [sla["clock"] for sla in dues] == ["ae_acceptance"] * 2
    assert local(dues[0]["due_at"], zone) == "2027-06-21T14:00"
    assert local(dues[1]["due_at"], "Europe/Bucharest") == "2027-06-21T14:00"


async def test_a_clock_that_runs_keeps_its_calendar_when_zone_hours_holidays_or_owner_change(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae, other = await api.user("sdr"), await api.user("ae", working_hours=NINE_TO_SIX), await api.user("ae")
    set_time(api, "UTC", "2027-06-18T15:00")
    lead = await api.mql()
    await api.ask(lead, "hand_over", sdr, bant=THREE, owner_id=ae, conversion=False)
    promised = (await api.reload(lead))["sla"]
    await api.call(
        "PATCH", f"/v1/users/{ae}", {"time_zone": "Asia/Tokyo", "working_hours": {"sun": [["09:00", "10:00"]]}}
    )
    await set_calendar(api, time_zone="Asia/Tokyo", working_hours={}, holidays=["2027-06-21"])
    assert (await api.reload(lead))["sla"] == promised
    await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": other})
    assert (await api.reload(lead))["sla"] == promised
    second = await api.mql()
    await api.ask(second, "hand_over", sdr, bant=THREE, owner_id=ae, conversion=False)
    assert (await api.reload(second))["sla"]["due_at"] != promised["due_at"], "the next one follows the new hours"


async def test_a_return_to_the_sdr_stops_the_clock_of_the_ae_and_starts_a_fresh_one(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    lead = await api.mql()
    await api.add_activity(lead, "call", kind="contact_attempt")
    await api.ask(lead, "accept", sdr)
    await api.ask(lead, "hand_over", sdr, bant=THREE, owner_id=ae, conversion=False)
    api.clock.ahead += timedelta(hours=1)
    returned = (await api.ask(lead, "return", ae, reason_code="needs_info")).json()["lead"]
    assert (returned["stage"], returned["sla"]["clock"], returned["sla"]["state"]) == ("sal", "response", "due")
    assert await runs(api, lead) == [("response", "met"), ("ae_acceptance", "stopped"), ("response", "due")]
    await api.add_activity(lead, "call", kind="contact_attempt")
    assert (await api.reload(lead))["sla"]["state"] == "met", "an attempt of before does not meet the fresh one"


@pytest.mark.parametrize(("stage", "restarts"), [("mql", True), ("sal", False), ("srl", True)])
async def test_a_reopened_lead_has_a_fresh_clock_in_the_stages_that_the_policy_names(
    pipeline_api: Api, stage: str, restarts: bool
) -> None:
    api = pipeline_api
    sdr, manager, lead = await api.user("sdr"), await api.user("manager"), await api.mql()
    if stage != "mql":
        await api.ask(lead, "accept", sdr)
    if stage == "srl":
        await api.ask(lead, "hand_over", sdr, bant=THREE, owner_id=await api.user("ae"), conversion=False)
    assert (await api.ask(lead, "disqualify", sdr, reason_code="no_need")).json()["lead"]["sla"] is None
    await pass_time(api, 3)
    assert await events_of_type(api, "lead.sla_breached") == [], "a clock that was stopped is not breached"
    opened = (await api.ask(lead, "reopen", manager, reason_code="mistake", note="it was not")).json()["lead"]
    assert opened["stage"] == stage
    assert (opened["sla"] is not None) == restarts
    if restarts:
        assert local(opened["sla"]["started_at"], "UTC") == api.now.strftime("%Y-%m-%dT%H:%M")


async def test_accepting_stops_the_response_clock_only_after_an_attempt(api: Api) -> None:
    sdr, lead = await api.user("sdr"), await api.mql()
    accepted = (await api.ask(lead, "accept", sdr)).json()["lead"]
    assert (accepted["stage"], accepted["sla"]) == ("sal", lead["sla"])
    await pass_time(api, 5 * HOUR)
    (told,) = await events_of_type(api, "lead.sla_breached")
    assert (told["stage"], told["owner_id"]) == ("sal", sdr)


async def test_the_ae_meets_the_clock_of_a_converted_lead_by_qualifying_the_opportunity(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae = await api.user("sdr"), await api.user("ae")
    first = await handed_over(api, sdr)
    assert (first["lead"]["stage"], first["lead"]["sla"]["clock"]) == ("converted", "ae_acceptance")
    assert await runs(api, first["lead"]) == [("response", "stopped"), ("ae_acceptance", "due")]
    path = f"/v1/opportunities/{first['conversion']['opportunity']['id']}/transitions"
    assert (await api.call("POST", path, {"action": "qualify", "bant": THREE}, actor=ae)).status_code == 201
    assert (await api.reload(first["lead"]))["sla"]["state"] == "met"
    lost = await handed_over(api, sdr, conversion=True)
    path = f"/v1/opportunities/{lost['conversion']['opportunity']['id']}/transitions"
    await api.call("POST", path, {"action": "lose", "reason_code": "price"}, actor=ae)
    assert (await api.reload(lost["lead"]))["sla"] is None
    late = await handed_over(api, sdr)
    await pass_time(api, 9 * HOUR)
    assert [told["lead_id"] for told in await events_of_type(api, "lead.sla_breached")] == [late["lead"]["id"]]


async def test_a_confirmation_by_the_ae_meets_the_clock(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae, lead = await api.user("sdr"), await api.user("ae"), await api.mql()
    await api.ask(lead, "hand_over", sdr, bant=THREE, owner_id=ae, conversion=False)
    await api.ask(lead, "confirm", ae, bant=THREE)
    assert ("ae_acceptance", "met") in await runs(api, lead)


async def test_history_that_is_recorded_late_starts_a_clock_that_can_be_kept(api: Api) -> None:
    fields = {"email": "anna@nordsoft.example", "job_title": "Director", "employees": 120, "industry": "software"}
    body = {"fields": fields, "occurred_at": api.ago(days=20), "activity": {"type": "demo_request"}}
    sla = (await api.post("/v1/leads", body))["sla"]
    assert sla["state"] == "due"
    assert local(sla["started_at"], "UTC") == local(api.ago(days=20), "UTC")
    due_in = datetime.fromisoformat(sla["due_at"]) - api.now
    assert timedelta(minutes=238) < due_in <= timedelta(minutes=240)
    assert await events_of_type(api, "lead.sla_breached") == []


async def test_a_list_has_the_leads_whose_clock_is_due_met_or_breached(api: Api) -> None:
    breached = await api.mql()
    met, met_late = await api.mql(), await api.mql()
    await api.add_activity(met, "call", kind="contact_attempt")
    await pass_time(api, 5 * HOUR)
    await refresh(api)
    await api.add_activity(met_late, "call", kind="contact_attempt")
    due = await api.mql()
    await api.lead()
    for state, wanted in (("due", [due]), ("met", [met]), ("breached", [met_late, breached])):
        listed = (await api.get(f"/v1/leads?sla={state}"))["data"]
        assert [(one["id"], one["sla"]["state"]) for one in listed] == [(one["id"], state) for one in wanted]
    assert (await api.call("GET", "/v1/leads?sla=nonsense")).status_code == 422


async def test_the_past_has_the_clock_and_the_state_of_then(pipeline_api: Api) -> None:
    api = pipeline_api
    sdr, ae, lead = await api.user("sdr"), await api.user("ae"), await api.mql()
    seen: list[tuple[datetime, Any]] = []

    async def look() -> None:
        api.clock.ahead += timedelta(minutes=30)
        seen.append((api.now, (await api.reload(lead))["sla"]))
        api.clock.ahead += timedelta(minutes=30)

    await look()
    await pass_time(api, 5 * HOUR)
    await look()
    await api.add_activity(lead, "call", kind="contact_attempt")
    await look()
    await api.ask(lead, "hand_over", sdr, bant=THREE, owner_id=ae, conversion=False)
    await look()
    await api.ask(lead, "return", ae, reason_code="needs_info")
    await look()
    await api.ask(lead, "disqualify", sdr, reason_code="no_need")
    await look()
    await api.add_activity(lead, "demo_request")
    await look()
    states = [sla and (sla["clock"], sla["state"]) for _, sla in seen]
    assert states == [
        ("response", "due"),
        ("response", "breached"),
        ("response", "breached"),
        ("ae_acceptance", "due"),
        ("response", "due"),
        None,
        ("response", "due"),
    ]
    for at, sla in seen:
        then = await api.get(f"/v1/leads/{lead['id']}?as_of={at.isoformat().replace('+00:00', 'Z')}")
        assert then["sla"] == sla


async def test_clocks_move_with_the_journey_when_leads_are_merged_and_back(api: Api) -> None:
    marketer = await api.user("marketing")
    behind, ahead = await api.lead(), await api.mql()
    merged = await api.call("POST", f"/v1/leads/{ahead['id']}/merge", {"into": behind["id"]}, actor=marketer)
    assert merged.status_code == 200, merged.text
    assert (await api.reload(behind))["sla"] == ahead["sla"]
    await pass_time(api, 5 * HOUR)
    assert [one["lead_id"] for one in await events_of_type(api, "lead.sla_breached")] == [behind["id"]]
    undone = await api.call("POST", f"/v1/leads/{ahead['id']}/unmerge", {}, actor=marketer)
    assert undone.status_code == 200, undone.text
    assert (await api.reload(ahead))["sla"] == {**ahead["sla"], "state": "breached"}
    assert (await api.reload(behind))["sla"] is None


async def test_the_clock_of_a_journey_that_a_merge_closed_runs_on_when_it_is_undone(api: Api) -> None:
    marketer, sdr = await api.user("marketing"), await api.user("sdr")
    behind, ahead = await api.mql(), await api.mql()
    await api.ask(ahead, "accept", sdr)
    await api.call("POST", f"/v1/leads/{behind['id']}/merge", {"into": ahead["id"]}, actor=marketer)
    assert await runs(api, ahead) == [("response", "stopped"), ("response", "due")]
    await api.call("POST", f"/v1/leads/{behind['id']}/unmerge", {}, actor=marketer)
    assert (await api.reload(behind))["sla"] == behind["sla"]
    assert (await api.reload(ahead))["sla"] == ahead["sla"]


@pytest.mark.parametrize("policy", [PIPELINE, WATERFALL], ids=lambda policy: policy.name)
def test_both_shipped_policies_start_the_response_clock_at_the_assignment(policy: Any) -> None:
    started = [effect.start_clock for effect in policy.action_of["qualify"].effects if effect.start_clock]
    assert started == ["response"]


def owners(run: dict[str, Any]) -> list[str | None]:
    return [run["started_owner_id"], run["breached_owner_id"], run["owner_id"]]


async def test_the_owner_at_the_start_at_the_breach_and_now_are_told_apart(api: Api) -> None:
    people = [await api.user("sdr") for _ in range(4)]
    lead = await api.lead(job_title="Director", employees=120, industry="software")
    await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": people[0]})
    await api.add_activity(lead, "demo_request")

    async def told() -> list[str | None]:
        (run,) = (await api.get(f"/v1/leads/{lead['id']}/clocks"))["data"]
        return owners(run)

    async def give_to(owner: str | None) -> None:
        assert (await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": owner})).status_code == 200

    assert await told() == [people[0], None, people[0]]
    await give_to(people[1])
    assert await told() == [people[0], None, people[1]]
    api.clock.ahead += timedelta(minutes=241)
    assert await told() == [people[0], people[1], people[1]], "also before the worker has told the breach"
    await refresh(api)
    await give_to(people[2])
    assert await told() == [people[0], people[1], people[2]]
    await api.add_activity(lead, "call", kind="contact_attempt")
    await give_to(people[3])
    assert await told() == [people[0], people[1], people[2]], "what has ended does not change"
    early = (api.now - timedelta(minutes=1)).isoformat()
    await api.add_activity(lead, "call", kind="contact_attempt", occurred_at=early)
    assert await told() == [people[0], people[1], people[2]]
    (event,) = await events_of_type(api, "lead.sla_breached")
    assert event["owner_id"] == people[1]


async def test_who_recycles_a_lead_answers_for_the_clock_that_it_stops(api: Api) -> None:
    sdr, lead = await api.user("sdr"), await api.mql()
    await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": sdr})
    assert (await api.ask(lead, "recycle", sdr, reason_code="timing")).status_code == 201
    (run,) = (await api.get(f"/v1/leads/{lead['id']}/clocks"))["data"]
    assert (run["state"], owners(run)) == ("stopped", [None, None, sdr])
