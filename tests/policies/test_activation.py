"""What an activation does to journeys: they follow it, stay with their version, or move by a mapping."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.journeys.verify import verify
from app.leads import sql as leads_sql
from app.policies import schedule
from app.policies.schedule import schedule_leads
from app.policy.document import Policy
from tests.api import Api
from tests.conversion.steps import BANT, GOOD, moved, srl_lead
from tests.journeys.test_time import events_of_type
from tests.policies.steps import activated, approved, ask_activation, settle
from tests.routing.documents import routed_document
from tests.rules.make import WATERFALL, altered, document
from tests.waiting import until

Lead = dict[str, Any]


def renamed(policy: Policy, **names: str) -> dict[str, Any]:
    """The policy with other names for stages, and for the milestones and conditions of those names."""
    told = json.dumps(document(policy))
    for old, new in names.items():
        told = told.replace(f'"{old}"', f'"{new}"')
    return {**json.loads(told), "reinquiry": document(policy)["reinquiry"]}


def stricter(policy: Policy) -> Policy:
    """Accepting takes three attempts, and `timing` is no reason to recycle any more."""

    def change(changed: dict[str, Any]) -> None:
        accept = next(action for action in changed["actions"] if action["name"] == "accept")
        accept["guard"] = {"all": [accept["guard"], {"attempts": {"at_least": 3}}]}
        changed["reasons"]["recycle"] = [one for one in changed["reasons"]["recycle"] if one["code"] != "timing"]

    return altered(policy, change)


async def log_of(api: Api, lead: Lead) -> list[tuple[str, str, int]]:
    """(action, to, policy version) of each transition."""
    rows = (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"]
    return [(row["action"], row["to"], row["policy_version"]) for row in rows]


async def faults(api: Api) -> list[str]:
    return [fault async for one in verify(api.app.state.engine) for fault in one.faults]


async def test_journeys_keep_the_version_under_which_they_became_mql(api: Api) -> None:
    sdr = await api.user("sdr")
    early, open_ = await api.mql(), await api.lead(**GOOD)
    await activated(api, stricter(WATERFALL))
    await api.add_activity(open_, "demo_request")
    late = await api.mql()
    for lead in (open_, late):
        assert (await log_of(api, lead))[-1] == ("qualify", "mql", 2)
        refused = await api.ask(lead, "accept", sdr)
        assert refused.json()["unmet"] == [{"criterion": "attempts", "have": 0, "need": 3}]
        refused = await api.ask(lead, "recycle", sdr, reason_code="timing")
        assert refused.json()["code"] == "unknown_reason"
    assert (await moved(api, early, "accept", sdr))["transition"]["policy_version"] == 1
    recycled = await moved(api, early, "recycle", sdr, reason_code="timing")
    assert recycled["transition"]["policy_version"] == 1
    await api.add_activity(early, "demo_request")
    assert (await log_of(api, early))[-1] == ("qualify", "mql", 2), "recycled, it follows the active version"
    refused = await api.ask(early, "accept", sdr)
    assert refused.json()["unmet"] == [{"criterion": "attempts", "have": 0, "need": 3}]
    assert await faults(api) == []


async def test_a_new_version_qualifies_leads_that_meet_it_and_takes_back_none(api: Api) -> None:
    below, mql = await api.lead(**GOOD), await api.mql()
    await api.add_activity(below, "webinar")

    def to_ten(changed: dict[str, Any]) -> None:
        changed["conditions"]["mql"] = {"all": [{"fit": {"at_least": 40}}, {"engagement": {"at_least": 10}}]}

    def to_a_thousand(changed: dict[str, Any]) -> None:
        changed["conditions"]["mql"] = {"all": [{"fit": {"at_least": 40}}, {"engagement": {"at_least": 1000}}]}

    await activated(api, altered(WATERFALL, to_a_thousand))
    assert ((await api.reload(below))["stage"], (await api.reload(mql))["stage"]) == ("inquiry", "mql")
    await activated(api, altered(WATERFALL, to_ten))
    assert await log_of(api, below) == [("capture", "inquiry", 1), ("qualify", "mql", 3)]
    assert await log_of(api, mql) == [("capture", "inquiry", 1), ("qualify", "mql", 1)]
    assert await events_of_type(api, "lead.below_threshold") == []


async def test_every_lead_is_evaluated_however_small_the_batches_and_however_many_workers(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    leads = [await api.lead(**GOOD) for _ in range(11)]
    for lead in leads:
        await api.add_activity(lead, "webinar")
    policy = await approved(api, document(altered(WATERFALL, lambda one: one["conditions"].update(mql=TEN))))
    assert (await ask_activation(api, policy)).status_code == 200
    monkeypatch.setattr(schedule, "BATCH", 2)
    engine = api.app.state.engine
    while any(await asyncio.gather(*(schedule_leads(engine, api.now) for _ in range(3)))):
        async with engine.connect() as tx:
            row = (await tx.execute(text("SELECT * FROM activations ORDER BY at DESC LIMIT 1"))).one()
        assert row.scheduled_to is not None, "how far it got is kept, for a worker that goes on after a crash"
    await settle(api)
    assert {(await api.reload(lead))["stage"] for lead in leads} == {"mql"}
    assert {len(await log_of(api, lead)) for lead in leads} == {2}


TEN = {"all": [{"fit": {"at_least": 40}}, {"engagement": {"at_least": 10}}]}


async def test_leads_that_arrive_during_an_activation_are_evaluated_by_the_new_version(api: Api) -> None:
    policy = await approved(api, document(altered(WATERFALL, lambda one: one["conditions"].update(mql=TEN))))

    async def arrive(n: int) -> Lead:
        body = {"fields": {"email": f"p{n}@firm{n}.example", **GOOD}, "activity": {"type": "webinar"}}
        return dict(await api.post("/v1/leads", body))

    first = [asyncio.create_task(arrive(n)) for n in range(20)]
    activation = asyncio.create_task(ask_activation(api, policy))
    later = [asyncio.create_task(arrive(n)) for n in range(20, 40)]
    leads = await asyncio.gather(*first, *later)
    assert (await activation).status_code == 200
    await settle(api)
    assert {(await api.reload(lead))["stage"] for lead in leads} == {"mql"}


async def test_an_activation_waits_for_leads_that_are_being_created(api: Api) -> None:
    engine = api.app.state.engine
    policy = await approved(api, document(altered(WATERFALL, lambda one: one["conditions"].update(mql=TEN))))
    waits = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")

    async def one_waits() -> bool:
        async with engine.connect() as tx:
            return bool((await tx.execute(waits)).scalar_one())

    async with engine.begin() as tx:
        await leads_sql.lock_identities(tx, api.tenant_id, [("email", "", "p@firm.example")])
        activation = asyncio.create_task(ask_activation(api, policy))
        await until(one_waits, "the activation waits")
        assert not activation.done()
    assert (await activation).status_code == 200


async def test_a_version_without_a_stage_in_which_journeys_stand_needs_a_mapping(pipeline_api: Api) -> None:
    api, sdr = pipeline_api, await pipeline_api.user("sdr")
    stands, other = await srl_lead(api, sdr), await api.mql()
    policy = await approved(api, document(WATERFALL))
    answer = await ask_activation(api, policy)
    assert (answer.status_code, answer.json()["code"]) == (409, "mapping_required")
    assert answer.json()["stages"] == [{"stage": "srl", "journeys": 1}]
    assert '{"srl": "sal"}' in answer.json()["detail"], "the open stage before it, which can be given as it is"
    for mapping, field in (
        ({"srl": "nowhere"}, "mapping.srl"),
        ({"srl": "converted"}, "mapping.srl"),
        ({"srl": "disqualified"}, "mapping.srl"),
        ({"srl": "merged"}, "mapping.srl"),
        ({"srl": "sal", "mql": "sal"}, "mapping.mql"),
        ({"srl": ""}, "mapping.srl"),
        ({"srl": "sal", "unused": "sal"}, "mapping.unused"),
    ):
        answer = await ask_activation(api, policy, mapping=mapping)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field), answer.text
    assert (await api.get("/v1/policies/active"))["number"] == 1
    before = api.now
    api.clock.ahead += timedelta(hours=1)
    active = (await ask_activation(api, policy, mapping={"srl": "sal"})).json()
    assert active["mapping"] == {"srl": "sal"}
    assert (await api.reload(stands))["stage"] == "srl", "until a worker, or the next change, comes to it"
    await settle(api)
    assert (await log_of(api, stands))[-1] == ("change_policy", "sal", 2)
    assert await log_of(api, other) == [("capture", "inquiry", 1), ("qualify", "mql", 1)]
    move = (await api.get(f"/v1/leads/{stands['id']}/transitions"))["data"][-1]
    assert (move["from"], move["occurred_at"], move["actor"]["kind"]) == ("srl", active["activated_at"], "policy")
    assert move["evidence"] == {"policy_version_before": 1, "mapping": {"srl": "sal"}}
    told = (await events_of_type(api, "lead.stage_changed"))[-1]
    assert (told["from"], told["to"], told["seq"]) == ("srl", "sal", move["seq"])
    past = await api.get(f"/v1/leads/{stands['id']}", params={"as_of": before.isoformat()})
    assert past["stage"] == "srl"
    assert (await api.reload(stands))["sla"]["clock"] == "response", "the new version has no clock of ae_acceptance"
    confirmed = await moved(api, stands, "confirm", await api.user("ae"), bant=BANT)
    assert confirmed["transition"]["policy_version"] == 2, "it follows the new version from then on"
    api.clock.ahead += timedelta(days=30)
    await settle(api)
    breached = [
        one["clock"] for one in await events_of_type(api, "lead.sla_breached") if one["lead_id"] == stands["id"]
    ]
    assert "ae_acceptance" not in breached
    assert await faults(api) == []


async def test_a_pinned_journey_may_enter_a_stage_of_its_own_version_after_the_activation(pipeline_api: Api) -> None:
    api, sdr = pipeline_api, await pipeline_api.user("sdr")
    before, later = await srl_lead(api, sdr), await api.mql()
    await activated(api, WATERFALL, mapping={"srl": "sal"})
    await moved(api, later, "hand_over", sdr, bant=BANT, conversion=False)
    api.clock.ahead += timedelta(days=70)
    await settle(api)
    assert ((await api.reload(before))["stage"], (await api.reload(later))["stage"]) == ("sal", "srl")
    back = await moved(api, later, "confirm", await api.user("ae"), bant=BANT)
    assert (back["lead"]["stage"], back["transition"]["policy_version"]) == ("sql", 1)
    assert await faults(api) == []


RENAMED = {"suspect": "list", "inquiry": "asked", "mql": "ready", "sal": "taken", "recycled": "asleep"}


@pytest.mark.parametrize("stage", RENAMED)
async def test_a_journey_of_any_stage_moves_with_a_renamed_stage(api: Api, stage: str) -> None:
    sdr = await api.user("sdr")
    lead = await (api.lead(**GOOD) if stage in ("suspect", "inquiry") else api.mql())
    if stage == "suspect":
        bought = {"name": "bought", "preset": "generic", "defaults": {"entry": "suspect"}}
        source = await api.post("/v1/sources", bought)
        body = {"fields": {"email": "bought@list.example"}, "source_id": source["id"]}
        lead = await api.post("/v1/leads", body)
    if stage == "sal":
        await moved(api, lead, "accept", sdr)
    if stage == "recycled":
        await moved(api, lead, "recycle", sdr, reason_code="timing", wake_at=api.ago(days=-60))
    lead = await api.reload(lead)
    assert lead["stage"] == stage
    await activated(api, renamed(WATERFALL, **{stage: RENAMED[stage]}), mapping={stage: RENAMED[stage]})
    after = await api.reload(lead)
    assert (after["stage"], after["version"]) == (RENAMED[stage], lead["version"] + 1)
    assert (after["owner_id"], after["wake_at"]) == (lead["owner_id"], lead["wake_at"])
    assert (await log_of(api, lead))[-1] == ("change_policy", RENAMED[stage], 2)
    names = [one["name"] for one in (await api.get(f"/v1/leads/{lead['id']}/journeys"))["data"][0]["milestones"]]
    assert names == {"mql": ["mql", "ready"], "sal": ["mql", "sal", "taken"], "recycled": ["mql"]}.get(stage, [])
    assert [one["lead_id"] for one in await events_of_type(api, "lead.stage_changed")][-1] == lead["id"]
    assert await faults(api) == []


async def test_a_request_about_a_lead_comes_after_its_move_by_the_mapping(api: Api) -> None:
    sdr, lead = await api.user("sdr"), await api.mql()
    policy = await approved(api, renamed(stricter(WATERFALL), mql="ready"))
    assert (await ask_activation(api, policy, mapping={"mql": "ready"})).status_code == 200
    refused = await api.ask(lead, "accept", sdr)
    assert refused.json()["unmet"] == [{"criterion": "attempts", "have": 0, "need": 3}], "by the new version's guard"
    assert (await api.reload(lead))["stage"] == "mql", "a refused request writes nothing"
    for _ in range(3):
        await api.add_activity(lead, "call", kind="contact_attempt")
    accepted = await moved(api, lead, "accept", sdr)
    assert (accepted["transition"]["action"], accepted["lead"]["stage"]) == ("accept", "sal")
    assert [to for _, to, _ in await log_of(api, lead)] == ["inquiry", "mql", "ready", "sal"]
    assert await faults(api) == []


async def test_closed_journeys_stay_as_they_are_and_need_no_mapping(api: Api) -> None:
    sdr, gone, ae = await api.user("sdr"), await api.mql(), await api.user("ae")
    await moved(api, gone, "disqualify", sdr, reason_code="no_need")
    await activated(api, renamed(WATERFALL, disqualified="closed_lost", mql="ready"))
    assert (await api.reload(gone))["stage"] == "disqualified"
    reopened = await moved(api, gone, "reopen", sdr, reason_code="mistake", note="n")
    assert reopened["lead"]["stage"] == "mql"
    assert (await moved(api, gone, "accept", sdr))["transition"]["policy_version"] == 1
    assert (await api.ask(gone, "confirm", ae, bant=BANT)).status_code == 201
    assert await faults(api) == []


async def test_a_person_whose_journey_ended_before_the_activation_begins_a_new_one_by_the_new_version(api: Api) -> None:
    sdr, gone = await api.user("sdr"), await api.mql()
    await moved(api, gone, "disqualify", sdr, reason_code="spam")
    open_ = await api.lead(**GOOD)
    await moved(api, open_, "disqualify", sdr, reason_code="no_need")
    await activated(api, renamed(WATERFALL, disqualified="closed_lost", inquiry="asked"), mapping={"inquiry": "asked"})
    await api.add_activity(gone, "demo_request")
    assert (await api.reload(gone))["stage"] == "disqualified", "spam stays blocked, as its version says"
    await api.add_activity(open_, "webinar")
    again = await api.reload(open_)
    assert (again["stage"], again["journey_no"]) == ("asked", 2)
    assert await faults(api) == []


async def test_a_team_that_nobody_belongs_to_is_refused_at_the_activation(api: Api) -> None:
    def to_north(changed: dict[str, Any]) -> None:
        changed["routing"]["sdr"]["team"] = "north"

    policy = await approved(api, document(altered(WATERFALL, to_north)))
    answer = await ask_activation(api, policy)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_team")
    assert [(one["place"], one["field"]) for one in answer.json()["errors"]] == [
        ("/routing/sdr/team", "routing.sdr.team")
    ]
    inactive = await api.user("sdr", team="north", active=False)
    assert (await ask_activation(api, policy)).json()["code"] == "unknown_team"
    assert (await api.call("PATCH", f"/v1/users/{inactive}", {"active": True})).status_code == 200
    assert (await ask_activation(api, policy)).status_code == 200


@pytest.mark.parametrize(
    ("route", "place"),
    [
        ({"rules": [{"id": "a", "to": [{"method": "pool", "team": "north"}]}]}, "rules/0/to/0/team"),
        ({"method": "round_robin", "weights": {"north": 2}}, "weights/north"),
        ({"method": "round_robin", "weights": {"north/east": 2}}, "weights/north~1east"),
    ],
)
async def test_every_team_of_a_route_has_to_exist_at_the_activation(
    api: Api, route: dict[str, Any], place: str
) -> None:
    policy = await approved(api, routed_document(route))
    answer = await ask_activation(api, policy)
    assert (answer.status_code, answer.json()["code"]) == (422, "unknown_team")
    assert [one["place"] for one in answer.json()["errors"]] == [f"/routing/sdr/{place}"]
