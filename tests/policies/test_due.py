"""Planned activations and reviews take effect at their time, once, whatever happens to workers."""

from __future__ import annotations

import asyncio
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

import app
from app.policies.due import activate_due, announce_reviews
from app.policies.review import next_review
from app.settings import Settings
from app.web.examples import POLICY
from tests.api import Api, running
from tests.contract.world import second_tenant
from tests.conversion.steps import srl_lead
from tests.journeys.test_time import events_of_type
from tests.policies.steps import activated, approved, ask_activation, settle
from tests.policies.test_life import acts
from tests.rules.make import WATERFALL, document
from tests.waiting import until


async def planned(api: Api, body: Any, **members: Any) -> dict[str, Any]:
    """A policy that becomes active in an hour."""
    answer = await ask_activation(api, await approved(api, body), effective_from=api.ago(hours=-1), **members)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def active(api: Api) -> str:
    return str((await api.get("/v1/policies/active"))["id"])


async def test_a_planned_policy_becomes_active_at_its_time_and_not_before(api: Api) -> None:
    policy, engine = await planned(api, POLICY), api.app.state.engine
    assert (policy["state"], policy["activated_at"]) == ("proposed", None)
    assert await activate_due(engine, api.clock.now) == 0
    api.clock.ahead += timedelta(hours=1, seconds=5)
    assert await active(api) != policy["id"], "a worker does it"
    assert await activate_due(engine, api.clock.now) == 1
    after = await api.get("/v1/policies/active")
    assert (after["id"], after["state"]) == (policy["id"], "active")
    assert after["effective_from"] == policy["effective_from"] < after["activated_at"]
    assert await activate_due(engine, api.clock.now) == 0
    (event,) = await events_of_type(api, "policy.activated")
    assert event["policy_id"] == policy["id"]
    assert await acts(api) == [
        *("policy.created", "policy.proposed", "policy.approved", "policy.approved", "policy.planned"),
        "policy.activated",
    ]


async def test_two_workers_activate_a_planned_policy_once(api: Api) -> None:
    policies = [await planned(api, {**POLICY, "title": f"Title {n}"}) for n in range(3)]
    api.clock.ahead += timedelta(hours=2)
    done = await asyncio.gather(*(activate_due(api.app.state.engine, api.clock.now) for _ in range(4)))
    assert sum(done) == 3
    assert len(await events_of_type(api, "policy.activated")) == 3
    assert await active(api) == policies[-1]["id"], "in the order of their times"


async def test_a_worker_that_is_killed_in_the_middle_leaves_the_activation_to_the_next(api: Api) -> None:
    policy = await planned(api, POLICY)
    api.clock.ahead += timedelta(hours=2)
    url, now = api.app.state.settings.database_url, api.now.isoformat()
    script = (
        "import asyncio; from datetime import datetime; from app.database.engine import make_engine;"
        "from app.policies.due import activate_due;"
        f"asyncio.run(activate_due(make_engine({url!r}), lambda: datetime.fromisoformat({now!r})))"
    )
    waits = text("SELECT count(*) FROM pg_locks WHERE NOT granted")

    async def it_waits() -> bool:
        async with api.app.state.engine.connect() as tx:
            return bool((await tx.execute(waits)).scalar_one())

    async with api.app.state.engine.begin() as tx:
        await tx.command("LOCK TABLE events IN ACCESS EXCLUSIVE MODE")  # the policy is written, its event is not
        worker = await asyncio.create_subprocess_exec(sys.executable, "-c", script, cwd=Path(app.__file__).parents[1])
        try:
            await until(it_waits, "the worker waits for the lock on events")
        finally:
            worker.kill()
        await worker.wait()

    async def done() -> bool:
        await activate_due(api.app.state.engine, api.clock.now)
        return await active(api) == policy["id"]

    await until(done, "the locks of the killed worker are released")
    assert len(await events_of_type(api, "policy.activated")) == 1


