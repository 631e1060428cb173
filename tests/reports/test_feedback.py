"""Feedback: what sales did with the MQLs of a window, each journey once, with the reasons that were given."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from app.policy.shipped import shipped
from app.reports.feedback import metrics
from app.reports.parameters import FeedbackParameters
from tests.api import Api
from tests.reports.steps import THREE, day, evidence, fraction, go_to, metric, report
from tests.reports.test_funnel import begin

REASONS = {name: shipped(name).reasons for name in ("waterfall", "pipeline")}


async def done(api: Api, lead: dict[str, Any], action: str, actor: str, **members: Any) -> None:
    answer = await api.ask(lead, action, actor, **members)
    assert answer.status_code == 201, answer.text


async def call(api: Api, lead: dict[str, Any], times: int = 1, **members: Any) -> None:
    for _ in range(times):
        await api.add_activity(lead, "call", kind="contact_attempt", **members)


async def test_each_choice_of_sales_counts_once_with_its_reason(api: Api) -> None:
    sdr, _ = await begin(api)
    accepted, recycled, disqualified, open_ = [await api.mql() for _ in range(4)]
    await done(api, accepted, "accept", sdr)
    await done(api, recycled, "recycle", sdr, reason_code="timing")
    await done(api, disqualified, "disqualify", sdr, reason_code="competitor")
    for found, key in ((await report(api, "feedback"), None), (await report(api, "feedback", by="source"), None)):
        counts = {name: fraction(found, name, key) for name in ("accepted", "recycled", "disqualified")}
        assert counts == {"accepted": (1, 4), "recycled": (1, 4), "disqualified": (1, 4)}
        assert fraction(found, "recycled.timing", key) == fraction(found, "disqualified.competitor", key) == (1, 4)
        assert fraction(found, "recycled.unreachable", key) == fraction(found, "disqualified.spam", key) == (0, 4)
    rows = await evidence(api, "feedback", "disqualified.competitor")
    assert {row["lead_id"]: row["counted"] for row in rows} == {
        one["id"]: one is disqualified for one in (accepted, recycled, disqualified, open_)
    }


@pytest.mark.parametrize("reason", [one.code for one in REASONS["pipeline"]["return"]])
async def test_a_lead_that_the_ae_gives_back_is_returned_with_its_reason(pipeline_api: Api, reason: str) -> None:
    api = pipeline_api
    sdr, ae = await begin(api)
    lead, other = await api.mql(), await api.mql()
    for one in (lead, other):
        await done(api, one, "hand_over", sdr, bant=THREE, owner_id=ae, conversion=False)
    await done(api, lead, "return", ae, reason_code=reason, note="as told")
    found = await report(api, "feedback")
    assert fraction(found, "accepted") == (2, 2)
    assert fraction(found, "returned") == fraction(found, f"returned.{reason}") == (1, 2)
    others = [one["name"] for one in found["groups"][0]["metrics"] if one["name"].startswith("returned.")]
    assert sum(fraction(found, name)[0] for name in others) == 1
    rows = await evidence(api, "feedback", f"returned.{reason}")
    assert {row["lead_id"]: row["counted"] for row in rows} == {lead["id"]: True, other["id"]: False}


@pytest.mark.parametrize("policy", ["waterfall", "pipeline"])
def test_there_is_a_metric_for_each_reason_of_the_policy(policy: str) -> None:
    asked = FeedbackParameters(day(1).date(), day(2).date())
    names = [one.name for one in metrics(shipped(policy), asked)]
    lists = {"recycled": "recycle", "disqualified": "disqualify", "returned": "return"}
    for name, listed in lists.items():
        codes = [reason.code for reason in REASONS[policy].get(listed, ())]
        assert [one for one in names if one.startswith(f"{name}.")] == [f"{name}.{code}" for code in codes]
        assert (name in names) == bool(codes)
    assert len(names) == len(set(names))


async def test_a_disqualification_that_was_taken_back_counts_until_then(api: Api) -> None:
    sdr, _ = await begin(api)
    lead = await api.mql()
    await done(api, lead, "disqualify", sdr, reason_code="no_budget")
    go_to(api, day(2))
    await done(api, lead, "reopen", sdr, reason_code="mistake", note="it was another company")
    found = await report(api, "feedback")
    assert [fraction(found, name) for name in ("disqualified", "disqualified.no_budget", "given_up")] == [(0, 1)] * 3
    then = await report(api, "feedback", as_of="2026-01-01T12:00:00Z")
    assert [fraction(then, name) for name in ("disqualified", "disqualified.no_budget", "given_up")] == [(1, 1)] * 3


async def test_a_journey_that_becomes_an_mql_again_counts_once_with_all_that_was_done(api: Api) -> None:
    sdr, _ = await begin(api)
    lead = await api.mql()
    await done(api, lead, "recycle", sdr, reason_code="timing")
    go_to(api, day(3))
    await api.add_activity(lead, "demo_request")
    assert (await api.reload(lead))["stage"] == "mql"
    await done(api, lead, "accept", sdr)
    found = await report(api, "feedback")
    assert fraction(found, "recycled") == fraction(found, "accepted") == (1, 1)
    assert len(await evidence(api, "feedback", "recycled")) == 1


ATTEMPTS = [(0, 0, 0), (1, 1, 2), (3, 0, 5), (2, 2, 2)]


@pytest.mark.parametrize("counts", ATTEMPTS)
async def test_attempts_before_giving_up_are_told_with_their_mean_and_distribution(
    api: Api, counts: tuple[int, ...]
) -> None:
    sdr, _ = await begin(api)
    kept = await api.mql()
    await call(api, kept, 4)
    for place, count in enumerate(counts):
        lead = await api.mql()
        await call(api, lead, count)
        action, reason = ("recycle", "stalled") if place else ("disqualify", "no_need")
        await done(api, lead, action, sdr, reason_code=reason)
        await call(api, lead)  # afterwards, which is no attempt before giving up
    found = metric(await report(api, "feedback"), "given_up")
    assert (found["numerator"], found["denominator"]) == (len(counts), len(counts) + 1)
    assert found["attempts_mean"] == round(sum(counts) / len(counts), 4)
    assert {one["attempts"]: one["journeys"] for one in found["attempts"]} == {
        count: counts.count(count) for count in sorted(set(counts))
    }


async def test_an_attempt_that_is_recorded_late_counts_from_then_on(api: Api) -> None:
    sdr, _ = await begin(api)
    lead = await api.mql()
    called_at = api.now
    go_to(api, day(2, hour=10))
    await done(api, lead, "recycle", sdr, reason_code="stalled")
    go_to(api, day(3))
    then: dict[str, Any] = {"as_of": "2026-01-02T12:00:00Z"}
    before = await report(api, "feedback", **then)
    await call(api, lead, occurred_at=(called_at + timedelta(hours=1)).isoformat())
    assert await report(api, "feedback", **then) == before
    assert metric(before, "given_up")["attempts_mean"] == 0
    assert metric(await report(api, "feedback"), "given_up")["attempts_mean"] == 1
    assert fraction(before, "untouched") == (1, 1)
    assert fraction(await report(api, "feedback"), "untouched") == (0, 1)


@pytest.mark.parametrize(("hours", "untouched"), [(1, 3), (2, 2), (5, 1), (24, 1), (47, 1), (48, 0), (49, 0)])
async def test_untouched_is_what_nobody_has_taken_up_within_so_many_hours(api: Api, hours: int, untouched: int) -> None:
    sdr, _ = await begin(api)
    called, accepted, never = [await api.mql() for _ in range(3)]
    go_to(api, day(1, hour=10) + timedelta(minutes=30))
    await call(api, called)
    go_to(api, day(1, hour=13))
    await done(api, accepted, "accept", sdr)
    go_to(api, day(3) - timedelta(minutes=1))
    found = metric(await report(api, "feedback", hours=hours), "untouched")
    assert (found["numerator"], found["denominator"]) == (untouched, 3)
    assert (found["hours"], found["horizon_days"], found["mature"]) == (hours, None, hours < 48)
    rows = await evidence(api, "feedback", "untouched", hours=hours)
    assert {row["lead_id"] for row in rows if row["counted"]} <= {called["id"], accepted["id"], never["id"]}
    assert (sum(row["counted"] for row in rows), len(rows)) == (untouched, 3)


async def test_a_group_of_a_rule_has_the_journeys_in_which_its_points_counted(api: Api) -> None:
    sdr, _ = await begin(api)
    first, second = await api.mql(), await api.lead(job_title="Director", employees=120, industry="software")
    for type_ in ("webinar", "price_list"):
        await api.add_activity(second, type_)
    assert (await api.reload(second))["stage"] == "mql"
    await done(api, second, "accept", sdr)
    found = await report(api, "feedback", by="rule")
    expected = {
        **dict.fromkeys(("title", "size", "industry"), (1, 2)),
        **dict.fromkeys(("webinar", "price_list"), (1, 1)),
        "demo_request": (0, 1),
    }
    assert {group["key"]: fraction(found, "accepted", group["key"]) for group in found["groups"]} == expected
    for key, counts in expected.items():
        rows = await evidence(api, "feedback", "accepted", by="rule", key=key)
        assert (sum(row["counted"] for row in rows), len(rows)) == counts
        assert (key == "demo_request") == ({row["lead_id"] for row in rows} == {first["id"]})


async def test_an_mql_that_a_correction_voids_counts_until_then(api: Api) -> None:
    await begin(api)
    manager = await api.user("manager")
    lead = await api.mql()
    go_to(api, day(2))
    last = (await api.get(f"/v1/leads/{lead['id']}/transitions"))["data"][-1]
    corrected = await api.ask(
        lead, "correct", manager, to="inquiry", correction_of=last["id"], reason_code="mistake", note="a test"
    )
    assert corrected.status_code == 201, corrected.text
    assert fraction(await report(api, "feedback"), "accepted") == (0, 0)
    assert fraction(await report(api, "feedback", as_of="2026-01-01T12:00:00Z"), "accepted") == (0, 1)


async def test_attempts_are_those_of_the_lead_as_it_was_before_a_merge_and_after_it(api: Api) -> None:
    sdr, _ = await begin(api)
    manager = await api.user("manager")
    one, other = await api.mql(), await api.mql()
    for lead in (one, other):
        await call(api, lead, 1 if lead is one else 2)
    await done(api, one, "recycle", sdr, reason_code="stalled")
    instants: list[datetime] = [api.now]
    told = [await told_at(api, instants[-1])]
    for number, path in ((2, "merge"), (3, "unmerge")):
        go_to(api, day(number))
        await api.post(
            f"/v1/leads/{one['id']}/{path}",
            {"into": other["id"]} if path == "merge" else None,
            status=200,
            actor=manager,
        )
        go_to(api, day(number, hour=12))
        instants.append(api.now)
        told.append(await told_at(api, instants[-1]))
    assert [await told_at(api, at) for at in instants] == told
    assert [metric(document, "given_up")["attempts"] for document, _ in (told[0], told[2])] == [
        [{"attempts": 1, "journeys": 1}]
    ] * 2


async def told_at(api: Api, at: datetime) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    as_of: dict[str, Any] = {"as_of": at.isoformat()}
    return await report(api, "feedback", **as_of), await evidence(api, "feedback", "given_up", **as_of)


@pytest.mark.parametrize("hours", ["0", "-1", "8761", "x", "1.5", ""])
async def test_hours_beyond_the_limits_are_refused_and_named(api: Api, hours: str) -> None:
    go_to(api, day(40))
    for path, more in (("feedback", {}), ("feedback/evidence", {"metric": "untouched"})):
        refused = await report(api, path, expect=422, hours=hours, **more)
        assert [one["field"] for one in refused["errors"]] == ["hours"]


async def test_an_empty_window_answers_null(api: Api) -> None:
    go_to(api, day(40))
    found = await report(api, "feedback")
    for one in found["groups"][0]["metrics"]:
        assert (one["value"], one["numerator"], one["denominator"]) == (None, 0, 0)
    given_up = metric(found, "given_up")
    assert (given_up["attempts_mean"], given_up["attempts"]) == (None, [])
