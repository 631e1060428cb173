"""`POST /v1/policies/{id}/backtests` and `/shadow`: what is asked for, found, paged, cancelled and run again."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app import ids
from app.backtests import run as running
from app.backtests import sql
from app.backtests.run import run_backtests
from app.commands import worker
from app.database.transaction import ChangedMeanwhile
from app.journeys.refresh import refresh_due
from app.settings import Settings
from app.web.pages import write_cursor
from tests.api import Api
from tests.api import running as application
from tests.backtests.steps import backtest, draft, journeys, run
from tests.contract.world import second_tenant
from tests.rules.make import PERSONA, WATERFALL, altered, document
from tests.waiting import until

EASY = altered(WATERFALL, lambda changed: changed["conditions"].update(mql={"engagement": {"at_least": 10}}))
STRICT = altered(WATERFALL, lambda changed: changed["conditions"].update(mql={"engagement": {"at_least": 60}}))


async def hours(api: Api, count: float) -> None:
    """Moves the clock, and evaluates the leads that have become due meanwhile."""
    api.clock.ahead += timedelta(hours=count)
    await refresh_due(api.app.state.engine, api.clock.now)


async def test_a_backtest_of_the_active_policy_finds_what_it_did(api: Api) -> None:
    marketing, sdr = await api.user("marketing"), await api.user("sdr")
    leads = [await api.lead(**PERSONA) for _ in range(3)]
    clerk, known = await api.lead(job_title="clerk"), await api.lead()
    await api.add_activity(leads[0], "price_list", occurred_at=api.ago(days=2))
    await hours(api, 5)
    await api.add_activity(leads[0], "case_study", occurred_at=api.ago(days=1))
    await api.add_activity(leads[1], "demo_request")
    await api.add_activity(clerk, "demo_request")
    await hours(api, 24)
    assert (await api.call("PATCH", f"/v1/leads/{known['id']}", {"fields": PERSONA})).status_code == 200
    assert (await api.call("PATCH", f"/v1/leads/{clerk['id']}", {"fields": {**PERSONA}})).status_code == 200
    assert (await api.ask(known, "qualify", marketing, override_reason="met at a fair")).status_code == 201
    assert (await api.ask(leads[1], "recycle", sdr, reason_code="timing")).status_code == 201
    await hours(api, 24)
    active = (await api.get("/v1/policies/active"))["id"]
    found = await backtest(api, active)
    assert (found["candidate"]["added"], found["candidate"]["removed"]) == ([], [])
    for one in await journeys(api, found["id"], "candidate"):
        assert one["candidate_at"] == one["baseline_at"] == one["actual_at"]
        steps = (await api.get(f"/v1/leads/{one['lead_id']}/transitions"))["data"]
        assert one["candidate_known_at"] == next(step["recorded_at"] for step in steps if step["to"] == "mql")
    mqls = {one["lead_id"] for one in await journeys(api, found["id"], "candidate")}
    assert mqls == {leads[0]["id"], leads[1]["id"], clerk["id"]}, "the override was a person's"


async def test_a_second_journey_is_replayed_without_the_interest_of_the_first(api: Api) -> None:
    sdr = await api.user("sdr")
    lead = await api.mql()
    assert (await api.ask(lead, "disqualify", sdr, reason_code="no_budget")).status_code == 201
    await hours(api, 48)
    await api.add_activity(lead, "webinar")
    assert (await api.reload(lead))["journey_no"] == 2
    found = await backtest(api, (await api.get("/v1/policies/active"))["id"])
    assert found["candidate"]["mql"] == 1
    await hours(api, 48)
    await api.add_activity(lead, "demo_request")
    again = await backtest(api, found["policy_id"])
    assert again["candidate"]["mql"] == 2
    assert len({one["journey_id"] for one in await journeys(api, again["id"], "candidate")}) == 2


async def test_what_came_by_a_merge_is_not_known_before_it(api: Api) -> None:
    clerk, director = await api.lead(job_title="clerk"), await api.lead(**PERSONA)
    await api.add_activity(clerk, "demo_request")
    consents = {"consents": [{"purpose": "email_marketing", "state": "given"}]}
    assert (await api.call("PUT", f"/v1/leads/{clerk['id']}/consents", consents)).status_code == 200
    await api.add_activity(director, "webinar")
    await hours(api, 10)
    merged_at = api.now
    await api.post(
        f"/v1/leads/{clerk['id']}/merge", {"into": director["id"]}, status=200, actor=await api.user("manager")
    )
    found = await backtest(api, (await api.get("/v1/policies/active"))["id"])
    (one,) = await journeys(api, found["id"], "candidate")
    assert one["lead_id"] == director["id"]
    assert one["candidate_known_at"] >= merged_at.isoformat()
    given = {"consent": {"purpose": "email_marketing", "state": ["given"]}}
    asked = altered(
        WATERFALL, lambda changed: changed["conditions"].update(mql={"all": [{"fit": {"at_least": 40}}, given]})
    )
    (one,) = await journeys(api, (await backtest(api, await draft(api, asked)))["id"], "candidate")
    assert one["candidate_known_at"] >= merged_at.isoformat()


async def test_a_journey_that_came_by_a_merge_is_replayed_as_what_it_was_before(api: Api) -> None:
    ready, other = await api.mql(), await api.lead(job_title="clerk")
    became = (await api.get(f"/v1/leads/{ready['id']}/transitions"))["data"][-1]
    await hours(api, 10)
    manager = await api.user("manager")
    await api.post(f"/v1/leads/{ready['id']}/merge", {"into": other["id"]}, status=200, actor=manager)
    found = await backtest(api, (await api.get("/v1/policies/active"))["id"])
    (one,) = await journeys(api, found["id"], "candidate")
    assert (one["lead_id"], one["candidate_known_at"]) == (other["id"], became["recorded_at"])


async def test_only_what_could_be_known_in_the_window_is_an_mql_of_it(api: Api) -> None:
    early = await api.mql()
    await hours(api, 24 * 10)
    since = api.ago()
    await hours(api, 24)
    late = await api.mql()
    await hours(api, 24)
    active = (await api.get("/v1/policies/active"))["id"]
    whole = await backtest(api, active)
    second = await backtest(api, active, **{"from": since})
    first = await backtest(api, active, to=since)
    assert [one["candidate"]["mql"] for one in (whole, first, second)] == [2, 1, 1]
    assert [one["lead_id"] for one in await journeys(api, first["id"], "candidate")] == [early["id"]]
    assert [one["lead_id"] for one in await journeys(api, second["id"], "candidate")] == [late["id"]]


@pytest.mark.parametrize(
    ("window", "field", "code"),
    [
        ({"from": 5, "to": 10}, "from", "not_before_to"),
        ({"from": 5, "to": 5}, "from", "not_before_to"),
        ({"from": -5}, "from", "not_before_to"),
        ({"to": -1}, "to", "in_the_future"),
        ({"from": 3_000, "to": 1}, "from", "window_too_long"),
        ({"from": "yesterday"}, "from", "wrong_form"),
        ({"to": 5, "until": 3}, "until", "unknown_member"),
        ({"from_": 5}, "from_", "unknown_member"),
    ],
)
async def test_a_window_that_is_none_is_refused_with_the_member_that_is_wrong(
    api: Api, window: dict[str, Any], field: str, code: str
) -> None:
    active = (await api.get("/v1/policies/active"))["id"]
    now = api.now
    body = {
        name: value if isinstance(value, str) else (now - timedelta(days=value)).isoformat()
        for name, value in window.items()
    }
    answer = await api.call("POST", f"/v1/policies/{active}/backtests", body)
    assert answer.status_code == 422, answer.text
    (error,) = answer.json()["errors"]
    assert (error["field"], error["code"]) == (field, code)


async def test_without_a_body_the_last_180_days_are_replayed(api: Api) -> None:
    active = (await api.get("/v1/policies/active"))["id"]
    answer = await api.call("POST", f"/v1/policies/{active}/backtests")
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert answer.headers["Location"] == f"/v1/backtests/{body['id']}"
    assert (body["state"], body["progress"]) == ("queued", 0.0)
    began, ended = (datetime.fromisoformat(body[name]) for name in ("from", "to"))
    assert (body["to"], ended - began) == (body["created_at"], timedelta(days=180))
    assert (await api.get("/v1/backtests"))["data"] == [body]


async def test_unknown_ids_are_404_and_the_limit_of_unfinished_ones_is_told(api: Api) -> None:
    unknown = ids.show("policy", ids.new_id())
    for path in ("backtests", "shadow"):
        answer = await api.call("POST", f"/v1/policies/{unknown}/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, "policy_not_found")
    answer = await api.call("GET", f"/v1/backtests/{ids.show('backtest', ids.new_id())}")
    assert (answer.status_code, answer.json()["code"]) == (404, "backtest_not_found")
    active = (await api.get("/v1/policies/active"))["id"]
    started = [
        await api.post(f"/v1/policies/{active}/{path}", {}, status=202) for path in ("backtests", "shadow", "backtests")
    ]
    answer = await api.call("POST", f"/v1/policies/{active}/backtests")
    assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (409, "backtest_limit_reached", 3)
    cancelled = await api.post(f"/v1/backtests/{started[0]['id']}/cancel", None, status=200)
    assert cancelled["state"] == "cancelled"
    assert cancelled["finished_at"] is not None
    assert (await api.call("POST", f"/v1/backtests/{started[0]['id']}/cancel")).json()["code"] == "state_conflict"
    await api.post(f"/v1/policies/{active}/backtests", {}, status=202)


async def test_a_cancelled_backtest_is_run_no_more(api: Api) -> None:
    await api.mql()
    active = (await api.get("/v1/policies/active"))["id"]
    started = await api.post(f"/v1/policies/{active}/backtests", {}, status=202)
    await api.post(f"/v1/backtests/{started['id']}/cancel", None, status=200)
    await run(api)
    found = await api.get(f"/v1/backtests/{started['id']}")
    assert (found["state"], found["leads_done"], found["candidate"]["mql"]) == ("cancelled", 0, 0)


async def test_a_batch_that_ends_with_its_process_is_repeated_by_the_next_worker(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running, "LEADS", 2)
    for _ in range(5):
        await api.mql()
    active = (await api.get("/v1/policies/active"))["id"]
    started = await api.post(f"/v1/policies/{active}/backtests", {}, status=202)
    engine, path = api.app.state.engine, f"/v1/backtests/{started['id']}"
    assert await run_backtests(engine, api.now) == 2
    found = await api.get(path)
    assert (found["state"], found["leads_done"], found["progress"], found["candidate"]["mql"]) == ("running", 2, 0.4, 2)

    async def killed(*_: object, **__: object) -> None:
        raise asyncio.CancelledError  # the connection is closed and the transaction rolled back, as after kill -9

    with monkeypatch.context() as patched:
        patched.setattr(sql, "save_progress", killed)
        with pytest.raises(asyncio.CancelledError):
            await run_backtests(engine, api.now)
    assert (await api.get(path))["candidate"]["mql"] == 2
    await run(api)
    found = await api.get(path)
    assert (found["state"], found["leads_done"], found["candidate"]["mql"]) == ("done", 5, 5)


async def test_two_workers_do_not_run_the_same_batch(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LEADS", 2)
    for _ in range(5):
        await api.mql()
    active = (await api.get("/v1/policies/active"))["id"]
    started = await api.post(f"/v1/policies/{active}/backtests", {}, status=202)

    async def work() -> None:
        while (await api.get(f"/v1/backtests/{started['id']}"))["state"] in ("queued", "running"):
            await run_backtests(api.app.state.engine, api.now)

    await asyncio.gather(work(), work())
    found = await api.get(f"/v1/backtests/{started['id']}")
    assert (found["state"], found["leads"], found["leads_done"], found["candidate"]["mql"]) == ("done", 5, 5, 5)


async def test_a_backtest_that_cannot_be_run_says_so_and_others_are_run(api: Api) -> None:
    await api.mql()
    active = (await api.get("/v1/policies/active"))["id"]
    broken = await api.post(f"/v1/policies/{active}/backtests", {}, status=202)
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("UPDATE leads SET fields = '\"x\"'"))
    await run(api)
    found = await api.get(f"/v1/backtests/{broken['id']}")
    assert (found["state"], found["fault"]) == ("failed", "internal_error")
    async with api.app.state.engine.begin() as tx:
        await tx.execute(text("UPDATE leads SET fields = '{}'"))
    assert (await backtest(api, active))["state"] == "done"


async def test_a_batch_that_the_database_aborts_is_tried_again_and_does_not_hold_up_other_jobs(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.mql()
    active = (await api.get("/v1/policies/active"))["id"]
    jobs = [await api.post(f"/v1/policies/{active}/backtests", {}, status=202) for _ in range(2)]
    save, aborted = sql.save_progress, ids.read("backtest", jobs[0]["id"])

    async def save_but_one(tx: Any, tenant_id: Any, backtest_id: Any, *arguments: Any, **done: Any) -> None:
        if backtest_id == aborted:
            raise ChangedMeanwhile("as of a deadlock")
        await save(tx, tenant_id, backtest_id, *arguments, **done)

    with monkeypatch.context() as patched:
        patched.setattr(sql, "save_progress", save_but_one)
        await run_backtests(api.app.state.engine, api.now)
    states = [(await api.get(f"/v1/backtests/{job['id']}"))["state"] for job in jobs]
    assert states == ["queued", "done"]
    await run(api)
    assert (await api.get(f"/v1/backtests/{jobs[0]['id']}"))["candidate"]["mql"] == 1


async def test_a_lead_with_many_activities_is_replayed_like_others(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "LONG", 0)
    lead = await api.mql()
    found = await backtest(api, (await api.get("/v1/policies/active"))["id"])
    assert [one["lead_id"] for one in await journeys(api, found["id"], "candidate")] == [lead["id"]]


async def test_lists_are_read_page_by_page_and_a_cursor_is_of_one_list(api: Api) -> None:
    for _ in range(5):
        lead = await api.lead()
        await api.add_activity(lead, "webinar")
    easy = await draft(api, EASY)
    found = await backtest(api, easy)
    assert len(found["candidate"]["added"]) == 5
    path, seen, cursor = f"/v1/backtests/{found['id']}/journeys", [], ""
    while True:
        page = await api.get(f"{path}?list=added&limit=2{cursor}")
        seen += [one["lead_id"] for one in page["data"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"
    assert sorted(seen) == sorted(found["candidate"]["added"])
    assert len(set(seen)) == 5
    filters = {"backtest": ids.read("backtest", found["id"]), "list": "added"}
    forged = [f"?list=added&cursor={write_cursor(filters, member)}" for member in ("x", 5, None, [1])]
    for wrong in (*forged, f"?list=removed{cursor}", "?list=added&cursor=nonsense", "?list=everything"):
        assert (await api.call("GET", path + wrong)).status_code == 422, wrong


async def test_a_stricter_candidate_removes(api: Api) -> None:
    lead = await api.mql()
    found = await backtest(api, await draft(api, STRICT))
    assert (found["candidate"]["mql"], found["candidate"]["removed"]) == (0, [lead["id"]])


async def test_an_edited_draft_does_not_change_a_backtest_that_was_asked_for(api: Api) -> None:
    await api.mql()
    easy = await draft(api, EASY)
    started = await api.post(f"/v1/policies/{easy}/backtests", {}, status=202)
    changed = await api.call("PUT", f"/v1/policies/{easy}", document(STRICT))
    assert changed.status_code == 200, changed.text
    await run(api)
    found = await api.get(f"/v1/backtests/{started['id']}")
    assert (found["candidate"]["mql"], found["sha256"]) == (1, started["sha256"])
    assert (await backtest(api, easy))["candidate"]["mql"] == 0


async def test_a_draft_can_be_deleted_and_its_backtest_stays_readable(api: Api) -> None:
    await api.mql()
    easy = await draft(api, EASY)
    found = await backtest(api, easy)
    gone = await api.call("DELETE", f"/v1/policies/{easy}")
    assert gone.status_code == 204, gone.text
    assert await api.get(f"/v1/backtests/{found['id']}") == found


async def test_a_consent_counts_from_when_it_was_recorded_until_it_was_withdrawn(api: Api) -> None:
    consent = {"consent": {"purpose": "email_marketing", "state": ["given"]}}
    asked = altered(
        WATERFALL,
        lambda changed: changed["conditions"].update(mql={"all": [{"engagement": {"at_least": 10}}, consent]}),
    )
    leads = [await api.lead() for _ in range(3)]

    async def say(lead: dict[str, Any], state: str) -> str:
        body = {"consents": [{"purpose": "email_marketing", "state": state}]}
        assert (await api.call("PUT", f"/v1/leads/{lead['id']}/consents", body)).status_code == 200
        return str((await api.reload(lead))["updated_at"])

    await say(leads[0], "given")
    await hours(api, 1)
    await say(leads[0], "withdrawn")
    for lead in leads:
        await api.add_activity(lead, "webinar")
    await hours(api, 1)
    given_at = await say(leads[1], "given")
    found = await backtest(api, await draft(api, asked))
    (one,) = await journeys(api, found["id"], "candidate")
    assert (one["lead_id"], one["candidate_known_at"]) == (leads[1]["id"], given_at)


async def test_erased_leads_are_left_out_and_only_the_newest_results_are_kept(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("app.backtests.start.KEPT", 2)
    lead = await api.mql()
    active = (await api.get("/v1/policies/active"))["id"]
    first = await backtest(api, active)
    assert first["candidate"]["mql"] == 1
    async with api.app.state.engine.begin() as tx:
        await tx.execute(
            text("UPDATE leads SET erased_at = now() WHERE id = :id"), {"id": ids.read("lead", lead["id"])}
        )
    assert (await backtest(api, active))["candidate"]["mql"] == 0
    for _ in range(2):
        await backtest(api, active)
    assert len((await api.get("/v1/backtests"))["data"]) == 3
    assert (await api.call("GET", f"/v1/backtests/{first['id']}")).status_code == 404


async def test_each_tenant_sees_and_replays_its_own_leads(api: Api) -> None:
    rival = await second_tenant(api)
    await api.mql()
    theirs = [await rival.mql() for _ in range(2)]
    policies = [(await one.get("/v1/policies/active"))["id"] for one in (api, rival)]
    started = [
        await one.post(f"/v1/policies/{policy}/backtests", {}, status=202)
        for one, policy in zip((api, rival), policies, strict=True)
    ]
    await run(api)
    mine = await api.get(f"/v1/backtests/{started[0]['id']}")
    other = await rival.get(f"/v1/backtests/{started[1]['id']}")
    assert (mine["candidate"]["mql"], other["candidate"]["mql"]) == (1, 2)
    assert {one["lead_id"] for one in await journeys(rival, other["id"], "candidate")} == {one["id"] for one in theirs}


async def test_a_shadow_run_keeps_when_the_candidate_would_have_made_a_lead_an_mql(api: Api) -> None:
    before, waiting = await api.mql(), await api.lead()
    await api.add_activity(waiting, "demo_request")
    slow = altered(
        WATERFALL,
        lambda changed: changed["conditions"].update(
            mql={
                "all": [
                    {"engagement": {"at_least": 10}},
                    {"not": {"activity": {"types": ["demo_request"], "within_days": 2}}},
                ]
            }
        ),
    )
    await hours(api, 1)
    shadow = await api.post(f"/v1/policies/{await draft(api, slow)}/shadow", {}, status=202)
    path, began = f"/v1/backtests/{shadow['id']}", api.now
    await run(api)
    found = await api.get(path)
    assert (found["kind"], found["state"], found["to"], found["candidate"]["mql"]) == ("shadow", "running", None, 0)
    fresh = await api.lead()
    await hours(api, 1)
    await api.add_activity(fresh, "webinar")
    at = (await api.reload(fresh))["updated_at"]
    await run(api)
    (one,) = await journeys(api, shadow["id"], "candidate")
    assert (one["lead_id"], one["candidate_known_at"], one["actual_at"]) == (fresh["id"], at, None)
    await hours(api, 24 * 3)
    assert await run_backtests(api.app.state.engine, api.now) > 0, "time alone has made it true"
    await run(api)
    by_lead = {one["lead_id"]: one for one in await journeys(api, shadow["id"], "candidate")}
    assert by_lead.keys() == {fresh["id"], waiting["id"], before["id"]}
    assert by_lead[waiting["id"]]["candidate_at"] > (began + timedelta(hours=46)).isoformat()
    assert await run_backtests(api.app.state.engine, api.now) == 0
    assert {(await api.reload(lead))["stage"] for lead in (fresh, waiting)} == {"inquiry"}
    ended = await api.post(f"{path}/cancel", None, status=200)
    assert ended["state"] == "done"
    await api.add_activity(await api.lead(), "webinar")
    await run(api)
    assert (await api.get(path))["candidate"]["mql"] == 3


async def test_the_worker_runs_backtests(settings: Settings) -> None:
    async with application(settings, roles=["work", "dispatch"]) as api:
        await api.mql()
        active = (await api.get("/v1/policies/active"))["id"]
        started = await api.post(f"/v1/policies/{active}/backtests", {}, status=202)

        async def done() -> bool:
            return bool((await api.get(f"/v1/backtests/{started['id']}"))["state"] == "done")

        async with worker.running(api.app.state, ["work"]):
            await until(done, "the back-test to be done")
        assert (await api.get(f"/v1/backtests/{started['id']}"))["candidate"]["mql"] == 1