async def test_a_policy_that_cannot_be_handled_does_not_stop_those_of_other_tenants(api: Api) -> None:
    other = await second_tenant(api)
    stuck, fine = await planned(api, POLICY), await planned(other, POLICY)
    async with api.app.state.engine.begin() as tx:
        refused = f"type <> 'policy.activated' OR tenant_id <> '{api.tenant_id}'"
        await tx.execute(text(f"ALTER TABLE events ADD CONSTRAINT broken CHECK ({refused}) NOT VALID"))
    api.clock.ahead += timedelta(hours=2)
    assert await activate_due(api.app.state.engine, api.clock.now) == 1
    assert await active(other) == fine["id"]
    assert (await api.get(f"/v1/policies/{stuck['id']}"))["state"] == "proposed"
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("ALTER TABLE events DROP CONSTRAINT broken"))
    assert await activate_due(api.app.state.engine, api.clock.now) == 1
    assert await active(api) == stuck["id"]


async def test_the_worker_activates_what_is_planned_and_evaluates_all_leads(settings: Settings) -> None:
    async with running(settings, roles=("work",)) as api:
        lead = await api.lead(job_title="Director")
        await api.add_activity(lead, "demo_request")
        policy = await planned(api, {**POLICY, "scoring": {**POLICY["scoring"], "engagement": [DEMO]}})
        api.clock.ahead += timedelta(hours=2)

        async def qualified() -> bool:
            return (await api.reload(lead))["stage"] == "mql"

        await until(qualified, "the lead is an MQL by the new policy")
        assert await active(api) == policy["id"]


DEMO = {"id": "demo", "points": 50, "type": "demo_request"}


async def test_a_plan_can_be_replaced_and_taken_back(api: Api) -> None:
    policy = await planned(api, POLICY)
    again = await ask_activation(api, policy, effective_from=api.ago(hours=-5))
    assert again.json()["effective_from"] > policy["effective_from"]
    api.clock.ahead += timedelta(hours=2)
    assert await activate_due(api.app.state.engine, api.clock.now) == 0
    path = f"/v1/policies/{policy['id']}"
    assert (await api.call("PUT", path, {**POLICY, "title": "Not yet"})).json()["effective_from"] is None
    api.clock.ahead += timedelta(hours=20)
    assert await activate_due(api.app.state.engine, api.clock.now) == 0
    other = await planned(api, POLICY)
    at_once = (await ask_activation(api, other)).json()
    assert (at_once["state"], at_once["effective_from"]) == ("active", at_once["activated_at"])


@pytest.mark.parametrize(("ago", "status"), [({"minutes": 1}, 200), ({"minutes": 10}, 422), ({"days": 400}, 422)])
async def test_an_activation_cannot_be_dated_back(api: Api, ago: dict[str, float], status: int) -> None:
    answer = await ask_activation(api, await approved(api, POLICY), effective_from=api.ago(**ago))
    assert answer.status_code == status, answer.text
    if status == 422:
        assert answer.json()["errors"][0]["field"] == "effective_from"
        assert (await api.get("/v1/policies/active"))["number"] == 1


async def test_a_plan_that_has_become_impossible_stays_proposed_and_says_why(pipeline_api: Api) -> None:
    api = pipeline_api
    policy, before = await planned(api, document(WATERFALL)), await active(api)
    await srl_lead(api, await api.user("sdr"))
    api.clock.ahead += timedelta(hours=2)
    assert await activate_due(api.app.state.engine, api.clock.now) == 1
    after = await api.get(f"/v1/policies/{policy['id']}")
    assert (after["state"], after["effective_from"], after["approvals_missing"]) == ("proposed", None, [])
    assert after["activation_refused"]["code"] == "mapping_required"
    assert after["activation_refused"]["stages"] == [{"stage": "srl", "journeys": 1}]
    assert await active(api) == before
    assert await activate_due(api.app.state.engine, api.clock.now) == 0
    assert (await acts(api))[-1] == "policy.activation_refused"
    answer = await ask_activation(api, policy, mapping={"srl": "sal"})
    assert (answer.json()["state"], answer.json()["activation_refused"]) == ("active", None)


