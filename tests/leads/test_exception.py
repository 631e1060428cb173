"""A lead that does not fit counts as in the ideal customer profile by an exception, with a reason (decision 0048)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import text

from app.policy.shipped import shipped
from tests.api import Api
from tests.conversion.steps import events
from tests.rules.make import altered

REASON = {"reason": "A subsidiary of our largest customer."}
TWO_PERSONAS = altered(
    shipped("waterfall"),
    lambda document: document["personas"].append(
        {"name": "partner", "title": "A partner", "if": {"field": "custom.partner", "is": True}}
    ),
)


async def small(api: Api) -> dict[str, Any]:
    """A director of a company that is too small and of another industry, who asked for a demo."""
    lead = await api.lead(job_title="Director", employees=12, industry="mining")
    await api.add_activity(lead, "demo_request")
    return lead


async def put(api: Api, lead: dict[str, Any], actor: str | None, body: dict[str, Any] = REASON) -> Any:
    return await api.call("PUT", f"/v1/leads/{lead['id']}/exception", body, actor=actor)


async def take_back(api: Api, lead: dict[str, Any], actor: str) -> Any:
    return await api.call("DELETE", f"/v1/leads/{lead['id']}/exception", actor=actor)


async def score_of(api: Api, lead: dict[str, Any], **params: Any) -> dict[str, Any]:
    return dict(await api.get(f"/v1/leads/{lead['id']}/score", params=params))


async def test_an_exception_lets_a_lead_that_does_not_fit_qualify_and_is_shown_with_its_reason(api: Api) -> None:
    lead, marketing = await small(api), await api.user("marketing")
    before = await score_of(api, lead)
    assert (before["fit"], before["exception"]) == (20, None)
    assert [one["matches"] for one in before["personas"]] == [False]
    answer = await put(api, lead, marketing)
    assert (answer.status_code, answer.json()["stage"]) == (200, "mql")
    assert answer.headers["etag"] == f'"{answer.json()["version"]}"'
    shown = (await api.reload(lead))["icp_exception"]
    assert shown == {
        **REASON,
        "persona": None,
        "set_by": marketing,
        "set_by_role": "marketing",
        "set_at": shown["set_at"],
    }
    after = await score_of(api, lead)
    assert (after["fit"], after["exception"]) == (50, shown)
    (persona,) = after["personas"]
    assert (persona["name"], persona["matches"], persona["by_exception"]) == ("decision_maker", True, True)
    assert [one["criterion"] for one in persona["unmet"]] == ["field.employees", "field.industry"]


async def test_an_exception_that_is_taken_back_counts_no_more_and_the_past_still_shows_it(api: Api) -> None:
    lead, manager = await small(api), await api.user("manager")
    await put(api, lead, manager)
    then = api.now
    api.clock.ahead += timedelta(hours=1)
    answer = await take_back(api, lead, manager)
    assert (answer.status_code, answer.json()["icp_exception"]) == (200, None)
    assert (await score_of(api, lead))["fit"] == 20
    past = await score_of(api, lead, as_of=then.isoformat())
    assert (past["fit"], past["exception"]["reason"]) == (50, REASON["reason"])
    assert (await take_back(api, lead, manager)).json()["version"] == answer.json()["version"]


async def test_events_and_the_audit_log_tell_who_set_and_who_took_back(api: Api) -> None:
    lead, marketing, manager = await small(api), await api.user("marketing"), await api.user("manager")
    await put(api, lead, marketing)
    await put(api, lead, marketing)
    await put(api, lead, manager, {"reason": "A partner.", "persona": "decision_maker"})
    await take_back(api, lead, manager)
    changed = [event.data["changed"] for event in await events(api, lead) if event.type == "lead.updated"]
    assert changed == [["icp_exception"]] * 3, "the same exception again is no change"
    async with api.app.state.engine.connect() as tx:
        rows = await tx.execute(
            text(
                "SELECT act, actor ->> 'id', detail ->> 'persona', detail ? 'reason' FROM audit"
                " WHERE subject = :id ORDER BY id"
            ),
            {"id": lead["id"]},
        )
        audited = [tuple(row) for row in rows]
    assert audited == [
        ("lead.exception_set", marketing, None, False),
        ("lead.exception_set", manager, "decision_maker", False),
        ("lead.exception_taken_back", manager, "decision_maker", False),
    ], "the reason may name the person, and no audit row can be erased"


@pytest.mark.parametrize("role", ["marketing", "manager", "admin", "sdr", "ae", None])
async def test_only_people_of_marketing_managers_and_admins_set_exceptions(api: Api, role: str | None) -> None:
    lead = await small(api)
    actor = await api.user(role) if role else None
    for answer in (
        await put(api, lead, actor),
        await api.call("DELETE", f"/v1/leads/{lead['id']}/exception", actor=actor),
    ):
        expected = (200, None) if role in ("marketing", "manager", "admin") else (403, "role_not_allowed")
        expected = expected if role else (403, "human_required")
        assert (answer.status_code, answer.json().get("code")) == expected
    assert (await api.reload(lead))["icp_exception"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "reason"),
        ({"reason": None}, "reason"),
        ({"reason": ""}, "reason"),
        ({"reason": " \t "}, "reason"),
        ({"reason": "x" * 1001}, "reason"),
        ({"reason": 5}, "reason"),
        ({**REASON, "persona": "nobody"}, "persona"),
        ({**REASON, "persona": ""}, "persona"),
        ({**REASON, "icp": True}, "icp"),
    ],
)
async def test_a_reason_and_a_persona_of_the_policy_are_required(api: Api, body: dict[str, Any], field: str) -> None:
    lead, marketing = await small(api), await api.user("marketing")
    answer = await put(api, lead, marketing, body)
    assert answer.status_code == 422
    assert [one["field"] for one in answer.json()["errors"]] == [field]
    assert (await api.reload(lead))["icp_exception"] is None


async def test_an_exception_for_one_persona_counts_for_that_one_only(api: Api) -> None:
    await api.publish(TWO_PERSONAS)
    lead, marketing = await small(api), await api.user("marketing")
    assert (await put(api, lead, marketing, {**REASON, "persona": "partner"})).status_code == 200
    matches = {one["name"]: one["by_exception"] for one in (await score_of(api, lead))["personas"] if one["matches"]}
    assert matches == {"partner": True}


async def test_a_merge_takes_the_exception_over_and_unmerging_gives_it_back(api: Api) -> None:
    lead, other, marketing = await small(api), await api.lead(), await api.user("marketing")
    await put(api, lead, marketing)
    exception = (await api.reload(lead))["icp_exception"]
    await api.post(f"/v1/leads/{lead['id']}/merge", {"into": other["id"]}, status=200, actor=marketing)
    assert (await api.reload(other))["icp_exception"] == exception
    await api.post(f"/v1/leads/{lead['id']}/unmerge", None, status=200, actor=marketing)
    assert (await api.reload(lead))["icp_exception"] == exception
    assert (await api.reload(other))["icp_exception"] is None


async def test_an_exception_needs_the_version_that_was_read(api: Api) -> None:
    lead, marketing = await small(api), await api.user("marketing")
    path, headers = f"/v1/leads/{lead['id']}/exception", {"If-Match": '"99"'}
    answer = await api.call("PUT", path, REASON, actor=marketing, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (412, "version_conflict")
