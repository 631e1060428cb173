"""Routes over HTTP: rules, rings whose members change, account owners, and what is told of each choice."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from app.journeys.refresh import refresh_due
from app.policy.clocks import Clock
from app.policy.document import Policy
from tests.api import Api
from tests.conversion.steps import BANT
from tests.journeys.test_time import events_of_type
from tests.routing.documents import routed

RING: dict[str, Any] = {"method": "round_robin"}
GERMAN = {
    "id": "german",
    "if": {"field": "country", "in": ["DE", "AT", "CH"]},
    "to": [{"method": "round_robin", "team": "dach"}],
}


async def owners(api: Api, count: int, **fields: Any) -> list[str | None]:
    return [(await api.mql(**fields))["owner_id"] for _ in range(count)]


async def decision(api: Api, lead: dict[str, Any]) -> dict[str, Any]:
    return dict((await api.get(f"/v1/leads/{lead['id']}/assignment"))["decision"])


async def change_user(api: Api, user: str, **members: Any) -> None:
    answer = await api.call("PATCH", f"/v1/users/{user}", members)
    assert answer.status_code == 200, answer.text


async def test_leads_are_routed_by_territory_size_and_channel_in_the_order_of_the_rules(api: Api) -> None:
    large = {"id": "large", "if": {"field": "employees", "at_least": 300}, "to": [{**RING, "team": "enterprise"}]}
    by_api = {"id": "by_api", "if": {"field": "channel", "is": "api"}, "to": [{"method": "pool", "team": "inside"}]}
    await api.publish(routed({"rules": [GERMAN, large, by_api]}))
    german = await api.user("sdr", team="dach")
    keeper = await api.user("sdr", team="enterprise")
    lead = await api.lead(job_title="Director", employees=400, industry="software", country="RO")
    await api.add_activity(lead, "demo_request")
    assert (await api.reload(lead))["owner_id"] == keeper
    assert (await api.mql(country="AT"))["owner_id"] == german
    pooled = await api.mql(country="RO")
    assert (pooled["owner_id"], pooled["team"]) == (None, "inside")
    told = await decision(api, lead)
    unmet = [{"criterion": "field.country", "have": "RO", "need": ["DE", "AT", "CH"]}]
    assert told["rules"] == [
        {"rule": "german", "holds": False, "unmet": unmet, "decided": False},
        {"rule": "large", "holds": True, "unmet": [], "decided": True},
        {"rule": "by_api", "holds": None, "unmet": [], "decided": False},
    ]


async def test_only_a_user_of_the_team_can_take_a_lead_from_its_pool(api: Api) -> None:
    await api.publish(routed({"team": "dach"}))
    other, own = await api.user("sdr", team="north"), await api.user("sdr", team="dach")
    lead = await api.mql()
    assert (await api.ask(lead, "accept", other)).json()["code"] == "criteria_unmet"
    assert (await api.ask(lead, "accept", own)).json()["lead"]["owner_id"] == own


async def test_a_turn_follows_the_weights_of_users_and_of_their_teams(api: Api) -> None:
    await api.publish(routed({**RING, "weights": {"seniors": 3}}))
    senior = await api.user("sdr", team="seniors")
    junior, none = await api.user("sdr"), await api.user("sdr", weight=0)
    got = await owners(api, 8)
    assert (got.count(senior), got.count(junior), got.count(none)) == (6, 2, 0)
    await change_user(api, junior, weight=3)
    got = await owners(api, 12)
    assert (got.count(senior), got.count(junior)) == (6, 6)


async def test_a_user_gets_no_lead_beyond_the_capacity_also_within_one_batch(api: Api) -> None:
    await api.publish(routed(RING))
    small, large, none = await api.user("sdr", capacity=2), await api.user("sdr"), await api.user("sdr", capacity=0)
    leads = await asyncio.gather(*(api.mql() for _ in range(10)))
    got = [lead["owner_id"] for lead in leads]
    assert (got.count(small), got.count(large), got.count(none)) == (2, 8, 0)
    theirs = next(lead for lead in leads if lead["owner_id"] == small)
    closed = await api.ask(theirs, "disqualify", small, reason_code="bad_fit")
    assert closed.status_code == 201
    assert (await owners(api, 4)).count(small) == 1, "a closed lead makes room for one more"


@pytest.mark.parametrize("why", ["absent", "full", "inactive", "no_weight", "no_user"])
async def test_where_nobody_is_available_the_lead_waits_in_the_pool_and_says_so(api: Api, why: str) -> None:
    await api.publish(routed(RING))
    members: dict[str, Any] = {
        "absent": {"absences": [{"starts_at": api.ago(days=1), "ends_at": api.ago(days=-1)}]},
        "full": {"capacity": 0},
        "inactive": {"active": False},
        "no_weight": {"weight": 0},
    }
    sdrs = [await api.user("sdr", **members[why]) for _ in range(2 if why in members else 0)]
    lead = await api.mql()
    told = await decision(api, lead)
    assert (lead["owner_id"], told["reason"], told["pool"]) == (None, "nobody_available", "sdr")
    ring = told["targets"][0]["ring"]
    expected = [] if why in ("inactive", "no_user") else [(sdr, why) for sdr in sdrs]
    assert [(one["user_id"], one["unavailable"]) for one in ring["members"]] == expected
    assert ring["position"] is None
    later = await api.user("sdr")
    assert (await api.ask(lead, "accept", later)).status_code == 201


async def test_an_absence_begins_and_ends_at_its_instants(api: Api) -> None:
    await api.publish(routed(RING))
    away = await api.user("sdr", absences=[{"starts_at": api.ago(hours=-1), "ends_at": api.ago(hours=-2)}])
    shown = await api.get(f"/v1/users/{away}")
    assert [sorted(one) for one in shown["absences"]] == [["ends_at", "starts_at"]]
    stays = await api.user("sdr")
    assert set(await owners(api, 2)) == {away, stays}
    api.clock.ahead = timedelta(minutes=61)
    assert set(await owners(api, 3)) == {stays}
    api.clock.ahead = timedelta(minutes=121)
    assert set(await owners(api, 2)) == {away, stays}


@pytest.mark.parametrize(
    ("absences", "field"),
    [
        ([{"starts_at": "2026-02-01T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z"}], "absences.0.ends_at"),
        ([{"starts_at": "2026-02-01T00:00:00Z", "ends_at": "2026-02-01T00:00:00Z"}], "absences.0.ends_at"),
        ([{"ends_at": "2026-02-01T00:00:00Z"}], "absences.0.starts_at"),
        ([{"starts_at": "tomorrow"}], "absences.0.starts_at"),
        ([{"starts_at": "2026-02-01T00:00:00Z", "why": "ill"}], "absences.0.why"),
        ({}, "absences"),
        (None, "absences"),
        ([{"starts_at": "2026-02-01T00:00:00Z"}] * 101, "absences"),
    ],
)
async def test_a_malformed_absence_is_refused_with_its_place(api: Api, absences: Any, field: str) -> None:
    refused = await api.call("PATCH", f"/v1/users/{await api.user('sdr')}", {"absences": absences})
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["field"] == field


async def test_a_ring_goes_on_fairly_when_members_come_and_go(api: Api) -> None:
    await api.publish(routed(RING))
    ana, ben = await api.user("sdr"), await api.user("sdr")
    assert await owners(api, 3) == [ana, ben, ana]
    cem = await api.user("sdr")
    assert await owners(api, 4) == [ben, cem, ana, ben]
    await change_user(api, cem, active=False)
    assert await owners(api, 2) == [ana, ben]
    await change_user(api, ana, role="ae")
    assert await owners(api, 2) == [ben, ben]


async def test_a_new_version_of_the_policy_goes_on_with_the_ring(api: Api) -> None:
    await api.publish(routed(RING))
    ana, ben = await api.user("sdr"), await api.user("sdr")
    assert await owners(api, 1) == [ana]
    await api.publish(routed({"rules": [{"id": "all", "to": [RING]}]}))
    assert await owners(api, 1) == [ben]


async def test_users_of_another_tenant_are_in_no_ring(api: Api) -> None:
    await api.publish(routed(RING))
    made = await api.post("/v1/tenants", {"name": "other"})
    other = made["key"]["secret"]
    user = {"name": "X", "email": "x@other.example", "role": "sdr"}
    await api.call("POST", "/v1/users", user, key=other)
    own = await api.user("sdr")
    assert set(await owners(api, 3)) == {own}
    lead = await api.mql()
    assert [one["user_id"] for one in (await decision(api, lead))["targets"][0]["ring"]["members"]] == [own]
    assert (await api.call("GET", f"/v1/leads/{lead['id']}/assignment", key=other)).status_code == 404


async def test_a_lead_goes_first_to_the_owner_of_the_account_with_its_domain(api: Api) -> None:
    rules = [{"id": "owner", "to": [{"method": "account_owner"}]}, {"id": "rest", "to": [RING]}]
    await api.publish(routed({"rules": rules}))
    ana, ben = await api.user("sdr"), await api.user("sdr")
    account = await api.post("/v1/accounts", {"name": "Nordsoft", "domain": "nordsoft.ro", "owner_id": ben})
    for email in ("anna@nordsoft.ro", "ion@nordsoft.ro"):
        lead = await api.mql(email=email)
        told = await decision(api, lead)
        assert (lead["owner_id"], told["rule"]) == (ben, "owner")
        assert told["targets"][0]["account_id"] == account["id"]
    assert (await api.mql(email="info@elsewhere.ro"))["owner_id"] == ana
    stranger = await api.mql()
    told = await decision(api, stranger)
    assert [one["outcome"] for one in told["targets"]] == ["no_account", "assigned"]
    await change_user(api, ben, active=False)
    orphan = await api.mql(email="maria@nordsoft.ro")
    told = await decision(api, orphan)
    assert (orphan["owner_id"], told["targets"][0]["outcome"]) == (ana, "other_role")


async def test_the_assignment_is_told_as_an_event_and_is_part_of_the_past(api: Api) -> None:
    await api.publish(routed({"rules": [GERMAN]}))
    sdr = await api.user("sdr", team="dach")
    lead = await api.lead(country="DE", job_title="Director", employees=120, industry="software")
    before = api.now.isoformat()
    await api.add_activity(lead, "demo_request")
    (event,) = await events_of_type(api, "lead.assigned")
    assert event == {
        "lead_id": lead["id"],
        "owner_id": sdr,
        "previous_owner_id": None,
        "pool": None,
        "team": "dach",
        "rule": "german",
        "reason": "assigned",
        "not_accepted_in_time": False,
        "accept_by": None,
    }
    past = await api.get(f"/v1/leads/{lead['id']}", params={"as_of": before})
    assert (past["owner_id"], past["team"]) == (None, None)
    now = await api.reload(lead)
    assert (now["owner_id"], now["team"]) == (sdr, "dach")


async def test_a_lead_of_a_plain_pool_has_no_decision_to_explain(api: Api) -> None:
    lead = await api.mql()
    shown = await api.get(f"/v1/leads/{lead['id']}/assignment")
    assert (shown["owner_id"], shown["decision"], shown["earlier"]) == (None, None, [])
    assert shown["assigned_at"] is not None
    missing = await api.call("GET", "/v1/leads/lead_00000000000000000000000000/assignment")
    assert (missing.status_code, missing.json()["code"]) == (404, "lead_not_found")


async def test_an_owner_whom_a_request_names_comes_before_the_route(api: Api) -> None:
    await api.publish(routed(RING))
    first, named = await api.user("sdr"), await api.user("sdr")
    marketing, lead = await api.user("marketing"), await api.lead()
    answer = await api.ask(lead, "qualify", marketing, owner_id=named, override_reason="trade show")
    assert answer.json()["lead"]["owner_id"] == named
    assert (await api.mql())["owner_id"] == first, "the ring has not moved"


async def test_the_ae_of_a_ring_owns_the_opportunity_of_the_same_transaction(pipeline_api: Api) -> None:
    api = pipeline_api
    policy = routed({}, base="pipeline")
    ring = policy.routing["ae"].model_copy(update={"method": "round_robin"})
    await api.publish(policy.model_copy(update={"routing": {**policy.routing, "ae": ring}}))
    sdr, *aes = [await api.user(role) for role in ("sdr", "ae", "ae")]
    three = {name: BANT[name] for name in ("need", "budget", "timing")}
    for n, ae in enumerate([*aes, aes[0]]):
        lead = await api.mql()
        assert (await api.ask(lead, "accept", sdr)).status_code == 201
        answer = await api.ask(lead, "hand_over", sdr, bant=three, headers={"Idempotency-Key": f"convert-{n}"})
        assert answer.status_code == 201, answer.text
        assert answer.json()["lead"]["owner_id"] == ae
        deal = answer.json()["conversion"]["opportunity"]["id"]
        assert (await api.get(f"/v1/opportunities/{deal}"))["owner_id"] == ae


async def test_a_refused_conversion_moves_no_ring(pipeline_api: Api) -> None:
    api = pipeline_api
    policy = routed({}, base="pipeline")
    ring = policy.routing["ae"].model_copy(update={"method": "round_robin"})
    await api.publish(policy.model_copy(update={"routing": {**policy.routing, "ae": ring}}))
    sdr, *aes = [await api.user(role) for role in ("sdr", "ae", "ae")]
    three = {name: BANT[name] for name in ("need", "budget", "timing")}
    lead = await api.mql()
    await api.ask(lead, "accept", sdr)
    wrong = {"account": {"mode": "use", "id": "acc_00000000000000000000000000"}}
    for n in range(3):
        headers = {"Idempotency-Key": f"refused-{n}"}
        refused = await api.ask(lead, "hand_over", sdr, bant=three, conversion=wrong, headers=headers)
        assert refused.status_code == 404, refused.text
    answer = await api.ask(lead, "hand_over", sdr, bant=three, headers={"Idempotency-Key": "taken"})
    assert answer.json()["lead"]["owner_id"] == aes[0]


async def test_a_lead_leaves_the_team_of_its_pool_with_an_owner_of_another_team(api: Api) -> None:
    await api.publish(routed({"team": "dach"}))
    lead, north = await api.mql(), await api.user("sdr", team="north")
    assert lead["team"] == "dach"
    taken = (await api.call("PATCH", f"/v1/leads/{lead['id']}", {"owner_id": north})).json()
    assert (taken["owner_id"], taken["team"]) == (north, None)


async def test_a_route_to_the_pool_of_the_role_takes_a_lead_out_of_the_pool_of_a_team(api: Api) -> None:
    await api.publish(routed({"team": "dach"}))
    lead, dach, north = await api.mql(), await api.user("sdr", team="dach"), await api.user("sdr", team="north")
    assert (await api.ask(lead, "recycle", dach, reason_code="timing")).status_code == 201
    await api.publish(routed({}))
    await api.add_activity(lead, "demo_request")
    again = await api.reload(lead)
    assert (again["stage"], again["team"]) == ("mql", None)
    assert (await api.ask(lead, "accept", north)).status_code == 201


def with_clock(minutes: int) -> Policy:
    """A ring of SDRs whose leads go to the next one when nobody has been called in time."""
    policy = routed(RING)
    clock = {"minutes": minutes, "met_by": "contact_attempt", "on_breach": [{"assign": "sdr"}]}
    response = Clock.model_validate_json(json.dumps(clock))
    return policy.model_copy(update={"clocks": {**policy.clocks, "response": response}})


async def pass_a_week(api: Api) -> None:
    api.clock.ahead = timedelta(days=7)
    while await refresh_due(api.app.state.engine, api.clock.now):
        pass


async def test_a_lead_whose_clock_runs_out_goes_to_another_user_of_the_ring(api: Api) -> None:
    await api.publish(with_clock(5))
    ana, ben = await api.user("sdr"), await api.user("sdr")
    leads = [await api.mql(), await api.mql()]
    assert [lead["owner_id"] for lead in leads] == [ana, ben]
    await pass_a_week(api)
    assert [(await api.reload(lead))["owner_id"] for lead in leads] == [ben, ana]
    told = await decision(api, leads[0])
    assert [one["unavailable"] for one in told["targets"][0]["ring"]["members"]] == ["had_it", None]


async def test_a_lead_does_not_come_back_to_the_only_user_who_let_it_lie(api: Api) -> None:
    await api.publish(with_clock(5))
    only = await api.user("sdr")
    lead = await api.mql()
    assert lead["owner_id"] == only
    await pass_a_week(api)
    told = await decision(api, lead)
    assert ((await api.reload(lead))["owner_id"], told["reason"], told["pool"]) == (None, "nobody_available", "sdr")


async def test_the_clock_of_a_lead_runs_by_the_hours_of_the_user_whom_the_ring_has_chosen(api: Api) -> None:
    await api.publish(with_clock(60))
    day = api.now + timedelta(days=3)
    hours = {day.strftime("%a").lower(): [["09:00", "18:00"]]}
    await api.user("sdr", working_hours=hours, time_zone="UTC")
    lead = await api.mql()
    assert lead["sla"]["due_at"].startswith(f"{day:%Y-%m-%d}T10:00:00")
