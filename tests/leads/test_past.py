"""`as_of` answers for a past instant what the lead was then, whatever changed later."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Any

import pytest

from app.journeys.refresh import refresh_due
from app.policies.published import active_policy
from tests.api import Api


def instant(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


async def lead_as_of(api: Api, lead: dict[str, Any], at: datetime) -> dict[str, Any]:
    return dict(await api.get(f"/v1/leads/{lead['id']}", params={"as_of": instant(at)}))


async def test_as_of_answers_what_the_lead_was_before_each_of_its_changes(api: Api) -> None:
    sdr, ae = await api.user("sdr"), await api.user("ae")
    body = {
        "fields": {"email": "anna@nordsoft.ro", "company": "Nordsoft", "phone": "+40 21 555 0100", "employees": 120},
        "attribution": {"source": "google", "campaign": "spring"},
        "consents": [{"purpose": "email_marketing", "state": "given"}],
        "custom": {"seats": 5},
        "external_ids": {"hubspot": "1"},
    }
    lead = await api.post("/v1/leads", body)
    path = f"/v1/leads/{lead['id']}"
    snapshots: list[tuple[datetime, dict[str, Any]]] = []

    async def patch(**members: Any) -> None:
        assert (await api.call("PATCH", path, members)).status_code == 200

    async def ask(action: str, actor: str, **members: Any) -> None:
        answer = await api.ask(lead, action, actor, **members)
        assert answer.status_code == 201, answer.text

    async def convert() -> None:
        await api.post(f"{path}/conversion", {}, actor=ae, headers={"Idempotency-Key": "k"})

    async def consent(state: str) -> None:
        consents = {"consents": [{"purpose": "email_marketing", "state": state}]}
        assert (await api.call("PUT", f"{path}/consents", consents)).status_code == 200

    async def confirm_bant(actor: str) -> None:
        bant = {name: {"status": "confirmed"} for name in ("budget", "authority", "need", "timing")}
        assert (await api.call("PUT", f"{path}/bant", bant, actor=actor)).status_code == 200

    again = {**body, "fields": {**body["fields"], "job_title": "Director"}, "attribution": {"source": "linkedin"}}  # type: ignore[dict-item]
    steps: list[Callable[[], Awaitable[Any]]] = [
        lambda: patch(fields={"industry": "software", "email": "anna.z@nordsoft.ro"}, custom={"seats": 7}),
        lambda: api.post("/v1/leads", again, status=200),
        lambda: patch(owner_id=ae),
        lambda: patch(owner_id=None, fields={"phone": "+40 21 555 0199", "email": "anna@nordsoft.com"}),
        lambda: consent("withdrawn"),
        lambda: api.add_activity(lead, "demo_request"),
        lambda: ask("accept", sdr),
        lambda: ask("recycle", sdr, reason_code="timing"),
        lambda: api.add_activity(lead, "demo_request"),
        lambda: ask("accept", sdr),
        lambda: confirm_bant(sdr),
        lambda: ask("confirm", ae, bant={name: {"status": "confirmed"} for name in ("budget", "need", "timing")}),
        convert,
        lambda: patch(fields={"company": "Nordsoft SRL", "job_title": None}, custom={"seats": None}),
        lambda: patch(fields={"email": "anna@gmail.com"}),
        lambda: patch(fields={"email": None}),
    ]
    for step in steps:
        snapshots.append((api.now, await api.reload(lead)))
        api.clock.ahead += timedelta(hours=1)
        await step()
    assert snapshots[-1][1]["links"]["opportunity_id"] is not None
    for at, snapshot in snapshots:
        then = await lead_as_of(api, lead, at)
        differing = {name: (snapshot[name], then[name]) for name in snapshot if snapshot[name] != then[name]}
        assert differing == {}, at


@pytest.mark.parametrize("ahead", [timedelta(minutes=1), timedelta(days=1), timedelta(days=36_500)])
@pytest.mark.parametrize("path", ["", "/score"])
async def test_as_of_the_future_is_refused(api: Api, path: str, ahead: timedelta) -> None:
    lead = await api.mql()
    path = f"/v1/leads/{lead['id']}{path}"
    refused = await api.call("GET", path, params={"as_of": instant(api.now + ahead)})
    assert refused.status_code == 422
    assert [(one["field"], one["code"]) for one in refused.json()["errors"]] == [("as_of", "in_the_future")]


async def test_a_lead_is_not_found_as_of_before_its_creation(api: Api) -> None:
    lead = await api.mql()
    answer = await api.call("GET", f"/v1/leads/{lead['id']}", params={"as_of": api.ago(hours=1)})
    assert (answer.status_code, answer.json()["code"]) == (404, "lead_not_found")
    assert "did not exist before" in answer.json()["detail"]
    assert (await api.call("GET", f"/v1/leads/{lead['id']}", params={"as_of": "yesterday"})).status_code == 422


async def test_a_past_score_uses_the_fields_of_that_time(api: Api) -> None:
    lead = await api.mql()
    before = api.now
    api.clock.ahead += timedelta(hours=1)
    assert (await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"employees": 1}})).status_code == 200
    path = f"/v1/leads/{lead['id']}/score"
    assert (await api.get(path, params={"as_of": instant(before)}))["fit"] == 50
    assert (await api.get(path))["fit"] < 50


async def test_as_of_scores_a_journey_by_the_policy_it_was_pinned_to_then(api: Api) -> None:
    sdr, lead = await api.user("sdr"), await api.mql()
    async with api.app.state.engine.connect() as tx:
        old = (await active_policy(tx, api.tenant_id)).policy
    cheap = tuple(rule.model_copy(update={"points": 1}) for rule in old.scoring.fit)
    await api.publish(old.model_copy(update={"scoring": old.scoring.model_copy(update={"fit": cheap})}))
    snapshots: list[tuple[datetime, dict[str, Any]]] = []
    for action in ("accept", "recycle", None):
        snapshots.append((api.now, await api.reload(lead)))
        api.clock.ahead += timedelta(hours=1)
        if action is not None:
            reason = {"reason_code": "timing"} if action == "recycle" else {}
            assert (await api.ask(lead, action, sdr, **reason)).status_code == 201
    assert [snapshot["score"]["fit"] for _, snapshot in snapshots] == [50, 50, 3], (
        "a recycled journey follows the new policy"
    )
    for at, snapshot in snapshots:
        assert await lead_as_of(api, lead, at) == snapshot


async def test_as_of_knows_when_a_lead_was_below_the_threshold_and_when_time_alone_brought_it_back(api: Api) -> None:
    lead = await api.lead(job_title="Director", employees=120, industry="software")
    for key in ("c1", "c2", "c3"):
        await api.add_activity(lead, "case_study", activity_key=key)
    await api.add_activity(lead, "unsubscribe", occurred_at=api.ago(days=20))
    snapshots: list[tuple[datetime, dict[str, Any]]] = []
    for days, refreshed in ((0, False), (10.1, False), (0.1, True), (20, False), (0.1, True), (1, False)):
        api.clock.ahead += timedelta(days=days)
        if refreshed:
            await refresh_due(api.app.state.engine, api.clock.now)
        snapshots.append((api.now, await api.reload(lead)))
    below = [snapshot["below_threshold_since"] is not None for _, snapshot in snapshots]
    assert below == [True, False, False, False, True, True], "-25 points count half after ten days, 3 times 15 later"
    for at, snapshot in snapshots:
        assert await lead_as_of(api, lead, at) == snapshot


@pytest.mark.parametrize("state", ["unknown", "withdrawn"])
async def test_a_version_that_only_adds_a_consent_that_does_not_count_has_its_version_then(
    api: Api, state: str
) -> None:
    body = {"fields": {"email": "anna@nordsoft.ro"}, "consents": [{"purpose": "email_marketing", "state": "given"}]}
    lead = await api.post("/v1/leads", body)
    old = {"purpose": "email_marketing", "state": state, "occurred_at": api.ago(days=9)}
    api.clock.ahead += timedelta(hours=1)
    assert (await api.call("PUT", f"/v1/leads/{lead['id']}/consents", {"consents": [old]})).status_code == 200
    at, shown = api.now, await api.reload(lead)
    api.clock.ahead += timedelta(hours=1)
    await api.add_activity(lead, "webinar")
    assert await lead_as_of(api, lead, at) == shown


async def test_an_emptied_address_leaves_the_past_score_as_it_was(api: Api) -> None:
    lead = await api.lead(email="ion@gmail.com", job_title="Director", employees=120, industry="software")
    snapshots: list[tuple[datetime, dict[str, Any]]] = []
    for email in (None, "ion@nordsoft.ro", "ion@gmail.com", None):
        snapshots.append((api.now, await api.reload(lead)))
        api.clock.ahead += timedelta(hours=1)
        await api.call("PATCH", f"/v1/leads/{lead['id']}", {"fields": {"email": email}})
    assert [snapshot["score"]["fit"] for _, snapshot in snapshots] == [35, 50, 50, 35]
    for at, snapshot in snapshots:
        assert await lead_as_of(api, lead, at) == snapshot


async def test_fields_and_flags_of_a_later_form_are_absent_before_it(api: Api) -> None:
    sdr, lead = await api.user("sdr"), await api.mql()
    assert (await api.ask(lead, "accept", sdr)).status_code == 201
    assert (await api.ask(lead, "disqualify", sdr, reason_code="spam")).status_code == 201
    before, snapshot = api.now, await api.reload(lead)
    api.clock.ahead += timedelta(hours=1)
    await api.lead(phone="+40 21 555 0100")
    await api.lead(email=lead["fields"]["email"], phone="+40 21 555 0100")
    now = await api.reload(lead)
    assert (now["raw"]["phone"], now["duplicate_suspected"], now["blocked_reinquiry"]) == (
        "+40 21 555 0100",
        True,
        True,
    )
    assert await lead_as_of(api, lead, before) == snapshot