async def test_a_mapping_is_kept_until_the_planned_time(pipeline_api: Api) -> None:
    api = pipeline_api
    lead = await srl_lead(api, await api.user("sdr"))
    policy = await planned(api, document(WATERFALL), mapping={"srl": "sql"})
    assert policy["mapping"] == {"srl": "sql"}
    assert (await api.reload(lead))["stage"] == "srl"
    api.clock.ahead += timedelta(hours=2)
    assert await activate_due(api.app.state.engine, api.clock.now) == 1
    await settle(api)
    assert (await api.reload(lead))["stage"] == "sql"


def at(text_: str) -> datetime:
    return datetime.fromisoformat(text_).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("review", "activated_at", "after", "due"),
    [
        ("none", "2026-01-15T09:00", "2026-06-01T00:00", None),
        ("monthly", "2026-01-15T09:00", "2026-01-15T09:00", "2026-02-15T09:00"),
        ("monthly", "2026-01-15T09:00", "2026-02-15T08:59", "2026-02-15T09:00"),
        ("monthly", "2026-01-15T09:00", "2026-02-15T09:00", "2026-03-15T09:00"),
        ("monthly", "2026-01-31T09:00", "2026-01-31T09:00", "2026-02-28T09:00"),
        ("monthly", "2026-01-31T09:00", "2026-02-28T09:00", "2026-03-31T09:00"),
        ("monthly", "2027-12-31T09:00", "2027-12-31T09:00", "2028-01-31T09:00"),
        ("monthly", "2027-12-31T09:00", "2028-01-31T09:00", "2028-02-29T09:00"),
        ("monthly", "2026-01-15T09:00", "2026-09-20T00:00", "2026-10-15T09:00"),
        ("quarterly", "2026-01-15T09:00", "2026-01-15T09:00", "2026-04-15T09:00"),
        ("quarterly", "2026-11-30T09:00", "2026-11-30T09:00", "2027-02-28T09:00"),
        ("quarterly", "2026-01-15T09:00", "2026-04-14T00:00", "2026-04-15T09:00"),
        ("quarterly", "2026-01-15T09:00", "2027-01-15T09:00", "2027-04-15T09:00"),
    ],
)
def test_reviews_are_whole_months_or_quarters_after_the_activation(
    review: str, activated_at: str, after: str, due: str | None
) -> None:
    assert next_review(review, at(activated_at), at(after)) == (at(due) if due else None)


@pytest.mark.parametrize(("review", "days"), [("monthly", 31), ("quarterly", 92), ("none", None)])
async def test_a_review_is_told_of_once_and_again_after_the_next_period(
    api: Api, review: str, days: int | None
) -> None:
    engine = api.app.state.engine
    policy = await activated(api, {**POLICY, "review": review})
    assert await announce_reviews(engine, api.clock.now) == 0
    for told in (1, 2):
        api.clock.ahead += timedelta(days=days or 400)
        assert sum(await asyncio.gather(*(announce_reviews(engine, api.clock.now) for _ in range(3)))) == (
            1 if days else 0
        )
        events = await events_of_type(api, "policy.review_due")
        assert len(events) == (told if days else 0)
    before = policy["review_due_at"]
    if days is not None:
        first, second = await events_of_type(api, "policy.review_due")
        named = {"policy_id": policy["id"], "policy_version": 2, "name": "shop"}
        assert first == {**named, "review": review, "due_at": before}
        assert second["due_at"] > before


async def test_reviews_that_passed_while_no_worker_ran_are_told_of_once(api: Api) -> None:
    await activated(api, {**POLICY, "review": "monthly"})
    api.clock.ahead += timedelta(days=200)
    assert await announce_reviews(api.app.state.engine, api.clock.now) == 1
    assert await announce_reviews(api.app.state.engine, api.clock.now) == 0
    due = (await api.get("/v1/policies/active"))["review_due_at"]
    assert api.now.isoformat() < due < (api.now + timedelta(days=32)).isoformat()


async def test_a_retired_policy_is_not_reviewed(api: Api) -> None:
    await activated(api, {**POLICY, "review": "monthly"})
    await activated(api, {**POLICY, "review": "none"})
    api.clock.ahead += timedelta(days=400)
    assert await announce_reviews(api.app.state.engine, api.clock.now) == 0
